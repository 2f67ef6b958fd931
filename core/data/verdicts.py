"""Verdicts: what the portal said about submitted texts becomes labels, opinions, and work for people.

The portal is an operator of the ledger. It never decides against a person: it confirms, or makes an image disputed.
Validation and test images without a label stay blind.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from core.charset import spec_of
from core.data.importing import MAX_REASONS, NewImage, Report, open_source, store_image
from core.data.labeling import OPINIONS
from core.data.priorities import update_rejected
from core.data.standing import standing, update_standing
from core.data.verdict_file import Line, VerdictFile, read_image
from core.errors import ImageError, ImportSourceError, OptionError
from core.words import plural
from db import labels, projects, proposals, queues, samples, verdicts
from db.answers import NewAnswer, insert_answers
from db.connection import write
from db.records import CAPTCHA, MACHINES, PORTAL, LabelEvent, Project, Sample, Source, Verdict, now
from db.sqlite import Database
from db.verdicts import NewVerdict

BATCH = 100
"""Lines per transaction, which holds the write lock for about 0.1 s. Images are decoded outside it."""
BATCH_BYTES = 64 * 1024**2
"""Bytes of images above which a transaction has fewer lines."""
SOURCE = "verdicts"
"""Name of the source of images that come with verdicts."""


@dataclass
class Outcome:
    """The effect of verdicts on a project."""

    verdicts: int = 0
    accepted: int = 0
    rejected: int = 0
    known: int = 0
    """Verdicts among these that the project had already. They change nothing."""
    unknown: int = 0
    """New verdicts about images that the project does not have."""
    labels: int = 0
    """Texts that became labels of kind verdict."""
    confirmed: int = 0
    """Labels of people that the portal confirmed."""
    removed: int = 0
    """Labels of machines that the portal rejected. They were taken back."""
    disputed: int = 0
    """Images that became disputed."""
    first: int = 0
    """Images with a new rejection that are now first in the queue."""
    answers: int = 0
    """New answers of readers."""
    images: int = 0
    """New images."""
    refused: int = 0
    """Lines that could not be used, and images that could not be read."""
    reasons: list[str] = field(default_factory=list)
    """A sentence for each of them; the first MAX_REASONS."""

    def to_dict(self) -> dict[str, object]:
        return asdict(self)

    def sentence(self) -> str:
        """Return the outcome as sentences."""
        known = f" ({self.known:,} of them known already)" if self.known else ""
        given = f"{plural(self.verdicts, 'verdict')}: {self.accepted:,} accepted, {self.rejected:,} rejected{known}."
        first = f"{plural(self.first, 'image')} first in the queue"
        effect = f"{plural(self.labels, 'new label')}, {plural(self.disputed, 'disputed image')}, {first}."
        others = {
            plural(self.images, "new image"): self.images,
            plural(self.answers, "new answer"): self.answers,
            f"{plural(self.confirmed, 'label')} confirmed": self.confirmed,
            f"{plural(self.removed, 'label')} taken back": self.removed,
            f"{plural(self.unknown, 'verdict')} of unknown images": self.unknown,
            f"{plural(self.refused, 'line')} refused": self.refused,
        }
        rest = ", ".join(text for text, n in others.items() if n)
        return f"{given} {effect} {rest}{'.' * bool(rest)}".rstrip()

    def refuse(self, number: int, problem: str) -> None:
        self.refused += 1
        if len(self.reasons) < MAX_REASONS:
            self.reasons.append(f"Line {number}: {problem}")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The source of new images. Owner and authorization default to those of the source, or of the newest one."""

    source: str = SOURCE
    owner: str | None = None
    authorization: str | None = None

    def open(self, db: Database, project: Project) -> Source:
        """Find or create the source. Raises OptionError if owner or authorization is missing or differs."""
        known = {source.name: source for source in projects.list_sources(db, project.id)}
        like = known.get(self.source) or next(reversed(known.values()), None)
        owner = like.owner if self.owner is None and like else self.owner
        authorization = like.authorization if self.authorization is None and like else self.authorization
        if owner is None or authorization is None:
            raise OptionError(
                f"Project {project.name} has no source yet. Give --owner and --authorization of the new images."
            )
        return open_source(db, project, self.source, owner, authorization)


def new_verdict(
    sha256: str,
    text: str,
    *,
    accepted: bool,
    reason: str | None = None,
    key: str | None = None,
    at: str | None = None,
) -> NewVerdict:
    """Return a verdict. `key` is the id of its answer; without one, equal verdicts of one time count once.

    `reason` is why the portal rejected the text. Only CAPTCHA says that the text is wrong.
    """
    reason = None if accepted or not reason else reason.strip().lower()
    made = key or f"content:{_hash(sha256, text, accepted, reason, at)}"
    return NewVerdict(key=made, sha256=sha256, text=text, accepted=accepted, reason=reason, at=at or now())


