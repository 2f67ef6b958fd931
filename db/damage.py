"""Damage of the database file: the checks that find it, and its record beside the file.

A file with a record is open for reading only, for every process, until `slotlab check` finds nothing wrong or
`slotlab restore` replaces it. Writing on a damaged file can destroy what `restore` or SQLite's `.recover` still reads.
"""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from core.files import atomic_write
from db.records import now
from db.sqlite import sqlite3

PRIMARY = 0xFF
"""Mask of the primary code in an extended error code, whose other bits say where the error happened."""
IOERR_CORRUPTFS = sqlite3.SQLITE_IOERR | 33 << 8
"""The file system reports that its data are damaged."""
LOST_WAL = "its -wal file was deleted while it was in use"
PROGRESS_STEPS = 1000
"""Steps of SQLite's virtual machine between looks at the clock: under a millisecond."""


@dataclass(frozen=True)
class Damage:
    """The record of a damaged file: when it was found (UTC), and the problem as SQLite words it."""

    at: str
    problem: str

    @property
    def sentence(self) -> str:
        return (
            f"The database is damaged ({self.problem}), so Slotlab only reads it. "
            "Stop the app, run `slotlab check`, then `slotlab restore BACKUP`. Labels typed in a browser stay there."
        )


def find(path: Path) -> Damage | None:
    """Return the recorded damage of a database. Its record counts even if it cannot be read."""
    try:
        return Damage(**json.loads(_record(path).read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError):
        return Damage("", "its record cannot be read")


def record(path: Path, problem: str) -> Damage:
    """Record the damage of a database, unless an earlier one is recorded, and return it."""
    if (earlier := find(path)) is not None:
        return earlier
    damage = Damage(now(), problem)
    # Without space for the record, the next process finds the damage again.
    with suppress(OSError), atomic_write(_record(path)) as file:
        file.write(json.dumps(asdict(damage)).encode())
    return damage


def clear(path: Path) -> None:
    """Remove the record, because the file was replaced or a complete check found nothing wrong."""
    if has_lost_wal(path):
        beside(path, "-shm").unlink(missing_ok=True)
    _record(path).unlink(missing_ok=True)


def _record(path: Path) -> Path:
    return beside(path, ".damaged")


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a file that SQLite or Slotlab keeps beside the database, even behind a link."""
    real = path.resolve()
    return real.with_name(real.name + suffix)


# Checks


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Return whether an error of SQLite means that the file is damaged, by its code and never by its text."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # only a text that is not UTF-8 raises an OperationalError without a code
        return isinstance(error, sqlite3.OperationalError)
    return code == IOERR_CORRUPTFS or code & PRIMARY in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def quick_problem(connection: sqlite3.Connection, seconds: float) -> str | None:
    """Check every table but `images` for at most `seconds`. Return the first problem.

    `images` holds nearly all of the bytes. The rest takes 0.05 s for 10,000 samples, 0.4 s for 100,000 and 3.4 s for a
    million, where `samples` takes 3.2 s. (Two cores, file in memory.)
    """
    end = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > end, PROGRESS_STEPS)
    try:
        # The largest last, so that an interrupted check has covered the others.
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'images' ORDER BY name = 'samples'"
        for (table,) in connection.execute(tables).fetchall():
            for problem in _problems(connection, f"PRAGMA quick_check('{table}')"):
                return f"table {table}: {problem}"
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_INTERRUPT:
            raise
    finally:
        connection.set_progress_handler(None, 0)
    return None


def whole_problem(connection: sqlite3.Connection) -> str | None:
    """Check the whole file, at the speed of the disk. Return the first problem."""
    return next(_problems(connection, "PRAGMA quick_check"), None)


def _problems(connection: sqlite3.Connection, pragma: str) -> Iterator[str]:
    try:
        for (text,) in connection.execute(pragma):
            if text != "ok":
                yield text.splitlines()[-1]  # the first line only names the database
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        yield str(error)


def has_lost_wal(path: Path) -> bool:
    """Return whether the -wal of a database was deleted while a process used it or after one was killed.

    SQLite creates -wal before -shm and deletes it after -shm, so -shm never exists alone.
    """
    shm, wal = beside(path, "-shm"), beside(path, "-wal")
    before = _identity(shm)
    # Another process may close the database between two looks, so the same -shm must be there before and after.
    return before is not None and not wal.exists() and _identity(shm) == before


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_ctime_ns


# A lost file


def is_lost(path: Path) -> bool:
    """Return whether a database is missing or empty beside the directories of jobs."""
    # The jobs first, because another process creates the file before the first job.
    return has_jobs(path) and is_missing(path)


def is_missing(path: Path) -> bool:
    """Return whether a file does not exist or is empty."""
    return not path.exists() or (path.is_file() and path.stat().st_size == 0)


def has_jobs(path: Path) -> bool:
    """Return whether there are directories of jobs beside a database."""
    with suppress(OSError), os.scandir(path.parent / "runs") as entries:
        return any(re.match(r"\d+-", entry.name) and entry.is_dir() for entry in entries)
    return False


def lost_sentence(path: Path) -> str:
    """Say that the database beside existing jobs is missing, and name the newest backup."""
    return (
        f"The database {path} is missing or empty, but {path.parent / 'runs'} contains jobs. "
        f"Stop the app, then run `slotlab restore {newest_backup(path)}`, or move `runs` elsewhere to start over."
    )


def newest_backup(path: Path) -> str:
    """Return the path of the newest backup beside a database, or the word BACKUP."""
    backups = sorted(path.parent.glob("backups/*.db"), key=lambda file: file.stat().st_mtime)
    return str(backups[-1]) if backups else "BACKUP"
