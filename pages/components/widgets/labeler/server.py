"""The labeling widget's server side: what it is sent, and what becomes of what it sends.

The browser keeps the images at hand and an outbox of events (labeler.js). A message, from the browser:

    {tab, project, created, queue, reply, have: [hash], lacks: [hash], passed: [hash], wants, events: [event]}

`tab` is the browser tab's own id and holds its leases; `queue` is the Queue the images come from, sent back as it was
received; `reply` the id of the last answer that arrived. The tab has the images `have`, had `lacks` before it was
reloaded, and is done with `passed` though they stay in the queue. It `wants` images when few are left. The answer:

    {reply, tab, project, created, length, charset, operator, login, queue, images: [{sample, version, url}], low, more,
     elsewhere, lost: [hash], answers: [{event, sample, status, message, version}], counts, today, error}

`low` is how few images at hand are few. `more` says whether others wait, or None when none were asked for, and
`elsewhere` that all of those are on other screens. `lost` images are no longer this tab's. `today` is None while the
last one still holds.

The callback stores the events before anything is drawn, because Streamlit may stop a script at its first st.* call;
the script then renews the leases and sends the answers and the images. An answer or a batch that gets lost is asked
for again.
"""

import statistics
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st
from sqlite_utils import Database

from core.data.labeling import Outcome, apply_events
from core.data.queues import SHARES, lease
from core.images.pixels import data_url
from db import labels, queues, samples
from db.queues import KINDS, Queue
from db.records import Project
from pages.components import layout
from pages.components.widgets.messages import (
    answer_data,
    apply_message,
    collect_errors,
    common_data,
    widget_files,
    widget_message,
)

FIRST = 12
"""Images in the first batch, so that the first is on the screen soon."""
BATCH = 32
"""Images in each later one, about 300 kB; more at once would be felt between two keys."""
LOW = 40
"""Images at hand that call for more: four seconds at ten labels a second."""
LEAST = 8
"""A tab may always have so many at hand; else a quarter of what waits, so that two operators share a small project."""
TODAY_SECONDS = 10

_KEY = "labeler"
_RECEIVED, _SENT, _TODAY, _ANOTHER = (f"{_KEY}-{name}" for name in ("received", "sent", "today", "another"))
# In the document, not in a shadow root, so that any driver finds it by its data attributes.
_WIDGET = st.components.v2.component("slotlab.labeler", **widget_files("labeler"), isolate_styles=False)


@dataclass
class _Received:
    """What the callback leaves for the script run that follows it."""

    message: Mapping[str, Any]
    outcomes: list[Outcome]
    problems: list[str]


def labeler(project: Project, operator: str, queue: Queue, kind_key: str) -> None:
    """Draw the widget on a queue of a project; call it inside a fragment.

    The widget can ask for another kind of queue: it sets session_state[kind_key] and reruns the page.
    """

    def receive() -> None:
        if message := widget_message(_KEY, "outbox"):
            st.session_state[_RECEIVED] = _store(message)

    def change_kind() -> None:
        if kind := widget_message(_KEY, "queue"):
            st.session_state[kind_key] = kind
            st.session_state[_ANOTHER] = True

    if st.session_state.pop(_ANOTHER, False):
        st.rerun()

    # One key for all projects and queues: while Streamlit puts a widget in the place of one with another key, both
    # stand on the page and want the keyboard.
    _WIDGET(
        key=_KEY,
        data=_data(project, operator, queue, st.session_state.pop(_RECEIVED, None)),
        on_outbox_change=receive,
        on_queue_change=change_kind,
    )


def _store(message: Mapping[str, Any]) -> _Received:
    """Apply the events of a message. It names its project and queue: the page may show another by now."""
    return _Received(message, *apply_message(message, apply_events))


