"""Labels: what operators do to samples, checked and stored.

Events come from browsers that may send them twice, late, or after another operator was faster. Each carries an id
(a repetition is harmless), the hash of its image (the server never guesses which image was meant) and the version
of the sample the operator saw (the first save wins, the other is kept in the ledger and reported).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlite_utils import Database

from core.charset import TextSpec, spec_of
from core.data.standing import TAKEN_BACK, update_standing
from core.errors import LabelError
from db import labels, queues, samples
from db.connection import write
from db.records import UNLABELED, Content, LabelEvent, Project, Sample

ACTIONS = ("label", "skip", "undo", "second", "confirm", "doubt", "resolve")
"""What an event may be. second: a label by somebody who was not shown the first. confirm, doubt: found right, found
wrong by somebody who was. resolve: decided by somebody who was shown every opinion."""
OPINIONS = ("second", "confirm", "doubt")
"""They change no label; one that disagrees makes the sample disputed until somebody resolves it."""
FLAGS = ("unreadable", "not_ours")
"""Why a sample is skipped for good."""
MAX_MS = 24 * 3600 * 1000
UNREADABLE = "The browser sent an event that cannot be read."


@dataclass(frozen=True)
class Outcome:
    """The answer to one event. Every answer is final: the sender may forget the event."""

    event_id: str
    sample: str
    """Pixel hash."""
    status: str
    """saved, repeated (had been saved before), conflict (another operator was first) or refused"""
    message: str
    version: int | None = None
    """Of the sample now; None when there is no such sample."""
    state: str | None = None
    label: str | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """What one event of a browser says, checked as far as it can be without the ledger."""

    id: str
    action: str
    base: int
    text: str | None
    """None: the image is to be skipped, or the action takes no text."""
    flag: str | None
    after: str | None
    ms: int | None
    seen: int | None


@dataclass(frozen=True)
class Decision:
    """What one event does to its sample."""

    content: Content
    """What the sample becomes; after an opinion, what it should become."""
    base: int
    """Version that the event applies to; TAKEN_BACK: to none."""
    opinion: bool


def apply_events(
    db: Database, project: Project, operator: str, events: Sequence[Mapping[str, object]], origin: str = "label"
) -> list[Outcome]:
    """Store a batch of events in one transaction, in order, and answer each.

    An event is `{"event": id, "action": one of ACTIONS, "sample": hash, "text": str | None, "flag": one of FLAGS or
    None, "base": version, "ms": int | None, "seen": int | None}`; where the operator saw the result of an own event,
    `"after"` is that event's id and counts instead of `base`. `ms` is how long the image was looked at, `origin` the
    page. A resolve names how many events of the sample it has `seen`: it comes too late if others have spoken since.
    Without a text, second and resolve say that the image is to be skipped. Undo goes back to what the sample was one
    version earlier, as a new version; after an opinion it takes the opinion back. Raises StorageError when the
    database cannot be written; then nothing of the batch is stored and nothing is answered.
    """
    with write(db):
        return [_apply(db, project, operator, event, origin) for event in events]


def _apply(db: Database, project: Project, operator: str, values: Mapping[str, object], origin: str) -> Outcome:
    event_id, sha256 = str(values.get("event") or ""), str(values.get("sample") or "")
    # Storage refuses half characters, which JSON can carry, and large numbers; the outbox would be stuck behind them.
    storable = (event_id + sha256 + str(values.get("after"))).isascii()
    sample = samples.find_sample(db, project.id, sha256) if storable else None
    if sample is None:
        return Outcome(event_id, sha256, "refused", "This image is not in the project.")
    try:
        event = read_event(values)
        known = _stored_before(db, event, sample)
        if known:  # The first answer may be lost, so a repetition gets the same answer.
            decision = Decision(known.content, known.base_version or 0, is_opinion(known))
            version = known.version
        else:
            decision = decide(event, operator, labels.events_of(db, sample.id), spec_of(project))
            version = _store(db, sample, operator, event, decision, origin)
    except LabelError as error:
        status, message = "refused", str(error)
    else:
        status, message = answer(event.action, decision, version, sample)
        status = "repeated" if known and status == "saved" else status
    now = samples.get_sample(db, sample.id)
    return Outcome(event_id, sha256, status, message, now.version, now.state, now.label)


def read_event(values: Mapping[str, object]) -> Event:
    """Check the fields of an event. Raises LabelError on an event that no page sends."""
    event_id, action, base = str(values.get("event") or ""), values.get("action"), values.get("base")
    text, flag, after, seen = (values.get(name) for name in ("text", "flag", "after", "seen"))
    if (
        not event_id
        or not isinstance(action, str)
        or action not in ACTIONS
        or not isinstance(base, int)
        or not 0 <= base < 2**31
        or flag not in (None, *FLAGS)
    ):
        raise LabelError(UNREADABLE)
    if not (action == "label" or (action in ("second", "resolve") and text is not None)):
        text = None
    elif not isinstance(text, str):
        raise LabelError("A label needs a text.")
    return Event(
        id=event_id,
        action=action,
        base=base,
        text=text,
        flag=None if flag is None else str(flag),
        after=None if after is None else str(after),
        ms=_milliseconds(values.get("ms")),
        seen=seen if isinstance(seen, int) else None,
    )


def _stored_before(db: Database, event: Event, sample: Sample) -> LabelEvent | None:
    """The event as it is in the ledger, where it is a repetition. Raises LabelError when it is another image's."""
    known = labels.find_event(db, event.id)
    if known and known.sample_id != sample.id:
        raise LabelError(UNREADABLE)
    return known


