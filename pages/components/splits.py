"""The box for the images of an evaluation: val, test, or a source that the run has not seen."""

from collections.abc import Sequence

import streamlit as st

from core.runs.unseen import next_sources
from db.records import HELD_OUT, NEXT, Run
from pages.components import layout, state


def choose_split(runs: Sequence[Run]) -> tuple[str, str]:
    """Ask for a split. Return it and the name of the source, which is empty for val and test."""
    with layout.errors(), layout.database() as db:
        sources = list(dict.fromkeys(name for run in runs for name in next_sources(db, run)))
    splits = [*HELD_OUT, *([NEXT] if sources else [])]
    if st.session_state.get(state.SPLIT, "val") not in splits:  # that of another run
        st.session_state[state.SPLIT] = "val"
    split: str = st.segmented_control(
        "Split", splits, default="val", required=True, key=state.SPLIT, bind="query-params",
        help="next: a source that the run has not seen, as the images of next month." if sources else None,
    )  # fmt: skip
    if split != NEXT:
        return split, ""
    if st.session_state.get(state.NEXT_SOURCE, sources[0]) not in sources:
        st.session_state[state.NEXT_SOURCE] = sources[0]
    source: str = st.selectbox("Source", sources, key=state.NEXT_SOURCE, bind="query-params", width=200)
    return split, source


def named(split: str, source: str) -> str:
    """Return the images in a word or two."""
    return f"source {source}" if source else split
