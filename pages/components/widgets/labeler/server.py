"""Server side of the labeling widget: its data and its messages.

The browser holds the loaded images and an outbox of events (labeler.js). A message from the browser:

    {tab, id, project, created, queue, reply, have: [hash], lacks: [hash], passed: [hash], wants, events: [event]}

`tab` is the id of the browser tab, which holds its leases. `queue` is the Queue of the images, returned as received.
`reply` is the id of the last answer that arrived. The tab has the images `have`, had `lacks` before a reload, and has
passed the images `passed`, which stay in the queue. It `wants` images if few are left. The answer:

    {reply, tab, id, project, created, twins, length, charset, operator, login, queue,
     images: [{sample, version, url, suggestion: {text, unsure} | None}], low, more, elsewhere, lost: [hash],
     answers: [{event, sample, status, message, version}], counts, today, next: {text, link} | None, error}

The browser asks for more images below `low`. `more` says whether others are waiting (None: not asked for).
`elsewhere` says that all of those are on other screens. The tab no longer holds the leases of the `lost` images.
`today` is None while the previous value is still valid. `next` is the next step once no image is unlabeled.

The callback stores the events before drawing, because Streamlit may stop a script at its first st.* call. The script
then renews the leases and sends the answers and images. The browser asks again for lost answers and batches.
"""

import statistics
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import streamlit as st

from core.data.kinds import breakdown, labels_by_kind
from core.data.labeling import Outcome, apply_events
from core.data.queues import lease
from core.data.suggestions import suggestions
from core.images.pixels import data_url
from db import labels, queues, samples
from db.queues import KINDS, Queue
from db.records import PEOPLE, SPLITS, Project
from db.sqlite import Database
from pages.components import layout
from pages.components.next_steps import find_next_steps
from pages.components.widgets.messages import (
    answer_data,
    apply_message,
    collect_errors,
    common_data,
    widget_files,
    widget_message,
)

FIRST = 12
"""Images in the first batch: few, so that the first appears soon."""
BATCH = 32
"""Images in each later batch, about 300 kB. A larger batch would noticeably delay typing."""
LOW = 40
"""Request more images below this number: four seconds of work at ten labels a second."""
MIN_SHARE = 8
"""Images that a tab may always hold. Beyond that, at most a quarter of the queue, so operators can share a project."""
TODAY_SECONDS = 10
"""Minimum age of the daily figures before they are read again."""

_KEY = "labeler"
_MESSAGE, _BATCHES, _TODAY, _KIND = (f"{_KEY}-{name}" for name in ("message", "batches", "today", "kind"))
# Not in a shadow root, so that browser tests and benchmarks find it by its data attributes.
_WIDGET = st.components.v2.component("slotlab.labeler", **widget_files("labeler"), isolate_styles=False)


@dataclass
class _StoredMessage:
    """A message whose events the callback has stored, for the script run that follows."""

    message: Mapping[str, Any]
    outcomes: list[Outcome]
    problems: list[str]


def labeler(project: Project, operator: str, queue: Queue, show_queue: Callable[[str], object]) -> None:
    """Draw the widget for a queue of a project. Call it inside a fragment.

    When the operator chooses another kind of queue in the widget, call `show_queue` and rerun the page.
    """

    def receive() -> None:
        if message := widget_message(_KEY, "outbox"):
            st.session_state[_MESSAGE] = _store(message)

    def change_kind() -> None:
        if kind := widget_message(_KEY, "queue"):
            show_queue(kind)
            st.session_state[_KIND] = True

    if st.session_state.pop(_KIND, False):
        st.rerun()

    # One key for all projects and queues. With different keys, Streamlit briefly keeps the old and the new widget on
    # the page, and both would handle keys.
    _WIDGET(
        key=_KEY,
        data=_data(project, operator, queue, st.session_state.pop(_MESSAGE, None)),
        on_outbox_change=receive,
        on_queue_change=change_kind,
    )


def _store(message: Mapping[str, Any]) -> _StoredMessage:
    """Apply the events of a message to its project: the page may show another one by now."""
    return _StoredMessage(message, *apply_message(message, apply_events))


def _data(project: Project, operator: str, queue: Queue, received: _StoredMessage | None) -> dict[str, Any]:
    """Return the data for the browser, in JSON types only: Streamlit silently converts others to strings."""
    problems = received.problems if received else []
    data = common_data(project, operator, problems) | {
        "tab": received and received.message.get("tab"),
        "queue": asdict(queue),
        "images": [],
        "low": MIN_SHARE,
        "more": None,
        "elsewhere": False,
        "lost": [],
        "answers": [],
        "counts": None,
        "today": None,
        "next": None,
    }
    if received and received.message["id"] == project.id:
        data["answers"] = [answer_data(outcome) for outcome in received.outcomes]
    with collect_errors(problems), layout.database() as db:
        counts = samples.counts(db, project.id)
        kinds = labels_by_kind(db, project)
        by_state = {state: sum(n for (_, each), n in counts.items() if each == state) for state in KINDS.values()}
        data["counts"] = {
            "labeled": by_state["labeled"],
            "skipped": by_state["skipped"],
            "total": sum(by_state.values()),
            "kinds": breakdown(kinds),
            "disputed": queues.count_disputed(db, project.id),
            "second": not by_state["unlabeled"] and _has_second(db, project, operator),
        }
        if not by_state["unlabeled"] and (steps := find_next_steps(db, project)):
            data["next"] = {"text": steps[0].label, "link": f"{steps[0].page}?{urlencode(steps[0].query)}"}
        # After a server restart, a repeated label may or may not be in the last figures, so read them again.
        repeated = received is not None and any(outcome.status == "repeated" for outcome in received.outcomes)
        data["today"] = _today(db, project, operator, refresh=received is None or repeated)
        # For a late message of another queue, only the events count. The next message releases its images.
        if received and received.message["id"] == project.id and received.message["queue"] == asdict(queue):
            waiting = by_state[KINDS[queue.kind]]
            if queue.kind == "second":  # readings get no second opinion
                waiting = sum(kinds.get(kind, 0) for kind in PEOPLE)
            data |= _images(db, project, operator, queue, received.message, waiting)
    batches = st.session_state.setdefault(_BATCHES, {})
    batches[data["reply"]] = [image["sample"] for image in data["images"]]
    data["error"] = problems[0] if problems else None
    return data


