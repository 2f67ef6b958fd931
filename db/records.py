"""Rows as frozen dataclasses; field names are column names."""

from dataclasses import dataclass
from datetime import UTC, datetime

ACTIVE = ("queued", "starting", "running")
"""States of a job that has not ended."""
Content = tuple[str, str | None, str | None]
"""What a sample is, or should be: its state, label and flag."""
UNLABELED: Content = ("unlabeled", None, None)


def now() -> str:
    """The time as it is stored: ISO 8601, UTC, whole seconds. Order events by id, never by this."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Project:
    id: int
    name: str
    length: int
    charset: str
    created_at: str


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
    """Number of label events applied so far; a save names the version it saw."""
    operator: str | None
    labeled_at: str | None
    created_at: str
    flag: str | None
    """Why it is skipped: unreadable or not_ours; None: passed by for later."""
    disputed: int
    """1: somebody disagrees with what it is, and nobody has decided yet."""
    checked: int
    """1: somebody looked at it again and found it right."""

    @property
    def content(self) -> Content:
        return self.state, self.label, self.flag


@dataclass(frozen=True)
class LabelEvent:
    """One line of the ledger: what an operator did, and what the sample is after it, or by an opinion should be."""

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
    """None: an opinion, or the event lost to another operator's; it changed nothing."""
    at: str
    origin: str | None
    """Page it was entered on; None before this was recorded."""
    ms: int | None
    """Milliseconds from the image on the screen to the event."""

    @property
    def content(self) -> Content:
        return self.state, self.text, self.flag


@dataclass(frozen=True)
class Job:
    id: str
    number: int
    kind: str
    project_id: int
    request_id: str
    state: str
    reason: str | None
    result: str | None
    """JSON, its shape set by the kind of job."""
    created_at: str
    finished_at: str | None


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


@dataclass(frozen=True)
class Recipe:
    """Augmentation settings under a name; never changed, a change is another version."""

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
class UseOfTest:
    """One reading of the sealed test images; the result is None where the evaluation brought none."""

    __test__ = False
    """Not for pytest, which takes the name for that of a test."""

    at: str
    operator: str
    job_id: str
    run_id: str | None
    tta: int | None
    n: int | None
    correct: int | None