def _milliseconds(value: object) -> int | None:
    """Leave out what a clock that was set, or a tab that slept, cannot know."""
    return value if isinstance(value, int) and 0 <= value <= MAX_MS else None


def decide(event: Event, operator: str, ledger: Sequence[LabelEvent], spec: TextSpec) -> Decision:
    """Decide what a new event does, from its sample's whole ledger, oldest first.

    Raises LabelError on a text that does not fit, and on an undo of nothing.
    """
    before = next((each for each in ledger if each.event_id == event.after), None)
    opinion = event.action in OPINIONS or (event.action == "undo" and before is not None and before.action in OPINIONS)
    base = event.base
    if opinion:
        base = TAKEN_BACK if event.action == "undo" else base
    elif event.after is not None:
        # A browser that does not wait for answers cannot know the version its own event led to. If it guessed, an undo
        # of a label that came second would undo the label that came first: that one has the guessed number.
        base = TAKEN_BACK if before is None or before.version is None else before.version
    if event.action == "resolve" and _others_spoke(ledger, operator, event.seen):
        base = TAKEN_BACK
    return Decision(_content(event, ledger, spec, base, opinion=opinion), base, opinion)


def _others_spoke(ledger: Sequence[LabelEvent], operator: str, seen: int | None) -> bool:
    """Whether somebody else has given an opinion after the `seen` events that a resolve knew of."""
    later = () if seen is None else ledger[max(0, seen) :]
    return any(each.version is None and each.operator != operator for each in later)


def _content(event: Event, ledger: Sequence[LabelEvent], spec: TextSpec, base: int, *, opinion: bool) -> Content:
    if event.text is not None:
        return "labeled", spec.check(event.text), None
    if event.action in ("skip", "second", "resolve"):
        return "skipped", None, event.flag
    if opinion:  # A confirm or doubt is about what its operator saw, which may have changed since.
        return _content_at(ledger, base)
    if base < 1:
        raise LabelError("There is nothing to undo on this image.")
    return _content_at(ledger, base - 1)


def _content_at(ledger: Sequence[LabelEvent], version: int) -> Content:
    return next((event.content for event in ledger if event.version == version), UNLABELED)


def _store(db: Database, sample: Sample, operator: str, event: Event, decision: Decision, origin: str) -> int | None:
    """Write the event into the ledger; return the sample's new version, None where it stays as it was."""
    state, text, flag = decision.content
    version = labels.append_event(
        db,
        sample,
        event_id=event.id,
        operator=operator,
        action=event.action,
        state=state,
        text=text,
        flag=flag,
        base_version=decision.base,
        opinion=decision.opinion,
        origin=origin,
        ms=event.ms,
    )
    update_standing(db, sample.id)
    queues.release(db, sample.id)
    return version


def answer(action: str, decision: Decision, version: int | None, sample: Sample) -> tuple[str, str]:
    """Return status and message of a stored event; `version` is what it made of the sample, None where it lost."""
    if version is not None or decision.opinion:
        return "saved", "Saved."
    if action == "resolve" and decision.base == TAKEN_BACK:
        return "conflict", "Others have spoken since you saw it: still disputed."
    if sample.content == decision.content:
        return "saved", f"{sample.operator} had entered the same."
    now_is = f"labeled {sample.label!r}" if sample.state == "labeled" else sample.state
    first = sample.operator or "Someone"
    return "conflict", f"{first} was first: the image is {now_is}; your entry is kept in its history."


def is_opinion(event: LabelEvent) -> bool:
    """Whether an event of the ledger was about what is thought of a sample, not about its label."""
    return event.action in OPINIONS or (event.action == "undo" and event.base_version == TAKEN_BACK)
