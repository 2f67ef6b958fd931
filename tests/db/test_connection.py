"""The rules of db.connection, each with the loss it prevents."""

import hashlib
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from bench.reliability.verdict import damage, lost
from bench.reliability.writers import Writer
from core.errors import StorageError
from core.home import Home
from db import connection
from db.connection import APPLICATION_ID, connect, file_system, journal_mode, opened, write
from db.labels import append_event, events_of
from db.migrations import SCHEMA_VERSION
from db.projects import find_project, insert_project, insert_source, list_projects
from db.records import Project
from db.samples import get_sample
from tests.db.conftest import AddSample
from tests.helpers.repository import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a path for a new database."""
    return tmp_path / "slotlab.db"


@pytest.fixture
def made(path: Path) -> Path:
    """Return the path of a database with one project."""
    with opened(path, create=True) as db, write(db):
        insert_project(db, "portal", 6, "0123456789")
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names(path: Path) -> list[str]:
    with opened(path) as db:
        return [project.name for project in list_projects(db)]


# Opening a file


def test_a_missing_file_is_refused_and_not_made(path: Path) -> None:
    """SQLite would create an empty database, and all labels would seem lost."""
    with pytest.raises(StorageError, match="no database at"):
        connect(path)

    assert not path.exists()


def test_an_empty_file_is_refused_unless_one_is_to_be_made(path: Path) -> None:
    """An interrupted copy leaves an empty file; using it as a new database would hide the loss."""
    path.touch()

    with pytest.raises(StorageError, match="is empty"):
        connect(path)

    assert path.stat().st_size == 0
    with opened(path, create=True) as db:
        assert list_projects(db) == []


def test_a_file_that_is_not_a_database_is_refused(path: Path) -> None:
    """Its bytes stay unchanged."""
    path.write_bytes(b"filename,label\n" * 100)
    before = digest(path)

    with pytest.raises(StorageError, match="file is not a database"):
        connect(path)
    with pytest.raises(StorageError, match="file is not a database"):
        connect(path, create=True)

    assert digest(path) == before


def test_a_database_of_another_program_is_refused(path: Path) -> None:
    """Neither its journal mode nor its tables change."""
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE notes (text TEXT)")
    other.commit()
    other.close()
    before = digest(path)

    with pytest.raises(StorageError, match="another program"):
        connect(path, create=True)

    assert digest(path) == before


def test_a_database_of_a_newer_slotlab_is_refused_unchanged(made: Path) -> None:
    """An older program would lose what it does not know."""
    newer = sqlite3.connect(made)
    newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    newer.close()
    before = digest(made)

    with pytest.raises(StorageError, match=f"schema {SCHEMA_VERSION + 1}, this one knows {SCHEMA_VERSION}"):
        connect(made)

    assert digest(made) == before


@pytest.mark.parametrize("create", [False, True])
def test_a_folder_in_its_place_is_refused(path: Path, create: bool) -> None:
    """The error is one sentence with the path."""
    path.mkdir()

    with pytest.raises(StorageError, match=r"slotlab\.db"):
        connect(path, create=create)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """Only core.home creates folders, with the right mode."""
    with pytest.raises(StorageError, match="No such file or directory"):
        connect(tmp_path / "nowhere" / "slotlab.db", create=True)


def test_any_path_can_hold_a_database(tmp_path: Path) -> None:
    """The path goes into a URI, where ?, # and % mean something."""
    folder = tmp_path / "a?mode=ro#b%20c ü"
    folder.mkdir()

    with opened(folder / "slotlab.db", create=True) as db, write(db):
        insert_project(db, "portal", 6, "0123456789")

    assert names(folder / "slotlab.db") == ["portal"]


def test_damage_is_reported_as_such(made: Path) -> None:
    """Damage after the header must give a sentence too, not a traceback."""
    size = made.stat().st_size
    with made.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))

    with pytest.raises(StorageError, match=r"database is damaged"), opened(made) as db:
        list_projects(db)


def test_our_own_mistakes_are_not_reported_as_damage(made: Path) -> None:
    """A violated constraint must show its traceback."""
    with pytest.raises(sqlite3.IntegrityError), opened(made) as db, write(db):
        insert_project(db, "portal", 6, "0123456789")


def test_what_belongs_to_something_deleted_is_refused(made: Path) -> None:
    """Another window can delete a project between the drawing of a page and its button."""
    with (
        opened(made) as db,
        pytest.raises(StorageError, match=r"^Nothing was saved\. What it belongs to has been deleted since\.$"),
        write(db),
    ):
        insert_source(db, 99, "june", "the team", "ticket 1")


