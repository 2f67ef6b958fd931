"""Queries on jobs. While a job lives, its row follows its directory (core.jobs.control.reconcile)."""

from typing import Any

from sqlite_utils import Database

from db.records import ACTIVE, Job, now


def next_number(db: Database) -> int:
    return int(db.execute("SELECT coalesce(max(number), 0) + 1 FROM jobs").fetchone()[0])


def insert_job(db: Database, *, id: str, number: int, kind: str, project_id: int, request_id: str) -> Job:  # noqa: A002
    db.execute(
        "INSERT INTO jobs (id, number, kind, project_id, request_id, state, created_at)"
        " VALUES (?, ?, ?, ?, ?, 'starting', ?)",
        [id, number, kind, project_id, request_id, now()],
    )
    return get_job(db, id)


def get_job(db: Database, job_id: str) -> Job:
    return _select(db, "id = ?", [job_id])[0]


def find_job(db: Database, job_id: str) -> Job | None:
    return next(iter(_select(db, "id = ?", [job_id])), None)


def find_by_number(db: Database, number: int) -> Job | None:
    return next(iter(_select(db, "number = ?", [number])), None)


def find_by_request(db: Database, request_id: str) -> Job | None:
    """The job that this press of a button has started already, if it has."""
    return next(iter(_select(db, "request_id = ?", [request_id])), None)


def active_jobs(db: Database) -> list[Job]:
    return _select(db, f"state IN {ACTIVE}", [])


def list_jobs(db: Database, *, project_id: int | None = None, kind: str | None = None, limit: int = -1) -> list[Job]:
    """Newest first."""
    return _select(
        db,
        "(? IS NULL OR project_id = ?) AND (? IS NULL OR kind = ?)",
        [project_id, project_id, kind, kind, limit],
        " LIMIT ?",
    )


def _select(db: Database, where: str, values: list[Any], limit: str = "") -> list[Job]:
    rows = db.query(f"SELECT * FROM jobs WHERE {where} ORDER BY number DESC{limit}", values)
    return [Job(**row) for row in list(rows)]


def set_state(
    db: Database, job: Job, state: str, *, reason: str | None = None, result: str | None = None, final: bool = False
) -> bool:
    """Move `job` on from the state it was read in; False when somebody else has moved it. Call inside `write(db)`."""
    changed = db.execute(
        "UPDATE jobs SET state = ?, reason = ?, result = ?, finished_at = ? WHERE id = ? AND state = ?",
        [state, reason, result, now() if final else None, job.id, job.state],
    ).rowcount
    return bool(changed)
