"""Copies of a database: a point in time, verified, and complete or absent."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from core.errors import StorageError
from core.home import Home
from db import backup
from db.backup import copy, verify
from db.connection import connect, opened, write
from db.migrations import SCHEMA_VERSION
from db.records import Project
from tests.db.conftest import AddSample
from tests.helpers.labs import add_images, label, ledger_hash
from tests.helpers.old_database import make_old
from tests.helpers.repository import ROOT
from tests.helpers.waiting import wait_until

LABELER = """
import sys
from pathlib import Path
from db.connection import opened
from db.projects import list_projects
from tests.helpers.labs import label
with opened(Path(sys.argv[1])) as db:
    (project,) = list_projects(db)
    (sha256,) = [row[0] for row in db.execute("SELECT sha256 FROM samples LIMIT 1")]
    for number in range(100_000):
        label(db, project, sha256, number, base=number)
        print(number, flush=True)
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fill(db: Database, megabytes: int) -> None:
    """Make the database as large as a copy needs to be to take a moment."""
    db.execute("CREATE TABLE ballast (bytes BLOB)")
    for _ in range(megabytes):
        db.execute("INSERT INTO ballast VALUES (randomblob(1000000))")


def test_a_copy_while_someone_labels_is_one_point_in_time(home: Home, db: Database, project: Project) -> None:
    """Its ledger is the beginning of the ledger, and includes every label acknowledged before the copy began."""
    add_images(db, project, 1)
    fill(db, 20)
    target = home.backups / "copy.db"
    labeler = start(LABELER, home.db)
    assert labeler.stdout is not None
    try:
        acknowledged = [labeler.stdout.readline() for _ in range(5)]
        copy(home.db, target, home.backups / ".part")
        labeler.stdout.readline()  # it still labels
    finally:
        labeler.kill()
        labeler.wait()

    assert [line.strip() for line in acknowledged] == ["0", "1", "2", "3", "4"]
    assert os.listdir(home.backups) == ["copy.db"]  # noqa: PTH208 - names, also hidden ones
    with opened(target) as copied:
        events = copied.execute("SELECT count(*) FROM labels").fetchone()[0]
        assert events >= 5
        assert ledger_hash(copied, events) == ledger_hash(db, events)


def test_a_copy_needs_no_files_beside_it(home: Home, db: Database, project: Project, add_sample: AddSample) -> None:
    """A label that is only in the WAL of the source is in the copy, which is private to its owner."""
    add_sample(1)
    target = home.backups / "copy.db"

    contents = copy(home.db, target, home.backups / ".part")

    assert (contents.schema, contents.samples, contents.labels) == (SCHEMA_VERSION, 1, 0)
    assert target.stat().st_mode & 0o777 == 0o600
    raw = sqlite3.connect(f"{target.as_uri()}?mode=ro", uri=True)
    assert raw.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert raw.execute("SELECT name FROM samples").fetchall() == [("1.png",)]
    raw.close()
    assert [path.name for path in home.backups.iterdir()] == ["copy.db"]


def test_a_killed_copy_has_no_name_and_the_next_one_replaces_it(home: Home, db: Database, project: Project) -> None:
    """The unfinished file is hidden."""
    fill(db, 60)
    target, part = home.backups / "copy.db", home.backups / ".part"
    process = start(
        "import sys; from pathlib import Path; from db.backup import copy; copy(*map(Path, sys.argv[1:]))",
        home.db, target, part,
    )  # fmt: skip
    wait_until(lambda: part.exists() and part.stat().st_size > 0)
    process.send_signal(signal.SIGKILL)
    process.communicate()

    assert not target.exists()
    assert part.exists()
    copy(home.db, target, part)
    assert [path.name for path in home.backups.iterdir()] == ["copy.db"]


def limited(code: str, *arguments: object) -> str:
    """Run code whose files cannot grow beyond two megabytes, like on a full disk. Return what it prints."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))\n"
    process = start(limit + textwrap.dedent(code), *arguments)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def test_a_full_disk_leaves_no_file_and_says_so(home: Home, db: Database, project: Project) -> None:
    """Half a backup would look like one, and take the room of the next label."""
    fill(db, 5)

    printed = limited(
        """
        import sys
        from pathlib import Path
        from core.errors import StorageError
        from db.backup import copy
        home = Path(sys.argv[1])
        try:
            copy(home / "slotlab.db", home / "backups" / "copy.db", home / "backups" / ".part")
        except StorageError as error:
            print(error)
        """,
        home.root,
    )

    assert "could not be copied" in printed
    assert list(home.backups.iterdir()) == []


def test_a_copy_that_would_fill_the_disk_is_refused(
    home: Home, db: Database, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People save labels on the same disk."""
    monkeypatch.setattr(backup.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())

    with pytest.raises(StorageError, match="Free some space"):
        copy(home.db, home.backups / "copy.db", home.backups / ".part")

    assert list(home.backups.iterdir()) == []


def test_a_copy_of_a_damaged_database_gets_no_name(home: Home, db: Database, project: Project) -> None:
    """A page of an index is overwritten, which a plain copy would not notice."""
    add_images(db, project, 200)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'samples_by_state'").fetchone()
    with home.db.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)

    with pytest.raises(StorageError, match="is not intact"):
        copy(home.db, home.backups / "copy.db", home.backups / ".part")

    assert list(home.backups.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"not a database" * 1000, b"SQLite format 3\0" + b"\0" * 5000])
