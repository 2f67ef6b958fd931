"""The `slotlab` command on a damaged or lost database: one sentence, exit code 1 for writing, and no byte changed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.home import Home
from core.images.pixels import encode_png
from db import damage
from tests.helpers.damaging import digests, overwrite_page
from tests.helpers.repository import ROOT

DAMAGED = "slotlab: The database is damaged (table "
IMPORT = ["import", "images", "--project", "portal", "--source", "s", "--owner", "o", "--authorization", "a"]


@pytest.fixture
def damaged(tmp_path: Path, trained_home: Home) -> Home:
    """A folder with a finished run, whose table of labels has an overwritten page."""
    home = Home(tmp_path / "home")
    shutil.copytree(trained_home.root, home.root)
    overwrite_page(home.db, "labels")
    return home


def slotlab(home: Home, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "core.cli", *map(str, arguments)],
        check=False,
        cwd=ROOT,
        env=os.environ | {"SLOTLAB_HOME": str(home.root), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert "Traceback" not in done.stderr
    return done


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
def test_commands_that_write_are_refused(damaged: Home, command: list[str], tmp_path: Path) -> None:
    """Writing could destroy what can still be read."""
    before = digests(damaged.db)

    done = slotlab(damaged, *(str(tmp_path) if word == "images" else word for word in command))

    assert done.returncode == 1
    assert done.stderr.count("slotlab restore BACKUP") <= 2
    assert done.stderr.splitlines()[-1].startswith("slotlab: Nothing was saved. The database is damaged (table labels")
    assert digests(damaged.db) == before
    assert [path.name for path in damaged.runs.glob("[0-9]*")] == ["0001-fast"]


def test_commands_that_read_other_tables_warn_and_work(damaged: Home, tmp_path: Path) -> None:
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


def test_a_worker_that_meets_damage_records_it(damaged: Home, trained_home: Home, tmp_path: Path) -> None:
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


def test_a_new_import_does_not_hide_a_lost_database(damaged: Home, tmp_path: Path) -> None:
    """The sentence names the newest backup."""
    damaged.db.unlink()
    (damaged.backups / "slotlab-20261128T235959Z.db").touch()

    done = slotlab(damaged, *(str(tmp_path) if word == "images" else word for word in IMPORT))

    assert done.returncode == 1
    assert "slotlab-20261128T235959Z.db" in done.stderr
    assert not damaged.db.exists()
