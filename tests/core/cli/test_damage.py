"""The `slotlab` command on a damaged or lost database: one sentence, exit code 1 for writing, and no byte changed."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from sqlite_utils import Database

from core.backup.backups import back_up
from core.home import Home
from core.images.pixels import encode_png
from core.jobs.control import start_job
from core.jobs.jobdir import JobDir
from db import damage
from db.records import Project
from tests.helpers.command_line import Slotlab, command_here
from tests.helpers.damaging import digests, overwrite_page, start_over
from tests.helpers.stand_in import FOREVER
from tests.helpers.waiting import wait_until

DAMAGED = "slotlab: The database is damaged (table "
IMPORT = ["import", "images", "--project", "portal", "--source", "s", "--owner", "o", "--authorization", "a"]


@pytest.fixture
def damaged(tmp_path: Path, trained_home: Home) -> Home:
    """A folder with a finished run, whose table of labels has an overwritten page."""
    home = Home(tmp_path / "home")
    shutil.copytree(trained_home.root, home.root)
    overwrite_page(home.db, "labels")
    return home


@pytest.fixture
def slotlab(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Slotlab:
    """Return the command in this process, which checks each database again as a new process does."""

    def run(home: Home, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        start_over()
        done = command_here(home.root, capsys, monkeypatch, *arguments)
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.mark.parametrize(
    "command",
    [
        ["train", "--project", "portal"],
        [*IMPORT, "--labels", "none"],
        ["evaluate", "1"],
        ["demo", "--no-serve", "--samples", "50"],
    ],
    ids=lambda command: command[0],
)
def test_commands_that_write_are_refused(
    slotlab: Slotlab, damaged: Home, command: list[str], tmp_path: Path
) -> None:  # fmt: skip
    """Writing could destroy what can still be read."""
    before = digests(damaged.db)

    done = slotlab(damaged, *(str(tmp_path) if word == "images" else word for word in command))

    assert done.returncode == 1
    assert done.stderr.count("slotlab restore BACKUP") <= 2
    assert done.stderr.splitlines()[-1].startswith("slotlab: Nothing was saved. The database is damaged (table labels")
    assert digests(damaged.db) == before
    assert [path.name for path in damaged.runs.glob("[0-9]*")] == ["0001-fast"]


def test_commands_that_read_other_tables_warn_and_work(slotlab: Slotlab, damaged: Home, tmp_path: Path) -> None:
    """Runs and models are intact."""
    before = digests(damaged.db)

    runs = slotlab(damaged, "runs")
    export = slotlab(damaged, "export", "--project", "portal", "--out", tmp_path / "labels.csv")

    for done in (runs, export):
        assert done.returncode == 0
        (warning,) = done.stderr.splitlines()
        assert warning.startswith(DAMAGED)
    assert runs.stdout.startswith("0001-fast")
    assert digests(damaged.db) == before


def test_a_worker_that_meets_damage_records_it(
    slotlab: Slotlab, damaged: Home, trained_home: Home, tmp_path: Path
) -> None:
    """The check at the start skips images; the import fails with the sentence, and later commands refuse."""
    shutil.copy(trained_home.db, damaged.db)
    overwrite_page(damaged.db, "images")
    images = tmp_path / "images"
    images.mkdir()
    for number in range(3):
        shade = np.full((24, 96, 3), number, np.uint8)
        (images / f"{number}.png").write_bytes(encode_png(shade))

    failed = slotlab(damaged, *(str(images) if word == "images" else word for word in IMPORT))
    refused = slotlab(damaged, *(str(images) if word == "images" else word for word in IMPORT))

    assert (failed.returncode, refused.returncode) == (1, 1)
    assert "The database is damaged" in failed.stderr
    assert damage.find(damaged.db) is not None
    assert "Nothing was saved. The database is damaged" in refused.stderr


def test_a_new_import_does_not_hide_a_lost_database(slotlab: Slotlab, damaged: Home, tmp_path: Path) -> None:
    """The sentence names the newest backup."""
    damaged.db.unlink()
    (damaged.backups / "slotlab-20261128T235959Z.db").touch()

    done = slotlab(damaged, *(str(tmp_path) if word == "images" else word for word in IMPORT))

    assert done.returncode == 1
    assert "slotlab-20261128T235959Z.db" in done.stderr
    assert not damaged.db.exists()


@pytest.mark.parametrize("loss", ["deleted", "emptied"])
@pytest.mark.parametrize("command", ["check", "backup", "runs"])
def test_every_command_names_the_newest_backup_of_a_lost_database(
    slotlab: Slotlab, damaged: Home, command: str, loss: str
) -> None:
    damaged.db.unlink() if loss == "deleted" else os.truncate(damaged.db, 0)
    (damaged.backups / "slotlab-20261128T235959Z.db").touch()

    done = slotlab(damaged, command)

    assert (done.returncode, done.stdout) == (1, "")
    assert "missing or empty" in done.stderr
    assert "slotlab-20261128T235959Z.db" in done.stderr


def test_a_check_of_a_damaged_database_names_the_newest_backup(slotlab: Slotlab, damaged: Home) -> None:
    newest = damaged.backups / "slotlab-20261128T235959Z.db"
    newest.touch()

    done = slotlab(damaged, "check")

    assert done.returncode == 1
    assert f"Stop the app, then run `slotlab restore {newest}`." in done.stdout


@pytest.mark.long
def test_a_job_is_canceled_without_its_database(
    slotlab: Slotlab, home: Home, db: Database, labeled: Project, stand_in: None
) -> None:  # fmt: skip
    """A restore needs all jobs ended, and names `slotlab cancel`."""
    made = Path(back_up(home).path)
    job = start_job(db, home, labeled, "import", {"steps": FOREVER})
    wait_until(lambda: JobDir(home.run(job.id)).observe().state == "running")
    for file in home.root.glob("slotlab.db*"):
        file.unlink()
    assert f"{job.id} is running. Cancel it" in slotlab(home, "restore", made).stderr

    done = slotlab(home, "cancel", job.id)

    assert (done.returncode, done.stdout) == (0, f"{job.id} is canceled.\n")
    assert f"slotlab restore {made}" in done.stderr
    assert slotlab(home, "cancel", job.id).returncode == 1
    assert slotlab(home, "restore", made).returncode == 0
