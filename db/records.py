"""Rows as frozen dataclasses; field names are column names."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

JOB_KINDS = ("train", "evaluate", "import", "propose", "folds", "round", "bundle", "drift")
"""Kinds of jobs. Each counts for itself."""
ACTIVE = ("queued", "starting", "running")
"""States of a job that has not ended."""
Content = tuple[str, str | None, str | None]
"""The state, label and flag of a sample."""
UNLABELED: Content = ("unlabeled", None, None)
SPLITS = ("train", "val", "test")
HELD_OUT = ("val", "test")
"""Splits that measure runs and readers. Nobody sees a reading of their images before labeling them."""
NEXT = "next"
"""Stands for a split in evaluations on a source that the run has not seen, as the images of next month."""
MEASURED = (*HELD_OUT, NEXT)
"""Splits of evaluations."""
PEOPLE = ("person", "import")
"""Kinds of labels that people gave. An import holds the labels of people unless its file names another kind."""
MACHINES = ("readers", "run")
"""Kinds of labels that are readings. They exist only in train, and a person's label replaces them."""
REMOVABLE = (*MACHINES, "verdict")
"""Kinds of labels that people did not give. They exist only in train, and all labels of one can be taken back at once.
verdict: the portal accepted the reading."""
KINDS = (*PEOPLE, *REMOVABLE)
"""All kinds of labels."""
PORTAL = "portal"
"""Operator and origin, in the ledger, of what follows from a verdict."""
CAPTCHA = "captcha"
"""Reason of a rejection that says that the text was wrong. Other reasons say nothing about the text."""

REFERENCES = ("people", "readers")
"""Labels that a result is measured against: those of people, or the readings that general readers agree on."""


def now() -> str:
    """Return the current time as stored: ISO 8601, UTC, whole seconds. Order events by id, never by time."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Project:
    id: int
    name: str
    length: int
    charset: str
    created_at: str
    note: str
    tags: str
    """JSON list."""
    archived_at: str | None
    """None unless the project is hidden from lists."""


@dataclass(frozen=True)
class Source:
    id: int
    project_id: int
    name: str
    owner: str
    authorization: str
    created_at: str


@dataclass(frozen=True)
class Sample:
    """One image of a project, without its bytes."""

    id: int
    project_id: int
    source_id: int
    sha256: str
    name: str
    width: int
    height: int
    split: str
    state: str
    """unlabeled, labeled or skipped"""
    label: str | None
    version: int
    """Number of applied label events. A save names the version it is based on."""
    operator: str | None
    labeled_at: str | None
    created_at: str
    flag: str | None
    """Reason for a skip: unreadable or not_ours; None means skipped for later."""
    disputed: int
    """1 if operators disagree about the sample and nobody has decided yet."""
    checked: int
    """1 if someone reviewed the label and confirmed it."""
    kind: str | None
    """Kind of the label, one of KINDS; None without a label."""

    @property
    def content(self) -> Content:
        return self.state, self.label, self.flag

    @property
    def is_blind(self) -> bool:
        """True if nobody may see a reading: the image is held out, and still needs the label of a person."""
        return self.split in HELD_OUT and self.label is None and self.flag is None


@dataclass(frozen=True)
class Tag:
    """A word on samples of a project."""

    id: int
    project_id: int
    name: str
    """The spelling that was used first."""
    key: str
    """The name without case. Tags are compared by it."""


@dataclass(frozen=True)
class GivenTag:
    """A tag on one sample."""

    name: str
    operator: str | None
    """The first who gave it; None for tags from before this was recorded."""
    at: str | None


@dataclass(frozen=True)
class SavedFilter:
    """The filters of a list of samples, under a name."""

    id: int
    project_id: int
    name: str
    filters: str
    """JSON of names and values in the address of Samples."""
    operator: str
    at: str


@dataclass(frozen=True)
class LabelEvent:
    """An entry of the ledger: the action, and the sample's content after it or according to the opinion."""

    id: int
    event_id: str
    sample_id: int
    operator: str
    action: str
    state: str
    text: str | None
    flag: str | None
    base_version: int | None
    version: int | None
    """None if the event changed nothing: it is an opinion, or another operator's event came first."""
    at: str
    origin: str | None
    """Page of the action; None for events before this was recorded."""
    ms: int | None
    """Milliseconds from showing the image to the event."""
    kind: str | None
    """Kind of the label after the event; None if it has no text."""
    suggestion: str | None
    """Reading that the readers agreed on when the event was saved; None outside train."""
    suggestion_shown: int | None
    """1 if the operator saw the suggestion, 0 if it was withheld; None without a suggestion."""

    @property
    def content(self) -> Content:
        return self.state, self.text, self.flag


@dataclass(frozen=True)
class Job:
    id: str
    """Name of its directory, such as 0002-fast."""
    number: int
    """Place among the jobs of its kind, in all projects."""
    kind: str
    project_id: int
    request_id: str
    state: str
    reason: str | None
    result: str | None
    """JSON; its structure depends on the kind of job."""
    created_at: str
    finished_at: str | None
    removed_at: str | None
    """Always None in a row that a query returns, because deleted jobs are left out."""


