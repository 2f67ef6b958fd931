"""Labeling: check and store the events of operators.

Browsers may send events twice, late, or after another operator's. So each event has three fields:

* an id, so that repeats are harmless;
* the hash of its image, so that the server never guesses the image;
* the version of the sample that the operator saw. The first save wins. A later one is recorded in the ledger and
  reported as a conflict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from core.charset import TextSpec, spec_of
from core.data.standing import NO_VERSION, update_standing
from core.data.suggestions import recorded
from core.errors import LabelError
from db import labels, queues, samples
from db.connection import write
from db.records import PORTAL, REMOVABLE, UNLABELED, Content, LabelEvent, Project, Sample
from db.sqlite import Database

ACTIONS = ("label", "skip", "undo", "second", "confirm", "doubt", "resolve")
"""Actions of an event. second: a label by an operator who does not see the first. confirm, doubt: agreement or
disagreement of an operator who sees the label. resolve: the decision of an operator who sees all opinions."""
OPINIONS = ("second", "confirm", "doubt")
"""Actions that change no label. One that disagrees makes the sample disputed until it is resolved."""
FLAGS = ("unreadable", "not_ours")
"""Reasons for a permanent skip."""
MAX_MS = 24 * 3600 * 1000
INVALID_EVENT = "The browser sent an invalid event. Reload the page."


@dataclass(frozen=True)
class Outcome:
    """The response to one event. It is final: the sender can delete the event."""

    event_id: str
    sample: str
    """Pixel hash."""
    status: str
    """saved, repeated (already saved), conflict (another operator was first) or refused"""
    message: str
    version: int | None = None
    """Current version of the sample; None if the sample does not exist."""
    state: str | None = None
    label: str | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event from a browser, checked as far as possible without the ledger."""

    id: str
    action: str
    base: int
    text: str | None
    """None for a skip or an action without text."""
    flag: str | None
    after: str | None
    ms: int | None
    seen: int | None
    suggested: bool | None


@dataclass(frozen=True)
class Decision:
    """The effect of one event on its sample."""

    content: Content
    """New content of the sample; for an opinion, the content it proposes."""
    base: int
    """Version that the event applies to, or NO_VERSION."""
    opinion: bool
    restored: LabelEvent | None = None
    """The event that gave the label which an undo restores."""

    @property
    def kind(self) -> str:
        """Kind of the label after the event, if it has a text."""
        return (self.restored and self.restored.kind) or "person"


def apply_events(
    db: Database, project: Project, operator: str, events: Sequence[Mapping[str, object]], origin: str = "label"
) -> list[Outcome]:
    """Store a batch of events in order, in one transaction, and return the outcome of each.

    An event is `{"event": id, "action": one of ACTIONS, "sample": hash, "text": str | None, "flag": one of FLAGS or
    None, "base": version, "ms": int | None, "seen": int | None, "suggested": bool | None}`.
    `"after"` is the id of the operator's own event whose result was on screen; it replaces `base`.
    `ms` is the time the image was shown; `origin` is the page.
    `suggested` is True if a label was given with a suggestion on screen, False if without one, None elsewhere.
    `seen` is the number of the sample's events that a resolve knows. A later opinion by another operator is a conflict.
    second and resolve without text mean a skip. undo restores the previous content as a new version; after an opinion
    it withdraws the opinion.
    Raises StorageError if the database cannot be written; then nothing of the batch is stored.
    """
    with write(db):
        return [apply_event(db, project, operator, event, origin) for event in events]