def _hash(*content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def apply_verdicts(db: Database, project: Project, given: Sequence[NewVerdict], operator: str) -> Outcome:
    """Store verdicts and let them take effect, BATCH in each transaction. `operator` is who brings them in.

    Verdicts that the project has already change nothing. Raises LabelError if a text does not fit the project; then
    nothing is stored.
    """
    spec = spec_of(project)
    for verdict in given:
        spec.check(verdict.text)
    intake = _Intake(db, project, operator, Origin())
    for start in range(0, len(given), BATCH):
        intake.store([_Item(verdict=verdict) for verdict in given[start : start + BATCH]])
    return intake.finish()


def take_in(
    db: Database,
    project: Project,
    path: Path,
    *,
    operator: str,
    origin: Origin,
    others: Mapping[str, str] = MappingProxyType({}),
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> Outcome:
    """Store the verdicts, answers and images of a file, and let the verdicts take effect.

    Everything of a line is stored in one transaction, so an intake that was killed is finished by another one.
    `others` has the readers of other projects, each with its project: a file with an answer of one is refused.
    `on_progress` gets the lines done and their number. Raises ImportSourceError if the file cannot be used, OptionError
    if its images need an owner or an authorization.
    """
    file = VerdictFile(path, spec_of(project))
    if others:
        _check_readers(file, others)  # before anything is stored
    intake = _Intake(db, project, operator, origin)
    batch, size = list[_Item](), 0
    for line in file.read():
        if item := intake.item_of(line):
            batch.append(item)
            size += len(item.image.data) if item.image else 0
        if len(batch) == BATCH or size > BATCH_BYTES:
            intake.store(batch)
            batch, size = [], 0
            on_progress(line.number, file.lines)
    intake.store(batch)
    return intake.finish()


def _check_readers(file: VerdictFile, others: Mapping[str, str]) -> None:
    """Raise ImportSourceError for an answer of a reader that belongs to another project."""
    for line in file.read():
        if isinstance(line.given, NewAnswer) and (owner := others.get(line.given.reader)):
            raise ImportSourceError(
                f"{file.path.name} has answers of {line.given.reader}, which belongs to project {owner}. "
                "Choose that project with --project."
            )


@dataclass(frozen=True, kw_only=True)
class _Item:
    """The content of a line, with its image if the project does not have it."""

    verdict: NewVerdict | None = None
    answer: NewAnswer | None = None
    image: NewImage | None = None


class _Intake:
    """One intake of verdicts."""

    def __init__(self, db: Database, project: Project, operator: str, origin: Origin) -> None:
        self._db, self._project, self._operator, self._origin = db, project, operator, origin
        self._source: Source | None = None
        self._acceptance: int | None = None
        self._rejected: set[int] = set()
        """Samples with a new rejection."""
        self._outcome = Outcome()

    def item_of(self, line: Line) -> _Item | None:
        """Read the image of a line. None if there is nothing to store; the problem is in the outcome."""
        given, image = line.given, None
        if given is None:
            self._outcome.refuse(line.number, line.problem or "")
            return None
        if line.image and not (given.sha256 and samples.find_sample(self._db, self._project.id, given.sha256)):
            try:
                image = read_image(line.image, given.sha256)
            except ImageError as error:
                self._outcome.refuse(line.number, f"{line.image.name}: {error}")
                # The answer counts without its image, which may have been deleted to save space.
                return _Item(answer=given) if isinstance(given, NewAnswer) else None
        if isinstance(given, NewAnswer):
            return _Item(answer=given, image=image)
        sha256 = given.sha256 or (image.sha256 if image else "")
        verdict = new_verdict(
            sha256, given.text, accepted=given.accepted, reason=given.reason, key=given.key, at=given.at
        )
        return _Item(verdict=verdict, image=image)

    def store(self, batch: Sequence[_Item]) -> None:
        """Store a batch in one transaction."""
        if self._source is None and any(item.image for item in batch):
            self._source = self._origin.open(self._db, self._project)
        report = Report()
        with write(self._db):
            for image in (item.image for item in batch if item.image):
                assert self._source is not None
                store_image(self._db, self._project, self._source, image, self._operator, report)
            answers = [item.answer for item in batch if item.answer]
            self._outcome.answers += insert_answers(self._db, self._project.id, answers)
            for verdict in (item.verdict for item in batch if item.verdict):
                self._take(verdict)
        self._outcome.images += report.imported

    def finish(self) -> Outcome:
        """Apply verdicts whose images came later, rank the rejected images, and return the outcome."""
        unused = verdicts.select_unused(self._db, self._project.id)
        for start in range(0, len(unused), BATCH):
            with write(self._db):
                for verdict in unused[start : start + BATCH]:
                    self._apply(verdict)
        self._outcome.first = len(self._rejected & {*update_rejected(self._db, self._project)})
        return self._outcome

    def _take(self, given: NewVerdict) -> None:
        """Store a verdict and apply it, unless the project has it."""
        self._outcome.verdicts += 1
        self._outcome.accepted += given.accepted
        self._outcome.rejected += not given.accepted
        verdict = self._insert(given)
        if verdict is None:
            self._outcome.known += 1
        elif not self._apply(verdict):
            self._outcome.unknown += 1

    def _insert(self, given: NewVerdict) -> Verdict | None:
        """Store a verdict. One that contradicts another with its key is stored too, under a key of its own."""
        if verdict := verdicts.insert_verdict(self._db, self._project.id, given, self._operator):
            return verdict
        stored = verdicts.find_verdict(self._db, self._project.id, given.key)
        content = (given.sha256, given.text, given.accepted, given.reason)
        if stored and content == (stored.sha256, stored.text, bool(stored.accepted), stored.reason):
            return None
        other = NewVerdict(**asdict(given) | {"key": f"{given.key} {_hash(*content)}"})
        return verdicts.insert_verdict(self._db, self._project.id, other, self._operator)

    def _apply(self, verdict: Verdict) -> bool:
        """Let a verdict take effect. Return False if the project does not have its image."""
        db = self._db
        sample = samples.find_sample(db, self._project.id, verdict.sha256)
        if sample is None:
            return False
        if not verdict.accepted and verdict.reason == CAPTCHA:
            self._rejected.add(sample.id)
        others = [each for each in verdicts.verdicts_of(db, self._project.id, verdict.sha256) if each.id != verdict.id]
        for effect in effects(verdict, sample, labels.events_of(db, sample.id), others):
            self._act(effect, verdict, samples.get_sample(db, sample.id))
        after = samples.get_sample(db, sample.id)
        self._outcome.disputed += after.disputed and not sample.disputed
        return True

    def _act(self, effect: "Effect", verdict: Verdict, sample: Sample) -> None:
        """Write an effect to the ledger, unless the portal already dissents in the same way."""
        text, is_opinion = effect.text, effect.action in OPINIONS
        if is_opinion and any(
            (event.operator, event.action, event.text) == (PORTAL, effect.action, text)
            for event in standing(labels.events_of(self._db, sample.id)).dissents
        ):
            return
        labels.append_event(
            self._db,
            sample,
            event_id=f"verdict:{verdict.id}:{effect.action}",
            operator=PORTAL,
            action=effect.action,
            state="labeled" if text else "unlabeled",
            text=text,
            kind="verdict",
            base_version=sample.version,
            opinion=is_opinion,
            origin=PORTAL,
        )
        update_standing(self._db, sample.id)
        self._outcome.confirmed += effect.action == "confirm"
        self._outcome.removed += effect.action == "undo"
        if effect.action == "accept":
            queues.release(self._db, sample.id)
            proposals.add_accepted(self._db, self._opened_acceptance(), 1)
            self._outcome.labels += 1

    def _opened_acceptance(self) -> int:
        if self._acceptance is None:
            rule = json.dumps({"rule": "accepted by the portal"})
            self._acceptance = proposals.insert_acceptance(
                self._db, self._project.id, kind="verdict", operator=self._operator, rule=rule
            )
        return self._acceptance


@dataclass(frozen=True)
class Effect:
    """An event that follows from a verdict."""

    action: Literal["accept", "undo", "second", "confirm", "doubt"]
    text: str | None


def effects(verdict: Verdict, sample: Sample, ledger: Sequence[LabelEvent], others: Sequence[Verdict]) -> list[Effect]:
    """Return the events that follow from a verdict. `others` are the other verdicts about the image.

    A text that the portal accepts is a label of train, where no person has decided. Otherwise it is an opinion about
    the label of a person. A rejection takes back the label of a machine, and doubts that of a person.
    """
    text, is_wrong = verdict.text, not verdict.accepted and verdict.reason == CAPTCHA
    is_for_later = sample.content == ("skipped", None, None)
    is_reading = sample.kind in MACHINES and not sample.checked
    if not (verdict.accepted or is_wrong) or (sample.split != "train" and sample.label is None):
        return []
    if is_wrong and sample.label != text:
        return []
    if is_wrong:
        return [Effect("undo", None) if is_reading else Effect("doubt", text)]
    clash = _contradiction(verdict, others)
    if sample.state == "unlabeled" or is_for_later or is_reading:
        return [Effect("accept", text), *clash]
    if sample.label != text:
        return [Effect("second", text)]
    is_decided = any(event.version == sample.version and event.action == "resolve" for event in ledger)
    if clash and not is_decided:
        return clash
    return [] if sample.kind == "verdict" else [Effect("confirm", text)]


def _contradiction(verdict: Verdict, others: Sequence[Verdict]) -> list[Effect]:
    """Return the opinion of the portal against an accepted text, from its other verdicts."""
    if any(not other.accepted and (other.reason, other.text) == (CAPTCHA, verdict.text) for other in others):
        return [Effect("doubt", verdict.text)]
    text = next((other.text for other in others if other.accepted and other.text != verdict.text), None)
    return [Effect("second", text)] if text else []
