"""Server side of the reviewing widget: its data and its messages.

As with the labeling widget, the browser holds all state (reviewer.js): its tiles, the cursor of the last tile, and an
outbox of events. Each message contains the whole outbox and requests the images after the cursor. The browser asks
again for lost answers and batches.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import islice
from typing import Any

import streamlit as st

from core.data import reviewing
from core.data.kinds import WORDS
from core.data.reviewing import Choice
from core.evaluation import offers
from core.images.pixels import data_url
from core.runs.suspects import Suspect
from db import queues, reviews, samples
from db.records import PEOPLE, LabelEvent, Project, Sample
from db.reviews import Review
from db.sqlite import Database
from pages.components import layout
from pages.components.widgets.messages import apply_message, collect_errors, common_data, widget_files, widget_message

BATCH = 48
"""Images per batch if the browser does not say how many it shows. 48 images of 150 x 40 pixels are 300 kB."""
MAX_BATCH = 120
DESK_BATCH = 10
"""Images per batch of a desk, which shows one at a time."""

_KEY = "reviewer"
# Not in a shadow root, so that browser tests and benchmarks find it by its data attributes.
_WIDGET = st.components.v2.component("slotlab.reviewer", **widget_files("reviewer"), isolate_styles=False)


@dataclass(frozen=True, kw_only=True)
class _Reply:
    """The reply to a message, from the callback to the script run that follows."""

    answers: Sequence[reviewing.Answer] = ()
    after: list[Any] | None = None
    """Cursor of the last image that the browser has."""
    want: int = BATCH
    problems: Sequence[str] = ()


def reviewer(
    project: Project,
    operator: str,
    mode: str,
    review: Review | None,
    total: int | None,
    show_mode: Callable[[str], object],
    suspects: Sequence[Suspect] = (),
) -> None:
    """Draw the widget for the labels of a review, or in another mode for disputed or suspected images.

    Call it inside a fragment. `total` is the number of labels in the view (None: unknown). When the reviewer switches
    the mode in the widget, call `show_mode`. `suspects` serve all batches of the mode "suspected", because
    finding them among 100,000 labels takes up to 17 seconds.
    """
    # The id of the view separates its messages and batches from those of other views.
    view = sha256(repr((project.id, project.created_at, operator, mode, review)).encode()).hexdigest()[:16]

    def receive() -> None:
        if message := widget_message(_KEY, "outbox"):
            st.session_state[f"{_KEY}-reply-{message['view']}"] = _store(message)

    def change_show() -> None:
        if show := widget_message(_KEY, "show"):
            show_mode(show)

    reply = st.session_state.pop(f"{_KEY}-reply-{view}", _Reply())
    data = _data(project, operator, mode, review, reply, suspects) | {"view": view, "total": total}
    # One key for all views: two widgets that replace each other would briefly both handle keys.
    _WIDGET(key=_KEY, data=data, on_outbox_change=receive, on_show_change=change_show)


def _store(message: Mapping[str, Any]) -> _Reply:
    """Apply the events of a message under their operators' names."""
    answers, problems = apply_message(message, reviewing.apply_review)
    return _Reply(answers=answers, after=message["after"], want=min(message["want"], MAX_BATCH), problems=problems)


def _data(
    project: Project,
    operator: str,
    mode: str,
    review: Review | None,
    reply: _Reply,
    suspects: Sequence[Suspect] = (),
) -> dict[str, Any]:
    """Return the data for the browser, in JSON types only: Streamlit silently converts others to strings."""
    tiles: list[dict[str, Any]] = []
    cursor, disputed, more = reply.after, None, None
    problems = list(reply.problems)
    common = common_data(project, operator, problems)
    with collect_errors(problems), layout.database() as db:
        disputed = queues.count_disputed(db, project.id)
        if reply.want:
            n = reply.want if mode == "labels" else DESK_BATCH
            if mode == "suspected":
                tiles, last = _suspected(db, suspects, reply.after, n)
            else:
                batch, last = _batch(db, project, operator, review, reply.after, n)
                tiles = _tiles(db, batch)
            cursor, more = last, len(tiles) == n  # only after success, so no image is lost
    return common | {
        "mode": mode,
        "after": reply.after,
        "cursor": cursor,
        "more": more,
        "tiles": tiles,
        "disputed": disputed,
        "answers": [
            {"event": answer.outcome.event_id, "sample": answer.outcome.sample, "status": answer.outcome.status,
             "notice": answer.notice, "now": answer.sample and _sample_data(answer.sample, answer.events)}
            for answer in reply.answers
        ],
        "error": next(iter(problems), None),
    }  # fmt: skip


