"""Review: check many labels at once, decide disputed images, and check suspected labels."""

from typing import Any

import streamlit as st

from core.data.kinds import WORDS, is_mixed, labels_by_kind
from core.data.reviewing import SLOW_LABELS
from core.runs.suspects import Suspect, find_suspects
from db import reviews
from db.labels import list_operators
from db.projects import list_sources
from db.queues import count_disputed
from db.reviews import ORDERS, Review
from pages.components import layout, state
from pages.components.review.folds import show_folds
from pages.components.widgets.reviewer.server import reviewer

EVERYONE, OTHERS = "everyone", "others"

page = layout.open_page("review")
layout.take_filters_from_address(
    state.SHOW, "checked", "by", "ordered", "position", "char", "split", "source", "kind", "text"
)
project = page.project

with layout.errors(), layout.database() as db:
    kinds = labels_by_kind(db, project)
    disputed = count_disputed(db, project.id)
labeled = sum(kinds.values())
if not labeled and not disputed:
    st.info("No labels to review yet.", icon=":material/inbox:")
    st.page_link(
        "pages/label.py", label="Label images", icon=":material/keyboard:", query_params={"project": project.name}
    )
    st.stop()


def chosen_review() -> tuple[Review, int | None]:
    """Draw the filters. Return the review and its number of labels, or None if counting would be slow."""
    with layout.errors(), layout.database() as db:
        sources = {source.name: source.id for source in list_sources(db, project.id)}
        operators = [name for name in list_operators(db) if name not in (EVERYONE, OTHERS)]
    bound: dict[str, Any] = {"bind": "query-params"}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        checked = st.selectbox("Show", ["not checked", "all"], key="checked", width=165, **bound)
        by = st.selectbox("Labeled by", [EVERYONE, OTHERS, *operators], key="by", width=150, **bound)
        order = st.selectbox(
            "Sort by", list(ORDERS), key="ordered", width=150,
            help="Sorting by label or character puts equal ones side by side, so that wrong ones stand out.", **bound,
        )  # fmt: skip
        position, char = 1, None
        if order == "character":
            position = st.selectbox("Position", range(1, project.length + 1), key="position", width=95, **bound)
            char = st.selectbox(
                "Character", list(project.charset), index=None, key="char", width=110, placeholder="All", **bound
            )
        split = st.selectbox("Split", ["all", "train", "val", "test"], key="split", width=95, **bound)
        source = None
        if len(sources) > 1:
            source = st.selectbox(
                "Source", list(sources), index=None, key="source", width=150, placeholder="All sources", **bound
            )
        kind = None
        if is_mixed(kinds):
            kind = st.selectbox(
                "Kind", list(WORDS), index=None, key="kind", format_func=WORDS.__getitem__, width=120,
                placeholder="All kinds", **bound,
            )  # fmt: skip
        text = st.text_input("Label contains", key="text", live="300ms", width=130, placeholder="Characters", **bound)
    review = Review(
        order=order,
        unchecked=checked != "all",
        source_id=sources[source] if source else None,
        split=None if split == "all" else split,
        operator=by if by in operators else None,
        not_by=page.operator if by == OTHERS else None,
        kind=kind,
        text=text.strip(),
        position=position,
        char=char,
    )
    if labeled > SLOW_LABELS:
        if order not in ("random", "label") or review.text or char:
            st.caption(
                f"With over {SLOW_LABELS:,} labels each screen takes seconds. Sort randomly or by label to avoid this."
            )
        return review, None
    with layout.errors(), layout.database() as db:
        return review, reviews.count_labeled(db, project.id, review)


def suspected_labels() -> list[Suspect]:
    """Draw the folds. Return the suspected labels."""
    with layout.errors(), layout.database() as db:
        found = find_suspects(db, layout.home(), project)
    show_folds(project, page.operator, found)
    return found.entries


# One container for all controls keeps the place of the widget. At another place there would briefly be two widgets, and
# an empty container would not keep it.
with st.container():
    show = st.segmented_control(
        "Show", ["labels", "disputed", "suspected"], key=state.SHOW, bind="query-params", default="labels",
        required=True, format_func=str.capitalize, label_visibility="collapsed",
    )  # fmt: skip
    review, total = chosen_review() if show == "labels" else (None, None)
    suspects = suspected_labels() if show == "suspected" else []
    if show == "suspected":
        total = len(suspects)


# A fragment, so that a message from the widget reruns only this function.
@st.fragment
def widget() -> None:
    reviewer(project, page.operator, show, review, total, state.SHOW, suspects)
    if st.session_state[state.SHOW] != show:  # the widget has switched to the other view
        st.rerun()


# After a server restart the browser requests the whole page again only if a fragment repeats; see label.py.
@st.fragment(run_every=60)
def repeat() -> None:
    pass


repeat()
widget()
