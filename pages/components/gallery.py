"""Images beside their label and what a run read, each with the way to its label."""

from collections.abc import Iterable

import streamlit as st

from core.images import data_url
from core.predictions import Predictions, Reading
from db.records import Project
from db.samples import find_sample, image_bytes
from pages.components import layout

PER_PAGE = 24


def show_gallery(project: Project, found: Predictions, reading: Reading, places: list[int]) -> None:
    """The images at these places of `found`, a page at a time; another list begins at its first page."""
    pages = -(-len(places) // PER_PAGE)
    number = st.pagination(pages, key=f"gallery {hash(tuple(places))}") if pages > 1 else 1
    places = places[(number - 1) * PER_PAGE : number * PER_PAGE]
    with layout.errors(), layout.database() as db:
        samples = {place: find_sample(db, project.id, found.sha256[place]) for place in places}
        images = image_bytes(db, [sample.id for sample in samples.values() if sample])
    with st.grid("auto", min_column_width=185):
        for place, sample in samples.items():
            label = found.labels[place]
            with st.container(border=True, gap="xsmall"):
                if sample is None:
                    st.caption("This image is no longer in the project.")
                    continue
                st.image(data_url(images[sample.id]), width="stretch", alt=f"Image labelled {label}")
                read = [project.charset[char] for char in reading.predicted_NP[place]]
                st.markdown(f"read {marked(read, reading.right_NP[place])}, {reading.confidence_N[place]:.1%} sure")
                now = "" if sample.label == label else f", now {layout.plain(sample.label or sample.state)}"
                st.caption(f"labelled {layout.plain(label)}{now}")
                st.page_link(
                    "pages/samples.py", label="Look at the label", icon=":material/edit:",
                    query_params={"project": project.name, "search": sample.sha256},
                )  # fmt: skip


def marked(chars: Iterable[str], right: Iterable[bool]) -> str:
    """What was read, as Markdown with the wrong characters on red."""
    return "".join(
        layout.plain(char) if is_right else f":red-background[:red[**{layout.plain(char)}**]]"
        for char, is_right in zip(chars, right, strict=True)
    )
