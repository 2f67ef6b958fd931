"""Label: an image, its characters typed, the next image."""

import re
from contextlib import suppress
from datetime import timedelta
from typing import Any

import streamlit as st

from core.labeling import FLAGS
from db import labels
from db.projects import list_sources
from db.queues import KINDS, ORDERS, PASSED, Queue, days_waiting
from db.statistics import second_looks
from pages.components import layout
from pages.components.labeler import labeler, midnight, summary

page = layout.open_page("label")
TITLES = {"unlabelled": "Unlabelled", "skipped": "Skipped", "second": "Second look"}
REASONS = dict(zip((*FLAGS, PASSED), ("unreadable", "not ours", "passed by"), strict=True))


# A fragment: what the widget sends reruns these lines and nothing else of the app.
@st.fragment
def label() -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        kind = st.segmented_control(
            "Queue",
            list(KINDS),
            format_func=TITLES.__getitem__,
            default="unlabelled",
            required=True,
            key="queue",
            bind="query-params",
            label_visibility="collapsed",
        )
        queue = choose_filter(kind)
        with st.popover("My week", on_change="rerun", key="my week") as week:
            if week.open:
                show_week()
    labeler(page.project, page.operator, queue, kind_key="queue")


def choose_filter(kind: str) -> Queue:
    """Which images of the queue, in which order; what is set stands on the button."""
    state = st.session_state
    # Where the database cannot be read the widget says so, and must stay as it is to go on typing.
    with suppress(Exception), layout.database() as db:
        state["filters"] = (
            {source.name: source.id for source in list_sources(db, page.project.id)},
            days_waiting(db, page.project.id, kind),
        )
    sources, days = state.get("filters", ({}, []))
    chosen = state.get("day") or st.query_params.get("day", "")
    if re.fullmatch(r"\d{4}-\d\d-\d\d", chosen) and chosen not in days:
        days = [*days, chosen]  # its last image has just been labelled
    bound: dict[str, Any] = {"bind": "query-params"}
    active = [state.get(name) for name in ("source", "day", "flag")]
    active.append("random" if state.get("order") == "random" else None)
    text = ", ".join(layout.plain(str(each)) for each in active if each)
    with st.popover(f"Filter: {text}" if text else "Filter", icon=":material/filter_list:"):
        order = st.segmented_control(
            "Order", list(ORDERS), default="import", required=True, key="order", **bound,
            help="Images of the val and test splits come at random and in their share, whatever the order: those "
            "labelled so far are then a fair sample, and what is measured on them can be believed.",
        )  # fmt: skip
        source = st.selectbox("Source", list(sources), index=None, key="source", placeholder="All sources", **bound)
        day = st.selectbox("Imported on (UTC)", days, index=None, key="day", placeholder="All days", **bound)
        reason = None
        if kind == "skipped":
            reason = st.selectbox(
                "Skipped as", list(REASONS.values()), index=None, key="flag", placeholder="Anything", **bound
            )
    flags = {said: flag for flag, said in REASONS.items()}
    return Queue(
        kind=kind,
        order=order,
        source_id=sources[source] if source else None,
        day=day,
        flag=flags[reason] if reason else None,
    )


def show_week() -> None:
    """What this operator did in seven days, for nobody else's eyes."""
    since = (midnight() - timedelta(days=6)).isoformat(timespec="seconds")
    with layout.errors(), layout.database() as db:
        work = labels.work_of(db, page.project.id, page.operator, since)
        same, seen = second_looks(db, page.project.id, page.operator, since)
    numbers = summary(work)
    st.markdown(f"**{layout.plain(page.operator)}**, last 7 days")
    st.markdown(f"{numbers['labels']:,} labels")
    if numbers["median_ms"]:
        st.markdown(f"{numbers['median_ms'] / 1000:.1f} s for one, in the median")
    if seen:
        st.markdown(f"{same} of {seen} second looks by others agree: {layout.plain(layout.share(same, seen))}")
    else:
        st.caption("Nobody has taken a second look at these labels yet.")


# After a restart of the server the browser asks for the whole page again only if something on it repeats. Otherwise it
# goes on calling the fragment above, which the new session does not know, and no label is answered (Streamlit 1.67).
@st.fragment(run_every=60)
def repeat() -> None:
    pass


label()
repeat()
