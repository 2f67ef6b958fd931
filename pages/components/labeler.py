"""The labelling widget's server side: what it is sent, and what becomes of what it sends.

The browser keeps the queue and an outbox of events (labeler.js); this side holds no state of its own. Each message
brings the whole outbox and the hashes of the images at hand. The callback stores the events before anything is drawn,
because Streamlit may stop a script at its first st.* call; the script then sends the answers and the images that the
browser lacks. An answer or a batch that gets lost is asked for again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import uuid4

import streamlit as st

from core.errors import OptionError, SlotlabError
from core.images import data_url
from core.labeling import Outcome, apply_events, next_samples
from db import samples
from db.projects import find_project
from db.records import Project
from pages.components import layout

BATCH = 20
"""Images sent at once; ten of 250 x 50 pixels are about 300 kB."""

_KEY = "labeler"
_FILES = {kind: Path(__file__).with_name(f"labeler.{kind}").read_text("utf-8") for kind in ("html", "css", "js")}
# In the document, not in a shadow root, so that any driver finds it by its data attributes.
_WIDGET = st.components.v2.component("slotlab.labeler", **_FILES, isolate_styles=False)


@dataclass(frozen=True, kw_only=True)
class _Reply:
    """What the callback leaves for the script run that follows it."""

    outcomes: Sequence[Outcome] = ()
    have: Sequence[str] = ()
    """Hashes of the images the browser has, or is done with though they stay in the queue."""
    wants: bool = True
    """Whether the browser runs out of images."""
    error: str | None = None


def labeler(project: Project, operator: str, queue: str, queue_key: str) -> None:
    """Draw the widget on the `queue` ("unlabelled" or "skipped") of a project; call it inside a fragment.

    The widget can change the queue: it sets session_state[queue_key].
    """

    def receive() -> None:
        # The message names its project and queue: the page may have gone on to another since it was sent.
        message = st.session_state[_KEY].outbox
        if message:
            st.session_state[_reply_key(message["project"], message["queue"])] = _store(operator, message)

    def change_queue() -> None:
        st.session_state[queue_key] = st.session_state[_KEY].queue

    reply = st.session_state.pop(_reply_key(project.name, queue), _Reply())
    # One key for all projects and queues: while Streamlit puts a widget in the place of one with another key, both
    # stand on the page and want the keyboard.
    _WIDGET(
        key=_KEY,
        data=_data(project, operator, queue, reply),
        on_outbox_change=receive,
        on_queue_change=change_queue,
    )


def _reply_key(project: str, queue: str) -> str:
    return f"{_KEY}-reply-{queue}-{project}"


def _store(operator: str, message: Mapping[str, Any]) -> _Reply:
    """Apply the events, each under the name of the operator who typed it; the name may have changed since."""
    outcomes: list[Outcome] = []
    error = None
    try:
        with layout.database() as db:
            project = find_project(db, message["project"])
            if project is None:
                raise OptionError(f"There is no project {message['project']!r}.")
            for name, events in groupby(message["events"], key=lambda event: event.get("operator") or operator):
                outcomes += apply_events(db, project, name, list(events))
    except SlotlabError as problem:
        error = str(problem)
    return _Reply(outcomes=outcomes, have=message["have"], wants=message["wants"], error=error)


def _data(project: Project, operator: str, queue: str, reply: _Reply) -> dict[str, Any]:
    """What the browser gets: JSON types only, anything else would silently arrive as a string."""
    images: list[dict[str, Any]] = []
    counts: dict[str, int] | None = None
    more, error = True, reply.error
    try:
        with layout.database() as db:
            numbers = samples.counts(db, project.id)
            counts = {
                "labelled": sum(n for (_, state), n in numbers.items() if state == "labelled"),
                "skipped": sum(n for (_, state), n in numbers.items() if state == "skipped"),
                "total": sum(numbers.values()),
            }
            if reply.wants:
                batch = next_samples(db, project, set(reply.have), BATCH, state=queue)
                blobs = samples.image_bytes(db, [sample.id for sample in batch])
                more = len(batch) == BATCH
                images = [
                    {"sample": sample.sha256, "version": sample.version, "url": data_url(blobs[sample.id])}
                    for sample in batch
                ]
    except SlotlabError as problem:
        error = error or str(problem)
    return {
        "reply": uuid4().hex,
        "project": project.name,
        "length": project.length,
        "charset": project.charset,
        "operator": operator,
        "queue": queue,
        "images": images,
        "more": more,
        "answers": [
            {
                "event": outcome.event_id,
                "sample": outcome.sample,
                "status": outcome.status,
                "message": outcome.message,
            }
            for outcome in reply.outcomes
        ],
        "counts": counts,
        "error": error,
    }
