"""Queries on answers: what a reader in use read outside the lab, or of images that came after its training."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import NamedTuple

from db.records import Sample
from db.sqlite import Database


@dataclass(frozen=True, kw_only=True)
class NewAnswer:
    """An answer without its id and project. db.records.Answer explains the fields."""

    key: str
    sha256: str
    reader: str
    text: str
    confidence: float
    accepted: bool | None
    unfamiliar: str | None
    distance: float | None
    surprise: float | None
    at: str


def insert_answers(db: Database, project_id: int, answers: Sequence[NewAnswer]) -> int:
    """Store answers whose keys are new in the project. Return their number. Call inside `write(db)`."""
    assert db.conn is not None
    cursor = db.conn.executemany(
        "INSERT INTO answers (project_id, key, sha256, reader, text, confidence, accepted, unfamiliar, distance,"
        " surprise, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project_id, key) DO NOTHING",
        [(project_id, *astuple(answer)) for answer in answers],
    )
    return cursor.rowcount


class Streamed(NamedTuple):
    """An answer with what else is known about its image. db.records.Answer explains the first fields."""

    sha256: str
    at: str
    text: str
    confidence: float
    accepted: int | None
    unfamiliar: str | None
    distance: float | None
    surprise: float | None
    sample_id: int | None
    """None if the project does not have the image."""
    source: str | None
    verdict: int | None
    """1 if the portal accepted the text, 0 if it did not; None without a verdict. The newest verdict counts."""
    reason: str | None
    """Why the portal did not accept it."""
    blind: int | None
    """1 if the image is held out and needs a label, so no page may tell how it was read or judged."""


def select_stream(db: Database, project_id: int, readers: Sequence[str]) -> list[Streamed]:
    """Return all answers of these readers in a project, in order of time."""
    rows = db.execute(
        "SELECT answers.sha256, answers.at, answers.text, confidence, answers.accepted, unfamiliar, distance, surprise,"
        " samples.id, sources.name, verdicts.accepted, verdicts.reason,"
        " samples.split <> 'train' AND samples.label IS NULL AND samples.flag IS NULL FROM answers"
        " LEFT JOIN samples ON samples.project_id = answers.project_id AND samples.sha256 = answers.sha256"
        " LEFT JOIN sources ON sources.id = samples.source_id"
        " LEFT JOIN verdicts ON verdicts.id = (SELECT max(id) FROM verdicts AS v WHERE v.project_id ="
        " answers.project_id AND v.sha256 = answers.sha256 AND v.text = answers.text)"
        f" WHERE answers.project_id = ? AND reader IN ({','.join('?' * len(readers))}) ORDER BY answers.at, answers.id",
        [project_id, *readers],
    )
    return [Streamed(*row) for row in rows.fetchall()]


def select_judged(db: Database, project_id: int, readers: Sequence[str]) -> list[tuple[float, bool]]:
    """Return confidence and whether it was right of each answer of these readers that the portal judged.

    It judged a text that it accepted, or rejected because of the image. Answers to unfamiliar images are left out,
    because no threshold accepts them. So is a text that the portal both accepted and rejected.
    """
    rows = db.execute(
        "SELECT min(confidence), max(verdicts.accepted) FROM answers JOIN verdicts"
        " ON verdicts.project_id = answers.project_id AND verdicts.sha256 = answers.sha256"
        " AND verdicts.text = answers.text"
        f" WHERE answers.project_id = ? AND reader IN ({','.join('?' * len(readers))}) AND unfamiliar IS NULL"
        " AND (verdicts.accepted OR reason = 'captcha') GROUP BY answers.sha256, answers.text"
        " HAVING min(verdicts.accepted) = max(verdicts.accepted) ORDER BY answers.id",
        [project_id, *readers],
    )
    return [(confidence, bool(accepted)) for confidence, accepted in rows.fetchall()]


def newest_ids(db: Database) -> tuple[int, int]:
    """Return the ids of the newest answer and of the newest verdict, 0 without one. They change when one comes."""
    row = db.execute("SELECT (SELECT max(id) FROM answers), (SELECT max(id) FROM verdicts)").fetchone()
    return row[0] or 0, row[1] or 0


def count_unanswered(db: Database, project_id: int, readers: Sequence[str], *, after: int) -> int:
    """Return the number of images that came after a sample and have no answer of these readers."""
    where, values = _unanswered(project_id, readers, after)
    return int(db.execute(f"SELECT count(*) FROM samples WHERE {where}", values).fetchone()[0])


def select_unanswered(db: Database, project_id: int, readers: Sequence[str], *, after: int, limit: int) -> list[Sample]:
    """Return the next images, by id, that came after a sample and have no answer of these readers."""
    where, values = _unanswered(project_id, readers, after)
    sql = f"SELECT * FROM samples WHERE {where} ORDER BY id LIMIT ?"
    return [Sample(**row) for row in list(db.query(sql, [*values, limit]))]


def _unanswered(project_id: int, readers: Sequence[str], after: int) -> tuple[str, list[str | int]]:
    # The plus reads the rows in file order; see db.samples.
    where = (
        "+project_id = ? AND id > ? AND NOT EXISTS (SELECT 1 FROM answers WHERE project_id ="
        f" samples.project_id AND sha256 = samples.sha256 AND reader IN ({','.join('?' * len(readers))}))"
    )
    return where, [project_id, after, *readers]