def _batch(
    db: Database, project: Project, operator: str, review: Review | None, after: list[Any] | None, n: int
) -> tuple[list[Sample], list[Any] | None]:
    """Return the next labels of a review, or disputed images without one, and the cursor of the last."""
    if review is None:
        batch = reviews.select_disputed(db, project.id, after=after[0] if after else 0, limit=n)
        return batch, [batch[-1].id] if batch else after
    place = (after[0], after[1], after[2]) if after else None
    batch, cursor = reviewing.next_labeled(db, project, review, operator, after=place, n=n)
    return batch, list(cursor) if cursor else None


def _suspected(
    db: Database, suspects: Sequence[Suspect], after: list[Any] | None, n: int
) -> tuple[list[dict[str, Any]], list[Any] | None]:
    """Return the tiles of the next suspected labels that nobody has decided about since, and the cursor of the last.

    Each has two choices: the suggestion with the reasons, and the label. The suggestion for val and test is typed.
    """
    left = (suspect for suspect in suspects if after is None or suspect.place > (after[0], after[1]))
    chosen = list(islice((suspect for suspect in left if _is_open(db, suspect.sample)), n))
    tiles = _tiles(db, [suspect.sample for suspect in chosen])
    for tile, suspect in zip(tiles, chosen, strict=True):
        tile["choices"] = []
        voices: tuple[str, ...] = (f"label of {suspect.sample.operator}",)
        if offers.is_offered(suspect.sample.split, 1.0, trusted=True):  # find_suspects has chosen by confidence
            suggestion = Choice(suspect.suggested, None, suspect.suggested, current=False, voices=suspect.reasons)
            tile["choices"].append(asdict(suggestion))
        else:
            voices += suspect.reasons
        tile["choices"].append(asdict(Choice(suspect.given, None, suspect.given, current=True, voices=voices)))
    return tiles, list(chosen[-1].place) if chosen else after


def _is_open(db: Database, before: Sample) -> bool:
    """Return True if a label has not been changed, confirmed or disputed."""
    sample = samples.get_sample(db, before.id)
    return sample.version == before.version and not sample.checked and not sample.disputed


def _tiles(db: Database, batch: Sequence[Sample]) -> list[dict[str, Any]]:
    ids = [sample.id for sample in batch]
    blobs, events = samples.image_bytes(db, ids), reviews.events_by_sample(db, ids)
    return [
        {
            **_sample_data(sample, events[sample.id]),
            "sample": sample.sha256,
            "url": data_url(blobs[sample.id]),
            "width": sample.width,
            "height": sample.height,
            "split": sample.split,
        }
        for sample in batch
    ]


def _sample_data(sample: Sample, events: Sequence[LabelEvent]) -> dict[str, Any]:
    """Return the state and history of a sample, and the choices if it is disputed."""
    data = {
        "version": sample.version,
        "label": sample.label,
        "kind": None if sample.kind in (None, *PEOPLE) else WORDS[sample.kind],
        "shown": reviewing.words(sample.state, sample.label, sample.flag),
        "operator": sample.operator,
        "at": sample.labeled_at,
        "checked": bool(sample.checked),
        "disputed": bool(sample.disputed),
        "history": [asdict(line) for line in reviewing.history_of(reviewing.visible(sample, events))],
    }
    if sample.disputed:
        data["choices"] = [asdict(choice) for choice in reviewing.choices_of(sample, events)]
    return data
