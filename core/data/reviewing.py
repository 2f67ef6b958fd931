"""Reviewing: grids of labels, disputes, and the history of an image.

Each action of a reviewer is an event of core.data.labeling: leaving a label unmarked confirms it, marking it doubts it,
retyping it labels it, and deciding a dispute resolves it.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from core.data.kinds import WORDS
from core.data.labeling import OPINIONS, Outcome, apply_events, is_opinion
from core.data.standing import standing
from db import reviews, samples
from db.records import MACHINES, PORTAL, Content, LabelEvent, Project, Sample
from db.reviews import Review
from db.sqlite import Database

SLOW_LABELS = 100_000
"""Labels above which an order without an index is noticeably slow."""
Cursor = tuple[int, str, int]
"""Round (1: wrapped around past the end), value of the order, id: the last sample that a browser got."""
ACTION_WORDS = {
    "label": "labeled",
    "skip": "skipped",
    "undo": "undid",
    "import": "imported",
    "second": "second opinion",
    "confirm": "confirmed",
    "doubt": "doubted",
    "resolve": "resolved",
    "accept": "read",
}
"""Words for the actions in a history."""
VERDICT_WORDS = {
    "accept": "accepted", "second": "accepted", "confirm": "accepted", "doubt": "rejected", "undo": "rejected",
}  # fmt: skip
"""Words for the actions of the portal."""
REJECTED_MARK = "rejected by the portal"
"""Mark of a reading that the portal said is wrong."""
FLAG_WORDS = {"unreadable": "unreadable", "not_ours": "not from this portal"}


def next_labeled(
    db: Database, project: Project, review: Review, operator: str, *, after: Cursor | None, n: int
) -> tuple[list[Sample], Cursor | None]:
    """Return up to `n` labeled samples after a cursor, and the cursor of the last. Fewer than `n` means the end.

    The random order is the same for everyone, but each operator starts elsewhere, so reviewers rarely meet.
    """
    start = hashlib.sha256(operator.encode()).hexdigest()[:32] if review.order == "random" else ""
    cursor_lap, place = (0, None) if after is None else (after[0], (after[1], after[2]))
    page: list[tuple[Cursor, Sample]] = []
    for lap in (0, 1) if start else (0,):
        if lap < cursor_lap or len(page) == n:
            continue
        bounds = {"start": start} if lap == 0 else {"end": start}
        rows = reviews.select_labeled(
            db, project.id, review, after=place if lap == cursor_lap else None, limit=n - len(page), **bounds
        )
        page += [((lap, *at), sample) for at, sample in rows]
    return [sample for _, sample in page], page[-1][0] if page else after


@dataclass(frozen=True)
class Line:
    """One line of an image's history, as text."""

    at: str
    operator: str
    did: str
    what: str
    """The label, or the reason for having none."""
    standing: str
    """"lost": too late after another operator's event, changed nothing; "opinion": changes no label; else empty."""
    ms: int | None
    origin: str | None


def history_of(events: Sequence[LabelEvent], rejected: Collection[str] = ()) -> list[Line]:
    """Return a ledger as text, in its order. A reading whose text is in `rejected` is marked."""
    return [
        Line(
            event.at,
            event.operator,
            _action(event) + f", {REJECTED_MARK}" * (event.kind in MACHINES and event.text in rejected),
            words(*event.content),
            _standing(event),
            event.ms,
            event.origin,
        )
        for event in events
    ]


def visible(sample: Sample, events: Sequence[LabelEvent]) -> list[LabelEvent]:
    """Return the events of a ledger that anybody may see: of a blind image, none of the portal."""
    return [event for event in events if not (sample.is_blind and event.origin == PORTAL)]


def _action(event: LabelEvent) -> str:
    """Return the action as text. An import names the kind of its label if its file did."""
    if event.operator == event.origin == PORTAL:
        return VERDICT_WORDS[event.action]
    word = ACTION_WORDS[event.action]
    return f"{word} ({WORDS[event.kind]})" if event.action == "import" and event.kind not in ("import", None) else word


def _standing(event: LabelEvent) -> str:
    if is_opinion(event):
        return "opinion"
    return "" if event.version is not None else "lost"


def words(state: str, text: str | None, flag: str | None) -> str:
    """Return the content of a sample or event as text."""
    return text or (FLAG_WORDS[flag] if flag else state)


@dataclass(frozen=True)
class Choice:
    """One possible content of a disputed sample, and the operators who support it."""

    text: str | None
    """None for a skip."""
    flag: str | None
    shown: str
    """The content as text."""
    current: bool
    """True if this is the sample's current content."""
    voices: tuple[str, ...]
    """Operators and their actions, as text."""


def choices_of(sample: Sample, events: Sequence[LabelEvent]) -> list[Choice]:
    """Return the current content, then each unresolved opinion, oldest first.

    "unlabeled" is not a choice: resolving a dispute always decides on a content.
    """
    now = sample.content
    voices: dict[Content, list[str]] = {now: []}
    for event in events:
        is_origin = event.version == sample.version
        if is_origin or (event.action == "confirm" and event.content == now):
            voices[now].append(_voice(event))
    for event in standing(events).dissents:
        late = ", too late" if _standing(event) == "lost" else ""
        voices.setdefault(event.content, []).append(_voice(event) + late)
    return [
        Choice(text, flag, words(state, text, flag), (state, text, flag) == now, tuple(dict.fromkeys(lines)))
        for (state, text, flag), lines in voices.items()
        if state != "unlabeled"
    ]


def _voice(event: LabelEvent) -> str:
    if event.action == "second" and event.operator != PORTAL:
        return f"{event.operator} gave a second opinion"
    return f"{event.operator} {_action(event)} it"


@dataclass(frozen=True)
class Answer:
    """The outcome of one event, and its sample afterward."""

    outcome: Outcome
    notice: str | None
    """Message for the reviewer; None if the event did what the reviewer meant."""
    sample: Sample | None
    events: Sequence[LabelEvent]
    """The sample's complete ledger."""


def apply_review(db: Database, project: Project, operator: str, events: Sequence[Mapping[str, object]]) -> list[Answer]:
    """Store a reviewer's events and return the answer to each. `shown` of an event is the label that was on screen.

    Raises StorageError; then nothing is stored.
    """
    outcomes = apply_events(db, project, operator, events, origin="review")
    return [_answer(db, project, operator, event, outcome) for event, outcome in zip(events, outcomes, strict=True)]


def _answer(db: Database, project: Project, operator: str, event: Mapping[str, object], outcome: Outcome) -> Answer:
    exists = outcome.version is not None  # without a version the sample does not exist, or its hash is not storable
    sample = samples.find_sample(db, project.id, outcome.sample) if exists else None
    if sample is None:
        return Answer(outcome, outcome.message, None, ())
    notice = None if outcome.status in ("saved", "repeated") else outcome.message
    changed = sample.operator != operator and sample.version != event.get("base")
    # The ledger accepts an opinion on any version, so a change in between is detected here.
    if notice is None and event.get("action") in OPINIONS and changed:
        notice = (
            f"{sample.operator} changed this label from {event.get('shown')} to {words(*sample.content)} "
            "while you were reviewing it. Your opinion of the old label was saved in its history. "
            "The new label has not been checked."
        )
    return Answer(outcome, notice, sample, reviews.events_by_sample(db, [sample.id])[sample.id])
