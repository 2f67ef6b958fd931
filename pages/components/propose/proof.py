"""The blind proof of the readers: labels of people on validation and test images."""

import streamlit as st

from core.data.proposals import Proof
from core.data.reviewing import REJECTED_MARK
from core.images.pixels import data_url
from db import samples, verdicts
from db.records import Project
from pages.components import layout
from pages.components.state import BLIND

SHOWN = 12
"""Wrong readings that the page shows."""


def show_proof(project: Project, proof: Proof) -> None:
    """Draw what blind labels prove about the agreed readings, and the readings that were wrong."""
    st.subheader("Proof", anchor=False)
    st.markdown(layout.plain(proof.sentence))
    st.caption(
        "People label validation and test images without seeing a reading. Two readers can make the same error, and "
        "only these labels show it."
    )
    if proof.blind:
        st.page_link(
            "pages/label.py", label="Label blind images", icon=":material/keyboard:",
            query_params={"project": project.name, "images": BLIND},
        )  # fmt: skip
    if proof.wrong:
        st.markdown(f"Agreed readings that differ from the label: {len(proof.wrong):,}")
        wrong = proof.wrong[:SHOWN]
        with layout.errors(), layout.database() as db:
            images = samples.image_bytes(db, [sample.id for sample, _ in wrong])
            rejected = verdicts.rejected_texts(db, project.id, sample_ids=[sample.id for sample, _ in wrong])
        with st.container(horizontal=True):
            for sample, reading in wrong:
                with st.container(border=True, width=180, gap="xsmall"):
                    st.image(data_url(images[sample.id]), alt=f"Image labeled {sample.label}")
                    mark = f", {REJECTED_MARK}" * (reading in rejected.get(sample.id, ()))
                    st.caption(layout.plain(f"Label {sample.label}, readers {reading}{mark}"))
                    st.page_link(
                        "pages/review.py", label="Correct label", icon=":material/edit:",
                        query_params={"project": project.name, "checked": "all", "text": sample.label or ""},
                    )  # fmt: skip
