"""Database connections. No other module opens the database.

Each rule prevents a data loss that tests/db/test_connection.py reproduces:

* Use one short-lived connection per operation, or per drawing of a page. Never share one between threads.
* Write inside `write(db)`. It uses BEGIN IMMEDIATE, because a deferred transaction that reads and then writes fails at
  once with SQLITE_BUSY_SNAPSHOT, whatever the timeout.
* A missing file is an error unless `create=True`. SQLite would silently create an empty database.
* WAL needs SQLite 3.51.3. Earlier versions can corrupt a WAL file with two writing connections
  (https://sqlite.org/releaselog/3_51_3.html), so they get the rollback journal in TRUNCATE mode. So do network file
  systems, whose machines do not share the memory that WAL needs (https://sqlite.org/wal.html).
* Import sqlite3 from db.sqlite. It prefers pysqlite3, which brings a recent SQLite. Two libraries that open one file
  in one process drop each other's locks (https://sqlite.org/howtocorrupt.html).
"""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from core.errors import Cause, StorageError
from db import damage
from db.migrations import MIGRATIONS, SCHEMA_VERSION
from db.sqlite import Database, sqlite3

APPLICATION_ID = 0x534C4F54
"""ASCII "SLOT", in the header of every Slotlab database."""
BUSY_SECONDS = 30.0
BUSY_POLL_SECONDS = 0.02
CHECK_SECONDS = 1.0
"""Limit of the check at the start of a command or worker. It suffices for about 250,000 samples."""
SHM_BYTES = 64 * 1024
"""Free space that opening a WAL database may take: a -shm of 32 KiB and a -wal."""
FULL_SENTENCE = "The disk is full, so the database {path} cannot be written. Free some space."
WAL_SAFE_SINCE = (3, 51, 3)
MOUNTS = Path("/proc/self/mounts")
LOCAL_FILE_SYSTEMS = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "tmpfs", "ramfs", "overlay")
)
"""File systems of Linux whose files only one machine opens."""


def connect(path: Path, *, create: bool = False) -> Database:
    """Open the database and migrate its schema. Close it after the operation.

    A damaged file opens for reading only, and `write` refuses. Raises StorageError if the file is missing (unless
    `create`) or lost, is not a Slotlab database, cannot be read at all, or was written by a newer Slotlab.
    """
    has_jobs = damage.has_jobs(path)  # before the file, because another process creates the file first
    if has_jobs and damage.is_missing(path):
        raise StorageError(damage.lost_sentence(path))
    if create:
        _create(path)
    elif not path.exists():
        raise StorageError(f"There is no database at {path}; import images first, or set SLOTLAB_HOME.")
    if damage.has_lost_wal(path):  # before SQLite creates another
        damage.record(path, damage.LOST_WAL)
    try:
        if cannot_share(path):
            db = _open(path, f"mode={read_only(path)}")
            with _closed_on_error(db, path):
                return _prepare_to_read(db, path)
        if not damage.find(path):
            db = _open(path, "mode=rw")
            with _closed_on_error(db, path):
                _check_owner(db, path, may_be_empty=create and not has_jobs)
                if not _is_damaged(db, path):
                    return _prepare(db, path)
            close(db, path)
        db = _open(path, f"mode={read_only(path)}")
        with _closed_on_error(db, path):
            return _prepare_to_read(db, path)
    except sqlite3.DatabaseError as error:
        raise StorageError(f"{path} cannot be read as a Slotlab database ({error}).") from error


def _create(path: Path) -> None:
    """Create the file. SQLite would create it readable by everyone, with the portal's images."""
    if not path.exists():
        damage.clear(path)  # of a file that was deleted
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StorageError(f"The database {path} cannot be created ({error.strerror}).") from error


def _open(path: Path, query: str) -> Database:
    uri = f"{path.resolve().as_uri()}?{query}"
    with explained(path):
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
    return Database(connection, execute_plugins=False)


def _check_owner(db: Database, path: Path, *, may_be_empty: bool) -> int:
    """Return the version of the schema. Raises StorageError if the file is of another program or a newer Slotlab."""
    # The order matters: another process may commit the tables and the id between the two queries.
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application_id = db.execute("PRAGMA application_id").fetchone()[0]
    if application_id != APPLICATION_ID and tables:
        raise StorageError(f"{path} is a database of another program.")
    if not tables and not may_be_empty:  # an interrupted copy leaves this; a new database would hide the loss
        raise StorageError(f"{path} is empty; restore a copy of your database, or delete the file and import images.")
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"{path} was written by a newer Slotlab (schema {version}, this one knows {SCHEMA_VERSION}) "
            "and was not changed. Install the newer Slotlab to use it."
        )
    return version


