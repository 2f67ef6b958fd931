"""Actions on many images: skips through the ledger, moves to another source, exports of a selection."""

import json
import stat
from pathlib import Path

import pytest
from sqlite_utils import Database

from core.backup.check import check
from core.data import bulk, managing, selection
from core.data.bulk import Skipped, last_skip, skip_samples, undo_skips
from core.data.export import export
from core.data.labeling import apply_events
from core.data.tagging import tag_samples
from core.errors import OptionError
from core.home import Home
from db import labels, projects, samples, tags
from db.connection import write
from db.records import Project, Sample
from tests.helpers.contents import contents
from tests.helpers.labs import add_images, label


@pytest.fixture
def five(db: Database, project: Project) -> list[Sample]:
    """Two with a label, one of them disputed; one skipped as unreadable; two without a label."""
    hashes = add_images(db, project, 5)
    label(db, project, hashes[0], 1)
    label(db, project, hashes[1], 2)
    events = [
        {"event": "d", "action": "doubt", "sample": hashes[1], "base": 1},
        {"event": "s", "action": "skip", "flag": "unreadable", "sample": hashes[2], "base": 0},
    ]
    apply_events(db, project, "Ben", events)
    return samples.select_samples(db, project.id)


def skip(db: Database, project: Project, chosen: list[Sample], flag: str | None = None, confirmed: int = 1) -> Skipped:
    ids = [sample.id for sample in chosen]
    return skip_samples(db, project, "Cem", ids, flag, request="skip-1", confirmed=confirmed)


def contents_of(db: Database, project: Project) -> list[tuple[str, str | None, str | None]]:
    return [sample.content for sample in samples.select_samples(db, project.id)]


def test_many_images_are_skipped_by_events(home: Home, db: Database, project: Project, five: list[Sample]) -> None:
    """Each has one event with operator, reason and page. A disputed image is left for a decision."""
    done = skip(db, project, five, "unreadable")

    assert done == Skipped("unreadable", skipped=3, same=1, disputed=1)
    assert done.sentence == (
        "Skipped 3 images as unreadable. 1 had been skipped as unreadable already. Disputed, so left for Review: 1."
    )
    skipped = ("skipped", None, "unreadable")
    assert contents_of(db, project) == [skipped, five[1].content, skipped, skipped, skipped]
    event = labels.events_of(db, five[0].id)[-1]
    assert (event.action, event.operator, event.flag, event.origin) == ("skip", "Cem", "unreadable", "samples")
    assert check(home).problems == []


def test_labels_of_people_must_be_confirmed(db: Database, project: Project, five: list[Sample]) -> None:
    """A label that came since the page was drawn counts, and then nothing is skipped."""
    assert bulk.labels_of_people(five) == 1
    label(db, project, five[3].sha256, 3)
    before = contents(db.conn)

    with pytest.raises(OptionError, match=r"now have 2 labels of people, not 1\. Nothing was skipped"):
        skip(db, project, five)

    assert contents(db.conn) == before


