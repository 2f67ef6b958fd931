"""Queries on tags of samples, and the filter by a tag."""

from collections.abc import Callable

import pytest
from sqlite_utils import Database

from db import projects, reviews, samples, tags
from db.connection import write
from db.labels import append_event
from db.records import GivenTag, Project, Sample, Tag
from db.reviews import Review
from tests.db.conftest import AddSample


@pytest.fixture
def four(db: Database, add_sample: AddSample) -> list[Sample]:
    return [add_sample(number) for number in range(1, 5)]


@pytest.fixture
def blurry(db: Database, project: Project, four: list[Sample]) -> Tag:
    """A tag on the first and the third sample."""
    with write(db):
        tag = tags.open_tag(db, project.id, "Blurry")
        tags.add(db, tag, [four[0].id, four[2].id], operator="ann", at="then")
    return tag


def test_a_tag_is_compared_without_case(db: Database, project: Project, blurry: Tag) -> None:
    """The first spelling is kept, also beyond ASCII."""
    with write(db):
        assert tags.open_tag(db, project.id, "BLURRY") == blurry
        german = tags.open_tag(db, project.id, "GRÖSSE")

    assert tags.find_tag(db, project.id, "größe") == german
    assert [tag.name for tag in tags.list_tags(db, project.id)] == ["Blurry", "GRÖSSE"]
    assert tags.find_tag(db, project.id + 1, "blurry") is None


def test_samples_are_tagged_once(db: Database, project: Project, four: list[Sample], blurry: Tag) -> None:
    """A second time changes nothing, not even the operator. Other projects' samples and unknown ids are left out."""
    with write(db):
        other = projects.insert_project(db, "other", 6, "0123456789")
        source = projects.insert_source(db, other.id, "mail", "the team", "ticket 1")
        foreign = samples.insert_sample(
            db, project_id=other.id, source_id=source.id, sha256="f" * 64, name="f.png", width=40, height=16,
            split="train", image=b"f",
        )  # fmt: skip
        assert tags.add(db, blurry, [four[0].id, four[1].id, foreign, 10**6], operator="ben", at="later") == 1

    assert tags.count_tagged(db, blurry) == 3
    ann, ben = GivenTag("Blurry", "ann", "then"), GivenTag("Blurry", "ben", "later")
    assert tags.tags_of(db, [sample.id for sample in four]) == {four[0].id: [ann], four[1].id: [ben], four[2].id: [ann]}


def test_a_tag_without_samples_goes(db: Database, project: Project, four: list[Sample], blurry: Tag) -> None:
    with write(db):
        assert tags.remove(db, blurry, [four[0].id, four[1].id]) == 1
    assert tags.list_tags(db, project.id) == [blurry]

    with write(db):
        assert tags.remove(db, blurry, [four[2].id]) == 1
    assert tags.list_tags(db, project.id) == []


def test_a_list_is_filtered_by_a_tag(db: Database, project: Project, four: list[Sample], blurry: Tag) -> None:
    """Alone and with other filters, in every order. The count matches."""
    with write(db):
        append_event(
            db, four[2], event_id="e", operator="Ann", action="label", state="labeled", text="111111", base_version=0
        )
    for wanted, choice in (
        ([four[0], four[2]], {}),
        ([four[2]], {"state": "labeled"}),
        ([four[2]], {"kind": "person"}),
        ([four[2]], {"text": four[2].sha256}),
        ([], {"text": four[1].sha256}),
        ([], {"disputed": True}),
        ([], {"split": "val"}),
    ):
        where = {"tag_id": blurry.id} | choice
        ids = [sample.id for sample in wanted]
        assert samples.select_ids(db, project.id, **where) == ids, choice
        assert samples.mark_samples(db, project.id, **where) == samples.mark_of(ids), choice
        assert samples.count_samples(db, project.id, **where) == len(wanted), choice
        for order in samples.ORDERS:
            assert {each.id for each in samples.select_samples(db, project.id, **where, order=order)} == {*ids}, choice


def test_a_review_is_filtered_by_a_tag(db: Database, project: Project, four: list[Sample], blurry: Tag) -> None:
    """In each order, and counted."""
    with write(db):
        for sample in four:
            append_event(
                db, sample, event_id=f"e{sample.id}", operator="Ann", action="label", state="labeled", text="111111",
                base_version=0,
            )  # fmt: skip
    for order in reviews.ORDERS:
        review = Review(order=order, tag_id=blurry.id)
        page = reviews.select_labeled(db, project.id, review, limit=9)
        assert {sample.id for _, sample in page} == {four[0].id, four[2].id}, order
        assert reviews.count_labeled(db, project.id, review) == 2


def plan_of(db: Database, ask: Callable[[], object]) -> str:
    """Return how SQLite finds the samples of a query."""
    asked: list[str] = []
    db.conn.set_trace_callback(asked.append)
    ask()
    db.conn.set_trace_callback(None)
    (sql,) = [each for each in asked if each.startswith("SELECT")]
    return " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall())


@pytest.mark.parametrize("where", [{}, {"state": "unlabeled"}, {"kind": "person"}, {"disputed": True}, {"text": "22"}])
def test_only_tagged_samples_are_read(db: Database, project: Project, blurry: Tag, where: dict[str, object]) -> None:
    """Few of a million samples have a tag."""
    plan = plan_of(db, lambda: samples.select_samples(db, project.id, tag_id=blurry.id, limit=50, **where))  # type: ignore[arg-type]

    assert "SEARCH samples USING INTEGER PRIMARY KEY (rowid=?)" in plan


def test_a_review_reads_tagged_samples_only(db: Database, project: Project, blurry: Tag) -> None:
    review = Review(tag_id=blurry.id, split="train")
    plan = plan_of(db, lambda: reviews.select_labeled(db, project.id, review, limit=50))

    assert "SEARCH samples USING INTEGER PRIMARY KEY (rowid=?)" in plan
