"""The box for the images of an evaluation: val, test, or a source that the run has not seen."""

from collections.abc import Sequence

import streamlit as st

from core.runs.unseen import next_sources
from db.records import HELD_OUT, NEXT, Run
from pages.components import address, layout, state


def choose_split(runs: Sequence[Run]) -> tuple[str, str]:
    """Ask for a split. Return it and the name of the source, which is empty for val and test."""
    with layout.errors(), layout.database() as db:
        sources = list(dict.fromkeys(name for run in runs for name in next_sources(db, run)))
    splits = [*HELD_OUT, *([NEXT] if sources else [])]
    split: str = st.segmented_control(
        "Split", splits, default="val", required=True,
        help="next: a source that the run has not seen, as the images of next month." if sources else None,
        **address.widget(state.SPLIT, splits, "val", clears=(state.CELL, "show", "sort", "page", state.NEXT_SOURCE)),
    )  # fmt: skip
    if split != NEXT:
        return split, ""
    if not address.get(state.NEXT_SOURCE):
        address.complete(state.NEXT_SOURCE, sources[0])
    keywords = address.widget(state.NEXT_SOURCE, sources, None, refusal="This run has no next source {asked!r}.")
    source: str | None = st.selectbox("Source", sources, placeholder="Choose a source", width=200, **keywords)
    if source is None:
        layout.stop()
    return split, source


def named(split: str, source: str) -> str:
    """Return the images in a word or two."""
    return f"source {source}" if source else split
