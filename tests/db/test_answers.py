"""Answers of readers in use."""

from collections.abc import Callable
from dataclasses import replace

from sqlite_utils import Database

from db.answers import NewAnswer, count_unanswered, insert_answers, select_stream, select_unanswered
from db.connection import write
from db.records import Project, Sample


def answer(number: int, *, key: str | None = None, reader: str = "bundle a") -> NewAnswer:
    """Return an answer for the image whose hash is a number."""
    return NewAnswer(
        key=key or f"key {number}", sha256=f"{number:064x}", reader=reader, text="123456", confidence=0.5,
        accepted=None, unfamiliar=None, distance=1.0, surprise=None, at="2026-11-29T12:00:00+00:00",
    )  # fmt: skip


def test_an_answer_with_a_known_key_is_stored_once(db: Database, project: Project) -> None:
    """The same log twice changes nothing."""
    with write(db):
        first = insert_answers(db, project.id, [answer(1), answer(2)])
        second = insert_answers(db, project.id, [answer(2), answer(3), answer(4, key="key 1")])

    assert (first, second) == (2, 1)
    assert [row["sha256"] for row in db.query("SELECT * FROM answers ORDER BY id")] == [f"{n:064x}" for n in (1, 2, 3)]


def test_an_image_is_unanswered_until_this_reader_reads_it(
    db: Database, project: Project, add_sample: Callable[..., Sample]
) -> None:
    """An answer of another reader, or an image that came before, does not count."""
    first, *_, newest = [add_sample(number) for number in (1, 2, 3, 4)]
    with write(db):
        insert_answers(db, project.id, [answer(1), answer(2, reader="bundle b")])

    found = select_unanswered(db, project.id, ["bundle a"], after=0, limit=2)

    assert [sample.name for sample in found] == ["2.png", "3.png"]
    assert select_unanswered(db, project.id, ["bundle a"], after=found[-1].id, limit=2) == [newest]
    assert count_unanswered(db, project.id, ["bundle a"], after=first.id) == 3
    assert count_unanswered(db, project.id, ["bundle a"], after=newest.id) == 0


def test_a_stream_is_in_order_of_time_with_sources_and_the_newest_verdict(
    db: Database, project: Project, add_sample: Callable[..., Sample]
) -> None:
    """A verdict counts for the text that it is about. Answers of other bundles are left out."""
    sample = add_sample(1, source="mail")
    with write(db):
        insert_answers(db, project.id, [answer(2), replace(answer(1), at="2026-11-28T12:00:00+00:00")])
        insert_answers(db, project.id, [answer(3, reader="bundle a int8"), answer(4, reader="bundle b")])
        for key, number, text, accepted in (("a", 1, "123456", 1), ("b", 1, "123456", 0), ("c", 2, "654321", 1)):
            db.execute(
                "INSERT INTO verdicts (project_id, key, sha256, text, accepted, reason, operator, at)"
                " VALUES (?, ?, ?, ?, ?, 'captcha', 'ann', '2026')",
                [project.id, key, f"{number:064x}", text, accepted],
            )

    found = select_stream(db, project.id, ["bundle a", "bundle a int8"])

    assert [each.sha256 for each in found] == [f"{number:064x}" for number in (1, 2, 3)]
    first, second, _ = found
    assert (first.sample_id, first.source, first.verdict, first.reason) == (sample.id, "mail", 0, "captcha")
    assert (second.sample_id, second.source, second.verdict, second.reason) == (None, None, None, None)
