"""Drift: the images that a bundle in use reads are no longer like those of its training.

A job (core.runs.drift_worker) lets the bundle read the new images of a project, and looks at all answers of the bundle.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from core.errors import OptionError, StorageError
from core.home import Home
from core.jobs import control
from core.runs.bundles import find_bundle, gone
from core.runs.drift_streams import Change, Row, Stream
from core.words import plural
from db import jobs, promotions
from db.records import Job, Project, Promotion
from db.sqlite import Database

KIND = "drift"
UNUSED = "No bundle is in use. Mark one on the Models page, or with `slotlab promote`."
LOOKLESS = (
    "This bundle cannot tell what images look like, so only confidences and verdicts can show drift. Make it again."
)
ADVICE = "Label some of the new ones and train again."
CHANGES = {
    ("distance", True): "The style of the images{} has changed",
    ("distance", False): "The style of the images{} varies less",
    ("surprise", True): "The colors of the images{} have changed",
    ("surprise", False): "The colors of the images{} vary less",
    ("confidence", False): "The bundle is less sure of the images{}",
    ("unfamiliar", True): "More images{} are unlike those of training",
    ("rejected", True): "The portal rejects more readings of images{}",
}
"""Meanings of an alarm, by its score and whether it rises."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """The result of the newest job."""

    at: str
    """When the job ended."""
    bundle: str
    is_current: bool
    """False if another bundle is in use since, or if someone has kept this one. The alarms do not count then."""
    read: int
    """Images that the job read."""
    answers: int
    has_look: bool
    """False if the bundle cannot tell what images look like."""
    rows: list[Row]
    streams: list[Stream]

    @property
    def alarms(self) -> list[tuple[str | None, Change]]:
        """Return the changes that count, each with its source, the newest first."""
        found = [(stream.source, stream.change) for stream in self.streams if stream.change and self.is_current]
        return sorted(found, key=lambda pair: pair[1].at, reverse=True)


def start_drift(db: Database, home: Home, project: Project, *, operator: str, request_id: str | None = None) -> Job:
    """Let the bundle in use read the new images, and look for drift, in the background. Return a running job.

    Raises OptionError if no bundle is in use, or if its files are gone.
    """
    newest = promotions.find_newest(db, project.id)
    if newest is None:
        raise OptionError(UNUSED)
    bundle = find_bundle(db, home, newest.job_id)
    if bundle is None:
        raise OptionError(gone(newest.job_id))
    spec = {"bundle": newest.job_id, "run": bundle.run_id, "operator": operator}
    return control.start_job(db, home, project, KIND, spec, request_id=request_id, single=True)


def newest_drift(db: Database, project: Project) -> Drift | None:
    """Return what the newest finished job found. None before the first. A damaged result counts as none."""
    for job in jobs.list_jobs(db, project_id=project.id, kind=KIND):
        with suppress(StorageError):
            if job.result:
                return drift_of(db, job)
    return None


def drift_of(db: Database, job: Job) -> Drift:
    """Return what a finished job found. Raises StorageError if its result is damaged."""
    try:
        return _drift(json.loads(job.result or "{}"), job, promotions.find_newest(db, job.project_id))
    except (KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"The result of {job.id} is damaged. Look for drift again.") from error


def _drift(result: Any, job: Job, newest: Promotion | None) -> Drift:
    return Drift(
        at=job.finished_at or job.created_at,
        bundle=result["bundle"],
        is_current=newest is not None and newest.id == result["promotion"],
        read=result["read"],
        answers=result["answers"],
        has_look=result["has_look"],
        rows=[Row(**row) for row in result["rows"]],
        streams=[
            Stream(**stream | {"change": Change(**stream["change"]) if stream["change"] else None})
            for stream in result["streams"]
        ],
    )


def without_alarm(found: Drift) -> str:
    """Return the sentence about a search that found no change."""
    if not found.answers:
        return (
            f"{found.bundle} has no answers yet. It reads images that were imported after its run had started. "
            "Import new images, or the log of its reader."
        )
    return f"No drift in {plural(found.answers, 'answer')} of {found.bundle}."


def name_of(source: str | None) -> str:
    """Return the name of a source in tables."""
    return "elsewhere" if source is None else source


def sentence(source: str | None, change: Change) -> str:
    """Return what changed since which image and day, without advice."""
    of = " from elsewhere" if source is None else f" of {source}"
    what = CHANGES[change.score, change.rises].format(of)
    image = f"image {change.sha256[:8]} of " if change.sha256 else ""
    return f"{what} since {image}{change.at[:10]}."


def detail(change: Change) -> str:
    """Return in how many images it was noticed, and what is unfamiliar about them."""
    noticed = f"Noticed after {change.images:,} images."
    if not change.reason:
        return noticed
    return f"{noticed} {change.unfamiliar:,} of them are unfamiliar: {change.reason[0].lower()}{change.reason[1:]}"
