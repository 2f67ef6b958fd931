"""`slotlab evaluate` and `slotlab report` on a source that the run has not seen."""

import json
import re
from pathlib import Path

import pytest

from core.home import Home
from db.connection import opened
from db.evaluations import count_test_uses
from db.records import Project
from tests.helpers.command_line import Slotlab, command_here, refused
from tests.helpers.labs import add_unreadable
from tests.helpers.sources import add_source


@pytest.fixture
def slotlab(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Slotlab:
    return lambda *arguments: command_here(home.root, capsys, monkeypatch, *arguments)


@pytest.fixture
def june(home: Home, trained: Project) -> Project:
    """A project with a finished run, and twelve labeled images that came after it."""
    with opened(home.db) as db:
        add_source(db, trained, "june", count=12, seed=5)
    return trained


def test_the_result_has_its_interval_and_the_others_beside_it(
    home: Home, june: Project, slotlab: Slotlab, tmp_path: Path
) -> None:
    """In words and as JSON. The report says the same. A use of the test set is recorded."""
    told = slotlab("evaluate", "1", "--source", "newest")

    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert re.fullmatch(r"exact match \d+/12 = \d+\.\d%", lines[0])
    assert lines[1].endswith("source june, TTA off")
    assert re.match(r"Validation images of other sources: \d+/\d+ = ", lines[2])
    assert "95% interval" in lines[3]
    assert lines[4].startswith("per position  1: ")
    with opened(home.db) as db:
        assert count_test_uses(db, june.id) == 1

    slotlab("report", "1", "--source", "june", "--out", tmp_path / "report.html")
    report = (tmp_path / "report.html").read_text()
    assert "on images of source june" in report
    assert lines[2] in report
    assert "of 12 of a later source" in report


@pytest.mark.long
def test_json_has_the_source_and_the_difference(home: Home, june: Project, slotlab: Slotlab) -> None:
    """Unreadable images are those of the source, of every split."""
    add_unreadable(home, june, "train", 2)

    done = slotlab("evaluate", "1", "--source", "june", "--no-tta", "--json")

    result = json.loads(done.stdout)
    assert (result["split"], result["source"], result["n"], result["unreadable"]) == ("next", "june", 12, 0)
    beside = result["beside"]
    assert beside["split"] == "val"
    assert beside["difference"] == pytest.approx(result["exact_match"] - beside["correct"] / beside["n"])
    assert beside["difference_ci95"][0] <= beside["difference"] <= beside["difference_ci95"][1]
    refused(slotlab("evaluate", "1", "--source", "smudges of train"), "has no image with a label of people")


def test_each_mistake_is_one_sentence(june: Project, slotlab: Slotlab, tmp_path: Path) -> None:
    """The run has seen the source, there is no such source, it was not evaluated, or two sets are named."""
    refused(slotlab("evaluate", "1", "--source", "rendered"), "Train a run with `hold_out_source=rendered`.")
    refused(slotlab("evaluate", "1", "--source", "july"), "has no source 'july'; choose from rendered, june.")
    refused(slotlab("evaluate", "1", "--source", "june", "--split", "test"), "Give only one of them.")
    out = tmp_path / "report.html"
    refused(slotlab("report", "1", "--source", "june", "--out", out), "has not been evaluated on source 'june' yet")
    refused(slotlab("train", "--project", june.name, "--set", "hold_out_source=july"), "has no source 'july'")
