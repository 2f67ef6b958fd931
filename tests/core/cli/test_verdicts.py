"""The command `slotlab verdicts`."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlite_utils import Database

from core.bundle.reader import load
from core.home import Home
from core.images.pixels import decode, pixel_hash, split_of
from db import projects, samples
from db.connection import opened, write
from db.records import Project
from tests.helpers.command_line import command_here, refused
from tests.helpers.pictures import png, write_files

Here = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def here(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    return lambda *arguments: command_here(home.root, capsys, monkeypatch, *arguments)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Ten images of train, three of them rejected, and one line that does not fit."""
    numbers = [n for n in range(50) if split_of(pixel_hash(decode(png(n)))) == "train"][:10]
    write_files(tmp_path / "month", {f"images/{n}.png": png(n) for n in numbers})
    said = ["no\tcaptcha"] * 3 + ["yes\t"] * 7
    rows = [f"images/{n}.png\t{n:03}\t{verdict}" for n, verdict in zip(numbers, said, strict=True)]
    path = tmp_path / "month" / "march.tsv"
    path.write_text("\n".join(["file\ttext\taccepted\treason", *rows, "images/x.png\t1234\tyes\t"]))
    return path


def test_a_table_of_verdicts_becomes_labels(here: Here, db: Database, short_project: Project, table: Path) -> None:
    """The refused line is named, and the others are stored. Again, nothing changes."""
    origin = ["--owner", "the team", "--authorization", "ticket 1"]

    first = here("verdicts", table, "--project", "portal", *origin)
    second = here("verdicts", table, "--project", "portal", "--json")

    assert first.returncode == second.returncode == 1
    assert first.stdout == (
        "10 verdicts: 7 accepted, 3 rejected. 7 new labels, 0 disputed images, 3 images first in the queue. "
        "10 new images, 1 line refused.\n"
    )
    reason = "Line 12: '1234' has 4 characters; this project uses 3."
    assert first.stderr.splitlines()[-1] == second.stderr.splitlines()[-1] == reason
    assert json.loads(second.stdout) == {
        "project": "portal", "verdicts": 10, "accepted": 7, "rejected": 3, "known": 10, "unknown": 0, "labels": 0,
        "confirmed": 0, "removed": 0, "disputed": 0, "first": 0, "answers": 0, "images": 0, "refused": 1,
        "reasons": [reason],
    }  # fmt: skip
    assert samples.label_counts(db, short_project.id) == {("train", "verdict"): 7}
    assert [source.name for source in projects.list_sources(db, short_project.id)] == ["verdicts"]
    assert here("check").returncode == 0
    undo = here("accept", "--project", "portal", "--undo", "--kind", "verdict")
    assert undo.stdout.startswith("Removed 7 labels of verdicts.")


def test_images_of_a_project_without_a_source_need_an_owner(here: Here, short_project: Project, table: Path) -> None:
    refused(here("verdicts", table, "--project", "portal"), "Give --owner and --authorization of the new images.")


def test_an_image_that_is_missing_refuses_its_line(
    here: Here, db: Database, short_project: Project, table: Path
) -> None:
    """An answer without its image is stored."""
    with write(db):
        projects.insert_source(db, short_project.id, "mail", "the team", "ticket 1")
    reading = {"text": "123", "confidence": 0.5, "accepted": False, "unfamiliar": None}
    lines = [
        {"id": "a", "bundle": "b", "sha256": "ab" * 32, "reading": reading, "look": None, "image": "gone.png"},
        {"id": "a", "sha256": "ab" * 32, "text": "123", "accepted": True},
        {"file": "gone.png", "text": "123", "accepted": True},
    ]
    path = table.with_name("log.jsonl")
    path.write_text("\n".join(map(json.dumps, lines)))

    done = here("verdicts", path, "--project", "portal")

    assert done.returncode == 1
    assert done.stdout.endswith("1 new answer, 1 verdict of unknown images, 2 lines refused.\n")
    assert done.stderr.splitlines()[-2:] == [
        f"Line {number}: gone.png: The file cannot be read (No such file or directory)." for number in (1, 3)
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.csv", "--project", "portal"], "missing.csv cannot be read (No such file or directory)."),
        (["README.md", "--project", "portal"], "README.md is not a file of verdicts."),
        (["README.md", "--project", "other"], "There is no project 'other'"),
    ],
)
def test_a_mistake_is_one_sentence(here: Here, short_project: Project, arguments: list[str], sentence: str) -> None:
    refused(here("verdicts", *arguments), sentence)


def test_a_wrong_call_has_exit_code_2(here: Here, short_project: Project) -> None:
    assert here("verdicts", "--project", "portal").returncode == 2
    assert here("verdicts", "a.csv").returncode == 2


def test_a_log_of_another_project_is_refused(here: Here, home: Home, bundled: Project, tmp_path: Path) -> None:
    """Also of an archived one. The texts of both have one length and charset. An unknown bundle is taken."""
    with opened(home.db) as db, write(db):
        projects.insert_project(db, "other", bundled.length, bundled.charset)
        projects.set_archived(db, bundled.id, archived=True)
    bundle, log = home.bundles / "0002-bundle", tmp_path / "log.jsonl"
    reader, image = load(bundle, log=log), bundle / "test-1.png"
    reader.read(image).accepted_by_portal(accepted=True)

    refused(
        here("verdicts", log, "--project", "other"),
        f"log.jsonl has answers of {reader.name}, which belongs to project {bundled.name}. "
        "Choose that project with --project.",
    )

    with opened(home.db) as db, write(db):
        projects.set_archived(db, bundled.id, archived=False)
    assert here("verdicts", log, "--project", bundled.name).returncode == 0
    shutil.rmtree(bundle)
    assert json.loads(here("verdicts", log, "--project", "other", "--json").stdout)["answers"] == 1
