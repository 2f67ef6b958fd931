"""The check of a Slotlab folder: database, images, ledger and the directories of runs."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from core.backup.backups import is_running
from core.data.standing import standing
from core.errors import SlotlabError, StorageError
from core.evaluation import familiarity
from core.evaluation.predictions import Predictions
from core.home import Home
from core.images.pixels import decode, pixel_hash
from core.jobs.jobdir import JobDir
from core.training.snapshot import dataset_hash
from db import backup, damage, integrity
from db.records import ACTIVE
from db.removals import list_removals
from db.sqlite import Database

MAX_NAMED = 100
"""Damaged images that a report names. It counts all of them."""
OnProgress = Callable[[int, int, str], None]


@dataclass
class Report:
    """The result of a check."""

    problems: list[str] = field(default_factory=list)
    """Damage, one sentence each."""
    notes: list[str] = field(default_factory=list)
    """Files that are not damage, such as those of a killed start."""
    images: int = 0
    jobs: int = 0
    database_is_intact: bool = False

    @property
    def is_intact(self) -> bool:
        return not self.problems


def check(home: Home, on_progress: OnProgress = lambda *_: None) -> Report:
    """Read every page of the database, every image and every file of ended jobs, and return what is wrong.

    Changes nothing, except that a damaged database is open for reading only afterwards, and an intact one for writing
    again. The app may be running. Raises StorageError if there is no database.
    """
    if damage.is_lost(home.db):
        raise StorageError(damage.lost_sentence(home.db))
    if not home.db.exists():
        raise StorageError(f"There is no database at {home.db}; restore a backup, or import images first.")
    report = Report()
    on_progress(0, 0, "Checking the database")
    try:
        with backup.opened_live(home.db) as db:
            db.execute("BEGIN")  # one snapshot, or a label saved in between would look like a contradiction
            if damaged := integrity.file_problems(db):
                damage.record(home.db, damaged[0].rstrip("."))
            report.problems += damaged or integrity.contradictions(db)
            report.database_is_intact = not report.problems
            is_readable = report.database_is_intact and backup.is_current(db)
            if is_readable:
                _check_standings(db, report)
            db.execute("COMMIT")  # in the fallback mode TRUNCATE, writers wait until here
            if not backup.is_current(db):
                report.notes.append("The database is of an earlier version. Start the app to update it, then repeat.")
            if is_readable:
                _check_images(db, report, on_progress)
                _check_jobs(home, db, report, on_progress)
    except StorageError as error:
        report.problems.append(str(error))
    _check_leftovers(home, report)
    if report.database_is_intact:
        with suppress(OSError):  # a read-only disk
            damage.clear(home.db)
    else:
        report.notes.append(f"Stop the app, then run `slotlab restore {damage.newest_backup(home.db)}`.")
    return report


def _check_standings(db: Database, report: Report) -> None:
    """Compare the stored disputes and confirmations with those that the ledger gives."""
    wrong = []
    stored = integrity.standings(db)
    for sample_id, events in groupby(integrity.ledger(db), attrgetter("sample_id")):
        now = standing(list(events))
        if stored[sample_id] != (bool(now.dissents), now.checked):
            wrong.append(sample_id)
    if wrong:
        report.problems.append(integrity.about_samples(wrong, "have a dispute or check that their history denies"))


def _check_images(db: Database, report: Report, on_progress: OnProgress) -> None:
    """Decode every image and compare the hash of its pixels."""
    total, wrong = integrity.count_samples(db), 0
    for sample_id, name, sha256, data in integrity.images(db):
        report.images += 1
        try:
            problem = None if pixel_hash(decode(data)) == sha256 else "its pixels have another hash"
        except SlotlabError as error:
            problem = str(error).rstrip(".")
        if problem:
            wrong += 1
            if wrong <= MAX_NAMED:
                report.problems.append(f"Image {sample_id} ({name!r}) is damaged: {problem}.")
        if report.images % 100 == 0 or report.images == total:
            on_progress(report.images, total, "Checking images")
    if wrong > MAX_NAMED:
        report.problems.append(f"{wrong - MAX_NAMED:,} more images are damaged.")


def _check_jobs(home: Home, db: Database, report: Report, on_progress: OnProgress) -> None:
    """Check the directory of every job, and that each job has one."""
    rows = integrity.jobs(db)
    directories = {path.name: JobDir(path) for path in sorted(home.runs.glob("[0-9]*-*")) if path.is_dir()}
    for number, (name, (state, sha256)) in enumerate(rows.items(), 1):
        on_progress(number, len(rows), "Checking runs")
        report.jobs += 1
        if (job := directories.pop(name, None)) is None:
            if state not in (*ACTIVE, "failed"):  # a job that could not be started has none
                report.problems.append(f"Job {name} is {state}, but its directory is missing.")
        elif state not in ACTIVE:  # the files of an active job change while they are read
            report.problems += [f"Job {name}: {problem}" for problem in _problems_of(job, state, sha256)]
    unfinished = {folder for removal in list_removals(db, unfinished=True) for folder in json.loads(removal.folders)}
    for folder in (f"runs/{name}" for name in directories):
        if folder in unfinished:
            report.notes.append(f"{folder} is left of a deletion that was killed. Repeat it, or delete anything else.")
        else:
            report.notes.append(f"{folder} is not in the database: it is newer than a restored backup, or not a job.")


def _problems_of(job: JobDir, state: str, sha256: str | None) -> Iterator[str]:
    if job.read("run.json") is None:
        yield "run.json is missing or damaged."
    if state == "finished" and not job.read("result.json"):
        yield "result.json is missing or damaged."
    if sha256 is not None:
        try:
            if dataset_hash(job.path / "dataset.npz") != sha256:
                yield "dataset.npz is not the data of this run."
        except StorageError as error:
            yield str(error)
    for path in sorted(job.path.glob("predictions-*.npz")):
        try:
            Predictions.load(path)
        except StorageError as error:
            yield str(error)
    try:
        familiarity.load(job.path)
    except StorageError as error:
        yield str(error)
    for name in ("views.json", "acceptance.json"):
        if (job.path / name).exists() and job.read(name) is None:
            yield f"{name} is damaged."
    yield from _problems_of_checkpoints(job.path / "checkpoints")


def _problems_of_checkpoints(folder: Path) -> Iterator[str]:
    for note in sorted(folder.glob("*.json")):
        weights = note.with_suffix(".pt")
        try:
            expected = json.loads(note.read_bytes())["sha256"]
            with weights.open("rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            yield f"{weights.name} is missing."
        except (OSError, ValueError, KeyError, TypeError):
            yield f"{note.name} is damaged."
        else:
            if actual != expected:
                yield f"{weights.name} is damaged."


def _check_leftovers(home: Home, report: Report) -> None:
    patterns = [(home.runs, ".new-*"), (home.root, ".slotlab.db.*"), (home.root, "*.replaced-*")]
    if not is_running(home):
        patterns.append((home.backups, ".*.part"))
    for folder, pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            if not path.name.endswith(("-wal", "-shm", "-journal", ".damaged")):
                report.notes.append(f"{path.relative_to(home.root)} is a leftover that nothing reads.")
