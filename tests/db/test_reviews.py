"""Reviewing labeled samples page by page."""

import pytest
from sqlite_utils import Database

from db import labels, reviews
from db.connection import write
from db.records import Project, Sample
from db.reviews import Review
from tests.db.conftest import AddSample


@pytest.fixture
def six(db: Database, project: Project, add_sample: AddSample) -> list[Sample]:
    """Return 120000, 210000, 120001 (Ann), 020000 (Ben), an unlabeled sample, and one of another source."""
    made = [add_sample(number, split=split) for number, split in enumerate(("train", "val", "train", "test", "train"))]
    made.append(add_sample(9, source="post"))
    texts = [("120000", "Ann"), ("210000", "Ann"), ("120001", "Ann"), ("020000", "Ben"), None, ("999999", "Ben")]
    with write(db):
        for sample, given in zip(made, texts, strict=True):
            if given:
                labels.append_event(
                    db, sample, event_id=f"{sample.id}", operator=given[1], action="label", state="labeled",
                    text=given[0], base_version=0,
                )  # fmt: skip
    return made


def walk(db: Database, project: Project, review: Review, limit: int = 2) -> list[str]:
    """Return the labels of all pages."""
    found: list[str] = []
    after = None
    while rows := reviews.select_labeled(db, project.id, review, after=after, limit=limit):
        found += [sample.label or "" for _, sample in rows]
        after = rows[-1][0]
    return found


@pytest.mark.parametrize("order", list(reviews.ORDERS))
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_a_walk_meets_every_label_once(
    db: Database, project: Project, six: list[Sample], order: str, limit: int
) -> None:
    """This holds for any order and page size, and for equal keys."""
    found = walk(db, project, Review(order=order, position=3), limit)

    assert sorted(found) == ["020000", "120000", "120001", "210000", "999999"]


def test_the_orders(db: Database, project: Project, six: list[Sample]) -> None:
    """Labels can be sorted by label, by the character at a position, and newest first."""
    assert walk(db, project, Review(order="label")) == ["020000", "120000", "120001", "210000", "999999"]
    by_character = walk(db, project, Review(order="character", position=2))
    assert by_character == ["210000", "120000", "120001", "020000", "999999"]
    assert walk(db, project, Review(order="newest")) == ["999999", "020000", "120001", "210000", "120000"]


def test_the_filters(db: Database, project: Project, six: list[Sample]) -> None:
    """Filters work alone and together, and the count matches."""
    for review, wanted in (
        (Review(operator="Ben"), ["020000", "999999"]),
        (Review(not_by="Ben"), ["120000", "120001", "210000"]),
        (Review(split="val"), ["210000"]),
        (Review(source_id=six[5].source_id), ["999999"]),
        (Review(text="20001"), ["120001"]),
        (Review(position=2, char="2"), ["020000", "120000", "120001"]),
        (Review(position=2, char="2", not_by="Ann"), ["020000"]),
        (Review(text="' OR 1"), []),
    ):
        assert sorted(walk(db, project, review)) == wanted, review
        assert reviews.count_labeled(db, project.id, review) == len(wanted), review


def test_checked_labels_are_left_out(db: Database, project: Project, six: list[Sample]) -> None:
    """Checked and disputed labels are included only with unchecked=False."""
    with write(db):
        labels.set_standing(db, six[0].id, disputed=False, checked=True)
        labels.set_standing(db, six[1].id, disputed=True, checked=False)

    assert walk(db, project, Review(order="label")) == ["020000", "120001", "999999"]
    assert len(walk(db, project, Review(unchecked=False))) == 5
    assert [sample.id for sample in reviews.select_disputed(db, project.id, limit=5)] == [six[1].id]
    assert reviews.select_disputed(db, project.id, after=six[1].id, limit=5) == []


def test_the_random_order_reads_no_more_than_its_screen(db: Database, project: Project) -> None:
    """A scan of a million labels would take seconds, so the pages come from the index."""
    asked: list[str] = []
    db.conn.set_trace_callback(asked.append)
    reviews.select_labeled(db, project.id, Review(), after=("8", 1), start="1", limit=5)
    db.conn.set_trace_callback(None)

    (statement, *_) = [sql for sql in asked if sql.startswith("SELECT *")]
    plan = str([tuple(row) for row in db.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()])
    assert "samples_at_random" in plan
    assert "<expr>>?" in plan
    assert "TEMP B-TREE" not in plan


def test_histories_come_by_sample(db: Database, project: Project, six: list[Sample]) -> None:
    """A sample without events has an empty history."""
    found = reviews.events_by_sample(db, [six[0].id, six[4].id])

    assert {six[0].id: ["120000"], six[4].id: []} == {
        key: [event.text for event in events] for key, events in found.items()
    }
