"""Label: an image, its characters typed, the next image."""

import re
from datetime import timedelta
from typing import Any

import streamlit as st

from core.data.labeling import FLAGS
from core.evaluation.percent import share
from db import labels
from db.projects import list_sources
from db.queues import KINDS, ORDERS, PASSED, Queue, days_waiting
from pages.components import layout, state
from pages.components.widgets.labeler.server import labeler, midnight, summary

page = layout.open_page("label")
TITLES = {"unlabeled": "Unlabeled", "skipped": "Skipped", "second": "Second look"}
REASONS = dict(zip((*FLAGS, PASSED), ("unreadable", "not ours", "passed by"), strict=True))


def choose_filter(kind: str) -> Queue:
    """Which images of the queue, in which order; what is set stands on the button."""
    with layout.errors(), layout.database() as db:
        sources = {source.name: source.id for source in list_sources(db, page.project.id)}
        days = days_waiting(db, page.project.id, kind)
    # Before its widget is drawn a choice is in the address alone.
    asked = {
        name: str(st.session_state.get(name) or st.query_params.get(name, ""))
        for name in ("source", "day", "flag", "order")
    }
    if asked["day"] not in days and re.fullmatch(r"\d{4}-\d\d-\d\d", asked["day"]):
        days = [*days, asked["day"]]  # its last image has just been labeled
    flags = {said: flag for flag, said in REASONS.items()} if kind == "skipped" else {}
    options = {"source": [*sources], "day": days, "flag": [*flags], "order": ["random"]}
    said = ", ".join(layout.plain(asked[name]) for name in options if asked[name] in options[name])
    bound: dict[str, Any] = {"bind": "query-params"}
    with st.popover(f"Filter: {said}" if said else "Filter", icon=":material/filter_list:", key="filter"):
        order = st.segmented_control(
            "Order", list(ORDERS), default="import", required=True, key="order", **bound,
            help="Images of the val and test splits come at random and in their share, whatever the order: those "
            "labeled so far are then a fair sample, and what is measured on them can be believed.",
        )  # fmt: skip
        source = st.selectbox("Source", [*sources], index=None, key="source", placeholder="All sources", **bound)
        day = st.selectbox("Imported on (UTC)", days, index=None, key="day", placeholder="All days", **bound)
        reason = None
        if flags:
            reason = st.selectbox("Skipped as", [*flags], index=None, key="flag", placeholder="Anything", **bound)
    return Queue(
        kind=kind, order=order, source_id=sources[source] if source else None, day=day,
        flag=flags[reason] if reason else None,
    )  # fmt: skip


@st.fragment
def show_week() -> None:
    """What this operator did in seven days, for nobody else's eyes; read only when asked for."""
    with st.popover("My week", on_change="rerun", key="my week") as week:
        if week.open:
            write_week()


def write_week() -> None:
    since = (midnight() - timedelta(days=6)).isoformat(timespec="seconds")
    with layout.errors(), layout.database() as db:
        work = labels.work_of(db, page.project.id, page.operator, since)
        same, seen = labels.count_second_opinions(db, page.project.id, page.operator, since)
    numbers = summary(work)
    st.markdown(f"**{layout.plain(page.operator)}**, last 7 days")
    st.markdown(f"{numbers['labels']:,} labels")
    if numbers["median_ms"]:
        st.markdown(f"{numbers['median_ms'] / 1000:.1f} s for one, in the median")
    if seen:
        st.markdown(f"{same} of {seen} second looks by others agree: {layout.plain(share(same, seen))}")
    else:
        st.caption("Nobody has taken a second look at these labels yet.")


# A fragment: what the widget sends reruns this line and nothing else of the app.
@st.fragment
def label(queue: Queue) -> None:
    labeler(page.project, page.operator, queue, kind_key=state.QUEUE)


# After a restart of the server the browser asks for the whole page again only if something on it repeats. Otherwise it
# goes on calling the fragment above, which the new session does not know, and no label is answered (Streamlit 1.67).
# It comes first: what stood behind the widget would be drawn without it while the page is drawn anew.
@st.fragment(run_every=60)
def repeat() -> None:
    pass


with st.container(horizontal=True, vertical_alignment="center"):
    kind = st.segmented_control(
        "Queue", list(KINDS), format_func=TITLES.__getitem__, default="unlabeled", required=True, key=state.QUEUE,
        bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    queue = choose_filter(kind)
    show_week()
repeat()
label(queue)
