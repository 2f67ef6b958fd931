"""Database connections. No other module opens the database.

Each rule prevents a data loss that tests/db/test_connection.py reproduces:

* Use one short-lived connection per operation and thread. Never share a connection between threads.
* Write inside `write(db)`. It uses BEGIN IMMEDIATE, because a deferred transaction that reads and then writes fails at
  once with SQLITE_BUSY_SNAPSHOT, whatever the timeout.
* A missing file is an error unless `create=True`. SQLite would silently create an empty database.
* WAL needs SQLite 3.51.3. Earlier versions can corrupt a WAL file with two writing connections
  (https://sqlite.org/releaselog/3_51_3.html), so they get the rollback journal in TRUNCATE mode. So do network file
  systems, whose machines do not share the memory that WAL needs (https://sqlite.org/wal.html).
* Import sqlite3 from sqlite_utils. It prefers pysqlite3, which brings a recent SQLite. Two libraries that open one file
  in one process drop each other's locks (https://sqlite.org/howtocorrupt.html).
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database
from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]

from core.errors import StorageError
from db.migrations import MIGRATIONS, SCHEMA_VERSION

APPLICATION_ID = 0x534C4F54
"""ASCII "SLOT", in the header of every Slotlab database."""
BUSY_SECONDS = 30.0
WAL_SAFE_SINCE = (3, 51, 3)
MOUNTS = Path("/proc/self/mounts")
LOCAL_FILE_SYSTEMS = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "tmpfs", "ramfs", "overlay")
)
"""File systems of Linux whose files only one machine opens."""


def connect(path: Path, *, create: bool = False) -> Database:
    """Open the database and migrate its schema. Close it after the operation.

    Raises StorageError if the file is missing (unless `create`), is not a Slotlab database, is damaged, or was written
    by a newer Slotlab.
    """
    if not create and not path.exists():
        raise StorageError(f"There is no database at {path}; import images first, or set SLOTLAB_HOME.")
    if create:  # SQLite would create it readable by everyone, with the portal's images
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise StorageError(f"The database {path} cannot be created ({error.strerror}).") from error
    uri = f"{path.resolve().as_uri()}?mode=rw"
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
    except sqlite3.OperationalError as error:
        raise StorageError(f"The database {path} cannot be opened ({error}).") from error
    try:
        return _prepare(connection, path, create=create)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise StorageError(f"{path} cannot be read as a Slotlab database ({error}).") from error
    except BaseException:
        connection.close()
        raise


def _prepare(connection: sqlite3.Connection, path: Path, *, create: bool) -> Database:
    # The order matters: another process may commit the tables and the id between the two queries.
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    if application_id != APPLICATION_ID and tables:
        raise StorageError(f"{path} is a database of another program.")
    if not tables and not create:  # an interrupted copy leaves this; a new database would hide the loss
        raise StorageError(f"{path} is empty; restore a copy of your database, or delete the file and import images.")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"{path} was written by a newer Slotlab (schema {version}, this one knows {SCHEMA_VERSION}) "
            "and was not changed. Install the newer Slotlab to use it."
        )
    for pragma in (
        f"journal_mode = {journal_mode(sqlite3.sqlite_version_info, file_system(path))}",
        "synchronous = FULL",
        "trusted_schema = OFF",
        "recursive_triggers = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    db = Database(connection, execute_plugins=False)
    if version < SCHEMA_VERSION:
        _migrate(db)
    connection.execute("PRAGMA foreign_keys = ON")
    return db


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
        (path,) = [file for _, name, file in db.execute("PRAGMA database_list") if name == "main"]
        copy_before_migration(Path(path), schema)


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
    kind, longest = None, -1
    for line in mounts.splitlines():
        _, point, found, *_ = line.split(" ")
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), point)  # a space is written as \040
        # Later lines cover earlier ones at the same point.
        if len(point) >= longest and path.resolve().is_relative_to(point):
            kind, longest = found, len(point)
    return kind


@contextmanager
def opened(path: Path, *, create: bool = False) -> Iterator[Database]:
    """Open the database for a with-block. A damaged or locked file raises StorageError inside the block too."""
    db = connect(path, create=create)
    try:
        yield db
    except sqlite3.DatabaseError as error:
        if type(error) not in (sqlite3.DatabaseError, sqlite3.OperationalError):
            raise  # a violated constraint is a bug, not a damaged file
        raise StorageError(f"The database {path} could not be read ({error}).") from error
    finally:
        db.conn.close()


@contextmanager
def write(db: Database) -> Iterator[Database]:
    """Run a write transaction. Keep it short: no decoding, no files, no st.* calls inside.

    Rolls back on any BaseException, such as Streamlit stopping a script. Raises StorageError if the disk is full, the
    file is read-only, or another writer holds the lock for longer than BUSY_SECONDS.
    """
    try:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            db.rollback()
            raise
        db.execute("COMMIT")
    except sqlite3.OperationalError as error:
        db.rollback()
        raise StorageError(f"The database could not be written ({error}); nothing was saved.") from error
