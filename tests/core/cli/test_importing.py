"""`slotlab import`: it shows what it reads, asks what it cannot know, and corrects on request."""

import json
from pathlib import Path

import pytest

from core.home import Home
from db import labels, projects, samples
from db.connection import opened
from tests.helpers.command_line import Slotlab, command_here
from tests.helpers.pictures import png, write_files

WHO = ["--project", "p", "--length", "4", "--source", "test", "--owner", "the team", "--authorization", "ticket 1"]
TABLE = "Bild;Stand\n" + "".join(f"alt\\{number}.png;{number * 777 % 10_000:04}\n" for number in range(7))


@pytest.fixture
def slotlab(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Slotlab:
    """Return the command for a Slotlab folder that does not exist yet."""
    return lambda *arguments: command_here(tmp_path / "home", capsys, monkeypatch, *arguments)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of seven images."""
    return write_files(tmp_path / "photos", {f"{number}.png": png(number) for number in range(7)})


def test_a_table_beside_the_images_is_taken_and_shown(slotlab: Slotlab, folder: Path) -> None:
    """The first five rows go to stderr. Its format, columns and paths need no option."""
    write_files(folder, {"Ablesung.csv": TABLE.encode("utf-16"), "Thumbs.db": b"\0"})

    done = slotlab("import", folder, *WHO, "--json")

    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert (report["files"], report["imported"], report["labeled"], report["rejected"]) == (7, 7, 7, 0)
    assert done.stderr.splitlines()[:7] == [
        "Labels come from Ablesung.csv (CSV).",
        *(f"  {number}.png -> {number * 777:04}" for number in range(5)),
        done.stderr.splitlines()[6],
    ]
    assert "5.png" not in done.stderr


def test_labels_that_can_be_read_in_two_ways_exit_with_2(slotlab: Slotlab, folder: Path, tmp_path: Path) -> None:
    """Nothing is stored, and the message names the option that decides, for a table and for names."""
    write_files(folder, {"a.csv": b"file,x,y\n0.png,1111,2222\n1.png,3333,4444\n"})
    asked = slotlab("import", folder, *WHO)
    assert (asked.returncode, asked.stdout) == (2, "")
    assert "In a.csv, the label could be x or y. Choose with --label-column." in asked.stderr
    assert not list((tmp_path / "home" / "runs").iterdir())

    names = write_files(tmp_path / "names", {"1000_4323.png": png(10), "1001_5186.png": png(11)})
    asked = slotlab("import", names, *WHO, "--labels", "filename")
    assert (asked.returncode, "--labels end" in asked.stderr) == (2, True)
    answered = slotlab("import", names, *WHO, "--pattern", "*_{label}")
    assert (answered.returncode, "  1000_4323.png -> 4323" in answered.stderr) == (0, True)


def test_names_that_count_up_are_not_taken_for_labels(slotlab: Slotlab, tmp_path: Path) -> None:
    """The message says how to take them."""
    names = write_files(tmp_path / "names", {f"{number}.png": png(number) for number in range(1000, 1012)})

    asked = slotlab("import", names, *WHO, "--labels", "filename")
    assert (asked.returncode, "look like numbers" in asked.stderr) == (2, True)
    assert not (tmp_path / "home" / "runs" / "0001-import").exists()


@pytest.mark.long
def test_labels_are_corrected_on_request(slotlab: Slotlab, folder: Path, tmp_path: Path) -> None:
    """The ledger has who did it, and the report counts labels of validation and test images."""
    table = tmp_path / "labels.tsv"
    table.write_text("".join(f"{number}.png\t0001\n" for number in range(7)))
    assert slotlab("import", folder, *WHO, "--labels", table).returncode == 0
    table.write_text(table.read_text().replace("0001", "0002"))

    refused = slotlab("import", folder, *WHO, "--labels", table, "--json")
    assert (refused.returncode, json.loads(refused.stdout)["label_problems"]) == (1, 7)
    done = slotlab("import", folder, *WHO, "--labels", table, "--replace")

    assert done.returncode == 0
    assert "7 labels replaced another one" in done.stdout
    with opened(Home(tmp_path / "home").db) as db:
        project = projects.find_project(db, "p")
        assert project is not None
        stored = samples.select_samples(db, project.id)
        assert {sample.label for sample in stored} == {"0002"}
        assert len(labels.events_of(db, stored[0].id)) == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--labels", "missing.csv"], "The label file"),
        (["--labels", "filename", "--pattern", "x"], "must contain {label} once"),
        (["--labels", "folder", "--pattern", "{label}"], "A pattern describes names"),
        (["--labels", "t.csv", "--separator", "colon"], "'colon' is not a separator"),
        (["--labels", "t.csv", "--file-column", "nope"], "t.csv has no column 'nope'"),
    ],
)
def test_an_option_that_cannot_be_used_gives_one_sentence(
    slotlab: Slotlab, folder: Path, arguments: list[str], sentence: str
) -> None:
    """A table inside the folder can be named without its path."""
    write_files(folder, {"t.csv": b"file,label\n0.png,1111\n"})

    done = slotlab("import", folder, *WHO, *arguments)

    assert (done.returncode, done.stdout) == (1, "")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
