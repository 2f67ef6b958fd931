"""A damaged or lost database is found, only read, and never written; each test damages a real file."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from core.errors import StorageError
from core.home import Home
from db import damage
from db.connection import check, connect, opened, write
from db.labels import events_of
from db.projects import insert_project, list_projects
from db.records import Project
from db.samples import image_bytes, select_samples
from tests.helpers.damaging import digests, overwrite_page, start_over
from tests.helpers.repository import ROOT
from tests.helpers.runs import add_labeled


@pytest.fixture
def path(db: Database, home: Home, project: Project) -> Path:
    """Return the path of a closed database with labeled samples, which no process has checked."""
    add_labeled(db, project, train=[f"{number:06}" for number in range(60)])
    db.conn.close()
    start_over()
    return home.db


def insert_other(path: Path) -> None:
    with opened(path, create=True) as db, write(db):
        insert_project(db, "other", 6, "0123456789")


def expect_refused(path: Path, match: str = "damaged") -> None:
    """Writing fails, also in another process, and changes no byte of the file or its journals."""
    before = digests(path)
    for _ in range(2):
        with pytest.raises(StorageError, match=match):
            insert_other(path)
    done = run_script(INSERT, path)
    assert done.stderr.splitlines()[-1].startswith("core.errors.StorageError")
    assert match in done.stderr
    assert digests(path) == before


INSERT = """
with opened(path, create=True) as db, write(db):
    insert_project(db, "late", 6, "0123456789")
