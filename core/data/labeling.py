"""Labels: what operators do to samples, checked and stored.

Events come from browsers that may send them twice, late, or after another operator was faster. Each carries an id
(a repetition is harmless), the hash of its image (the server never guesses which image was meant) and the version
of the sample the operator saw (the first save wins, the other is kept in the ledger and reported).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from core.charset import spec_of
from core.errors import LabelError
from db import labels, queues, samples
from db.connection import write
from db.records import LabelEvent, Project, Sample

ACTIONS = ("label", "skip", "undo", "second", "confirm", "doubt", "resolve")
"""What an event may be. second: a label by somebody who was not shown the first. confirm, doubt: found right, found
wrong by somebody who was. resolve: decided by somebody who was shown every opinion."""
OPINIONS = ("second", "confirm", "doubt")
"""They change no label; one that disagrees makes the sample disputed until somebody resolves it."""
FLAGS = ("unreadable", "not_ours")
"""Why a sample is skipped for good."""
MAX_MS = 24 * 3600 * 1000
TAKEN_BACK = -1
"""Base version of an undo that takes back an opinion; also of an event that comes too late whatever the version."""


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


@dataclass(frozen=True)
class Standing:
    """What the ledger says of a sample beside its label."""

    dissents: tuple[LabelEvent, ...]
    """Last word of everybody who disagrees and has not been decided on, oldest first."""
    checked: bool
    """Whether somebody looked at it again and found it right as it is now."""


def standing(events: Sequence[LabelEvent]) -> Standing:
    """Walk a sample's whole history, oldest first; of everybody the last word counts."""
    state, text, flag = "unlabelled", None, None
    words: dict[str, LabelEvent] = {}
    checks: set[str] = set()
    decided: dict[int, dict[str, LabelEvent]] = {}
    """What each resolve decided on, by its version; an undo of it opens that again."""
    for event in events:
        others = {name: word for name, word in words.items() if name != event.operator}
        if event.version is not None:
            state, text, flag = event.state, event.text, event.flag
            checks = set()
            if event.action == "undo":
                words = decided.get(event.base_version or 0, {}) | words
            elif event.action == "resolve":
                decided[event.version] = words
                words, checks = {}, {event.operator}
            else:
                words = others
        elif event.action != "undo" or event.base_version == TAKEN_BACK:  # an undo that lost says nothing
            words, checks = others, checks - {event.operator}
            if event.action in ("second", "confirm") and (event.state, event.text, event.flag) == (state, text, flag):
                checks |= {event.operator}
            if event.action != "undo":
                words[event.operator] = event
    # A doubt is about what the sample is, any other word about what it should be.
    dissents = [
        word
        for word in words.values()
        if word.action != "confirm"
        and ((word.state, word.text, word.flag) == (state, text, flag)) == (word.action == "doubt")
    ]
    return Standing(tuple(sorted(dissents, key=lambda event: event.id)), bool(checks))


def update_standing(db: Database, sample_id: int) -> None:
    """Keep beside a sample what its ledger says. Call inside `write(db)` after each event."""
    found = standing(labels.events_of(db, sample_id))
    labels.set_standing(db, sample_id, disputed=bool(found.dissents), checked=found.checked)


