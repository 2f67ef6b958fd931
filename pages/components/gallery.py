"""Images beside their label and what a run read, each with the way to its label."""

from collections.abc import Iterable

import streamlit as st

from core.images import data_url
from db.samples import find_sample, image_bytes
from pages.components import layout
from pages.components.evaluated import Evaluated

PER_PAGE = 24


@st.fragment(key="images")
def show_images(shown: Evaluated) -> None:
    """The images of one cell of a matrix, or those that are wrong or least sure."""
    st.subheader("Images", anchor=False)
    charset, reading = shown.page.spec.charset, shown.reading
    cell = st.session_state.get("cell")
    choices = ["wrong", "least sure"] + (["one cell"] if cell and cell[0] == shown.run.job.id else [])
    if st.session_state.get("show") not in choices:
        st.session_state.pop("show", None)  # a cell of another run
    match st.segmented_control(
        "Show", choices, default="wrong", required=True, key="show", label_visibility="collapsed"
    ):
        case "least sure":
            places = reading.least_sure()
            note = "Right or wrong, what the run was least sure of. Label more like these."
        case "one cell":
            _, position, true, read, how = cell
            names = layout.plain(charset[true]), layout.plain(charset[read])
            if how == "nearest":
                places = reading.nearest(position, true, read)
                note = f"{len(places):,} with {names[0]} at position {position + 1}, those closest to {names[1]} first."
            else:
                places = reading.in_cell(position, true, read)
                note = (
                    f"{len(places):,} with {names[0]} read as {names[1]} at position {position + 1}, the least sure "
                    "first."
                )
        case _:
            places = reading.wrong()
            note = (
                f"{len(places):,} of {shown.result['n']:,} wrong, the surest first: among those are the wrong labels."
            )
    st.caption(note)
    show_gallery(shown, places.tolist())


def show_gallery(shown: Evaluated, places: list[int]) -> None:
    """The images at these places of the evaluation, a page at a time; another list begins at its first page."""
    project, found, reading = shown.page.project, shown.found, shown.reading
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
