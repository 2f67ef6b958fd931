"""Bundles: a run as a folder that reads images outside Slotlab.

    model.onnx            the network
    model-int8.onnx       the same with 8 bits, if it gives the same answers
    manifest.json         what the reader needs to know, and where it comes from
    familiar.npz          what the images look like, to say of an image that it is unlike them
    reader.py             core/bundle/reader.py
    README.md             the model card
    test-1.png ...        rendered images whose answers the reader checks
    SHA256SUMS

It has no image and no label of the portal. A job makes it (core.runs.bundle_worker) in `bundles/`, under its id.
"""

import hashlib
import io
import json
import shutil
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.bundle.reader import MANIFEST, SUMS, bundle_name, sums_of
from core.errors import ExportError, OptionError, SlotlabError, StorageError
from core.evaluation.acceptance import Acceptance
from core.evaluation.temperatures import temperature_of
from core.evaluation.views import ORIGINAL, choice_of, to_dicts
from core.files import checked_path, open_regular, shortened
from core.home import Home
from core.jobs import control
from core.runs.evaluated import load_evaluated
from db import evaluations, jobs, projects, promotions, runs
from db.records import NEXT, Job, Project, Run
from db.sqlite import Database

KIND = "bundle"


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A finished bundle of a run."""

    job: Job
    run_id: str
    directory: Path
    n: int
    """Validation images on which its answers equal those of the run."""
    largest_difference: float
    """Largest difference of a logit on them."""
    bytes: int
    """Size of model.onnx."""
    int8_bytes: int | None
    """Size of model-int8.onnx. None if it would change an answer."""
    int8_changed: int
    is_current: bool
    """False if the run has chosen another checkpoint, threshold or views since."""


def start_bundle(db: Database, home: Home, run: Run, *, operator: str, request_id: str | None = None) -> Job:
    """Make a bundle of a run's selected checkpoint in the background.

    It reads with the run's views and threshold. Raises ExportError if the run has no checkpoint.
    """
    if not (home.run(run.job.id) / "checkpoints").is_dir():
        raise ExportError(f"Run {run.job.id} has no checkpoint yet.")
    project = projects.get_project(db, run.job.project_id)
    sources = [
        {"name": source.name, "owner": source.owner, "authorization": source.authorization}
        for source in projects.list_sources(db, project.id)
    ]
    spec: dict[str, Any] = {"run": run.job.id, "operator": operator, "sources": sources}
    spec["test"] = _result(db, home, run, "test")
    newest = next(iter(evaluations.list_evaluations(db, run.job.id, NEXT)), None)
    spec["next_source"] = newest and _result(db, home, run, NEXT, newest.source)
    return control.start_job(db, home, project, KIND, spec, request_id=request_id)


def _result(db: Database, home: Home, run: Run, split: str, source: str = "") -> dict[str, Any] | None:
    """Return the result of the newest evaluation as the run reads, with its step; None without one."""
    try:
        evaluated = load_evaluated(db, home, run, split, source=source)
    except SlotlabError:  # there is none, or it is damaged
        return None
    result = {name: evaluated.result[name] for name in ("n", "correct", "exact_match", "ci95")}
    result |= {"source": source} if source else {}
    return result | {"reference": evaluated.reference, "step": evaluated.predictions.step, "tta": evaluated.tta}


def settings_of(directory: Path, step: int) -> dict[str, Any]:
    """Return what a bundle takes from the files of a run. A later change makes the bundle outdated."""
    choice, rule = choice_of(directory), Acceptance.load(directory)
    views = choice.views if choice.use else (ORIGINAL,)
    if rule and not rule.applies_to(step, tta=len(views) > 1, views=views):
        rule = None
    return {
        "step": step,
        "views": to_dicts(views),
        "temperature": rule.temperature if rule else temperature_of(directory, step, views),
        "threshold": rule.threshold if rule else None,
    }


def newest_job(db: Database, home: Home, run: Run) -> Job | None:
    """Return the newest bundle job of a run."""
    made = jobs.list_jobs(db, project_id=run.job.project_id, kind=KIND)
    return next((job for job in made if control.spec(home, job.id).get("run") == run.job.id), None)


def bundle_of(home: Home, run: Run, job: Job) -> Bundle | None:
    """Return the bundle that a job of a run has made. None if it has not, or if its files are gone."""
    directory = home.bundles / job.id
    if job.state != "finished" or not job.result or not directory.is_dir():
        return None
    result, folder = json.loads(job.result), home.run(run.job.id)
    return Bundle(
        job=job,
        run_id=run.job.id,
        directory=directory,
        n=result["n"],
        largest_difference=result["largest_difference"],
        bytes=result["bytes"],
        int8_bytes=result["int8_bytes"],
        int8_changed=result["int8_changed"],
        is_current=result["settings"] == settings_of(folder, control.selected_step(home, run.job.id)),
    )


def find_bundle(db: Database, home: Home, job_id: str) -> Bundle | None:
    """Return the bundle that a job has made. None if its files are gone."""
    job = jobs.find_job(db, job_id)
    run = runs.find_run(db, control.spec(home, job_id).get("run", "")) if job and job.kind == KIND else None
    return bundle_of(home, run, job) if job and run else None


def gone(job_id: str) -> str:
    """Return the sentence about a bundle whose files were deleted."""
    return f"The files of {job_id} are gone. Use another bundle, or make it again."


def used_and_gone(db: Database, home: Home, project: Project) -> str | None:
    """Return the bundle in use if its files are gone."""
    newest = promotions.find_newest(db, project.id)
    return newest.job_id if newest and find_bundle(db, home, newest.job_id) is None else None


def list_bundles(db: Database, home: Home, project: Project) -> list[Bundle]:
    """Return the bundles of a project, newest first."""
    found = (find_bundle(db, home, job.id) for job in jobs.list_jobs(db, project_id=project.id, kind=KIND))
    return [bundle for bundle in found if bundle]


def manifest_of(bundle: Bundle) -> dict[str, Any]:
    """Return the manifest of a bundle. Raises StorageError if it is missing or damaged."""
    try:
        listed, data = _content(bundle.directory / SUMS), _content(bundle.directory / MANIFEST)
    except OSError:
        listed = data = b""
    if sums_of(listed).get(MANIFEST) != hashlib.sha256(data).hexdigest():
        raise StorageError(f"The manifest of {bundle.job.id} is damaged. Make the bundle again.")
    manifest: dict[str, Any] = json.loads(data)
    return manifest


def _content(path: Path) -> bytes:
    """Return the content of a regular file. A manifest of a large charset has megabytes. Raises OSError."""
    with open_regular(path) as file:
        return file.read()


def names_in_logs(directory: Path) -> list[str]:
    """Return the names under which a bundle writes logs, with each of its models. None if its files are gone."""
    with suppress(OSError):
        listed = _content(directory / SUMS)
        return [bundle_name(listed, int8=int8) for int8 in (False, True)]
    return []


def bundles_of_others(db: Database, home: Home, project: Project) -> dict[str, str]:
    """Return the names in logs of bundles that other projects made, each with its project. Their files must exist."""
    projects_by_id = {each.id: each.name for each in projects.list_projects(db, archived=None) if each.id != project.id}
    made = [job for job in jobs.list_jobs(db, kind=KIND) if job.project_id in projects_by_id]
    return {name: projects_by_id[job.project_id] for job in made for name in names_in_logs(home.bundles / job.id)}


def delete_bundle(db: Database, bundle: Bundle) -> None:
    """Delete the files of a bundle. Raises OptionError for the bundle in use, StorageError if a file stays."""
    newest = promotions.find_newest(db, bundle.job.project_id)
    if newest and newest.job_id == bundle.job.id:
        raise OptionError(f"{bundle.job.id} is in use. Use another bundle first.")
    try:
        shutil.rmtree(bundle.directory)
    except OSError as error:
        raise StorageError(f"The files of {bundle.job.id} could not be deleted ({error.strerror}).") from error


# Out of the Slotlab folder


def check_out(home: Home, out: Path) -> Path:
    """Return the absolute path of a new or empty folder. Raises OptionError for anything else."""
    path = checked_path(out)
    home.check_outside(path)
    if path.exists() and not path.is_dir():
        raise OptionError(f"{shortened(str(out))} is not a folder. Give the name of a new one.")
    try:
        is_empty = not path.exists() or not any(path.iterdir())
    except OSError as error:
        raise OptionError(f"{shortened(str(out))} cannot be used ({error.strerror}).") from error
    if not is_empty:
        raise OptionError(f"The folder {shortened(str(out))} is not empty. Give the name of a new one.")
    return path


def check_new(file: Path) -> None:
    """Raise OptionError if there is a file or folder of this name. A pipe can be written into."""
    path = checked_path(file)
    if path.is_file() or path.is_dir():
        raise OptionError(f"{shortened(str(file))} exists already. Give the name of a new file.")


def copy_out(directory: Path, out: Path) -> None:
    """Copy a bundle to a new or empty folder, completely or not at all. Only its owner can open it.

    Raises StorageError.
    """
    temporary = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        for file in sorted(directory.iterdir()):
            shutil.copyfile(file, temporary / file.name)
        temporary.replace(out)
    except OSError as error:
        raise StorageError(f"The bundle could not be written to {shortened(str(out))} ({error.strerror}).") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def zip_bytes(directory: Path) -> bytes:
    """Return a bundle as a zip file with one folder. Raises StorageError."""
    buffer = io.BytesIO()
    try:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(directory.iterdir()):
                archive.write(file, f"{directory.name}/{file.name}")
    except OSError as error:
        raise StorageError(f"The bundle {directory.name} could not be read ({error.strerror}).") from error
    return buffer.getvalue()
