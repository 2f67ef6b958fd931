"""Queries on promotions: which bundle of a project is in use, and since when."""

from db.records import Promotion, now
from db.sqlite import Database


def insert_promotion(db: Database, *, project_id: int, job_id: str, operator: str) -> None:
    db.execute(
        "INSERT INTO promotions (project_id, job_id, operator, at) VALUES (?, ?, ?, ?)",
        [project_id, job_id, operator, now()],
    )


def find_newest(db: Database, project_id: int) -> Promotion | None:
    """Return the promotion that counts. None before the first."""
    return next(iter(list_promotions(db, project_id)), None)


def list_promotions(db: Database, project_id: int) -> list[Promotion]:
    """Return the promotions of a project, newest first."""
    rows = db.query("SELECT * FROM promotions WHERE project_id = ? ORDER BY id DESC", [project_id])
    return [Promotion(**row) for row in list(rows)]
