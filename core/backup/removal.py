"""Deletion of projects, sources and runs. A backup comes first, because labels are hours of people.

The rows go in one transaction, so a kill leaves all or nothing of them. Their folders go afterwards. A deletion that
was killed in between is finished by the next one, or by repeating the command.
"""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from core.backup import backups
from core.errors import JobError, OptionError, StorageError
from core.files import shortened
from core.home import Home
from core.jobs import control
from core.words import plural
from db import evaluations, jobs, projects, promotions, removals, runs
from db.connection import write
from db.records import Job, Project, Removal, Run, Source
from db.removals import Counts
from db.sqlite import Database

TRIES = 3
"""Backups to make until nothing is saved meanwhile."""
NOUNS = {
    "images": "image", "labels": "label", "readings": "reading", "runs": "run", "evaluations": "evaluation",
    "bundles": "bundle", "test_uses": "test use", "tags": "tag", "saved_filters": "saved filter",
}  # fmt: skip


def named(kind: str, name: str, counts: Counts) -> str:
    """Return what a deletion takes, such as "source june, with 60 images and 12 labels"."""
    parts = [plural(getattr(counts, field), noun) for field, noun in NOUNS.items() if getattr(counts, field)]
    listed = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"{kind} {name}{', with ' * bool(parts)}{listed}"


def done_sentence(removal: Removal) -> str:
    """Return what a deletion did, as sentences."""
    text = f"Deleted {named(removal.kind, removal.name, Counts(**json.loads(removal.counts)))}."
    return text + (f" The backup {removal.backup} still has it." if removal.backup else "")


# Deletions


@dataclass(frozen=True)
class _Deletion:
    """A thing to delete, and how."""

    project: Project
    kind: str
    """Project, source or run."""
    row_id: int
    """Id of the project or source, or number of the run."""
    name: str
    operator: str
    count: Callable[[], tuple[Counts, list[str]]]
    """Checks again that it may be deleted. Returns what belongs to it, and its folders."""
    delete: Callable[[], None]
    """Deletes the rows. Both are called inside `write(db)`."""

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}"


def delete_project(db: Database, home: Home, project: Project, *, typed: str, operator: str) -> Removal:
    """Delete a project with all that belongs to it, after a backup. `typed` is its name, to confirm.

    Raises OptionError for another name. Raises JobError while a job of the project is active, or if a run of another
    project began from one of this project. Raises StorageError if there can be no backup, if people do not stop saving,
    or if folders cannot be deleted.
    """
    _check_typed("project", project.name, typed)
    _check_idle(db, home, project, f"delete project {project.name}")
    _check_successors(db, project)

    def count() -> tuple[Counts, list[str]]:
        _check_successors(db, project)
        folders = [folder for job in jobs.list_jobs(db, project_id=project.id) for folder in _folders(job)]
        return removals.count_project(db, project), folders

    def delete() -> None:
        removals.delete_project(db, project)

    deletion = _Deletion(project, "project", project.id, project.name, operator, count, delete)
    return _back_up_and_remove(db, home, deletion)


def delete_source(db: Database, home: Home, project: Project, source: Source, *, typed: str, operator: str) -> Removal:
    """Delete a source with its images and their labels, after a backup. `typed` is its name, to confirm.

    Runs keep the images they were trained on. Raises the same errors as `delete_project`.
    """
    _check_typed("source", source.name, typed)
    _check_idle(db, home, project, f"delete source {source.name}")

    def count() -> tuple[Counts, list[str]]:
        return removals.count_source(db, source), []

    def delete() -> None:
        removals.delete_source(db, source)

    deletion = _Deletion(project, "source", source.id, source.name, operator, count, delete)
    return _back_up_and_remove(db, home, deletion)


def count_run(db: Database, home: Home, run: Run) -> Counts:
    """Return what belongs to a run."""
    finished = [job.kind for job in _made_from(db, home, run) if job.state == "finished"]
    return Counts(evaluations=finished.count("evaluate"), bundles=finished.count("bundle"))


def delete_run(db: Database, home: Home, run: Run, *, typed: str, operator: str) -> Removal:
    """Delete a run with its weights, evaluations and bundles. `typed` is its id or number, to confirm.

    No backup has them. Uses of the test set stay counted. Raises OptionError for another name. Raises JobError while
    the run or a job on it is active, while a bundle of it is in use, or if another run began from it.
    """
    if typed != str(run.job.number):
        _check_typed("run", run.job.id, typed, what="number")
    if error := control.reconcile(db, home):
        raise error
    project = projects.get_project(db, run.job.project_id)
    made = _made_from(db, home, run)

    def count() -> tuple[Counts, list[str]]:
        _check_run(db, home, run)
        return count_run(db, home, run), [folder for job in (run.job, *made) for folder in _folders(job)]

    def delete() -> None:
        removals.hide_jobs(db, [run.job.id, *(job.id for job in made)])

    removed = _remove(db, home, _Deletion(project, "run", run.job.number, run.job.id, operator, count, delete))
    assert removed is not None
    return removed


