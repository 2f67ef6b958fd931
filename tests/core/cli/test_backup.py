"""`slotlab backup`, `restore` and `check` as scripts use them."""

import json
from pathlib import Path

import pytest
from sqlite_utils import Database

from core.home import Home
from db.connection import opened, write
from db.records import Project
from tests.helpers.command_line import command, command_here
from tests.helpers.labs import add_images, label
from tests.helpers.repository import ROOT


@pytest.fixture
def labeled_home(home: Home, db: Database, project: Project) -> Home:
    """A folder with two images, one of them labeled."""
    first, _ = add_images(db, project, 2)
    label(db, project, first, 123)
    return home


def test_a_lab_is_backed_up_checked_and_restored(labeled_home: Home, tmp_path: Path) -> None:
    """The restored folder is intact and has the same label."""
    done = command(labeled_home.root, "backup", "--json")
    result = json.loads(done.stdout)
    assert (done.returncode, set(result)) == (0, {"path", "bytes", "samples", "labels", "verified"})
    assert (result["samples"], result["labels"], result["verified"]) == (2, 1, True)

    new = Home(tmp_path / "new")
    done = command(new.root, "restore", result["path"])
    assert (done.returncode, done.stdout) == (0, f"Restored {result['path']}: 2 images, 1 label.\n")

    done = command(new.root, "check", "--json")
    assert json.loads(done.stdout) == {"ok": True, "problems": [], "notes": [], "images": 2, "jobs": 0}
    with opened(new.db) as db:
        assert db.execute("SELECT label FROM samples WHERE label IS NOT NULL").fetchall() == [("000123",)]


def test_a_check_prints_a_line_for_each_problem(
    labeled_home: Home, db: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with write(db):
        db.execute("UPDATE images SET bytes = x'00' WHERE sample_id = 1")

    done = command_here(labeled_home.root, capsys, monkeypatch, "check")

    assert done.returncode == 1
    first, last = done.stdout.splitlines()
    assert first.startswith("Image 1 ('0.png') is damaged: ")
    assert last == "Checked 2 images and 0 jobs: 1 problem."
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["backup"], "slotlab: There is no database at "),
        (["check"], "slotlab: There is no database at "),
        (["restore", "no such file"], "slotlab: There is no file no such file."),
        (["restore", ROOT / "README.md"], "README.md is not a Slotlab database."),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path,
    words: list[str | Path],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = command_here(tmp_path / "home", capsys, monkeypatch, *words)

    assert (done.returncode, done.stdout) == (1, "")
    assert sentence in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("slotlab:")]) == 1
    assert "Traceback" not in done.stderr