# Connection settings


def test_only_the_owner_may_read_the_file(path: Path) -> None:
    """The file holds the portal's images, so it is private even with a permissive umask."""
    before = os.umask(0)
    try:
        with opened(path, create=True):
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(before)

    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize(
    ("version", "mode"),
    [
        ((3, 7, 0), "TRUNCATE"),
        ((3, 40, 1), "TRUNCATE"),
        ((3, 51, 2), "TRUNCATE"),
        ((3, 51, 3), "WAL"),
        ((3, 54, 0), "WAL"),
        ((4, 0, 0), "WAL"),
    ],
)
def test_the_journal_follows_the_version_of_sqlite(version: tuple[int, ...], mode: str) -> None:
    """Before 3.51.3 two connections can corrupt a WAL file."""
    assert journal_mode(version, "ext4") == mode


@pytest.mark.parametrize(("kind", "mode"), [("nfs4", "TRUNCATE"), ("cifs", "TRUNCATE"), ("xfs", "WAL"), (None, "WAL")])
def test_wal_stays_on_local_file_systems(kind: str | None, mode: str) -> None:
    """The machines of a network file system do not share the memory that WAL needs."""
    assert journal_mode((3, 53, 4), kind) == mode


def test_the_file_system_is_that_of_the_innermost_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share = tmp_path / "team share"
    share.mkdir()
    mounts = tmp_path / "mounts"
    escaped = str(share).replace(" ", r"\040")
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/x {escaped} nfs4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n")
    monkeypatch.setattr(connection, "MOUNTS", mounts)

    assert [file_system(path) for path in (tmp_path / "a.db", share / "a.db")] == ["ext4", "nfs4"]
    monkeypatch.setattr(connection, "MOUNTS", tmp_path / "missing")
    assert file_system(share) is None


def test_a_connection_is_strict_and_durable(db: Database, tmp_path: Path) -> None:
    """SQLite's defaults check no foreign keys and wait too briefly for locks."""
    pragmas = ("journal_mode", "synchronous", "foreign_keys", "trusted_schema", "recursive_triggers", "busy_timeout")
    values = [db.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]

    assert values == [journal_mode(sqlite3.sqlite_version_info, file_system(tmp_path)).lower(), 2, 1, 0, 1, 30_000]
    assert db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    assert db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION


def test_a_connection_belongs_to_its_thread(db: Database) -> None:
    """A rollback in one thread would undo a confirmed save of another thread."""
    errors: list[BaseException] = []

    def read() -> None:
        try:
            list_projects(db)
        except sqlite3.ProgrammingError as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()

    assert len(errors) == 1


def test_opening_again_changes_no_byte(made: Path) -> None:
    """Reading a database writes nothing."""
    before = digest(made)

    assert names(made) == ["portal"]
    assert digest(made) == before


# Writing


def test_written_rows_are_there_after_closing(path: Path) -> None:
    """An implicit transaction left open would lose its rows on close, without an error."""
    with opened(path, create=True) as db:
        with write(db):
            insert_project(db, "first", 6, "0123456789")
        with write(db):
            insert_project(db, "second", 6, "0123456789")
        assert not db.conn.in_transaction

    assert names(path) == ["first", "second"]


class Stop(BaseException):
    """Raised like Streamlit's stop of a script."""


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt, SystemExit, ValueError])
def test_a_write_that_is_interrupted_leaves_nothing(made: Path, error: type[BaseException]) -> None:
    """The connection can be used again afterwards."""

    def insert_half(db: Database) -> None:
        with write(db):
            insert_project(db, "half", 6, "0123456789")
            raise error

    with opened(made) as db:
        with pytest.raises(error):
            insert_half(db)
        with write(db):
            insert_project(db, "whole", 6, "0123456789")

    assert names(made) == ["portal", "whole"]


def test_opening_a_file_without_wal_waits_for_another_writer(made: Path) -> None:
    """A copy or a restored file has no WAL. SQLite refuses the change of mode at once, without its own waiting."""
    writer = sqlite3.connect(made, isolation_level=None, check_same_thread=False)
    writer.execute("PRAGMA journal_mode = DELETE")
    writer.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, writer.execute, ["COMMIT"])
    release.start()

    assert names(made) == ["portal"]

    release.join()
    writer.close()


def test_reading_and_then_writing_waits_for_another_writer(made: Path) -> None:
    """A deferred transaction would fail here at once, whatever its timeout."""
    holding, release = threading.Event(), threading.Event()

    def hold() -> None:
        with opened(made) as db, write(db):
            insert_project(db, "first", 6, "0123456789")
            holding.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(10)
    threading.Timer(0.3, release.set).start()
    with opened(made) as db, write(db):
        assert find_project(db, "first") is not None  # a read under the lock sees the earlier write
        insert_project(db, "second", 6, "0123456789")
    thread.join()

    assert names(made) == ["first", "portal", "second"]


