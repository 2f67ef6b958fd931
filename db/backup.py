"""Verified copies of a database. Each is one file that opens alone.

A copy holds one read snapshot from its first page to its last. In WAL mode nobody waits for it. In the fallback mode
TRUNCATE, writers wait until the copy is made. After BUSY_SECONDS a save is refused, and the browser repeats it.
A copy in steps would not do: it starts over whenever another process writes (https://sqlite.org/backup.html).
"""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import StorageError
from db import damage
from db.connection import APPLICATION_ID, BUSY_SECONDS, cannot_share, close, read_only
from db.integrity import problems
from db.migrations import SCHEMA_VERSION
from db.sqlite import Database, sqlite3

FOLDER = "backups"
"""Folder of the backups, beside the database."""
SYNC_SECONDS = 0.5
"""A copy is flushed this often. Otherwise gigabytes wait in memory, and the next saved label waits behind them."""
CACHE_KIB, MMAP_BYTES = 256 * 1024, 1 << 40


class NameTakenError(StorageError):
    """Another backup has this name."""


@dataclass(frozen=True)
class Contents:
    """The contents of a verified database file."""

    schema: int
    bytes: int
    samples: int
    labels: int
    """Samples that have a label."""

    @property
    def is_current(self) -> bool:
        return self.schema == SCHEMA_VERSION


def copy(source: Path, target: Path, part: Path, *, mode: str | None = None) -> Contents:
    """Copy a database into the new file `part`, verify it, and only then rename it to `target`. Returns its contents.

    A kill leaves at most `part`, which the next copy replaces: only one process at a time may copy to it. `mode` is how
    the source is opened: ro for a file that must not change, by default `mode_of(source)`.
    Raises StorageError if the source is not an intact Slotlab database, or the target exists or cannot be written.
    """
    if target.exists():
        raise NameTakenError(f"{target} already exists. Try again.")
    try:
        remove_part(part)
        _check_room(source, target.parent)
        number = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with _flushed(number):
                _copy_pages(source, part, mode or mode_of(source))
            contents = verify(part, f"The copy of {source}")
            os.fsync(number)
        finally:
            os.close(number)
        _publish(part, target)
        sync_folder(target.parent)
    except OSError as error:
        raise StorageError(f"No backup could be written to {target.parent} ({error.strerror or error}).") from error
    finally:
        with suppress(OSError):
            remove_part(part)
    return contents