def _prepare(db: Database, path: Path) -> Database:
    _set_journal_mode(db, journal_mode(sqlite3.sqlite_version_info, file_system(path)))
    for pragma in ("synchronous = FULL", "trusted_schema = OFF", "recursive_triggers = ON"):
        db.execute(f"PRAGMA {pragma}").fetchall()
    if db.execute("PRAGMA user_version").fetchone()[0] < SCHEMA_VERSION:
        _migrate(db)
    db.execute("PRAGMA foreign_keys = ON")
    return db


def _set_journal_mode(db: Database, mode: str) -> None:
    """Set the mode. SQLite refuses at once while another process does the same, whatever the timeout, so we wait."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute(f"PRAGMA journal_mode = {mode}").fetchall()
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & damage.PRIMARY == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > end:
                raise
            time.sleep(BUSY_POLL_SECONDS)


def _migrate(db: Database) -> None:
    # With the default of 2 MB, rebuilding the table of 200,000 samples and its indexes took 90 s instead of 39 s.
    db.execute("PRAGMA cache_size = -262144")  # in KiB
    # The outer IMMEDIATE transaction serializes processes that start at the same time.
    with write(db):
        _back_up(db)
        MIGRATIONS.apply(db)
        if db.execute("PRAGMA foreign_key_check").fetchone():
            raise StorageError("The database was not updated: some rows refer to missing rows.")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _back_up(db: Database) -> None:
    """Copy a database with an earlier schema. A new one, or one that another process has just migrated, needs none."""
    from db.backup import copy_before_migration  # imports this module

    schema = db.execute("PRAGMA user_version").fetchone()[0]
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and schema < SCHEMA_VERSION:
        copy_before_migration(_path(db), schema)


def journal_mode(version: tuple[int, ...], file_system: str | None) -> str:
    """Return the journal mode for this SQLite and file system. None is a system without /proc, and counts as local."""
    is_local = file_system is None or file_system in LOCAL_FILE_SYSTEMS
    return "WAL" if version >= WAL_SAFE_SINCE and is_local else "TRUNCATE"


def file_system(path: Path) -> str | None:
    """Return the type of the file system that holds `path`, such as ext4 or nfs4; None without /proc."""
    try:
        mounts = MOUNTS.read_text("utf-8", "surrogateescape")
    except OSError:
        return None
    real, kind, longest = f"{path.resolve()}/", None, -1
    for line in mounts.splitlines():
        _, point, found, *_ = line.split(" ")
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), point)  # a space is written as \040
        # Later lines cover earlier ones at the same point.
        if len(point) >= longest and real.startswith(f"{point.rstrip('/')}/"):
            kind, longest = found, len(point)
    return kind


# Damage and other faults

_checked: set[tuple[Path, int]] = set()
"""Files that this process has checked, by path and inode: a restored file has another inode."""


def check(path: Path) -> None:
    """Check the whole file, at the speed of the disk, and record what is wrong."""
    if damage.find(path):
        return
    with opened(path) as db:
        if problem := damage.whole_problem(db.conn):
            damage.record(path, problem)


def _is_damaged(db: Database, path: Path) -> bool:
    """Check the file when this process first opens it. Record what is wrong."""
    file = (path.resolve(), path.stat().st_ino)
    if file in _checked:
        return False
    if problem := damage.quick_problem(db.conn, CHECK_SECONDS):
        damage.record(path, problem)
        return True
    _checked.add(file)
    return False


def read_only(path: Path) -> str:
    """Return the mode in a URI that opens a file for reading only, when it is damaged or its disk is full or read-only.

    Without a journal the file is opened as immutable, or SQLite would create a -wal and a -shm.
    """
    journals = [damage.beside(path, suffix) for suffix in ("-wal", "-journal")]
    return "ro" if not all(map(damage.is_missing, journals)) else "ro&immutable=1"


def cannot_share(path: Path) -> bool:
    """Return whether the disk is full or read-only, so that SQLite cannot create the -shm that WAL needs.

    If there is a complete -shm, another process uses the database, and we can read with it.
    """
    shm = damage.beside(path, "-shm")
    is_writable = os.access(path.parent, os.W_OK)
    return (not is_writable or _is_full(path)) and not (shm.exists() and shm.stat().st_size >= SHM_BYTES // 2)


def _is_full(path: Path) -> bool:
    return shutil.disk_usage(path.parent).free < SHM_BYTES


def _prepare_to_read(db: Database, path: Path) -> Database:
    db.execute("PRAGMA query_only = ON")
    db.execute("PRAGMA trusted_schema = OFF")
    if _check_owner(db, path, may_be_empty=False) < SCHEMA_VERSION:
        if damage.find(path):
            raise StorageError("The database is damaged and of an older Slotlab. Run `slotlab restore BACKUP`.")
        raise StorageError(f"The database {path} is of an older Slotlab, and the disk is full or read-only.")
    return db


def close(db: Database, path: Path) -> None:
    """Close a connection.

    The last writing connection copies the -wal into the file. If the file is damaged, a reader prevents that.
    """
    if not damage.find(path):
        db.conn.close()
        return
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode={read_only(path)}", uri=True)) as reader:
        with suppress(sqlite3.DatabaseError):
            reader.execute("SELECT 1 FROM sqlite_master").fetchone()
        db.conn.close()


@contextmanager
def _closed_on_error(db: Database, path: Path) -> Iterator[None]:
    try:
        with explained(path):
            yield
    except BaseException:
        close(db, path)
        raise


@contextmanager
def explained(path: Path, outcome: str = "") -> Iterator[None]:
    """Raise StorageError for an error of SQLite that a user can fix. Record damage. `outcome` starts its sentence."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if (explanation := _explanation(error, path)) is None:
            raise  # a violated constraint or an invalid query is a bug
        text, cause = explanation
        storage_error = StorageError(outcome + text)
        storage_error.cause = cause
        raise storage_error from error


