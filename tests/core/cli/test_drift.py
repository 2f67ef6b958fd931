"""`slotlab drift`: the table, an alarm, its JSON, and a bundle that is kept."""

import json
from pathlib import Path

import pytest

from core.home import Home
from core.runs.drift import ADVICE, UNUSED
from db.connection import opened
from db.promotions import list_promotions
from db.records import Project
from tests.helpers.command_line import Slotlab, command_here, refused
from tests.helpers.drifting import come, inverted, new_images, use

PLAIN = "0001-bundle"


@pytest.fixture
def slotlab(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Slotlab:
    return lambda *words: command_here(home.root, capsys, monkeypatch, *words)


def test_a_change_is_printed_and_dismissed(home: Home, slotlab: Slotlab, bundled: Project, tmp_path: Path) -> None:
    """An alarm is a result, not an error. A kept bundle stays in use, and the history says so."""
    use(home, PLAIN)
    nothing = slotlab("drift", "--project", "portal")
    come(home, bundled, tmp_path / "usual", new_images(9))
    usual = slotlab("drift", "--project", "portal")
    refused(slotlab("drift", "--project", "portal", "--keep"), "There is no alarm to dismiss.")
    come(home, bundled, tmp_path / "changed", inverted(new_images(40, seed=2)))

    changed = slotlab("drift", "--project", "portal")
    as_json = slotlab("drift", "--project", "portal", "--json")
    kept = slotlab("drift", "--project", "portal", "--keep")

    assert [done.returncode for done in (nothing, usual, changed, as_json, kept)] == [0] * 5
    assert "Import new images, or the log of its reader." in nothing.stdout
    table, sentence = usual.stdout.splitlines()
    assert "  rendered  9 answers  confidence " in table
    assert "  unfamiliar 0/9" in table
    assert sentence == f"No drift in 9 answers of {PLAIN}."
    assert ADVICE in changed.stdout.splitlines()[-1]
    found = json.loads(as_json.stdout)
    assert (found["bundle"], found["answers"], found["read"]) == (PLAIN, 49, 0)
    assert [alarm["source"] for alarm in found["alarms"]] == ["rendered"]
    assert found["rows"][0]["unfamiliar"][1] == 49
    assert kept.stdout.splitlines()[-1] == f"No drift in 49 answers of {PLAIN}."
    with opened(home.db) as db:
        assert [each.job_id for each in list_promotions(db, bundled.id)] == [PLAIN, PLAIN]


@pytest.mark.usefixtures("bundled")
def test_without_a_bundle_in_use_one_sentence_says_what_to_do(slotlab: Slotlab) -> None:
    refused(slotlab("drift", "--project", "portal"), UNUSED)
