"""Label: show an image, type its characters, show the next image."""

import re
from datetime import timedelta

import streamlit as st

from core.data.labeling import FLAGS
from core.data.priorities import MAX_RANKED
from core.data.proposals import rule_of
from core.data.queues import RANDOM_ONE_IN
from core.evaluation.percent import share
from core.words import plural
from db import labels, queues
from db.projects import list_sources
from db.queues import KINDS, ORDERS, PASSED, RANKED, Queue, days_waiting
from pages.components import address, layout, state
from pages.components.state import BLIND
from pages.components.widgets.labeler.server import labeler, midnight, summary

page = layout.open_page("label")
FILTERS = ("source", "day", "flag", "order", "images")
OF_QUEUE = ("flag", "order")
"""Filters that another queue does not have."""
TITLES = {"unlabeled": "Unlabeled", "skipped": "Skipped", "second": "Second opinion"}
ORDER_TITLES = {order: order for order in ORDERS} | {
    "disagree": "readers disagree",
    "unsure": "model least sure",
    "model": "model and readers disagree",
    "rare": "rare characters",
    "diverse": "diverse",
}
BY_RANK = {
    "disagree": "Training images on which the readers disagree come first: {n}.",
    "unsure": "Training images on which the model is least sure come first: {n}.",
    "model": "Training images on which the model and the readers disagree come first: {n}.",
    "rare": "Training images with the rarest characters come first: {n}.",
    "diverse": "Training images that are each unlike those before come first: {n}.",
}
REASONS = dict(zip((*FLAGS, PASSED), ("unreadable", "not from this portal", "skipped for later"), strict=True))


def choose_filter(kind: str) -> tuple[Queue, str]:
    """Draw the filter and order of the queue, and return it with a sentence about an order by rank.

    The button shows what is set.
    """
    with layout.errors(), layout.database() as db:
        sources = {source.name: source.id for source in list_sources(db, page.project.id)}
        days = days_waiting(db, page.project.id, kind)
        ranked = queues.count_ranked(db, page.project.id) if kind == "unlabeled" else {}
        rejected = 0 if kind == "second" else queues.count_rejected(db, page.project.id, kind)
        usable = rule_of(db, page.project).usable
    current = {name: address.get(name) for name in FILTERS}
    if current["day"] not in days and re.fullmatch(r"\d{4}-\d\d-\d\d", current["day"]):
        days = [*days, current["day"]]  # its last image has just been labeled
    flags = {reason: flag for flag, reason in REASONS.items()} if kind == "skipped" else {}
    orders = {title: order for order, title in ORDER_TITLES.items()}
    default = ORDER_TITLES["disagree" if usable and ranked.get("disagree") else "import"]
    # An order stays chosen after its last image. Other queues have no ranks.
    chosen = current["order"] if kind == "unlabeled" else ""
    choices = [title for title, order in orders.items() if order in (*ORDERS, *ranked) or title == chosen]
    others = [title for title in choices if title != default]
    options = {"source": [*sources], "day": days, "flag": [*flags], "order": others, "images": [BLIND]}
    active = ", ".join(layout.plain(current[name]) for name in options if current[name] in options[name])
    with st.popover(f"Filter: {active}" if active else "Filter", icon=":material/filter_list:", key="filter"):
        order = orders[st.selectbox(
            "Order", choices, index=choices.index(default), **address.widget("order", choices, default),
            help="Applies to training images. Validation and test images always come in random order, so that those "
            "labeled so far are a fair sample.",
        )]  # fmt: skip
        images = st.selectbox(
            "Images", [BLIND], index=None, placeholder="All images", **address.widget("images", [BLIND], None),
            help="Labels of validation and test images prove what readers and runs are worth.",
        )  # fmt: skip
        source = st.selectbox(
            "Source", [*sources], index=None, placeholder="All sources", **address.widget("source", [*sources], None)
        )
        day = st.selectbox(
            "Imported on (UTC)", days, index=None, placeholder="All days", **address.widget("day", days, None)
        )
        reason = None
        if flags:
            reason = st.selectbox(
                "Reason", [*flags], index=None, placeholder="All reasons", **address.widget("flag", [*flags], None)
            )
    queue = Queue(
        kind=kind, order=order, blind=images == BLIND, source_id=sources[source] if source else None, day=day,
        flag=flags[reason] if reason else None,
    )  # fmt: skip
    is_ranked = kind == "unlabeled" and order in RANKED and not queue.blind
    sentences = [rank_sentence(order, ranked.get(order, 0))] if is_ranked else []
    if rejected and not queue.blind:
        sentences.insert(0, f"Training images whose reading the portal rejected come before all others: {rejected:,}.")
    return queue, " ".join(sentences)


def rank_sentence(order: str, n: int) -> str:
    """Return the reason for an order by rank, and its random share."""
    if not n:
        return "No unlabeled image has a rank in this order, so all come at random."
    number = f"at least {n:,}" if n == MAX_RANKED else f"{n:,}"
    return f"{BY_RANK[order].format(n=number)} One training image in {RANDOM_ONE_IN} is random."


@st.fragment
def show_week() -> None:
    """Show the operator's own work of seven days. Read only when opened."""
    with st.popover("My week", on_change="rerun", key="my week") as week:
        if week.open:
            write_week()


def write_week() -> None:
    since = (midnight() - timedelta(days=6)).isoformat(timespec="seconds")
    with layout.errors(), layout.database() as db:
        work = labels.work_of(db, page.project.id, page.operator, since)
        agreeing, total = labels.count_second_opinions(db, page.project.id, page.operator, since)
    numbers = summary(work)
    st.markdown(f"**{layout.plain(page.operator)}**, last 7 days")
    st.markdown(plural(numbers["labels"], "label"))
    if numbers["median_ms"]:
        st.markdown(f"Median: {numbers['median_ms'] / 1000:.1f} s per label")
    if total:
        st.markdown(f"Second opinions that agree: {agreeing:,} of {total:,}, {layout.plain(share(agreeing, total))}")
    else:
        st.caption("No second opinions on these labels yet.")


# A fragment, so that a message from the widget reruns only this function.
@st.fragment
def label(queue: Queue) -> None:
    if layout.follow(page.project):
        labeler(page.project, page.operator, queue, lambda kind: address.go(queue=TITLES[kind], clears=OF_QUEUE))


# After a server restart the browser requests the whole page again only if a fragment on it repeats. Otherwise it keeps
# calling the fragment above, which the new session does not know, and labels get no reply (Streamlit 1.67).
# It is drawn before the widget, because elements after the widget would briefly show without it during a redraw.
@st.fragment(run_every=60)
def repeat() -> None:
    pass


with st.container(horizontal=True, vertical_alignment="center"):
    kind = st.segmented_control(
        "Queue", list(KINDS), format_func=TITLES.__getitem__, default="unlabeled", required=True,
        label_visibility="collapsed",
        **address.widget(state.QUEUE, {TITLES[each]: each for each in KINDS}, "unlabeled", clears=OF_QUEUE),
    )  # fmt: skip
    queue, reason = choose_filter(kind)
    show_week()
with st.container():  # keeps the place of the widget, which would restart at another one
    if reason:
        st.caption(reason)
repeat()
label(queue)