def _explanation(error: sqlite3.DatabaseError, path: Path) -> tuple[str, Cause | None] | None:
    """Return sentence and cause of an error, by its code and never by its text."""
    if damage.is_damage(error):
        return damage.record(path, str(error)).sentence, None
    match getattr(error, "sqlite_errorcode", 0) & damage.PRIMARY:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return f"The database {path} is locked by another process. Try again.", None
        case sqlite3.SQLITE_FULL:
            return FULL_SENTENCE.format(path=path), "disk_full"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            if _is_full(path):  # so it is open for reading only
                return FULL_SENTENCE.format(path=path), "disk_full"
            return f"The database {path} cannot be written ({error}). Check the permissions of its folder.", None
        case sqlite3.SQLITE_CANTOPEN:
            return f"The database {path} cannot be opened ({error}). Check the permissions of its folder.", None
        case sqlite3.SQLITE_IOERR:
            name = error.sqlite_errorname
            return f"The disk reports an error on the database {path} ({name}). Check the disk and its quota.", None
    return None


# Using the database


@contextmanager
def opened(path: Path, *, create: bool = False) -> Iterator[Database]:
    """Open the database for a with-block. A damaged or locked file raises StorageError inside the block too."""
    db = connect(path, create=create)
    try:
        with explained(path):
            yield db
    finally:
        close(db, path)


@contextmanager
def write(db: Database) -> Iterator[Database]:
    """Run a write transaction. Keep it short: no decoding, no files, no st.* calls inside.

    Rolls back on any BaseException, such as Streamlit stopping a script. Raises StorageError if the file is damaged or
    read-only, the disk is full, or another writer holds the lock for longer than BUSY_SECONDS. So it does if a row
    refers to one that another process has deleted, as foreign keys are checked at the end.
    """
    path = _path(db)
    if found := damage.find(path):
        raise StorageError(f"Nothing was saved. {found.sentence}")
    with explained(path, "Nothing was saved. "):
        try:
            db.execute("BEGIN IMMEDIATE")
            db.execute("PRAGMA defer_foreign_keys = ON")  # pysqlite3 has one code for all constraints
            yield db
            try:
                db.execute("COMMIT")
            except sqlite3.IntegrityError as error:
                raise StorageError("Nothing was saved. What it belongs to has been deleted since.") from error
        except BaseException:
            db.rollback()
            raise


def _path(db: Database) -> Path:
    (path,) = [file for _, name, file in db.execute("PRAGMA database_list") if name == "main"]
    return Path(path)