def _data(project: Project, operator: str, queue: Queue, received: _Received | None) -> dict[str, Any]:
    """What the browser gets: JSON types only, anything else would silently arrive as a string."""
    problems = received.problems if received else []
    data = common_data(project, operator, problems) | {
        "tab": received and received.message.get("tab"),
        "queue": asdict(queue),
        "images": [],
        "low": LEAST,
        "more": None,
        "elsewhere": False,
        "lost": [],
        "answers": [],
        "counts": None,
        "today": None,
    }
    if received and received.message["project"] == project.name:
        data["answers"] = [answer_data(outcome) for outcome in received.outcomes]
    with collect_errors(problems), layout.database() as db:
        numbers = samples.counts(db, project.id)
        of_state = {state: sum(n for (_, each), n in numbers.items() if each == state) for state in KINDS.values()}
        data["counts"] = {
            "labeled": of_state["labeled"],
            "skipped": of_state["skipped"],
            "total": sum(of_state.values()),
            "disputed": queues.count_disputed(db, project.id),
        }
        # A label that had been saved before, by a server since restarted, may or may not be in the number last sent.
        repeated = received is not None and any(outcome.status == "repeated" for outcome in received.outcomes)
        data["today"] = _today(db, project, operator, anew=received is None or repeated)
        # A late message of another queue has brought its events; its images are given back by the next message.
        if received and received.message["project"] == project.name and received.message["queue"] == asdict(queue):
            data |= _images(db, project, operator, queue, received.message, of_state[KINDS[queue.kind]])
    batches = st.session_state.setdefault(_SENT, {})
    batches[data["reply"]] = [image["sample"] for image in data["images"]]
    data["error"] = problems[0] if problems else None
    return data


def _images(
    db: Database, project: Project, operator: str, queue: Queue, message: Mapping[str, Any], waiting: int
) -> dict[str, Any]:
    """Renew the tab's leases, and send images where it wants any; `waiting` samples are in the state of this queue."""
    lacks, passed = message.get("lacks", []), message.get("passed", [])
    # What has been sent and has not arrived yet is the tab's too.
    have = list(dict.fromkeys([*message["have"], *lacks, *_on_the_way(message.get("reply"))]))
    share = max(LEAST, waiting // 4)
    n = 0
    if message["wants"] and len(have) < LOW:
        n = max(0, min(BATCH if message["have"] else FIRST, share - len(have)))
    batch = lease(
        db, project, queue, holder=message["tab"], operator=operator, have=have, n=n, without=set(passed) - set(have)
    )
    held = [samples.find_sample(db, project.id, sha256) for sha256 in lacks if sha256 not in batch.lost]
    found = [sample for sample in held if sample] + batch.samples
    blobs = samples.image_bytes(db, [sample.id for sample in found])
    short = len(batch.samples) < n
    others = short and _others_have(db, project, operator, queue, {*have, *passed, *(each.sha256 for each in found)})
    return {
        "images": [
            {"sample": sample.sha256, "version": sample.version, "url": data_url(blobs[sample.id])} for sample in found
        ],
        "low": min(LOW, share),
        "more": (others or not short) if message["wants"] else None,
        "elsewhere": others,
        "lost": batch.lost,
    }


def _on_the_way(last_reply: str | None) -> list[str]:
    """Hashes of the images in answers after `last_reply`; those before have arrived or have been replaced."""
    batches: dict[str, list[str]] = st.session_state.get(_SENT, {})
    replies = list(batches)
    later = replies[replies.index(last_reply) + 1 :] if last_reply in batches else []
    # Messages go on naming an answer until the next arrives, so it stays.
    st.session_state[_SENT] = {reply: batches[reply] for reply in (last_reply, *later) if reply in batches}
    return [sha256 for reply in later for sha256 in batches[reply]]


def _others_have(db: Database, project: Project, operator: str, queue: Queue, own: Collection[str]) -> bool:
    """Whether more waits when every lease is counted as ended."""
    never = 2**40
    return any(
        sample.sha256 not in own
        for split in SHARES
        for sample in queues.select_waiting(
            db, project.id, queue, split, operator=operator, now=never, limit=len(own) + 1
        )
    )


def _today(db: Database, project: Project, operator: str, *, anew: bool) -> dict[str, Any] | None:
    """Labels since midnight where the operator is, and the median time for one; None where it was just told."""
    last = st.session_state.get(_TODAY, 0.0)
    if not anew and time.monotonic() - last < TODAY_SECONDS:
        return None
    st.session_state[_TODAY] = time.monotonic()
    work = labels.work_of(db, project.id, operator, midnight().isoformat(timespec="seconds"))
    return summary(work)


def midnight() -> datetime:
    """When the day began in the browser's time zone, in UTC as the ledger's times are."""
    zone = st.context.timezone
    now = datetime.now(ZoneInfo(zone)) if zone else datetime.now().astimezone()
    return now.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)


def summary(work: Sequence[tuple[str, str, int | None]]) -> dict[str, Any]:
    """How many labels these events left, and the median milliseconds for one (None where nobody measured)."""
    given = [ms for _, action, ms in work if action in ("label", "second")]
    times = [ms for ms in given if ms is not None]
    undone = sum(action in ("undo label", "undo second") for _, action, _ in work)
    return {"labels": max(0, len(given) - undone), "median_ms": round(statistics.median(times)) if times else None}
