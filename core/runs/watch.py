"""A run as it is at one moment: its job, its metrics and its diagnosis."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlite_utils import Database

from core.charset import TextSpec
from core.errors import SlotlabError
from core.home import Home
from core.jobs import control
from core.jobs.jobdir import JobDir, JobStatus
from core.model.config import TrainConfig
from core.training import doctor
from core.training.doctor import Diagnosis, Line
from db.records import Job

DIAGNOSE_SECONDS = 2.0
"""Seconds between diagnoses while a run is followed. Each one reads all of its metrics."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """A job as it is at one moment."""

    view: JobStatus
    metrics: list[Line]
    diagnosis: Diagnosis | None
    """What the doctor says of a run, now or after its end; None for other jobs, and where no settings can be read."""


def watch(home: Home, job_id: str) -> Observation:
    """Each file is read once, however long the run has logged."""
    directory = JobDir(home.run(job_id))
    view, lines = directory.observe(), directory.metrics()
    return Observation(view=view, metrics=lines, diagnosis=_diagnosis(directory, view, lines))


def diagnose(home: Home, job_id: str) -> Diagnosis | None:
    """What the doctor says of a job, as `watch` has it."""
    return watch(home, job_id).diagnosis


def follow(
    db: Database,
    home: Home,
    job_id: str,
    on_progress: Callable[[JobStatus], None],
    on_diagnosis: Callable[[Diagnosis], None],
) -> Job:
    """Wait for the end of a run as `core.jobs.control.follow` does.

    `on_diagnosis` is called whenever the doctor says something else of a run that has begun, and at the end.
    """
    last, due = "starting", 0.0

    def look() -> None:
        nonlocal last, due
        due = time.monotonic() + DIAGNOSE_SECONDS
        diagnosis = diagnose(home, job_id)
        if diagnosis and diagnosis.key != last:
            last = diagnosis.key
            on_diagnosis(diagnosis)

    def progress(view: JobStatus) -> None:
        if time.monotonic() >= due:
            look()
        on_progress(view)

    job = control.follow(db, home, job_id, progress)
    look()
    return job


def _diagnosis(directory: JobDir, view: JobStatus, lines: list[Line]) -> Diagnosis | None:
    run = directory.read("run.json")
    if run is None or run.get("kind") != "train":
        return None
    try:
        config = TrainConfig.from_dict(run["config"])
    except SlotlabError:  # of a newer version
        return None
    return doctor.diagnose(
        lines,
        spec=TextSpec.from_dict(run["project"]),
        config=config,
        steps=view.steps,
        state=view.state,
        cause=view.cause,
        reason=view.reason,
        image_size=(run.get("choices") or {}).get("image_size"),
    )
