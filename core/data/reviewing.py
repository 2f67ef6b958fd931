"""Reviewing: labels walked many at once, opinions side by side, and a history that people can read.

What a reviewer does is an event of core.data.labeling: a screen without a mark confirms its labels, a mark doubts one,
a retyped label labels anew, and the decision of a dispute resolves it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlite_utils import Database

from core.data.labeling import OPINIONS, Outcome, apply_events, is_opinion
from core.data.standing import standing
from db import reviews, samples
from db.records import Content, LabelEvent, Project, Sample
from db.reviews import Review

SLOW_FROM = 100_000
"""Labels of a project, from which on an order without an index keeps a reviewer waiting."""
Cursor = tuple[int, str, int]
"""Round (1: past the end, from the beginning on), value of the order, id: the last sample that a browser got."""
SAID = {
    "label": "labeled",
    "skip": "skipped",
    "undo": "undid",
    "import": "imported",
    "second": "read blind",
    "confirm": "confirmed",
    "doubt": "doubted",
    "resolve": "decided",
}
"""An action in the words of a history."""


def next_labeled(
    db: Database, project: Project, review: Review, operator: str, *, after: Cursor | None, n: int
) -> tuple[list[Sample], Cursor | None]:
    """Up to `n` labeled samples after a cursor, and the cursor of the last; fewer than `n` mean the end.

    The random order is the same for all, but everybody starts elsewhere in it, so that two who review at once meet
    late.
    """
    start = hashlib.sha256(operator.encode()).hexdigest()[:32] if review.order == "random" else ""
    turn, place = (0, None) if after is None else (after[0], (after[1], after[2]))
    page: list[tuple[Cursor, Sample]] = []
    for this in (0, 1) if start else (0,):
        if this < turn or len(page) == n:
            continue
        bounds = {"start": start} if this == 0 else {"end": start}
        rows = reviews.select_labeled(
            db, project.id, review, after=place if this == turn else None, limit=n - len(page), **bounds
        )
        page += [((this, *at), sample) for at, sample in rows]
    return [sample for _, sample in page], page[-1][0] if page else after


@dataclass(frozen=True)
class Line:
    """One line of an image's history, in words."""

    at: str
    operator: str
    did: str
    what: str
    """The label, or why there is none."""
    standing: str
    """"lost": came after another operator's event and changed nothing; "opinion": changes no label; else empty."""
    ms: int | None
    origin: str | None


def history_of(events: Sequence[LabelEvent]) -> list[Line]:
    """A ledger in words, in its order."""
    return [
        Line(
            event.at,
            event.operator,
            SAID[event.action],
            words(*event.content),
            _standing(event),
            event.ms,
            event.origin,
        )
        for event in events
    ]


def _standing(event: LabelEvent) -> str:
    if is_opinion(event):
        return "opinion"
    return "" if event.version is not None else "lost"


def words(state: str, text: str | None, flag: str | None) -> str:
    """What a sample is, or by an event should be."""
    return text or (flag or state).replace("_", " ")


@dataclass(frozen=True)
class Choice:
    """What a disputed sample may be, and who said so."""

    text: str | None
    """None: skipped."""
    flag: str | None
    shown: str
    current: bool
    """Whether the sample is this now."""
    voices: tuple[str, ...]


def choices_of(sample: Sample, events: Sequence[LabelEvent]) -> list[Choice]:
    """What the sample is now, then each other opinion that has not been decided on, oldest first.

    That it should have no label at all is no choice: whoever decides says what it is.
    """
    now = sample.content
    voices: dict[Content, list[str]] = {now: []}
    for event in events:
        gave = event.version == sample.version
        if gave or (event.action == "confirm" and event.content == now):
            voices[now].append(_voice(event))
    for event in standing(events).dissents:
        late = ", after another" if _standing(event) == "lost" else ""
        voices.setdefault(event.content, []).append(_voice(event) + late)
    return [
        Choice(text, flag, words(state, text, flag), (state, text, flag) == now, tuple(dict.fromkeys(said)))
        for (state, text, flag), said in voices.items()
        if state != "unlabeled"
    ]


def _voice(event: LabelEvent) -> str:
    return f"{event.operator} {'read it blind' if event.action == 'second' else SAID[event.action] + ' it'}"


@dataclass(frozen=True)
class Answer:
    """What became of one event, and of its sample."""

    outcome: Outcome
    notice: str | None
    """What the reviewer must be told; None when all is as meant."""
    sample: Sample | None
    events: Sequence[LabelEvent]
    """The sample's whole ledger."""


def apply_review(db: Database, project: Project, operator: str, events: Sequence[Mapping[str, object]]) -> list[Answer]:
    """Store a reviewer's events, of which each says in `shown` which label was on the screen, and answer each.

    Raises StorageError; then nothing is stored.
    """
    outcomes = apply_events(db, project, operator, events, origin="review")
    return [_answer(db, project, operator, event, outcome) for event, outcome in zip(events, outcomes, strict=True)]


def _answer(db: Database, project: Project, operator: str, event: Mapping[str, object], outcome: Outcome) -> Answer:
    known = outcome.version is not None  # else there is no such sample, or its hash cannot even be asked for
    sample = samples.find_sample(db, project.id, outcome.sample) if known else None
    if sample is None:
        return Answer(outcome, outcome.message, None, ())
    notice = None if outcome.status in ("saved", "repeated") else outcome.message
    changed = sample.operator != operator and event.get("shown") != (outcome.label or outcome.state)
    # An opinion always fits what its operator saw, so the ledger has nothing to refuse.
    if notice is None and event.get("action") in OPINIONS and changed:
        notice = (
            f"You saw {event.get('shown')}, but {sample.operator} changed it meanwhile: "
            f"now {words(*sample.content)}. "
            "Your opinion of the old label is kept in the history; the new one is not checked yet."
        )
    return Answer(outcome, notice, sample, reviews.events_by_sample(db, [sample.id])[sample.id])
