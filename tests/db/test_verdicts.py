"""Queries on verdicts, as the files grow."""

import pytest
from sqlite_utils import Database

from db import verdicts
from db.connection import write
from db.records import Project
from db.verdicts import NewVerdict
from tests.db.conftest import AddSample


def add_verdict(
    db: Database, project: Project, number: int, text: str, *, accepted: bool = False, reason: str | None = "captcha"
) -> bool:
    """Store a verdict about the sample of a number, with the text as key."""
    given = NewVerdict(
        key=f"{number} {text}", sha256=f"{number:064x}", text=text, accepted=accepted, reason=reason, at=f"2026-{text}"
    )
    with write(db):
        return verdicts.insert_verdict(db, project.id, given, "Eve") is not None


def test_a_key_is_stored_once(db: Database, project: Project) -> None:
    assert [add_verdict(db, project, 1, "111111") for _ in range(2)] == [True, False]

    (stored,) = verdicts.verdicts_of(db, project.id, f"{1:064x}")
    assert (stored.text, stored.accepted, stored.reason, stored.operator) == ("111111", 0, "captcha", "Eve")
    assert verdicts.find_verdict(db, project.id, "1 111111") == stored


def test_rejected_texts_are_those_of_their_image(db: Database, project: Project, add_sample: AddSample) -> None:
    """For chosen samples or all. Accepted texts and other reasons do not count."""
    first, second, third = (add_sample(number) for number in (1, 2, 3))
    for number, text in ((1, "111111"), (1, "222222"), (2, "111111"), (9, "111111")):
        add_verdict(db, project, number, text)
    add_verdict(db, project, 1, "333333", accepted=True, reason=None)
    add_verdict(db, project, 3, "333333", reason="timeout")

    assert verdicts.rejected_texts(db, project.id) == {first.id: {"111111", "222222"}, second.id: {"111111"}}
    chosen = verdicts.rejected_texts(db, project.id, sample_ids=[second.id, third.id])
    assert chosen == {second.id: {"111111"}}
    assert verdicts.rejected_texts(db, project.id, sample_ids=[]) == {}


def test_the_newest_rejection_comes_first(db: Database, project: Project, add_sample: AddSample) -> None:
    """Each image once, and only training images that need a label."""
    added = [add_sample(number, split="val" if number == 3 else "train") for number in range(4)]
    for number, text in ((0, "000001"), (1, "000002"), (3, "000003"), (0, "000004"), (2, "000003")):
        add_verdict(db, project, number, text)

    assert verdicts.select_rejected(db, project.id, 10) == [added[0].id, added[2].id, added[1].id]
    assert verdicts.select_rejected(db, project.id, 1) == [added[0].id]


@pytest.mark.parametrize("sample_ids", [None, [1, 2]])
def test_rejected_texts_are_found_along_indexes(db: Database, project: Project, sample_ids: list[int] | None) -> None:
    """Not all samples are read. All verdicts are, in file order, unless samples are given."""
    statements: list[str] = []
    db.conn.set_trace_callback(statements.append)
    verdicts.rejected_texts(db, project.id, sample_ids=sample_ids)
    verdicts.select_rejected(db, project.id, 10)
    verdicts.select_unused(db, project.id)
    db.conn.set_trace_callback(None)

    plans = [
        [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {each}").fetchall()]
        for each in statements
        if each.startswith("SELECT")
    ]

    assert len(plans) == 3
    first, *others = (" ".join(plan) for plan in plans)
    for plan in others if sample_ids else (first, *others):
        assert plan.startswith("SCAN verdicts SEARCH samples USING")
        assert "(project_id=? AND sha256=?)" in plan
    if sample_ids:
        assert first.startswith("SEARCH samples USING INTEGER PRIMARY KEY")
        assert "SEARCH verdicts USING INDEX verdicts_of_image (project_id=? AND sha256=?)" in first
