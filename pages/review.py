"""Review: labels many at once to find the wrong ones, and disputed images to decide them."""

from typing import Any

import streamlit as st

from core.data.reviewing import SLOW_LABELS
from db import reviews, samples
from db.labels import list_operators
from db.projects import list_sources
from db.queues import count_disputed
from db.reviews import ORDERS, Review
from pages.components import layout, state
from pages.components.widgets.reviewer.server import reviewer

EVERYBODY, OTHERS = "everybody", "others"

page = layout.open_page("review")
project = page.project

with layout.errors(), layout.database() as db:
    numbers = samples.counts(db, project.id)
    disputed = count_disputed(db, project.id)
labeled = sum(n for (_, state), n in numbers.items() if state == "labeled")
if not labeled and not disputed:
    st.info("This project has no labels to review yet.", icon=":material/inbox:")
    st.page_link(
        "pages/label.py", label="Label images", icon=":material/keyboard:", query_params={"project": project.name}
    )
    st.stop()

show = st.segmented_control(
    "Show", ["labels", "disputed"], key=state.SHOW, bind="query-params", default="labels", required=True,
    format_func=str.capitalize, label_visibility="collapsed",
)  # fmt: skip


def chosen_review() -> tuple[Review, int | None]:
    """Draw the filters; the review they stand for, and how many labels it is about, where that is soon counted."""
    with layout.errors(), layout.database() as db:
        sources = {source.name: source.id for source in list_sources(db, project.id)}
        operators = [name for name in list_operators(db) if name not in (EVERYBODY, OTHERS)]
    bound: dict[str, Any] = {"bind": "query-params"}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        checked = st.selectbox("Show labels", ["not yet checked", "all"], key="checked", width=165, **bound)
        by = st.selectbox("Labels of", [EVERYBODY, OTHERS, *operators], key="by", width=150, **bound)
        order = st.selectbox(
            "Order", list(ORDERS), key="ordered", width=150,
            help="label and character put equal ones side by side, where a wrong one stands out.", **bound,
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
        text = st.text_input("Label holds", key="text", live="300ms", width=130, placeholder="Characters", **bound)
    review = Review(
        order=order,
        unchecked=checked != "all",
        source_id=sources[source] if source else None,
        split=None if split == "all" else split,
        operator=by if by in operators else None,
        not_by=page.operator if by == OTHERS else None,
        text=text.strip(),
        position=position,
        char=char,
    )
    if labeled > SLOW_LABELS:
        if order not in ("random", "label") or review.text or char:
            st.caption(
                f"With more than {SLOW_LABELS:,} labels each screen takes seconds; random or by label it does not."
            )
        return review, None
    with layout.errors(), layout.database() as db:
        return review, reviews.count_labeled(db, project.id, review)


review, total = chosen_review() if show == "labels" else (None, None)


# A fragment: what the widget sends reruns these lines and nothing else of the app.
@st.fragment
def widget() -> None:
    reviewer(project, page.operator, review, total, show_key=state.SHOW)
    if st.session_state[state.SHOW] != show:  # the widget leads to the other view
        st.rerun()


# After a restart of the server the browser asks for the whole page again only if something on it repeats; see Label.
@st.fragment(run_every=60)
def repeat() -> None:
    pass


repeat()
widget()
