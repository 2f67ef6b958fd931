"""Labels: what operators do to samples, checked and stored.

Events come from browsers that may send them twice, late, or after another operator was faster. Each carries an id
(a repetition is harmless), the hash of its image (the server never guesses which image was meant) and the version
of the sample the operator saw (the first save wins, the other is kept in the ledger and reported).
"""

import getpass
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlite_utils import Database

from core.charset import TextSpec
from core.errors import LabelError
from db import labels, samples
from db.connection import write
from db.records import Project, Sample

ACTIONS = ("label", "skip", "undo")


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


def default_operator() -> str:
    """Who acts where nobody has given a name: the user of this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # before and from Python 3.13 on: a container may run under a user id without a name
        return "operator"


def spec_of(project: Project) -> TextSpec:
    return TextSpec(project.length, project.charset)


def next_samples(
    db: Database, project: Project, exclude: Collection[str], n: int, state: str = "unlabelled"
) -> list[Sample]:
    """The first `n` samples of the queue whose hash is not in `exclude`, oldest first."""
    queue = samples.select_samples(db, project.id, state=state, limit=n + len(exclude))
    return [sample for sample in queue if sample.sha256 not in exclude][:n]


def apply_events(
    db: Database, project: Project, operator: str, events: Sequence[Mapping[str, object]]
) -> list[Outcome]:
    """Store a batch of events in one transaction, in order, and answer each.

    An event is `{"event": id, "action": "label" | "skip" | "undo", "sample": hash, "text": str | None,
    "base": version}`; where the operator saw the result of an own event, `"after"` is that event's id and counts
    instead of `base`. Undo goes back to what the sample was one version earlier, as a new version. Raises
    StorageError when the database cannot be written; then nothing of the batch is stored and nothing is answered.
    """
    with write(db):
        return [_apply(db, project, operator, event) for event in events]


def _apply(db: Database, project: Project, operator: str, event: Mapping[str, object]) -> Outcome:
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
        or action not in ACTIONS
        or not isinstance(base, int)
        or not 0 <= base < 2**31
        or (known and known.sample_id != sample.id)
    ):
        return _outcome(db, event_id, sample, "refused", "The browser sent an event that cannot be read.")
    if known:  # the answer may have got lost, so a repetition is answered as the event itself was
        status, version, state, text = "repeated", known.version, known.state, known.text
    else:
        base = _base(db, sample, event.get("after"), base)
        try:
            state, text = _result_of(db, project, sample, action, event.get("text"), base)
        except LabelError as error:
            return _outcome(db, event_id, sample, "refused", str(error))
        status = "saved"
        version = labels.append_event(
            db, sample, event_id=event_id, operator=operator, action=action, state=state, text=text, base_version=base
        )
    if version is not None:
        return _outcome(db, event_id, sample, status, "Saved.")
    if (sample.state, sample.label) == (state, text):
        return _outcome(db, event_id, sample, status, f"{sample.operator} had entered the same.")
    now = f"labelled {sample.label!r}" if sample.state == "labelled" else sample.state
    message = f"{sample.operator or 'Someone'} was first: the image is {now}; your entry is kept in its history."
    return _outcome(db, event_id, sample, "conflict", message)


def _base(db: Database, sample: Sample, after: object, base: int) -> int:
    """Version the operator saw; -1, which no sample has, when the event `after` changed nothing.

    A browser that does not wait for answers cannot know the version its own event led to. If it guessed, an undo of
    a label that came second would undo the label that came first: that one has the guessed number.
    """
    if after is None:
        return base
    before = labels.find_event(db, str(after))
    return before.version if before and before.sample_id == sample.id and before.version is not None else -1


def _result_of(
    db: Database, project: Project, sample: Sample, action: object, text: object, base: int
) -> tuple[str, str | None]:
    """State and label that the event leads to."""
    if action == "skip":
        return "skipped", None
    if action == "label":
        if not isinstance(text, str):
            raise LabelError("A label needs a text.")
        return "labelled", spec_of(project).check(text)
    if base < 1:
        raise LabelError("There is nothing to undo on this image.")
    before = labels.event_at(db, sample.id, base - 1)
    return (before.state, before.text) if before else ("unlabelled", None)


def _outcome(db: Database, event_id: str, sample: Sample, status: str, message: str) -> Outcome:
    sample = samples.get_sample(db, sample.id)
    return Outcome(event_id, sample.sha256, status, message, sample.version, sample.state, sample.label)
