"""The current status, metrics and diagnosis of a run."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from core.charset import TextSpec
from core.errors import SlotlabError
from core.home import Home
from core.jobs import control
from core.jobs.jobdir import JobDir, JobStatus
from core.model.config import TrainConfig
from core.training import doctor
from core.training.doctor import Diagnosis, Line
from core.training.guessing import Guessing
from db.records import Job
from db.sqlite import Database

DIAGNOSE_SECONDS = 2.0
"""Seconds between diagnoses while following a run."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """The status, metrics and diagnosis of a job at one moment."""

    status: JobStatus
    metrics: list[Line]
    diagnosis: Diagnosis | None
    """The doctor's diagnosis of a run; None for other jobs and if the settings cannot be read."""


def watch(home: Home, job_id: str) -> Observation:
    """Observe a job. Reads only the metrics since the last look of this process."""
    directory = JobDir(home.run(job_id))
    status, lines = directory.observe(), directory.metrics()
    return Observation(status=status, metrics=lines, diagnosis=_diagnosis(directory, status, lines))


def diagnose(home: Home, job_id: str) -> Diagnosis | None:
    """Return the diagnosis of a job."""
    return watch(home, job_id).diagnosis


def follow(
    db: Database,
    home: Home,
    job_id: str,
    on_progress: Callable[[JobStatus], None],
    on_diagnosis: Callable[[Diagnosis], None],
) -> Job:
    """Wait for the end of a run like `core.jobs.control.follow`.

    Calls `on_diagnosis` whenever the diagnosis changes after the start.
    """
    last, due = "starting", 0.0

    def report() -> None:
        nonlocal last, due
        due = time.monotonic() + DIAGNOSE_SECONDS
        diagnosis = diagnose(home, job_id)
        if diagnosis and diagnosis.key != last:
            last = diagnosis.key
            on_diagnosis(diagnosis)

    def progress(status: JobStatus) -> None:
        if time.monotonic() >= due:
            report()
        on_progress(status)

    job = control.follow(db, home, job_id, progress)
    report()
    return job


def _diagnosis(directory: JobDir, status: JobStatus, lines: list[Line]) -> Diagnosis | None:
    run = directory.read("run.json")
    if run is None or run.get("kind") != "train":
        return None
    try:
        config, spec = TrainConfig.from_dict(run.get("config") or {}), TextSpec.from_dict(run.get("project") or {})
    except SlotlabError:  # damaged, or written by a newer version
        return None
    choices = run.get("choices") or {}
    return doctor.diagnose(
        lines,
        spec=spec,
        config=replace(config, lr=config.rate_of(choices)),
        steps=status.steps,
        state=status.state,
        cause=status.cause,
        reason=status.reason,
        image_size=choices.get("image_size"),
        guessing=Guessing.from_choices(choices, spec),
        reference=str(run.get("reference", "people")),
    )
