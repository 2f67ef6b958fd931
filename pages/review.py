"""Review: check many labels at once, decide disputed images, and check suspected labels."""

import streamlit as st

from core.data.kinds import WORDS, is_mixed, labels_by_kind
from core.data.reviewing import SLOW_LABELS
from core.runs.suspects import Suspect, find_suspects
from db import reviews
from db.labels import list_operators
from db.projects import list_sources
from db.queues import count_disputed
from db.reviews import ORDERS, Review
from pages.components import address, layout, state
from pages.components.review.folds import show_folds
from pages.components.tags import tag_filter
from pages.components.widgets.reviewer.server import reviewer

EVERYONE, OTHERS = "everyone", "others"
UNCHECKED = ("not checked", "all")
SPLITS = ("all", "train", "val", "test")
MODES = ("labels", "disputed", "suspected")

page = layout.open_page("review")
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
    layout.stop()


def chosen_review() -> tuple[Review, int | None]:
    """Draw the filters. Return the review and its number of labels, or None if counting would be slow."""
    with layout.errors(), layout.database() as db:
        sources = {source.name: source.id for source in list_sources(db, project.id)}
        operators = [name for name in list_operators(db) if name not in (EVERYONE, OTHERS)]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        checked = st.selectbox("Show", UNCHECKED, width=165, **address.widget("checked", UNCHECKED, "not checked"))
        people = [EVERYONE, OTHERS, *operators]
        by = st.selectbox("Labeled by", people, width=150, **address.widget("by", people, EVERYONE))
        order = st.selectbox(
            "Sort by", list(ORDERS), width=150,
            help="Sorting by label or character puts equal ones side by side, so that wrong ones stand out.",
            **address.widget("ordered", list(ORDERS), next(iter(ORDERS))),
        )  # fmt: skip
        position, char = 1, None
        if order == "character":
            positions, chars = range(1, project.length + 1), list(project.charset)
            position = st.selectbox("Position", positions, width=95, **address.widget("position", positions, 1))
            char = st.selectbox(
                "Character", chars, index=None, width=110, placeholder="All", **address.widget("char", chars, None)
            )
        split = st.selectbox("Split", SPLITS, width=95, **address.widget("split", SPLITS, "all"))
        source = None
        if len(sources) > 1:
            source = st.selectbox(
                "Source", list(sources), index=None, width=150, placeholder="All sources",
                **address.widget("source", list(sources), None),
            )  # fmt: skip
        kind = None
        if is_mixed(kinds):
            kind = st.selectbox(
                "Kind", list(WORDS), index=None, format_func=WORDS.__getitem__, width=120, placeholder="All kinds",
                **address.widget("kind", {word: kind for kind, word in WORDS.items()}, None),
            )  # fmt: skip
        tag = tag_filter(project)
        text = st.text_input(
            "Label contains", live="300ms", width=130, placeholder="Characters", **address.widget("text", None, "")
        )
    review = Review(
        order=order,
        unchecked=checked != "all",
        source_id=sources[source] if source else None,
        split=None if split == "all" else split,
        operator=by if by in operators else None,
        not_by=page.operator if by == OTHERS else None,
        kind=kind,
        tag_id=tag.id if tag else None,
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


asked = address.get(state.SHOW)
# One container for all controls keeps the place of the widget. At another place there would briefly be two widgets, and
# an empty container would not keep it.
with st.container():
    show = st.segmented_control(
        "Show", MODES, default="labels", required=True, format_func=str.capitalize, label_visibility="collapsed",
        **address.widget(state.SHOW, {mode.capitalize(): mode for mode in MODES}, "labels"),
    )  # fmt: skip
    review, total = chosen_review() if show == "labels" else (None, None)
    suspects = suspected_labels() if show == "suspected" else []
    if show == "suspected":
        total = len(suspects)


# A fragment, so that a message from the widget reruns only this function.
@st.fragment
def widget() -> None:
    if not layout.follow(project):
        return
    reviewer(project, page.operator, show, review, total, lambda mode: address.go(show=mode.capitalize()), suspects)
    if address.get(state.SHOW) != asked:  # the widget has switched to the other view
        st.rerun()


# After a server restart the browser requests the whole page again only if a fragment repeats; see label.py.
@st.fragment(run_every=60)
def repeat() -> None:
    pass


repeat()
widget()
