"""Restore of a backup: what comes back, what is moved aside, and when it is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from core.backup.backups import back_up
from core.backup.restore import _unused, in_use, restore
from core.errors import JobError, OptionError, StorageError
from core.home import Home
from core.jobs.jobdir import JobDir
from db.connection import opened
from db.records import Project
from tests.helpers.contents import contents
from tests.helpers.labs import add_images, label
from tests.helpers.old_database import make_old
from tests.helpers.repository import ROOT
from tests.helpers.waiting import wait_until


@pytest.fixture
def backup(home: Home, db: Database, project: Project) -> Path:
    """A backup of one labeled image. A second label follows, which the backup does not have."""
    first, second = add_images(db, project, 2)
    label(db, project, first, 1)
    made = Path(back_up(home).path)
    label(db, project, second, 2)
    return made


def labels(path: Path) -> list[str]:
    with opened(path) as db:
        return [label for (label,) in db.execute("SELECT label FROM samples WHERE label IS NOT NULL ORDER BY id")]


def test_a_backup_is_restored_and_the_former_database_is_kept(home: Home, db: Database, backup: Path) -> None:
    """A label that is only in its WAL is kept too."""
    result = restore(home, backup)

    assert labels(home.db) == ["000001"]
    assert result.replaced is not None
    assert labels(Path(result.replaced)) == ["000001", "000002"]
    assert result.sentence() == (f"Restored {backup}: 2 images, 1 label. The former database is now {result.replaced}.")


def test_two_restores_in_one_second_keep_both_former_databases(home: Home, db: Database, backup: Path) -> None:
    """The clock may also have been set back to that second."""
    first, second = restore(home, backup).replaced, restore(home, backup).replaced
    third = restore(home, backup).replaced

    assert None not in (first, second, third)
    assert labels(Path(first or "")) == ["000001", "000002"]
    assert labels(Path(second or "")) == labels(Path(third or "")) == ["000001"]


def test_a_backup_is_restored_into_a_missing_folder(tmp_path: Path, backup: Path) -> None:
    """The file alone is enough."""
    elsewhere = Home(tmp_path / "new machine" / "lab")

    result = restore(elsewhere, backup)

    assert (result.replaced, result.newer_jobs) == (None, ())
    assert labels(elsewhere.db) == ["000001"]
    assert elsewhere.db.stat().st_mode & 0o777 == 0o600
    with opened(elsewhere.db) as restored, opened(backup) as kept:
        assert contents(restored.conn) == contents(kept.conn)


def test_a_backup_replaces_a_damaged_database(home: Home, db: Database, backup: Path) -> None:
    """The damaged file is kept byte for byte, with the files beside it."""
    db.conn.close()  # type: ignore[union-attr]
    home.db.write_bytes(b"\xff" * 10_000)
    Path(f"{home.db}-wal").write_bytes(b"a WAL that would be applied to the restored file")
    Path(f"{home.db}.damaged").write_text("{}")

    result = restore(home, backup)

    assert labels(home.db) == ["000001"]
    assert result.replaced is not None
    assert Path(result.replaced).read_bytes() == b"\xff" * 10_000
    assert Path(f"{result.replaced}-wal").exists()
    assert not Path(f"{home.db}.damaged").exists()


@pytest.mark.parametrize("damage", ["tampered", "truncated", "other"])
def test_a_file_that_is_not_intact_changes_nothing(home: Home, db: Database, backup: Path, damage: str) -> None:
    if damage == "tampered":
        raw = sqlite3.connect(backup)
        raw.execute("DROP TRIGGER labels_are_never_deleted")
        raw.execute("DELETE FROM labels")
        raw.commit()
        raw.close()
    else:
        data = backup.read_bytes()
        backup.write_bytes(data[: len(data) // 2] if damage == "truncated" else b"notes" * 1000)

    with pytest.raises(StorageError):
        restore(home, backup)

    assert labels(home.db) == ["000001", "000002"]
    assert not list(home.root.glob("*.replaced-*"))
    assert not list(home.root.glob(".slotlab.db.*"))


def test_a_missing_file_is_refused(home: Home) -> None:
    with pytest.raises(OptionError, match="There is no file"):
        restore(home, home.backups / "none.db")


def test_a_backup_of_an_earlier_schema_is_migrated_at_the_next_start(home: Home, tmp_path: Path) -> None:
    make_old(tmp_path / "old.db", 5)

    assert restore(home, tmp_path / "old.db").schema == 5

    with opened(home.db) as db:
        assert db.execute("SELECT name FROM projects").fetchall() == [("portal",)]


def test_jobs_newer_than_the_backup_are_named(home: Home, db: Database, backup: Path) -> None:
    """Their files stay, and their numbers are not used again."""
    job = JobDir(home.run("0007-fast"))
    job.path.mkdir()
    job.write("run.json", {"format": 1})

    result = restore(home, backup)

    assert result.newer_jobs == ("0007-fast",)
    assert "1 job is newer than the backup and not listed in it: 0007-fast." in result.sentence()


def test_a_restore_is_refused_while_the_app_runs(home: Home, db: Database, backup: Path) -> None:
    """An acknowledged label could go to the file that is moved aside. The lock ends with the process."""
    code = "import sys; from pathlib import Path; from core.backup.daily import serve; from core.home import Home;"
    code += "serve(Home(Path(sys.argv[1]))); print('serving', flush=True); input()"
    app = subprocess.Popen(
        [sys.executable, "-c", code, str(home.root)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert app.stdout is not None
    assert app.stdout.readline() == "serving\n"

    with pytest.raises(JobError, match="The app or another command is using"):
        restore(home, backup)

    app.communicate("\n")
    restore(home, backup)


def test_a_restore_is_refused_while_a_job_runs(home: Home, db: Database, backup: Path) -> None:
    """The lock of a job says so, whatever the database says."""
    job = JobDir(home.run("0001-import"))
    job.path.mkdir()
    job.write("run.json", {"format": 1})
    lock = job.take_lock(wait_s=1)
    assert lock is not None

    with pytest.raises(JobError, match="0001-import is running"):
        restore(home, backup)

    os.close(lock)
    restore(home, backup)


def test_a_restore_and_a_command_keep_each_other_out(home: Home, db: Database, backup: Path) -> None:
    """Images that a command imports during the copy would be in the database that is moved aside."""
    command = [sys.executable, "-m", "core.cli", "runs"]
    env = os.environ | {"SLOTLAB_HOME": str(home.root)}
    with _unused(home):
        refused = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "slotlab: A backup is being restored. Try again in a minute.\n"
    with in_use(home), in_use(home), pytest.raises(JobError, match="another command is using"):
        restore(home, backup)
    restore(home, backup)


def test_a_killed_restore_leaves_the_present_database(home: Home, db: Database, backup: Path) -> None:
    """The backup is copied and verified under a hidden name first. The next restore replaces that file."""
    raw = sqlite3.connect(backup)
    raw.execute("CREATE TABLE ballast (bytes BLOB)")
    raw.executemany("INSERT INTO ballast VALUES (randomblob(1000000))", [()] * 60)
    raw.commit()
    raw.close()
    part = home.root / ".slotlab.db.part"
    process = subprocess.Popen(
        [sys.executable, "-m", "core.cli", "restore", str(backup)],
        cwd=ROOT, env=os.environ | {"SLOTLAB_HOME": str(home.root)},
    )  # fmt: skip
    wait_until(lambda: part.exists() and part.stat().st_size > 0)
    process.kill()
    process.wait()

    assert labels(home.db) == ["000001", "000002"]
    restore(home, backup)
    assert labels(home.db) == ["000001"]
    assert not list(home.root.glob(".slotlab.db.*"))