def test_an_image_that_changes_meanwhile_is_left(
    db: Database, project: Project, five: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late skip would be an opinion, and would make the image disputed."""
    read, calls = samples.get_samples, []

    def read_while_someone_labels(db: Database, project_id: int, ids: list[int]) -> list[Sample]:
        found = read(db, project_id, ids)
        if not calls:
            label(db, project, five[3].sha256, 3)
        calls.append(ids)
        return found

    monkeypatch.setattr(bulk.samples, "get_samples", read_while_someone_labels)
    done = skip(db, project, five[3:])

    assert (done.skipped, done.changed) == (1, 1)
    assert "Changed by someone meanwhile, so left: 1." in done.sentence
    after = samples.get_sample(db, five[3].id)
    assert (after.label, after.disputed) == ("000003", 0)


def test_a_skip_of_many_images_is_undone(home: Home, db: Database, project: Project, five: list[Sample]) -> None:
    """Each has its former content, operator and reason. An image that changed since is left."""
    skip(db, project, five)
    (outcome,) = apply_events(
        db, project, "Ben",
        [{"event": "late", "action": "label", "sample": five[4].sha256, "text": "444444", "base": 1}],
    )  # fmt: skip
    assert outcome.status == "saved"

    assert undo_skips(db, project, "Cem", "skip-1") == (3, 1)

    assert contents_of(db, project) == [*(sample.content for sample in five[:4]), ("labeled", "444444", None)]
    assert samples.get_sample(db, five[0].id).operator == "Ann"
    assert undo_skips(db, project, "Cem", "skip-1") == (0, 4)
    assert undo_skips(db, project, "Cem", "skip-") == (0, 0)
    assert check(home).problems == []


def test_the_last_skip_is_that_of_the_operator(db: Database, project: Project, five: list[Sample]) -> None:
    """The order of the random ids does not matter. Once all images have changed, nothing is left to undo."""
    for request, operator, chosen in (
        ("skip-c", "Cem", five[:1]),
        ("skip-b", "Cem", five[3:]),
        ("skip-a", "Ann", five[2:3]),
    ):
        ids = [sample.id for sample in chosen]
        skip_samples(db, project, operator, ids, None, request=request, confirmed=1)

    assert last_skip(db, project, "Cem") == ("skip-b", 2)
    assert last_skip(db, project, "Ann") == ("skip-a", 1)
    assert last_skip(db, project, "Dan") == ("", 0)
    with write(db):
        other = projects.insert_project(db, "other", 6, "0123456789")
    assert last_skip(db, other, "Cem") == ("", 0)

    undo_skips(db, project, "Cem", "skip-b")
    assert last_skip(db, project, "Cem") == ("skip-b", 0)


def test_a_repeated_skip_changes_nothing(db: Database, project: Project, five: list[Sample]) -> None:
    """A double click repeats it."""
    skip(db, project, five)
    before = contents(db.conn)

    assert skip(db, project, five).skipped == 0
    assert contents(db.conn) == before


def test_images_of_another_project_are_not_skipped(db: Database, project: Project, five: list[Sample]) -> None:
    with write(db):
        other = projects.insert_project(db, "other", 6, "0123456789")

    assert skip(db, other, five) == Skipped(None)
    assert contents_of(db, project) == [sample.content for sample in five]


def test_an_action_has_a_limit(
    home: Home, db: Database, project: Project, five: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold the database too long."""
    monkeypatch.setattr(selection, "MAX_SELECTED", 4)

    with pytest.raises(OptionError, match=r"At most 4 images at once\. Narrow the filters\."):
        skip(db, project, five)
    with pytest.raises(OptionError, match="At most 4 images"):
        managing.move_samples(db, home, project, [1, 2, 3, 4, 5], projects.list_sources(db, project.id)[0])


def test_images_move_to_another_source(home: Home, db: Database, project: Project, five: list[Sample]) -> None:
    """Label, history, split and dispute stay. Owner and authorization are those of the new source."""
    with write(db):
        june = projects.insert_source(db, project.id, "june", "the portal", "ticket 2")
    ids = [sample.id for sample in five]
    assert managing.move_samples(db, home, project, ids[:2], june) == 2

    assert managing.move_samples(db, home, project, ids[:3], june) == 1

    after = samples.select_samples(db, project.id)
    assert [sample.source_id == june.id for sample in after] == [True, True, True, False, False]
    assert [sample.content for sample in after] == [sample.content for sample in five]
    assert samples.counts(db, project.id) == {("train", "unlabeled"): 2, **counts_of(five[:3])}
    assert check(home).problems == []


def counts_of(chosen: list[Sample]) -> dict[tuple[str, str], int]:
    keys = [(sample.split, sample.state) for sample in chosen]
    return {key: keys.count(key) for key in keys}


def test_a_selection_is_exported(db: Database, project: Project, five: list[Sample], tmp_path: Path) -> None:
    """Only those images, with owner, authorization and tags, in a file that only its owner can read.

    Each tag comes with who gave it and when. The name of an operator may have a comma.
    """
    tag_samples(db, project, "blurry", [five[0].id], operator="Doe, Ann")
    tag_samples(db, project, "=red", [five[0].id], operator="=ben")
    with write(db):
        tags.add(db, tags.open_tag(db, project.id, "old"), [five[0].id], operator=None, at=None)
    ids = [five[0].id, five[3].id]

    assert export(db, project, "jsonl", tmp_path / "all.jsonl", ids=ids) == 2
    assert export(db, project, "csv", tmp_path / "labels.csv", ids=ids) == 1

    rows = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [(row["filename"], row["owner"], row["authorization"], row["tags"]) for row in rows] == [
        ("0.png", "the team", "ticket 1", "=red,blurry,old"), ("3.png", "the team", "ticket 1", ""),
    ]  # fmt: skip
    assert [row["tagged_by"] for row in rows] == ['=ben,"Doe, Ann",', ""]
    assert [len(each) for each in rows[0]["tagged_at"].split(",")] == [25, 25, 0]
    assert rows[1]["tagged_at"] == ""
    assert ""","'=red,blurry,old","'=ben,""Doe, Ann"",",""" in (tmp_path / "labels.csv").read_text().splitlines()[1]
    assert stat.S_IMODE((tmp_path / "labels.csv").stat().st_mode) == 0o600
    with pytest.raises(OptionError, match=r"The chosen images have no labels yet\. Use jsonl"):
        export(db, project, "csv", tmp_path / "none.csv", ids=ids[1:])