def apply_event(db: Database, project: Project, operator: str, values: Mapping[str, object], origin: str) -> Outcome:
    """Store one event, see `apply_events`. Call inside `write(db)`."""
    event_id, sha256 = str(values.get("event") or ""), str(values.get("sample") or "")
    # SQLite rejects lone surrogates, which JSON allows, and large numbers. They would block the sender's outbox.
    storable = (event_id + sha256 + str(values.get("after"))).isascii()
    sample = samples.find_sample(db, project.id, sha256) if storable else None
    if sample is None:
        return Outcome(event_id, sha256, "refused", "This image is not in the project.")
    try:
        event = read_event(values)
        previous = _find_stored(db, event, sample)
        if previous:  # The first response may be lost, so a repeat gets the same one.
            decision = Decision(previous.content, previous.base_version or 0, is_opinion(previous))
            version = previous.version
        else:
            decision = decide(event, operator, labels.events_of(db, sample.id), spec_of(project))
            decision = _without_removed(db, project, decision)
            version = _store(db, project, sample, operator, event, decision, origin)
    except LabelError as error:
        status, message = "refused", str(error)
    else:
        status, message = answer(event.action, decision, version, sample)
        status = "repeated" if previous and status == "saved" else status
    now = samples.get_sample(db, sample.id)
    return Outcome(event_id, sha256, status, message, now.version, now.state, now.label)


def read_event(values: Mapping[str, object]) -> Event:
    """Check the fields of an event. Raises LabelError if they are invalid."""
    event_id, action, base = str(values.get("event") or ""), values.get("action"), values.get("base")
    text, flag, after, seen, suggested = (values.get(name) for name in ("text", "flag", "after", "seen", "suggested"))
    if (
        not event_id
        or not isinstance(action, str)
        or action not in ACTIONS
        or not isinstance(base, int)
        or not 0 <= base < 2**31
        or flag not in (None, *FLAGS)
    ):
        raise LabelError(INVALID_EVENT)
    if not (action == "label" or (action in ("second", "resolve") and text is not None)):
        text = None
    elif not isinstance(text, str):
        raise LabelError("The label is missing its text.")
    return Event(
        id=event_id,
        action=action,
        base=base,
        text=text,
        flag=None if flag is None else str(flag),
        after=None if after is None else str(after),
        ms=_milliseconds(values.get("ms")),
        seen=seen if isinstance(seen, int) else None,
        suggested=suggested if isinstance(suggested, bool) and action == "label" else None,
    )


def _find_stored(db: Database, event: Event, sample: Sample) -> LabelEvent | None:
    """Return the stored event if this one is a repeat. Raises LabelError if the id belongs to another image."""
    stored = labels.find_event(db, event.id)
    if stored and stored.sample_id != sample.id:
        raise LabelError(INVALID_EVENT)
    return stored


def _milliseconds(value: object) -> int | None:
    """Drop an implausible duration: the clock may have been set, or the tab suspended."""
    return value if isinstance(value, int) and 0 <= value <= MAX_MS else None


def decide(event: Event, operator: str, ledger: Sequence[LabelEvent], spec: TextSpec) -> Decision:
    """Decide the effect of a new event from its sample's complete ledger, oldest first.

    Raises LabelError if the text does not fit or there is nothing to undo.
    """
    before = next((each for each in ledger if each.event_id == event.after), None)
    opinion = event.action in OPINIONS or (event.action == "undo" and before is not None and before.action in OPINIONS)
    base = event.base
    if opinion:
        base = NO_VERSION if event.action == "undo" else base
    elif event.after is not None:
        # The browser sends events without waiting, so it does not know the version its own event created. A guess could
        # name another operator's version, and an undo would then undo that operator's label.
        base = NO_VERSION if before is None or before.version is None else before.version
    if event.action in ("label", "skip"):
        base = _without_readings(base, ledger)
    if event.action == "resolve" and _has_unseen_opinion(ledger, operator, event.seen):
        base = NO_VERSION
    content = _content(event, ledger, spec, base, opinion=opinion)
    restored = _giver(ledger, base - 1) if event.action == "undo" and not opinion else None
    return Decision(content, base, opinion, restored)


def _giver(ledger: Sequence[LabelEvent], version: int) -> LabelEvent | None:
    """Return the event that gave the label of a version; None without a label. An undo only restores a label."""
    event = next((each for each in ledger if each.version == version and each.state == "labeled"), None)
    if event is None or event.action != "undo":
        return event
    return _giver(ledger, (event.base_version or 0) - 1) or event


