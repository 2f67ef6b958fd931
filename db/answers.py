"""Queries on answers: what a reader in use read outside the lab, or of images that came after its training."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

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


def count_unanswered(db: Database, project_id: int, reader: str, *, since: str) -> int:
    """Return the number of images that came at this time or later and have no answer of a reader."""
    where, values = _unanswered(project_id, reader, since)
    return int(db.execute(f"SELECT count(*) FROM samples WHERE {where}", values).fetchone()[0])


def select_unanswered(
    db: Database, project_id: int, reader: str, *, since: str, after: int, limit: int
) -> list[Sample]:
    """Return the next images, by id, that came at this time or later and have no answer of a reader."""
    where, values = _unanswered(project_id, reader, since)
    sql = f"SELECT * FROM samples WHERE {where} AND id > ? ORDER BY id LIMIT ?"
    return [Sample(**row) for row in list(db.query(sql, [*values, after, limit]))]


def _unanswered(project_id: int, reader: str, since: str) -> tuple[str, list[str | int]]:
    # The plus reads the rows in file order; see db.samples.
    where = (
        "+project_id = ? AND created_at >= ? AND NOT EXISTS"
        " (SELECT 1 FROM answers WHERE project_id = samples.project_id AND sha256 = samples.sha256 AND reader = ?)"
    )
    return where, [project_id, since, reader]