def _images(
    db: Database, project: Project, operator: str, queue: Queue, message: Mapping[str, Any], waiting: int
) -> dict[str, Any]:
    """Renew the tab's leases and return images if it wants any. `waiting` samples are in the state of this queue."""
    lacks, passed = message.get("lacks", []), message.get("passed", [])
    # Images still on their way belong to the tab too.
    have = list(dict.fromkeys([*message["have"], *lacks, *_in_transit(message.get("reply"))]))
    share = max(MIN_SHARE, waiting // 4)
    n = 0
    if message["wants"] and len(have) < LOW:
        n = max(0, min(BATCH if message["have"] else FIRST, share - len(have)))
    batch = lease(
        db, project, queue, holder=message["tab"], operator=operator, have=have, n=n, without=set(passed) - set(have)
    )
    held = [samples.find_sample(db, project.id, sha256) for sha256 in lacks if sha256 not in batch.lost]
    images = [sample for sample in held if sample] + batch.samples
    blobs = samples.image_bytes(db, [sample.id for sample in images])
    # An operator who sees a reading gives no second opinion.
    suggested = {} if queue.kind == "second" else suggestions(db, project, images)
    is_short = len(batch.samples) < n
    own = {*have, *passed, *(sample.sha256 for sample in images)}
    elsewhere = is_short and _is_leased_elsewhere(db, project, operator, queue, own)
    return {
        "images": [
            {
                "sample": sample.sha256,
                "version": sample.version,
                "url": data_url(blobs[sample.id]),
                "suggestion": suggested[sample.id].to_dict() if sample.id in suggested else None,
            }
            for sample in images
        ],
        "low": min(LOW, share),
        "more": (elsewhere or not is_short) if message["wants"] else None,
        "elsewhere": elsewhere,
        "lost": batch.lost,
    }


def _in_transit(last_reply: str | None) -> list[str]:
    """Return the hashes of the images sent after `last_reply`. Earlier answers have arrived or are obsolete."""
    batches: dict[str, list[str]] = st.session_state.get(_BATCHES, {})
    replies = list(batches)
    later = replies[replies.index(last_reply) + 1 :] if last_reply in batches else []
    # Keep `last_reply` too: messages name it until the next answer arrives.
    st.session_state[_BATCHES] = {reply: batches[reply] for reply in (last_reply, *later) if reply in batches}
    return [sha256 for reply in later for sha256 in batches[reply]]


def _is_leased_elsewhere(db: Database, project: Project, operator: str, queue: Queue, own: Collection[str]) -> bool:
    """Return whether other samples would be waiting if all leases had expired."""
    never = 2**40
    return any(
        sample.sha256 not in own
        for split in SPLITS
        for sample in queues.select_waiting(
            db, project.id, queue, split, operator=operator, now=never, limit=len(own) + 1
        )
    )


def _has_second(db: Database, project: Project, operator: str) -> bool:
    """Return True if a label is waiting for the operator's second opinion."""
    queue, now = Queue(kind="second"), int(time.time())
    return any(
        queues.select_waiting(db, project.id, queue, split, operator=operator, now=now, limit=1) for split in SPLITS
    )


def _today(db: Database, project: Project, operator: str, *, refresh: bool) -> dict[str, Any] | None:
    """Return the summary since midnight in the browser's time zone, or None if it was sent recently."""
    last = st.session_state.get(_TODAY, 0.0)
    if not refresh and time.monotonic() - last < TODAY_SECONDS:
        return None
    st.session_state[_TODAY] = time.monotonic()
    work = labels.work_of(db, project.id, operator, midnight().isoformat(timespec="seconds"))
    return summary(work)


def midnight() -> datetime:
    """Return the start of the day in the browser's time zone, as UTC like the times of the ledger."""
    zone = st.context.timezone
    now = datetime.now(ZoneInfo(zone)) if zone else datetime.now().astimezone()
    return now.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)


def summary(work: Sequence[tuple[str, str, int | None]]) -> dict[str, Any]:
    """Return the number of labels after undos, and the median milliseconds per label (None: not measured)."""
    durations = [ms for _, action, ms in work if action in ("label", "second")]
    times = [ms for ms in durations if ms is not None]
    undos = sum(action in ("undo label", "undo second") for _, action, _ in work)
    return {"labels": max(0, len(durations) - undos), "median_ms": round(statistics.median(times)) if times else None}