"""


def run_script(script: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in another process."""
    start = """
import os, resource, signal, sys
from pathlib import Path
from db import connection
from db.connection import connect, opened, write
from db.projects import insert_project
path = Path(sys.argv[1])
"""
    return subprocess.run(
        [sys.executable, "-c", start + script, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )


# Kinds of damage


@pytest.mark.parametrize("table", ["labels", "samples", "jobs", "projects", "samples_by_label", "labels_by_operator"])
def test_an_overwritten_page_is_found_at_the_start(path: Path, table: str) -> None:
    """Nothing is written; tables with intact pages can be read."""
    overwrite_page(path, table)

    expect_refused(path)

    found = damage.find(path)
    assert found is not None
    assert found.problem.startswith("table ")
    with opened(path) as db:
        names = "SELECT name FROM sources"
        assert db.execute(names).fetchall() == [("images",)]


def test_the_record_names_the_table_and_is_private(path: Path) -> None:
    """An administrator sees what is lost."""
    overwrite_page(path, "labels")

    connect(path).conn.close()

    assert "table labels: " in path.with_name("slotlab.db.damaged").read_text()
    assert path.with_name("slotlab.db.damaged").stat().st_mode & 0o777 == 0o600


def test_a_damaged_image_is_found_when_it_is_read(path: Path) -> None:
    """The check at the start skips images, which are nearly all of the bytes."""
    overwrite_page(path, "images")
    with opened(path) as db:
        samples = select_samples(db, 1)

    with pytest.raises(StorageError, match="damaged"), opened(path) as db:
        image_bytes(db, [sample.id for sample in samples])

    expect_refused(path)


def test_the_check_of_the_whole_file_finds_a_damaged_image(path: Path) -> None:
    overwrite_page(path, "images")

    check(path)

    assert damage.find(path) is not None
    expect_refused(path)


def test_an_intact_file_has_no_damage(path: Path) -> None:
    check(path)
    insert_other(path)

    assert damage.find(path) is None
    assert not damage.has_lost_wal(path)


def test_a_truncated_file_is_refused(path: Path) -> None:
    """An interrupted copy."""
    os.truncate(path, path.stat().st_size // 2)

    expect_refused(path)


def test_an_overwritten_header_is_refused(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\0" * 100)

    expect_refused(path)


def test_text_that_is_not_utf_8_is_damage(path: Path) -> None:
    """Changed bytes inside a text break no rule of the file."""
    raw = sqlite3.connect(path)
    raw.execute("UPDATE projects SET name = CAST(x'ff' AS TEXT)")
    raw.commit()
    raw.close()

    with pytest.raises(StorageError, match="damaged"), opened(path) as db:
        list_projects(db)

    expect_refused(path)


KILLED = """
db = connect(path)
with write(db):
    insert_project(db, "late", 6, "0123456789")
os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_writer(path: Path) -> None:
    """Leave a -wal with a committed row, as a killed process does."""
    assert run_script(KILLED, path).returncode == -signal.SIGKILL


def test_a_deleted_wal_is_noticed(path: Path) -> None:
    """It held committed labels."""
    kill_writer(path)
    path.with_name("slotlab.db-wal").unlink()

    expect_refused(path)

    with opened(path) as db:
        assert len(list_projects(db)) == 1
    damage.clear(path)
    insert_other(path)


def test_the_wal_of_a_killed_process_stays_as_it_is_on_a_damaged_file(path: Path) -> None:
    """The last connection would otherwise copy it into the file."""
    kill_writer(path)
    wal = path.with_name("slotlab.db-wal").read_bytes()
    copy = path.with_name("copy.db")
    copy.write_bytes(path.read_bytes())
    overwrite_page(copy, "labels")
    path.write_bytes(copy.read_bytes())
    before = path.read_bytes()

    with opened(path) as db:
        assert [project.name for project in list_projects(db)] == ["late", "portal"]
    with pytest.raises(StorageError, match="damaged"):
        insert_other(path)

    assert path.read_bytes() == before
    assert path.with_name("slotlab.db-wal").read_bytes() == wal


# The record


def test_a_connection_opened_before_stops_writing(path: Path) -> None:
    """Another process found the damage meanwhile."""
    with opened(path) as db:
        damage.record(path, "found elsewhere")
        with pytest.raises(StorageError, match=r"Nothing was saved.*found elsewhere"), write(db):
            insert_project(db, "late", 6, "0123456789")

    damage.clear(path)
    with opened(path) as db:
        assert len(list_projects(db)) == 1


def test_the_first_record_stays_until_it_is_cleared(path: Path) -> None:
    """It says when the damage was found."""
    first = damage.record(path, "first")

    assert damage.record(path, "second") == first == damage.find(path)
    damage.clear(path)
    damage.clear(path)
    assert damage.find(path) is None


def test_a_new_database_is_not_damaged_like_a_deleted_one(path: Path) -> None:
    damage.record(path, "table labels")
    path.unlink()

    insert_other(path)

    assert damage.find(path) is None


def test_a_record_that_cannot_be_read_counts(path: Path) -> None:
    path.with_name("slotlab.db.damaged").write_text("{")

    expect_refused(path)


def test_a_damaged_database_of_an_older_version_is_not_migrated(path: Path) -> None:
    """A migration writes, and queries of this version do not know its tables."""
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 5")
    raw.close()
    overwrite_page(path, "labels")

    expect_refused(path, "older Slotlab")


def test_a_restored_file_is_checked_again(path: Path) -> None:
    """It has the same path as the file that was checked."""
    with opened(path):
        pass
    copy = path.with_name("copy.db")
    copy.write_bytes(path.read_bytes())
    overwrite_page(copy, "labels")
    copy.replace(path)

    expect_refused(path)


# A lost file


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["missing", "empty"])
@pytest.mark.parametrize("create", [False, True])
def test_a_lost_database_beside_jobs_is_not_replaced(path: Path, lose: Callable[[Path], None], create: bool) -> None:
    """A new database would hide the loss; the newest backup is named."""
    home = Home(path.parent)
    home.run("0001-fast").mkdir()
    for day in (1, 2):
        (home.backups / f"slotlab-{day}.db").touch()
        os.utime(home.backups / f"slotlab-{day}.db", (day, day))
    lose(path)

    with pytest.raises(StorageError, match=r"missing or empty.*slotlab restore .*slotlab-2\.db"):
        connect(path, create=create)

    assert not path.exists() or path.stat().st_size == 0


def test_other_entries_of_runs_are_not_jobs(tmp_path: Path) -> None:
    home = Home(tmp_path / "new").create()
    (home.runs / "1st-try-backup").mkdir()
    (home.runs / "cpu.lock").touch()

    insert_other(home.db)


# Faults that are not damage


def test_a_locked_database_is_called_locked(path: Path) -> None:
    """Opening waits for the lock of a program that holds the whole file."""
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    done = run_script("connection.BUSY_SECONDS = 0.1; connect(path)", path)
    holder.close()

    assert "is locked by another process. Try again." in done.stderr
    assert damage.find(path) is None


FULL = """
with opened(path) as db:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with write(db):
        db.execute("UPDATE images SET bytes = zeroblob(100000)")
"""


def test_a_file_that_cannot_grow_is_not_damaged(path: Path) -> None:
    """A quota; the labels before stay."""
    done = run_script(FULL, path)

    assert "StorageError: Nothing was saved. The disk" in done.stderr
    assert damage.find(path) is None
    with opened(path) as db:
        assert len(events_of(db, 1)) == 1
    insert_other(path)
