"""Tags that people give to images, and the filters that name them."""

import pytest
from sqlite_utils import Database

from core.backup.check import check
from core.data import managing, selection, tagging
from core.errors import OptionError
from core.home import Home
from db import projects, removals, samples, tags
from db.connection import write
from db.records import Project
from tests.helpers.labs import add_images, label


@pytest.fixture
def ids(db: Database, project: Project) -> list[int]:
    """Three images; the first one is labeled."""
    first, *_ = add_images(db, project, 3)
    label(db, project, first, 1)
    return samples.select_ids(db, project.id)


def names(db: Database, project: Project) -> list[str]:
    return [tag.name for tag in tags.list_tags(db, project.id)]


def test_each_action_says_what_it_did(db: Database, project: Project, ids: list[int]) -> None:
    """One sentence, with the images that were unchanged."""
    done = tagging.tag_samples(db, project, "  Blurry ", ids[:2], operator="ann")
    assert done.sentence == "Tagged 2 images: Blurry."
    done = tagging.tag_samples(db, project, "blurry", ids, operator="ann")
    assert done.sentence == "Tagged 1 image: Blurry. 2 had it already."
    assert tagging.untag_samples(db, project, "BLURRY", ids[:1]).sentence == "Untagged 1 image: Blurry."
    assert tagging.untag_samples(db, project, "blurry", ids).sentence == (
        "Untagged 2 images: Blurry. 1 did not have it."
    )
    assert names(db, project) == []


@pytest.mark.parametrize(
    ("name", "sentence"),
    [(" ", "is not a valid tag"), ("x" * 41, "1 to 40 visible"), ("a,b", "has a comma"), ("a\nb", "not a valid tag")],
)
def test_an_invalid_tag_is_refused(db: Database, project: Project, ids: list[int], name: str, sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        tagging.tag_samples(db, project, name, ids, operator="ann")
    assert names(db, project) == []


def test_an_unknown_tag_and_no_image_are_refused(db: Database, project: Project, ids: list[int]) -> None:
    tagging.tag_samples(db, project, "red", ids, operator="ann")

    with pytest.raises(OptionError, match=r"Project portal has no tag 'green'\. Its tags: red\."):
        tagging.untag_samples(db, project, "green", ids)
    with pytest.raises(OptionError, match="No image is chosen"):
        tagging.tag_samples(db, project, "green", [], operator="ann")


def test_a_project_has_a_limited_number_of_tags(
    db: Database, project: Project, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tag that exists can still be given."""
    monkeypatch.setattr(tagging, "MAX_TAGS", 1)
    tagging.tag_samples(db, project, "red", ids[:1], operator="ann")

    with pytest.raises(OptionError, match="which is the limit"):
        tagging.tag_samples(db, project, "green", ids, operator="ann")
    assert tagging.tag_samples(db, project, "Red", ids, operator="ann").changed == 2


def test_filters_are_named_by_words(db: Database, project: Project, ids: list[int]) -> None:
    """They are those of Samples, and each can be combined with the others."""
    tagging.tag_samples(db, project, "red", ids[:2], operator="ann")
    for wanted, words in (
        (ids, {}),
        (ids[:1], {"state": "labeled"}),
        (ids[:1], {"kind": "person"}),
        (ids[1:2], {"tag": "RED", "state": "unlabeled"}),
        (ids, {"source": "noise"}),
        (ids[2:], {"text": "2.png"}),
    ):
        assert samples.select_ids(db, project.id, **selection.where(db, project, **words)) == wanted, words  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"state": "done"}, "There is no state 'done'. Choose from all, unlabeled"),
        ({"split": "all"}, "There is no split 'all'. Choose from train, val, test"),
        ({"kind": "people"}, "There is no kind 'people'"),
        ({"source": "june"}, "has no source 'june'. Its sources: noise"),
        ({"tag": "red"}, "has no tag 'red'. Its tags: none yet"),
    ],
)
def test_an_unknown_word_is_refused(
    db: Database, project: Project, ids: list[int], words: dict[str, str], sentence: str
) -> None:
    with pytest.raises(OptionError) as caught:
        selection.where(db, project, **words)  # type: ignore[arg-type]
    assert sentence in str(caught.value)


def test_tags_move_with_their_source(home: Home, db: Database, project: Project, ids: list[int]) -> None:
    """They keep their operator, and join the tag of the same name. Images that the target has stay, with their tags."""
    tagging.tag_samples(db, project, "red", ids[:1], operator="ann")
    tagging.tag_samples(db, project, "red", ids, operator="ben")
    tagging.tag_samples(db, project, "old", ids[:1], operator="ann")
    tagging.tag_samples(db, project, "new", ids[2:], operator="ann")
    with write(db):
        other = projects.insert_project(db, "other", 6, "0123456789")
    add_images(db, other, 1)  # the same first image
    with write(db):
        projects.rename_source(db, managing.find_source(db, other, "noise"), "mail")
    tagging.tag_samples(db, other, "RED", samples.select_ids(db, other.id), operator="cem")

    moved = managing.move_source(db, home, project, managing.find_source(db, project, "noise"), other)

    assert (moved.images, moved.stay) == (2, 1)
    assert (names(db, project), names(db, other)) == (["old", "red"], ["new", "RED"])
    given = tags.tags_of(db, ids)
    assert [[(tag.name, tag.operator) for tag in given[each]] for each in ids] == [
        [("old", "ann"), ("red", "ann")], [("RED", "ben")], [("new", "ann"), ("RED", "ben")],
    ]  # fmt: skip
    assert check(home).problems == []


def test_a_deleted_source_takes_its_tags_along(home: Home, db: Database, project: Project, ids: list[int]) -> None:
    tagging.tag_samples(db, project, "red", ids, operator="ann")

    with write(db):
        removals.delete_source(db, managing.find_source(db, project, "noise"))

    assert names(db, project) == []
    assert check(home).problems == []


def test_a_deleted_project_takes_its_tags_along(home: Home, db: Database, project: Project, ids: list[int]) -> None:
    """They are counted before. Another project keeps its own."""
    tagging.tag_samples(db, project, "red", ids, operator="ann")
    with write(db):
        other = projects.insert_project(db, "other", 6, "0123456789")
    add_images(db, other, 1)
    tagging.tag_samples(db, other, "red", samples.select_ids(db, other.id), operator="ann")
    assert removals.count_project(db, project).tags == 3
    assert removals.count_source(db, managing.find_source(db, project, "noise")).tags == 3

    with write(db):
        removals.delete_project(db, project)

    assert [tag.project_id for tag in tags.list_tags(db, other.id)] == [other.id]
    assert db.execute("SELECT count(*) FROM tagged_samples").fetchone() == (1,)
    assert check(home).problems == []


def test_a_tag_of_another_project_is_damage(home: Home, db: Database, project: Project, ids: list[int]) -> None:
    tagging.tag_samples(db, project, "red", ids[:1], operator="ann")
    with write(db):
        other = projects.insert_project(db, "other", 6, "0123456789")
        db.execute("UPDATE sample_tags SET project_id = ?", [other.id])

    assert any("have a tag of another project: 1" in problem for problem in check(home).problems)
