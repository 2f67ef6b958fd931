"""The reviewing widget's server side: what it is sent, and what becomes of what it sends.

As with the labeling widget, the browser keeps everything (reviewer.js): the tiles it got, the place in the order up to
which it got them, and an outbox of events. Each message brings the whole outbox and asks for the images after that
place; an answer or a batch that gets lost is asked for again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import streamlit as st
from sqlite_utils import Database

from core.data import reviewing
from core.images.pixels import data_url
from db import queues, reviews, samples
from db.records import LabelEvent, Project, Sample
from db.reviews import Review
from pages.components import layout
from pages.components.widgets.messages import apply_message, collect_errors, common_data, widget_files, widget_message

BATCH = 48
"""Labeled images sent at once where the browser does not say how many it shows; 48 of 150 x 40 pixels are 300 kB."""
MOST = 120
DISPUTED_BATCH = 10

_KEY = "reviewer"
# In the document, not in a shadow root, so that any driver finds it by its data attributes.
_WIDGET = st.components.v2.component("slotlab.reviewer", **widget_files("reviewer"), isolate_styles=False)


@dataclass(frozen=True, kw_only=True)
class _Reply:
    """What the callback leaves for the script run that follows it."""

    answers: Sequence[reviewing.Answer] = ()
    after: list[Any] | None = None
    """Place up to which the browser has images."""
    want: int = BATCH
    problems: Sequence[str] = ()


def reviewer(project: Project, operator: str, review: Review | None, total: int | None, show_key: str) -> None:
    """Draw the widget on the labels of a review, or without one on what is disputed; call it inside a fragment.

    `total` is the number of labels the review is about, None when it is not known. The widget can go from one to the
    other: it sets session_state[show_key].
    """
    # Names what is shown: a message or a batch of another view is told from one of this.
    view = sha256(repr((project, operator, review)).encode()).hexdigest()[:16]

    def receive() -> None:
        if message := widget_message(_KEY, "outbox"):
            st.session_state[f"{_KEY}-reply-{message['view']}"] = _store(message)

    def change_show() -> None:
        if show := widget_message(_KEY, "show"):
            st.session_state[show_key] = show

    reply = st.session_state.pop(f"{_KEY}-reply-{view}", _Reply())
    data = _data(project, operator, review, reply) | {"view": view, "total": total}
    # One key for all views, as while two widgets take turns on the page both want the keyboard.
    _WIDGET(key=_KEY, data=data, on_outbox_change=receive, on_show_change=change_show)


def _store(message: Mapping[str, Any]) -> _Reply:
    """Apply the events, each under the name of its operator."""
    answers, problems = apply_message(message, reviewing.apply_review)
    return _Reply(answers=answers, after=message["after"], want=min(message["want"], MOST), problems=problems)


def _data(project: Project, operator: str, review: Review | None, reply: _Reply) -> dict[str, Any]:
    """What the browser gets: JSON types only, anything else would silently arrive as a string."""
    tiles: list[dict[str, Any]] = []
    place, disputed, more = reply.after, None, None
    problems = list(reply.problems)
    common = common_data(project, operator, problems)
    with collect_errors(problems), layout.database() as db:
        disputed = queues.count_disputed(db, project.id)
        if reply.want:
            batch, reached = _batch(db, project, operator, review, reply)
            tiles = _tiles(db, batch)
            place, more = reached, len(batch) == _wanted(review, reply)  # only now: nothing is passed over
    return common | {
        "mode": "disputed" if review is None else "labels",
        "after": reply.after,
        "place": place,
        "more": more,
        "tiles": tiles,
        "disputed": disputed,
        "answers": [
            {"event": answer.outcome.event_id, "sample": answer.outcome.sample, "status": answer.outcome.status,
             "notice": answer.notice, "now": answer.sample and _known(answer.sample, answer.events)}
            for answer in reply.answers
        ],
        "error": next(iter(problems), None),
    }  # fmt: skip


def _wanted(review: Review | None, reply: _Reply) -> int:
    return DISPUTED_BATCH if review is None else reply.want


def _batch(
    db: Database, project: Project, operator: str, review: Review | None, reply: _Reply
) -> tuple[list[Sample], list[Any] | None]:
    n = _wanted(review, reply)
    if review is None:
        found = reviews.select_disputed(db, project.id, after=reply.after[0] if reply.after else 0, limit=n)
        return found, [found[-1].id] if found else reply.after
    after = (reply.after[0], reply.after[1], reply.after[2]) if reply.after else None
    found, place = reviewing.next_labeled(db, project, review, operator, after=after, n=n)
    return found, list(place) if place else None


def _tiles(db: Database, batch: Sequence[Sample]) -> list[dict[str, Any]]:
    ids = [sample.id for sample in batch]
    blobs, events = samples.image_bytes(db, ids), reviews.events_by_sample(db, ids)
    return [
        {
            **_known(sample, events[sample.id]),
            "sample": sample.sha256,
            "url": data_url(blobs[sample.id]),
            "width": sample.width,
            "height": sample.height,
            "split": sample.split,
        }
        for sample in batch
    ]


def _known(sample: Sample, events: Sequence[LabelEvent]) -> dict[str, Any]:
    """What a sample is and what was said of it; a choice only where there is one."""
    known = {
        "version": sample.version,
        "label": sample.label,
        "shown": reviewing.words(sample.state, sample.label, sample.flag),
        "operator": sample.operator,
        "at": sample.labeled_at,
        "checked": bool(sample.checked),
        "disputed": bool(sample.disputed),
        "history": [asdict(line) for line in reviewing.history_of(events)],
    }
    if sample.disputed:
        known["choices"] = [asdict(choice) for choice in reviewing.choices_of(sample, events)]
    return known
