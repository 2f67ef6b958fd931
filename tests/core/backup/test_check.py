"""The check of a folder: each kind of damage is named, and leftovers are not damage."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.backup.check import check
from core.errors import StorageError
from core.home import Home
from db import damage
from db.connection import opened, write
from tests.helpers.repository import ROOT

RUN = "0002-fast"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """The folder of an earlier version, brought up to date: it has images, labels, opinions, runs and evaluations."""
    shutil.copytree(ROOT / "tests" / "old_home" / "data", tmp_path / "home")
    home = Home(tmp_path / "home").create()
    with opened(home.db):
        return home


def change(home: Home, *statements: str) -> None:
    """Change rows that triggers protect."""
    with opened(home.db) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        for statement in statements:
            db.execute(statement)


def test_an_intact_folder_has_no_problem(home: Home) -> None:
    report = check(home)

    assert (report.problems, report.notes, report.images, report.jobs) == ([], [], 90, 6)
    assert report.is_intact
    assert report.database_is_intact


@pytest.mark.parametrize(
    ("statement", "claim"),
    [
        (
            "UPDATE samples SET flag = 'unreadable' WHERE state = 'skipped' AND flag IS NULL",
            "differ from the last",
        ),
        (
            "UPDATE samples SET disputed = 1 - disputed WHERE id = 1",
            "have a dispute or check that",
        ),
        ("UPDATE images SET bytes = x'00' WHERE sample_id = 3", "Image 3 ("),
        (
            "UPDATE images SET bytes = (SELECT bytes FROM images WHERE sample_id = 4) WHERE sample_id = 3",
            "another hash",
        ),
        ("UPDATE runs SET dataset_sha256 = 'x' WHERE job_id = '0002-fast'", "dataset.npz is not the data of this run"),
    ],
)
def test_a_wrong_row_is_named(home: Home, statement: str, claim: str) -> None:
    change(home, statement)

    report = check(home)

    assert any(claim in problem for problem in report.problems), report.problems


@pytest.mark.parametrize(
    ("name", "data", "claim"),
    [
        ("run.json", b"{", "run.json is missing or damaged."),
        ("result.json", b"", "result.json is missing or damaged."),
        ("dataset.npz", b"PK", "dataset.npz is damaged"),
        ("predictions-val.npz", b"PK", "predictions-val.npz is missing or damaged."),
        ("familiar.npz", b"PK", "familiar.npz of this run is damaged."),
        ("views.json", b"{", "views.json is damaged."),
        ("acceptance.json", b"{", "acceptance.json is damaged."),
        ("checkpoints/best-000040.pt", b"x", "best-000040.pt is damaged."),
        ("checkpoints/best-000040.json", b"{}", "best-000040.json is damaged."),
    ],
)
def test_a_damaged_file_of_a_run_is_named(home: Home, name: str, data: bytes, claim: str) -> None:
    (home.run(RUN) / name).write_bytes(data)

    problems = check(home).problems

    assert len(problems) == 1
    assert problems[0].startswith(f"Job {RUN}: ")
    assert claim in problems[0]


def test_a_flipped_bit_in_a_checkpoint_is_seen(home: Home) -> None:
    path = home.run(RUN) / "checkpoints" / "best-000040.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    assert check(home).problems == [f"Job {RUN}: best-000040.pt is damaged."]


def test_a_missing_directory_is_damage_and_a_new_one_is_not(home: Home) -> None:
    """After a restore, directories are newer than the database. A killed start leaves files that nothing reads."""
    shutil.rmtree(home.run(RUN))
    home.run("0009-fast").mkdir()
    (home.runs / ".new-1234").mkdir()
    (home.backups / ".slotlab-1234.part").touch()

    report = check(home)

    assert report.problems == [f"Job {RUN} is finished, but its directory is missing."]
    assert [note.split()[0] for note in report.notes] == [
        "runs/0009-fast", "runs/.new-1234", "backups/.slotlab-1234.part",
    ]  # fmt: skip


def test_a_damaged_page_is_a_sentence(home: Home) -> None:
    """The rest is not looked at, because every query would report the same page."""
    with opened(home.db) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'labels'").fetchone()
    with home.db.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)

    report = check(home)

    assert not report.is_intact
    assert not report.database_is_intact


def test_a_check_that_finds_damage_stops_writes(home: Home) -> None:
    """The start of a command does not look at the images. The WAL of a killed app is not copied into the file."""
    with opened(home.db) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'images'").fetchone()
    code = (
        "import os, sys; from pathlib import Path; from db.connection import connect; db = connect(Path(sys.argv[1]));"
    )
    code += "db.execute('UPDATE projects SET created_at = 1'); os._exit(0)"
    subprocess.run([sys.executable, "-c", code, home.db], cwd=ROOT, check=True)
    assert Path(f"{home.db}-wal").stat().st_size > 0
    with home.db.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)
    before = home.db.read_bytes()

    assert not check(home).database_is_intact

    assert damage.find(home.db) is not None
    with opened(home.db) as db, pytest.raises(StorageError, match="only reads it"), write(db):
        pass
    assert home.db.read_bytes() == before


def test_a_missing_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="There is no database"):
        check(Home(tmp_path))


def test_a_check_changes_nothing(home: Home) -> None:
    def state() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in home.root.rglob("*") if path.is_file()}

    before = state()
    check(home)

    assert json.dumps(sorted(state())) == json.dumps(sorted(before))
    assert state() == before