@dataclass(frozen=True)
class Run:
    """A training job."""

    job: Job
    preset: str
    config: str
    """JSON of core.model.config.TrainConfig."""
    dataset_sha256: str
    train_n: int
    val_n: int
    val_correct: int | None
    reference: str
    """One of REFERENCES; it never changes."""
    name: str
    """A name that people chose; empty without one. The id stays the address."""
    note: str
    tags: str
    """JSON list."""
    evaluation: str | None
    """The newest evaluation on val since the run ended; None without one. The fields below are its result."""
    evaluated_n: int | None
    evaluated_correct: int | None
    """Images read right without TTA; None if it is not known."""
    evaluated_tta: int | None
    """The same with TTA; None without it."""
    evaluated_reference: str | None

    @property
    def score(self) -> "Score | None":
        """The result on val that pages and commands show for this run; None before there is one."""
        if self.val_correct is None:
            return None
        if self.evaluation and self.evaluated_n and self.evaluated_reference and self.evaluated_correct is not None:
            return Score(
                self.evaluated_correct, self.evaluated_n, self.evaluated_reference, self.evaluated_tta, self.evaluation
            )
        tta = json.loads(self.job.result or "{}").get("val_tta")
        return Score(self.val_correct, self.val_n, self.reference, tta["correct"] if tta else None, "")


@dataclass(frozen=True)
class Score:
    """The result of a run on val: of its newest evaluation, else of the end of its training."""

    correct: int
    """Images read right without TTA."""
    n: int
    reference: str
    """One of REFERENCES."""
    with_tta: int | None
    """Images read right with TTA; None if it was not measured."""
    evaluation: str
    """Id of the evaluation; empty for the end of the training."""


@dataclass(frozen=True)
class Evaluation:
    id: int
    run_id: str
    job_id: str
    split: str
    tta: int
    n: int
    correct: int
    result: str
    """JSON of core.evaluation.metrics.Evaluation."""
    at: str
    reference: str
    """One of REFERENCES."""

    @property
    def source(self) -> str:
        """Name of the source that the run had not seen; empty for val and test."""
        return str(json.loads(self.result).get("source", ""))


@dataclass(frozen=True)
class Reader:
    """A general reader or a run that has read images of a project."""

    id: int
    kind: str
    """general or run"""
    name: str
    """Name of the package, or id of the run."""
    version: str
    """Version of the package, or step of the run's checkpoint."""
    sha256: str
    """Hash of the weights."""


@dataclass(frozen=True)
class Proposal:
    """A reading of an image before anybody made it a label."""

    sample_id: int
    reader_id: int
    text: str | None
    """None if the reader finds no text of the project's length."""
    confidence: float
    """Probability of the whole text."""
    positions: str
    """JSON list of the confidence of each character."""
    at: str


@dataclass(frozen=True)
class Acceptance:
    """One action that turned readings into labels."""

    id: int
    project_id: int
    kind: str
    operator: str
    """The person who accepted."""
    rule: str
    """JSON: readers with their versions, and the rule they had to fulfill."""
    n: int
    at: str


@dataclass(frozen=True)
class Recipe:
    """One version of named augmentation settings. It is never changed; a change is a new version."""

    id: int
    project_id: int
    name: str
    version: int
    settings: str
    """JSON of core.images.augment_settings.Settings."""
    note: str
    operator: str
    created_at: str


@dataclass(frozen=True)
class Promotion:
    """A decision to use a bundle, until the next one."""

    id: int
    project_id: int
    job_id: str
    """The job that made the bundle."""
    operator: str
    at: str


@dataclass(frozen=True)
class Answer:
    """A reading that a reader gave outside the lab, or of images that came after its training."""

    id: int
    project_id: int
    key: str
    """Id in the reader's log."""
    sha256: str
    """Pixel hash. The project may not have the image."""
    reader: str
    """The bundle that read, by the hash of its files."""
    text: str
    confidence: float
    accepted: int | None
    """1 if the confidence reached the threshold and the image was familiar; None without a threshold."""
    unfamiliar: str | None
    """Why the image is unlike those of training."""
    distance: float | None
    """Logarithm of the distance from the mean style of training (core.bundle.reader.Familiar)."""
    surprise: float | None
    """Mean surprise of the colors (core.bundle.reader.Familiar)."""
    at: str


@dataclass(frozen=True)
class Verdict:
    """A decision of the portal about a text that was submitted for an image."""

    id: int
    project_id: int
    key: str
    """Id in the reader's log, or made from the content. The same verdict counts once."""
    sha256: str
    """Pixel hash. The project may not have the image."""
    text: str
    accepted: int
    """1 if the portal accepted the text."""
    reason: str | None
    """Why it did not, such as captcha."""
    operator: str
    """The person who brought it in."""
    at: str


@dataclass(frozen=True)
class UseOfTest:
    """A use of the test set. Its result is None if the evaluation has none."""

    __test__ = False
    """Tells pytest that this class is not a test."""

    at: str
    operator: str
    job_id: str
    run_id: str | None
    split: str | None
    """NEXT if test images were among those of a later source."""
    tta: int | None
    n: int | None
    correct: int | None


@dataclass(frozen=True)
class Removal:
    """The record of a deletion: of a project, of a source with its images, or of a run."""

    id: int
    kind: str
    """project, source or run"""
    project: str
    """Name of the project."""
    name: str
    """Name of what was deleted."""
    counts: str
    """JSON of db.removals.Counts."""
    last_ids: str
    """JSON: the highest id at that time, by table. For jobs it is the highest number of each kind."""
    folders: str
    """JSON list of the folders to delete, relative to the Slotlab folder."""
    backup: str | None
    """Path of the backup that was made first. None for a run, because backups hold no runs."""
    operator: str
    at: str
    finished_at: str | None
    """None while some of the folders may still be there."""