def _without_removed(db: Database, project: Project, decision: Decision) -> Decision:
    """Let an undo leave the image unlabeled if it would restore a label whose kind has been removed since."""
    restored = decision.restored
    if restored and restored.kind in REMOVABLE and labels.is_removed(db, project.id, restored):
        return replace(decision, content=UNLABELED, restored=None)
    return decision


def _without_readings(base: int, ledger: Sequence[LabelEvent]) -> int:
    """Return the version that a person's event applies to, after readings that were accepted or removed since `base`.

    A person's label wins over a reading, even if the reading became a label while the person typed. It does not win
    over a text that the portal accepted: both then stand in the history, and the image is disputed if they differ.
    """
    changes = [each for each in ledger if each.version is not None and each.version > base]
    if changes and all(_is_reading(each) for each in changes):
        return max(base, *(each.version or 0 for each in changes))
    return base


def _is_reading(event: LabelEvent) -> bool:
    """Return True if an event made a reading a label, or took one back."""
    return event.origin in ("accept", "retract") or (event.origin == PORTAL and event.state == "unlabeled")


def _has_unseen_opinion(ledger: Sequence[LabelEvent], operator: str, seen: int | None) -> bool:
    """Return True if another operator gave an opinion after the first `seen` events."""
    later = () if seen is None else ledger[max(0, seen) :]
    return any(each.version is None and each.operator != operator for each in later)


def _content(event: Event, ledger: Sequence[LabelEvent], spec: TextSpec, base: int, *, opinion: bool) -> Content:
    if event.text is not None:
        return "labeled", spec.check(event.text), None
    if event.action in ("skip", "second", "resolve"):
        return "skipped", None, event.flag
    if opinion:  # A confirm or doubt is about the version its operator saw, which may not be the latest.
        return _content_at(ledger, base)
    if base < 1:
        raise LabelError("There is nothing to undo on this image.")
    return _content_at(ledger, base - 1)


def _content_at(ledger: Sequence[LabelEvent], version: int) -> Content:
    return next((event.content for event in ledger if event.version == version), UNLABELED)


def _store(
    db: Database, project: Project, sample: Sample, operator: str, event: Event, decision: Decision, origin: str
) -> int | None:
    """Write the event to the ledger. Return the sample's new version, or None if it is unchanged."""
    state, text, flag = decision.content
    suggestion, suggestion_shown = recorded(db, project, sample, event.suggested)
    version = labels.append_event(
        db,
        sample,
        event_id=event.id,
        operator=operator,
        action=event.action,
        state=state,
        text=text,
        flag=flag,
        kind=decision.kind,
        giver=decision.restored.operator if decision.restored else None,
        base_version=decision.base,
        opinion=decision.opinion,
        origin=origin,
        ms=event.ms,
        suggestion=suggestion,
        suggestion_shown=suggestion_shown,
    )
    update_standing(db, sample.id)
    queues.release(db, sample.id)
    return version


def answer(action: str, decision: Decision, version: int | None, sample: Sample) -> tuple[str, str]:
    """Return status and message of a stored event. `version` is the one it created, None if it created none."""
    if version is not None or decision.opinion:
        return "saved", "Saved."
    if action == "resolve" and decision.base == NO_VERSION:
        return "conflict", "There are new opinions since you opened this image. It is still disputed."
    if sample.content == decision.content:
        return "saved", f"{sample.operator} already gave the same label."
    first = sample.operator or "Someone"
    if sample.state == "labeled":
        return "conflict", f"{first} labeled this image first ({sample.label!r}). Your label was saved in its history."
    change = "skipped" if sample.state == "skipped" else "unlabeled"
    return "conflict", f"{first} {change} this image first. Your label was saved in its history."


def is_opinion(event: LabelEvent) -> bool:
    """Return True if a stored event gives or withdraws an opinion instead of changing the label."""
    return event.action in OPINIONS or (event.action == "undo" and event.base_version == NO_VERSION)