def _publish(part: Path, target: Path) -> None:
    """Rename a file, but never over another one, as `Path.rename` does. Raises NameTakenError."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise NameTakenError(f"{target} already exists. Try again.") from None
    except OSError:  # a file system without links
        part.rename(target)


def remove_part(part: Path) -> None:
    """Delete an unfinished copy, with its journal."""
    for path in (part, *(part.with_name(part.name + suffix) for suffix in ("-journal", "-wal", "-shm"))):
        path.unlink(missing_ok=True)


def _check_room(source: Path, folder: Path) -> None:
    """Raise StorageError if the copy would fill the disk, on which people may be saving labels."""
    if not source.is_file():
        raise StorageError(f"There is no database at {source}.")
    size, free = size_of(source), shutil.disk_usage(folder).free
    if size > free:
        raise StorageError(
            f"A backup takes {size / 1e6:,.1f} MB and {folder} has {free / 1e6:,.1f} MB free. Free some space."
        )


def mode_of(database: Path) -> str:
    """Return how to open a database in use: rw, so that the last one who closes it empties its WAL; ro if damaged.

    On a full or read-only disk it is read without the -shm that WAL needs.
    """
    if cannot_share(database):
        return read_only(database)
    return "ro" if damage.find(database) else "rw"


def size_of(database: Path) -> int:
    """Return the bytes that a copy takes at most. New pages may still be in the WAL only."""
    return sum(path.stat().st_size for path in (database, Path(f"{database}-wal")) if path.exists())


@contextmanager
def _flushed(number: int) -> Iterator[None]:
    """Write the pages of a growing file to the disk every SYNC_SECONDS."""
    done = threading.Event()

    def flush() -> None:
        while not done.wait(SYNC_SECONDS):
            with suppress(OSError):  # the last fsync reports it
                os.fdatasync(number)

    thread = threading.Thread(target=flush, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _copy_pages(source: Path, part: Path, mode: str) -> None:
    with _opened(source, f"mode={mode}") as db:
        _identify(db, source)
        assert db.conn is not None
        with _opened(part, "mode=rw") as copied:
            for pragma in ("synchronous = OFF", "journal_mode = OFF"):  # a kill leaves a file without a name anyway
                copied.execute(f"PRAGMA {pragma}").fetchall()
            try:
                db.conn.backup(copied.conn, pages=-1)
                # A WAL database says so in its first page. Such a file would need two more beside it.
                copied.execute("PRAGMA journal_mode = DELETE").fetchall()
            except sqlite3.DatabaseError as error:
                raise StorageError(f"{source} could not be copied to {part.parent} ({error}).") from error


def verify(path: Path, name: str) -> Contents:
    """Return the contents of a database file that nobody writes.

    Raises StorageError if it is damaged, of another program or of a newer Slotlab; `name` begins the sentence.
    """
    with opened_alone(path) as db:
        schema = _identify(db, path)
        found = problems(db)
        if found:
            raise StorageError(f"{name} is not intact. {' '.join(found[:3])}")
        samples, labels = db.execute("SELECT count(*), count(label) FROM samples").fetchone() if schema else (0, 0)
    return Contents(schema, path.stat().st_size, samples, labels)


def _identify(db: Database, path: Path) -> int:
    """Return the schema of a Slotlab database. Raises StorageError for any other file."""
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise StorageError(f"{path} is not a Slotlab database.")
    schema = int(db.execute("PRAGMA user_version").fetchone()[0])
    if schema > SCHEMA_VERSION:
        raise StorageError(
            f"{path} was written by a newer Slotlab (schema {schema}, this one knows {SCHEMA_VERSION}). "
            "Install the newer Slotlab to use it."
        )
    return schema


@contextmanager
def opened_alone(path: Path) -> Iterator[Database]:
    """Open a database file that nobody writes, such as a backup, without creating files beside it."""
    with _opened(path, "mode=ro&immutable=1") as db:
        # The file is private, so nobody can truncate it under the memory map.
        for pragma in (f"mmap_size = {MMAP_BYTES}", f"cache_size = -{CACHE_KIB}"):
            db.execute(f"PRAGMA {pragma}").fetchall()
        yield db


@contextmanager
def opened_live(path: Path) -> Iterator[Database]:
    """Open the database in use for reading, without a migration. Raises StorageError."""
    with _opened(path, f"mode={mode_of(path)}") as db:
        _identify(db, path)
        for pragma in (f"cache_size = -{CACHE_KIB}", "query_only = ON"):
            db.execute(f"PRAGMA {pragma}").fetchall()
        yield db


def is_current(db: Database) -> bool:
    """Return whether the database has the schema of this version."""
    return bool(db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION)


@contextmanager
def _opened(path: Path, query: str) -> Iterator[Database]:
    """Open a file as it is: no migration, no change of its journal mode. SQLite's errors become StorageError."""
    db = None
    try:
        uri = f"{path.resolve().as_uri()}?{query}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
        db = Database(connection, execute_plugins=False)
        db.execute("PRAGMA trusted_schema = OFF")
        yield db
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB:
            raise StorageError(f"{path} is not a Slotlab database.") from error
        raise StorageError(f"{path} could not be read ({error}).") from error
    finally:
        if db is not None:
            close(db, path)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def stamp(time: datetime | None = None) -> str:
    """Return a time for a file name, such as 20261128T235959Z. Default: now."""
    return f"{time or datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def copy_before_migration(database: Path, schema: int) -> Path:
    """Back up a database whose schema is about to change. Raises StorageError."""
    folder = database.parent / FOLDER
    part = folder / f".schema-{schema}.part"  # the caller's write transaction keeps other processes away
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        while (target := folder / f"slotlab-{stamp()}-schema-{schema}.db").exists():
            time.sleep(0.1)  # an update was killed in this second
        copy(database, target, part)
    except (OSError, StorageError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StorageError(f"The database was not updated, because it could not be backed up. {reason}") from error
    return target


def label_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield each sample of a backup that has a label or a skip, with the owner and authorization of its source."""
    sql = """
        SELECT projects.name AS project, samples.name, label, split, sha256, state, flag, kind, operator, labeled_at,
         sources.name AS source, owner, authorization
        FROM samples JOIN projects ON projects.id = samples.project_id JOIN sources ON sources.id = source_id
        WHERE state <> 'unlabeled' ORDER BY samples.id
    """
    with opened_alone(path) as db:
        yield from db.query(sql)


def job_ids(path: Path) -> set[str]:
    """Return the ids of the jobs that a backup lists."""
    with opened_alone(path) as db:
        return {job_id for (job_id,) in db.execute("SELECT id FROM jobs").fetchall()} if db["jobs"].exists() else set()