def _back_up_and_remove(db: Database, home: Home, deletion: _Deletion) -> Removal:
    """Make a backup and delete what is in it. Raises StorageError if something new is saved during each backup."""
    for _ in range(TRIES):
        seen = removals.newest_rows(db, deletion.kind, deletion.row_id)
        backup = backups.back_up(home)
        if removed := _remove(db, home, deletion, backup=backup.path, backed_up=seen):
            return removed
    raise StorageError(
        f"Nothing was deleted, because {deletion.title} changed during each of {TRIES} backups. Try again when nobody "
        "labels or imports there."
    )


def _remove(
    db: Database, home: Home, deletion: _Deletion, *, backup: str | None = None, backed_up: list[int] | None = None
) -> Removal | None:
    """Delete rows and record it in one transaction, then delete the folders. Return None if the backup is too old.

    `backed_up`: the newest rows in the backup; None without one. Raises OptionError if another process has deleted
    the same meanwhile.
    """
    kind, row_id, project = deletion.kind, deletion.row_id, deletion.project
    with write(db):
        if not removals.exists(db, kind, row_id):
            raise OptionError(f"Nothing was deleted. There is no {deletion.title} here any more.")
        if kind != "run" and (active := jobs.active_jobs(db, project.id)):  # started since the first look
            raise JobError(_busy(active[0], f"delete {deletion.title}"))
        counts, folders = deletion.count()
        if backed_up is not None and removals.newest_rows(db, kind, row_id) != backed_up:
            return None
        removal_id = removals.insert_removal(
            db, kind=kind, project=project.name, name=deletion.name, counts=counts, folders=folders, backup=backup,
            operator=deletion.operator,
        )  # fmt: skip
        deletion.delete()
    finish(db, home)
    return next(each for each in removals.list_removals(db) if each.id == removal_id)


def finish(db: Database, home: Home) -> list[Removal]:
    """Delete the folders that killed deletions have left. Return those deletions. Raises StorageError."""
    unfinished = removals.list_removals(db, unfinished=True)
    for removal in unfinished:
        for folder in json.loads(removal.folders):
            try:
                with suppress(FileNotFoundError):
                    shutil.rmtree(home.root / folder)
            except OSError as error:
                raise StorageError(
                    f"{removal.name} is deleted, but its folder {folder} could not be ({error.strerror}). Repeat the "
                    "deletion to finish it."
                ) from error
        with write(db):
            removals.finish_removal(db, removal.id)
    return unfinished


# Refusals


def _check_typed(kind: str, name: str, typed: str, what: str = "name") -> None:
    if typed != name:
        raise OptionError(f"Nothing was deleted. Type the {what} of {kind} {name}; you typed {shortened(typed)!r}.")


def _check_idle(db: Database, home: Home, project: Project, action: str) -> None:
    if error := control.reconcile(db, home):
        raise error
    if active := jobs.active_jobs(db, project.id):
        raise JobError(_busy(active[0], action))


def _busy(job: Job, action: str) -> str:
    return f"{job.id} is {job.state}. Cancel it or wait until it ends, then {action}."


def _check_run(db: Database, home: Home, run: Run) -> None:
    """Raise JobError if a run cannot be deleted now."""
    for job in jobs.active_jobs(db, run.job.project_id):
        if run.job.id in (job.id, control.spec(home, job.id).get("run")):
            raise JobError(_busy(job, f"delete run {run.job.id}"))
    used = promotions.find_newest(db, run.job.project_id)
    if used and control.spec(home, used.job_id).get("run") == run.job.id:
        raise JobError(f"{used.job_id} is in use, and was made from run {run.job.id}. Use another bundle first.")
    for other in runs.list_runs(db):
        if json.loads(other.config).get("init") == run.job.id:
            raise JobError(f"Run {other.job.id} began from run {run.job.id}. Delete that one first.")


def _check_successors(db: Database, project: Project) -> None:
    """Raise JobError if a run of another project began from a run of this one.

    Its evaluations need to know which images its ancestors used.
    """
    own = {job.id for job in jobs.list_jobs(db, project_id=project.id)}
    for other in runs.list_runs(db):
        init = json.loads(other.config).get("init")
        if init in own and other.job.project_id != project.id:
            of = projects.get_project(db, other.job.project_id).name
            raise JobError(
                f"Run {other.job.id} of project {of} began from run {init} of project {project.name}. Delete that one "
                "first."
            )


def _made_from(db: Database, home: Home, run: Run) -> list[Job]:
    """Return the evaluations and bundles of a run, also evaluations whose folders are gone."""
    stored = {each.job_id for each in evaluations.list_evaluations(db, run.job.id)}
    listed = jobs.list_jobs(db, project_id=run.job.project_id)
    kinds = [job for job in listed if job.kind in ("evaluate", "bundle")]
    return [job for job in kinds if job.id in stored or control.spec(home, job.id).get("run") == run.job.id]


def _folders(job: Job) -> list[str]:
    """Return the folders of a job, relative to the Slotlab folder."""
    return [f"runs/{job.id}", *[f"bundles/{job.id}"] * (job.kind == "bundle")]