def _apply(db: Database, project: Project, operator: str, event: Mapping[str, object], origin: str) -> Outcome:
    event_id, action = str(event.get("event") or ""), event.get("action")
    sha256, base = str(event.get("sample") or ""), event.get("base")
    # Storage refuses half characters, which JSON can carry, and large numbers; the outbox would be stuck behind them.
    storable = (event_id + sha256 + str(event.get("after"))).isascii()
    sample = samples.find_sample(db, project.id, sha256) if storable else None
    if sample is None:
        return Outcome(event_id, sha256, "refused", "This image is not in the project.")
    known = labels.find_event(db, event_id)
    if (
        not event_id
        or not isinstance(action, str)
        or action not in ACTIONS
        or event.get("flag") not in (None, *FLAGS)
        or not isinstance(base, int)
        or not 0 <= base < 2**31
        or (known and known.sample_id != sample.id)
    ):
        return _outcome(db, event_id, sample, "refused", "The browser sent an event that cannot be read.")
    if known:  # the answer may have got lost, so a repetition is answered as the event itself was
        opinion = known.action in OPINIONS or (known.action == "undo" and known.base_version == TAKEN_BACK)
        status, version, wanted = "repeated", known.version, (known.state, known.text, known.flag)
    else:
        before = _event_before(db, sample, event.get("after"))
        opinion = action in OPINIONS or (action == "undo" and before is not None and before.action in OPINIONS)
        if opinion:
            base = TAKEN_BACK if action == "undo" else base
        elif event.get("after") is not None:
            # A browser that does not wait for answers cannot know the version its own event led to. If it guessed,
            # an undo of a label that came second would undo the label that came first: that one has the guessed
            # number.
            base = before.version if before and before.version is not None else TAKEN_BACK
        if action == "resolve" and _has_new_opinions(db, sample, operator, event.get("seen")):
            base = TAKEN_BACK
        try:
            wanted = _result_of(db, project, sample, action, event, base, opinion=opinion)
        except LabelError as error:
            return _outcome(db, event_id, sample, "refused", str(error))
        status = "saved"
        entry: dict[str, Any] = {
            "event_id": event_id, "operator": operator, "action": action, "state": wanted[0], "text": wanted[1],
            "flag": wanted[2], "base_version": base, "origin": origin, "ms": _milliseconds(event.get("ms")),
        }  # fmt: skip
        version = None
        if opinion:
            labels.append_opinion(db, sample, **entry)
        else:
            version = labels.append_event(db, sample, **entry)
        update_standing(db, sample.id)
        queues.release(db, sample.id)
    if version is not None or opinion:
        return _outcome(db, event_id, sample, status, "Saved.")
    if action == "resolve" and (known.base_version if known else base) == TAKEN_BACK:
        return _outcome(db, event_id, sample, "conflict", "Others have spoken since you saw it: still disputed.")
    if (sample.state, sample.label, sample.flag) == wanted:
        return _outcome(db, event_id, sample, status, f"{sample.operator} had entered the same.")
    now_is = f"labelled {sample.label!r}" if sample.state == "labelled" else sample.state
    message = f"{sample.operator or 'Someone'} was first: the image is {now_is}; your entry is kept in its history."
    return _outcome(db, event_id, sample, "conflict", message)


def _has_new_opinions(db: Database, sample: Sample, operator: str, seen: object) -> bool:
    """Whether somebody else has said something of the sample after the `seen` events that a decision knew of."""
    if not isinstance(seen, int):
        return False
    later = labels.events_of(db, sample.id)[max(0, seen) :]
    return any(event.version is None and event.operator != operator for event in later)


def _event_before(db: Database, sample: Sample, after: object) -> LabelEvent | None:
    before = None if after is None else labels.find_event(db, str(after))
    return before if before and before.sample_id == sample.id else None


def _milliseconds(value: object) -> int | None:
    """A clock that was set, or a tab that slept, says nothing about an operator."""
    return value if isinstance(value, int) and 0 <= value <= MAX_MS else None


Result = tuple[str, str | None, str | None]
"""State, label and flag of a sample."""


def _result_of(
    db: Database,
    project: Project,
    sample: Sample,
    action: str,
    event: Mapping[str, object],
    base: int,
    *,
    opinion: bool,
) -> Result:
    """What the event makes of the sample, or by an opinion should be made of it."""
    text, flag = event.get("text"), event.get("flag")
    if action == "skip" or (action in ("second", "resolve") and text is None):
        return "skipped", None, None if flag is None else str(flag)
    if action in ("label", "second", "resolve"):
        if not isinstance(text, str):
            raise LabelError("A label needs a text.")
        return "labelled", spec_of(project).check(text), None
    if opinion:  # of what its operator saw, which may have changed since
        seen = labels.event_at(db, sample.id, base)
        return (seen.state, seen.text, seen.flag) if seen else ("unlabelled", None, None)
    if base < 1:
        raise LabelError("There is nothing to undo on this image.")
    before = labels.event_at(db, sample.id, base - 1)
    return (before.state, before.text, before.flag) if before else ("unlabelled", None, None)


def _outcome(db: Database, event_id: str, sample: Sample, status: str, message: str) -> Outcome:
    sample = samples.get_sample(db, sample.id)
    return Outcome(event_id, sample.sha256, status, message, sample.version, sample.state, sample.label)
