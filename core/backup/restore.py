"""Restore of a backup. The present database is moved aside, never deleted."""

import fcntl
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.errors import JobError, OptionError, StorageError
from core.home import Home
from core.jobs.jobdir import JobDir, try_lock
from core.words import plural
from db import backup

BESIDE = ("", "-wal", "-shm", "-journal", ".damaged")
"""Endings of a database and of the files that belong to it."""


@dataclass(frozen=True, kw_only=True)
class Restored:
    """The effect of a restore."""

    backup: str
    schema: int
    samples: int
    labels: int
    replaced: str | None
    """Present name of the database that was there before."""
    newer_jobs: tuple[str, ...]
    """Directories of jobs that the backup does not list."""

    def sentence(self) -> str:
        text = f"Restored {self.backup}: {plural(self.samples, 'image')}, {plural(self.labels, 'label')}."
        if self.replaced:
            text += f" The former database is now {self.replaced}."
        if self.newer_jobs:
            n = len(self.newer_jobs)
            text += f" {n} {'job is' if n == 1 else 'jobs are'} newer than the backup and not listed in it: "
            text += ", ".join(self.newer_jobs) + ". The files stay in runs/."
        return text


def restore(home: Home, file: Path) -> Restored:
    """Replace the database of `home` with a verified copy of the backup `file`.

    Raises OptionError if there is no such file, JobError while the app or a job uses the folder, StorageError if the
    backup is not intact or cannot be copied. Then the present database is unchanged.
    """
    if not file.is_file():
        raise OptionError(f"There is no file {file}. `ls {home.backups}` lists the backups.")
    try:
        home.create()
        with _unused(home):
            contents = _put_in_place(home, file)
    except OSError as error:
        raise StorageError(f"{home.root} cannot be written ({error.strerror or error}).") from error
    return contents


def hold(home: Home) -> int | None:
    """Keep a restore out while the returned descriptor is open; None if the folder is missing or cannot be written.

    Without it, a command could save to the database that is moved aside. Raises StorageError during a restore.
    """
    try:
        number = os.open(home.app_lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:  # no folder yet, a full disk, or a read-only one
        return None
    if try_lock(number, fcntl.LOCK_SH):
        return number
    os.close(number)
    raise StorageError("A backup is being restored. Try again in a minute.")


@contextmanager
def in_use(home: Home) -> Iterator[None]:
    """Keep a restore out during the block. Raises StorageError during a restore."""
    number = hold(home)
    try:
        yield
    finally:
        if number is not None:
            os.close(number)


@contextmanager
def _unused(home: Home) -> Iterator[None]:
    """Keep apps and commands out during the block. Raises JobError if one is running, or a job.

    A label that the app has acknowledged could otherwise go to the file that is moved aside.
    """
    number = os.open(home.app_lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not try_lock(number, fcntl.LOCK_EX):
            raise JobError(f"The app or another command is using {home.root}. Stop it, then restore.")
        if active := [job.id for job in _jobs(home) if job.is_alive]:
            raise JobError(f"{', '.join(active)} is running. Cancel it or wait until it ends, then restore.")
        yield
    finally:
        os.close(number)


def _jobs(home: Home) -> list[JobDir]:
    return [JobDir(path) for path in sorted(home.runs.glob("[0-9]*-*")) if (path / "run.json").exists()]


def _put_in_place(home: Home, file: Path) -> Restored:
    copy, part = home.root / ".slotlab.db.restored", home.root / ".slotlab.db.part"
    backup.remove_part(copy)
    contents = backup.copy(file, copy, part, mode="ro")
    known = backup.job_ids(copy)
    former = _move_aside(home.db)
    copy.rename(home.db)
    backup.sync_folder(home.root)
    return Restored(
        backup=str(file), schema=contents.schema, samples=contents.samples, labels=contents.labels,
        replaced=str(former) if former else None,
        newer_jobs=tuple(job.id for job in _jobs(home) if job.id not in known),
    )  # fmt: skip


def _free_name(name: str) -> Path:
    """Return the path, with a number if an earlier restore has taken it in the same second."""
    names = (Path(f"{name}-{number}" if number else name) for number in itertools.count())
    return next(path for path in names if not any(Path(f"{path}{ending}").exists() for ending in BESIDE))


def _move_aside(database: Path) -> Path | None:
    """Rename a database with the files beside it, and return its new name; None if there is none.

    All files have their new name before one loses its old name, so a kill in between cannot part a database from its
    WAL. An old WAL beside the restored database would be applied to it.
    """
    files = [ending for ending in BESIDE if Path(f"{database}{ending}").exists()]
    if not files:
        return None
    aside = _free_name(f"{database}.replaced-{backup.stamp()}")
    for ending in files:
        old, new = Path(f"{database}{ending}"), Path(f"{aside}{ending}")
        try:
            os.link(old, new)
        except OSError:  # a file system without links
            shutil.copy2(old, new)
    backup.sync_folder(database.parent)
    for ending in files:
        Path(f"{database}{ending}").unlink()
    backup.sync_folder(database.parent)
    return aside