def test_another_file_is_not_a_backup(tmp_path: Path, data: bytes) -> None:
    """The sentence names the file that the user gave."""
    file = tmp_path / "file.db"
    file.write_bytes(data)

    with pytest.raises(StorageError, match=r"file\.db is not a Slotlab database"):
        copy(file, tmp_path / "copy.db", tmp_path / ".part", mode="ro")

    assert [path.name for path in tmp_path.iterdir()] == ["file.db"]


# The ledger


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        ("UPDATE samples SET label = '999999' WHERE id = 1", "differ from the last event"),
        ("UPDATE samples SET kind = 'import' WHERE id = 1", "differ from the last event"),
        ("UPDATE samples SET operator = 'Eve' WHERE id = 1", "differ from the last event"),
        (
            "UPDATE samples SET version = 0, state = 'unlabeled', label = NULL, kind = NULL WHERE id = 1",
            "was not applied",
        ),
        ("UPDATE samples SET state = 'labeled', label = '999999' WHERE id = 2", "without any event"),
        ("DELETE FROM labels WHERE version = 1", "lack events"),
        ("DELETE FROM images WHERE sample_id = 2", "have no image"),
        ("DELETE FROM sources", "refer to missing sources"),
        ("UPDATE tallies SET n = n + 1", "counts of samples are wrong"),
    ],
)
def test_a_tampered_file_is_refused(home: Home, db: Database, project: Project, change: str, claim: str) -> None:
    """SQLite finds nothing wrong with it, but labels no longer follow from their ledger."""
    first, _ = add_images(db, project, 2)
    label(db, project, first, 1)
    label(db, project, first, 2, base=1)
    copy(home.db, home.backups / "copy.db", home.backups / ".part")
    raw = sqlite3.connect(home.backups / "copy.db")
    for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        raw.execute(f"DROP TRIGGER {name}")
    raw.execute(change)
    raw.commit()
    raw.close()

    with pytest.raises(StorageError, match=claim):
        verify(home.backups / "copy.db", "The backup")


# Before a migration


def backups_of(folder: Path) -> list[str]:
    return [path.name.partition("Z")[2] for path in sorted((folder / "backups").iterdir())]


def test_a_migration_is_preceded_by_a_backup(tmp_path: Path) -> None:
    """The backup has the earlier schema. The file that was migrated keeps nothing to go back to."""
    old = tmp_path / "slotlab.db"
    make_old(old, 5)

    connect(old).conn.close()
    connect(old).conn.close()

    assert backups_of(tmp_path) == ["-schema-5.db"]
    (kept,) = (tmp_path / "backups").iterdir()
    assert verify(kept, "The backup").schema == 5


def test_two_processes_that_migrate_make_one_backup(tmp_path: Path) -> None:
    """The second waits for the first and finds the new schema."""
    old = tmp_path / "slotlab.db"
    make_old(old, 5)
    code = "import sys; from pathlib import Path; from db.connection import connect; connect(Path(sys.argv[1]))"

    processes = [start(code, old) for _ in range(3)]

    assert [process.communicate()[1] for process in processes] == [""] * 3
    assert backups_of(tmp_path) == ["-schema-5.db"]


def test_a_new_database_needs_no_backup(home: Home, db: Database) -> None:
    assert list(home.backups.iterdir()) == []


def test_a_full_disk_refuses_the_migration(tmp_path: Path) -> None:
    """Without a way back, the schema stays."""
    old = tmp_path / "slotlab.db"
    make_old(old, 5)
    raw = sqlite3.connect(old)
    raw.execute("INSERT INTO recipes VALUES (1, 1, 'r', 1, hex(randomblob(2000000)), '', 'Ann', 'then')")
    raw.commit()
    raw.close()

    printed = limited(
        """
        import sys
        from pathlib import Path
        from core.errors import StorageError
        from db.connection import connect
        try:
            connect(Path(sys.argv[1]))
        except StorageError as error:
            print(error)
        """,
        old,
    )

    assert printed.startswith("The database was not updated, because it could not be backed up.")
    assert backups_of(tmp_path) == []
    raw = sqlite3.connect(old)
    assert raw.execute("PRAGMA user_version").fetchone() == (5,)
    raw.close()


def test_an_open_write_transaction_does_not_stop_a_copy(home: Home, db: Database, project: Project) -> None:
    """The copy has what was committed before."""
    with write(db):
        db.execute("UPDATE projects SET name = 'renamed'")
        copy(home.db, home.backups / "copy.db", home.backups / ".part")

    with opened(home.backups / "copy.db") as copied:
        assert copied.execute("SELECT name FROM projects").fetchall() == [("portal",)]


def test_an_update_that_was_killed_is_repeated_in_the_same_second(tmp_path: Path) -> None:
    """Its backup has the name that the next one would get."""
    make_old(tmp_path / "slotlab.db", 5)
    time.sleep(1 - time.time() % 1)  # begin with a second

    paths = [backup.copy_before_migration(tmp_path / "slotlab.db", 5) for _ in range(2)]

    assert sorted(paths) == sorted((tmp_path / "backups").iterdir())