def forked(work: str, children: int, path: Path) -> subprocess.CompletedProcess[str]:
    """Run `work` in several processes at once, forked from one interpreter, whose start takes half a second."""
    script = f"""
import os, sys
from pathlib import Path
from db.connection import opened, write
from db.projects import insert_project

def work(path, name):
{textwrap.indent(work, "    ")}

def start(name):
    if child := os.fork():
        return child
    try:
        work(Path(sys.argv[1]), str(name))
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
    os._exit(0)

children = [start(child) for child in range({children})]
for child in children:
    os.waitpid(child, 0)
"""
    command = [sys.executable, "-c", script, str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=True)


COUNT = """
for _ in range(25):
    with opened(path) as db, write(db):
        (count,) = db.execute("SELECT length(charset) FROM projects").fetchone()
        db.execute("UPDATE projects SET charset = charset || 'x' WHERE length(charset) = ?", [count])
"""


def test_processes_that_read_and_write_lose_no_update(made: Path) -> None:
    """Each of fifty steps builds on the one before, in either process."""
    done = forked(COUNT, 2, made)

    assert done.stderr == ""
    with opened(made) as db:
        assert len(list_projects(db)[0].charset) == 60


MAKE = """
with opened(path, create=True) as db, write(db):
    insert_project(db, name, 6, "0123456789")
"""


def test_processes_may_make_the_database_at_the_same_time(path: Path) -> None:
    """All others wait for the schema of the first and use the same file."""
    done = forked(MAKE, 4, path)

    assert done.stderr == ""
    assert names(path) == ["0", "1", "2", "3"]


def test_a_full_disk_saves_nothing_and_says_so(db: Database, project: Project, add_sample: AddSample) -> None:
    """The earlier label stays, the file is intact, and reading still works."""
    sample = add_sample(1)
    append = {"operator": "Ann", "action": "label", "state": "labeled", "text": "123456"}
    with write(db):
        append_event(db, sample, event_id="saved", base_version=0, **append)
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")

    def overfill() -> None:
        with write(db):
            append_event(db, sample, event_id="lost", base_version=1, **(append | {"text": "654321"}))
            db.execute("UPDATE images SET bytes = ?", [b"x" * 1_000_000])

    with pytest.raises(StorageError, match=r"Nothing was saved.*full"):
        overfill()

    assert not db.conn.in_transaction
    assert get_sample(db, sample.id).label == "123456"
    assert [event.event_id for event in events_of(db, sample.id)] == ["saved"]
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    db.execute(f"PRAGMA max_page_count = {pages + 1000}")
    with write(db):
        append_event(db, sample, event_id="later", base_version=1, **(append | {"text": "654321"}))
    assert get_sample(db, sample.id).label == "654321"


def test_a_lock_that_is_never_released_is_reported(made: Path) -> None:
    """After the timeout the error says that nothing was saved."""
    with opened(made) as holder, opened(made) as db:
        db.execute("PRAGMA busy_timeout = 50")
        with write(holder), pytest.raises(StorageError, match=r"Nothing was saved.*locked"), write(db):
            insert_project(db, "late", 6, "0123456789")
        with write(db):
            insert_project(db, "early", 6, "0123456789")

    assert names(made) == ["early", "portal"]


def test_no_acknowledged_label_is_lost_when_writers_are_killed(
    db: Database, home: Home, project: Project, add_sample: AddSample, tmp_path: Path
) -> None:
    """Two writers at full speed are killed together after a different number of acknowledgments in each round."""
    sample = add_sample(1)
    writers = [Writer(home.db, project.name, name, tmp_path) for name in ("Ann", "Ben")]

    for labels in (1, 9, 4):
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.wait_for(labels)
        for writer in writers:
            writer.kill()

    assert [writer.errors.read_text() for writer in writers] == ["", ""]
    acknowledged = [each for writer in writers for each in writer.acknowledgments()]
    assert len(acknowledged) >= 2 * (1 + 9 + 4)
    assert lost(db, acknowledged) == []
    stored = events_of(db, sample.id)
    assert {each.event for each in acknowledged} <= {event.event_id for event in stored}
    assert list(damage(db)) == []
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    versions = [event.version for event in stored if event.version is not None]
    assert versions == list(range(1, len(versions) + 1))
    assert get_sample(db, sample.id).version == len(versions)
