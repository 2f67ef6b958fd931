"""`slotlab suspects`: the list, its JSON, and the folds."""

import json

import pytest
from sqlite_utils import Database

from core.home import Home
from db import samples
from db.records import Project
from tests.helpers.command_line import command_here, refused
from tests.helpers.readings import add_proposals
from tests.helpers.runs import add_labeled


@pytest.fixture
def wrong(db: Database, short_project: Project) -> str:
    """Return the hash of an image with label 007 that both readers read as 001. The other labels agree with them."""
    add_labeled(db, short_project, train=[f"{number:03}" for number in range(30)])
    chosen = samples.select_samples(db, short_project.id)
    add_proposals(db, short_project, {s.id: (s.label,) * 2 if s.label != "007" else ("001",) * 2 for s in chosen})
    return next(sample.sha256 for sample in chosen if sample.label == "007")


def test_each_suspected_label_is_one_line(
    home: Home, wrong: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels that were compared with nothing are counted on stderr."""
    done = command_here(home.root, capsys, monkeypatch, "suspects", "--project", "portal")
    as_json = command_here(home.root, capsys, monkeypatch, "suspects", "--project", "portal", "--json")

    assert (done.returncode, as_json.returncode) == (0, 0)
    assert done.stdout == f"{wrong}  3  007  001  both readers read 001\n"
    assert json.loads(as_json.stdout) == {
        "sha256": wrong,
        "positions": [3],
        "given": "007",
        "suggested": "001",
        "why": ["both readers read 001"],
    }
    assert "30 labels have no out-of-fold reading. `slotlab suspects --folds`" in done.stderr


@pytest.mark.usefixtures("labeled")
def test_no_suspected_label_is_not_an_error(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON then has no line."""
    done = command_here(home.root, capsys, monkeypatch, "suspects", "--project", "portal")
    as_json = command_here(home.root, capsys, monkeypatch, "suspects", "--project", "portal", "--json")

    assert (done.returncode, done.stdout) == (0, "No suspected labels.\n")
    assert (as_json.returncode, as_json.stdout) == (0, "")
    assert "7 labels have not been compared with readers." in done.stderr


@pytest.mark.usefixtures("labeled")
def test_folds_need_labels(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says how many."""
    refused(
        command_here(home.root, capsys, monkeypatch, "suspects", "--project", "portal", "--folds"),
        "The project has 6 labeled images. Suspected labels need at least 50",
    )


@pytest.mark.usefixtures("stand_in", "wrong")
def test_folds_are_run_and_followed_first(
    db: Database,
    home: Home,
    short_project: Project,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stand-in does the work, so its readings are missing."""
    add_labeled(db, short_project, val=[f"{number:03}" for number in range(30, 60)])

    done = command_here(home.root, capsys, monkeypatch, "suspects", "--project", "portal", "--folds")

    assert done.returncode == 1
    assert "The out-of-fold readings fold-1.npz are missing or damaged" in done.stderr
    assert (home.run("0001-folds") / "exit.json").exists()
