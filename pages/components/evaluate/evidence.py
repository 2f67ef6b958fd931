"""Sections of Evaluate: what its numbers show, who opened the test images, and the report to send."""

import pandas as pd
import streamlit as st

from core.evaluation.evidence import Evidence
from core.report.document import make_report
from core.runs.evaluated import Evaluated
from core.runs.uses import use_rows, uses_text
from db.evaluations import list_test_uses
from pages.components import layout

BEFORE_TEST = (
    "No weight was fitted to these val images, but they chose which weights are kept: what they show is a little too "
    "good. The test images say by how much."
)


def show_evidence(shown: Evaluated) -> None:
    """Show what so many images prove, how many more would prove more, and each opening of the test images."""
    st.subheader("What this shows", anchor=False)
    n, correct = shown.result["n"], shown.result["correct"]
    st.markdown(layout.plain(Evidence(n=n, wrong=n - correct).sentence))
    with layout.errors(), layout.database() as db:
        uses = list_test_uses(db, shown.project.id)
    st.caption(BEFORE_TEST if shown.split == "val" else "Test images have chosen nothing, if they are opened rarely.")
    if not uses:
        st.caption(f"{uses_text(0)}.")
        return
    with st.expander(uses_text(len(uses))):
        st.dataframe(
            pd.DataFrame(use_rows(uses), columns=["When (UTC)", "Who", "Run", "Views", "Right"]),
            hide_index=True,
            alt=f"{len(uses)} uses of the test images",
        )


def show_report(shown: Evaluated) -> None:
    """Offer the evaluation as one file."""
    st.subheader("Report", anchor=False)
    st.caption(
        "Everything about this evaluation in one HTML file: numbers with intervals, matrices, calibration, parts, "
        "images that were read wrong, settings, and the uses of the test images. It loads nothing and runs no "
        "script. It holds images of the portal and their labels: send it to those only who may see them."
    )
    with layout.errors(), layout.database() as db, st.spinner("Writing the report"):
        text = make_report(db, layout.home(), shown)
    st.download_button(
        f"Download ({len(text.encode('utf-8', 'replace')) / 1e6:.1f} MB)",
        text.encode("utf-8", "replace"),
        file_name=f"{shown.project.name}-{shown.run.job.id}-{shown.split}{'-tta' if shown.tta else ''}.html",
        mime="text/html",
        icon=":material/download:",
        on_click="ignore",
        key="download report",
    )
    views = (" --tta" if shown.tta else " --no-tta") if len(shown.predictions.views) > 1 else ""
    st.caption(
        f"The same from the terminal: `slotlab report {shown.run.job.number} --split {shown.split}{views} --out FILE`"
    )
