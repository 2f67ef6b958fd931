"""Suggestions: which images show one, and what the ledger records about it."""

import json

import pytest
from sqlite_utils import Database

from core.data.labeling import apply_events
from core.data.suggestions import agreed_readings, anchoring, is_withheld, suggestions
from core.images.pixels import split_of
from db import labels, samples
from db.connection import write
from db.projects import insert_source
from db.records import LabelEvent, Project, Sample
from tests.helpers.portal import reject
from tests.helpers.readings import add_proposals, agreeing


@pytest.fixture
def images(db: Database, short_project: Project) -> list[Sample]:
    """200 unlabeled images with hashes as of pixels, so all splits and both groups occur."""
    with write(db):
        source = insert_source(db, short_project.id, "mail", "the team", "ticket 1")
        for number in range(200):
            sha256 = "".join(
                f"{(number + 1) * factor % 2**32:08x}" for factor in (0x9E3779B1, 7, 0x85EBCA6B, *[11] * 5)
            )
            samples.insert_sample(
                db, project_id=short_project.id, source_id=source.id, sha256=sha256, name=f"{number}.png", width=40,
                height=16, split=split_of(sha256), image=b"",
            )  # fmt: skip
    return samples.select_samples(db, short_project.id)


def label(
    db: Database, project: Project, sample: Sample, text: str, suggested: object, number: int = 0, action: str = "label"
) -> LabelEvent:
    """Let Ann give a label, and return it as stored."""
    base = samples.get_sample(db, sample.id).version
    event = {"event": f"{sample.id} {number}", "action": action, "sample": sample.sha256, "text": text, "base": base}
    for _ in range(2):  # repeated, as by a browser that lost the answer
        apply_events(db, project, "Ann", [event | {"suggested": suggested}])
    stored = labels.find_event(db, f"{sample.id} {number}")
    assert stored
    assert len(labels.events_of(db, sample.id)) == number + 1
    return stored


def train(images: list[Sample], *, withheld: bool) -> list[Sample]:
    return [sample for sample in images if sample.split == "train" and is_withheld(sample.sha256) == withheld]


def test_one_training_image_in_ten_shows_none(db: Database, short_project: Project, images: list[Sample]) -> None:
    """Validation and test images never do."""
    agreeing(db, short_project, images, ["123"] * len(images))

    chosen = suggestions(db, short_project, images)

    assert set(chosen) == {sample.id for sample in train(images, withheld=False)}
    assert 5 <= len(train(images, withheld=True)) <= 30
    assert {suggestion.text for suggestion in chosen.values()} == {"123"}


def test_readers_that_differ_suggest_nothing(db: Database, short_project: Project, images: list[Sample]) -> None:
    """A person should read such an image. A text that one reader does not find is not agreed either."""
    first, second, third = train(images, withheld=False)[:3]
    texts: dict[int, tuple[str | None, str | None]] = {sample.id: ("123", "123") for sample in images}
    add_proposals(db, short_project, texts | {first.id: ("123", "124"), second.id: ("123", None)})

    assert set(suggestions(db, short_project, [first, second, third])) == {third.id}


def test_a_rejected_reading_is_not_suggested(db: Database, short_project: Project, images: list[Sample]) -> None:
    """Neither of two readers that agree, nor of one alone. Another text rejected for the image does not matter."""
    first, second = train(images, withheld=False)[:2]
    agreeing(db, short_project, images, ["123"] * len(images))
    reject(db, short_project, first, "123")
    reject(db, short_project, second, "321")

    assert set(suggestions(db, short_project, [first, second])) == {second.id}

    with write(db):
        db.execute("DELETE FROM proposals WHERE reader_id = 1")
        db.execute("UPDATE proposals SET confidence = 0.99")
        db.execute("UPDATE jobs SET result = json_set(result, '$.suggests', json('true'))")
    assert set(suggestions(db, short_project, [first, second])) == {second.id}


def test_readers_that_cannot_read_this_portal_suggest_nothing(
    db: Database, short_project: Project, images: list[Sample]
) -> None:
    add_proposals(
        db, short_project, {s.id: ("123", "123" if number < 40 else "321") for number, s in enumerate(images)}
    )

    assert suggestions(db, short_project, images) == {}


def test_the_least_sure_character_is_that_of_any_reader(
    db: Database, short_project: Project, images: list[Sample]
) -> None:
    """The lowest confidence decides, whichever reader has it."""
    readers = agreeing(db, short_project, images, ["123"] * len(images))
    sample = train(images, withheld=False)[0]
    with write(db):
        for reader, confidences in zip(readers, ([0.9, 0.8, 0.9], [0.9, 0.9, 0.4]), strict=True):
            db.execute(
                "UPDATE proposals SET positions = ? WHERE sample_id = ? AND reader_id = ?",
                [json.dumps(confidences), sample.id, reader.id],
            )

    assert suggestions(db, short_project, [sample])[sample.id].to_dict() == {"text": "123", "unsure": 2}


def test_the_ledger_records_a_suggestion_once(db: Database, short_project: Project, images: list[Sample]) -> None:
    """It has the reading at that time and whether it was on screen. A repeated event changes nothing."""
    agreeing(db, short_project, images, ["123"] * len(images))
    (shown, *_), (withheld, *_) = (train(images, withheld=withheld) for withheld in (False, True))

    first, second = label(db, short_project, shown, "123", True), label(db, short_project, withheld, "124", False)

    assert (first.kind, first.text, first.suggestion, first.suggestion_shown) == ("person", "123", "123", 1)
    assert (second.kind, second.text, second.suggestion, second.suggestion_shown) == ("person", "124", "123", 0)


@pytest.mark.parametrize("suggested", [None, "yes", False])
def test_an_image_whose_suggestion_came_late_is_in_no_group(
    db: Database, short_project: Project, images: list[Sample], suggested: object
) -> None:
    """It was labeled before its reading arrived, or on another page. Then its group would not be by chance."""
    agreeing(db, short_project, images, ["123"] * len(images))

    event = label(db, short_project, train(images, withheld=False)[0], "123", suggested)

    assert (event.suggestion, event.suggestion_shown) == (None, None)


def test_no_suggestion_is_recorded_for_held_out_images(
    db: Database, short_project: Project, images: list[Sample]
) -> None:
    """Not even if a browser claims one."""
    agreeing(db, short_project, images, ["123"] * len(images))

    for split in ("val", "test"):
        sample = next(each for each in images if each.split == split)
        event = label(db, short_project, sample, "123", True)
        assert (event.suggestion, event.suggestion_shown) == (None, None)
        assert agreed_readings(db, short_project, [sample]) == {}


def test_labels_are_compared_with_what_was_shown_and_withheld(
    db: Database, short_project: Project, images: list[Sample]
) -> None:
    """The last label of each image counts."""
    agreeing(db, short_project, images, ["123"] * len(images))
    shown, withheld = train(images, withheld=False), train(images, withheld=True)
    label(db, short_project, shown[0], "999", True)
    label(db, short_project, shown[0], "123", True, 1)
    for sample in shown[1:4]:
        label(db, short_project, sample, "123", True)
    label(db, short_project, withheld[0], "123", False)
    label(db, short_project, withheld[1], "124", False)

    report = anchoring(db, short_project)

    assert (report.shown_equal, report.shown, report.withheld_equal, report.withheld) == (4, 4, 1, 2)
