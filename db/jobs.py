"""Queries on jobs. While a job is active, its row follows its directory (core.jobs.control.reconcile)."""

from typing import Any

from db.records import ACTIVE, Job, now
from db.sqlite import Database


def next_number(db: Database, kind: str) -> int:
    """Return a number that no job of this kind has or had, in any project. Call inside `write(db)`."""
    sql = (
        "SELECT 1 + max(coalesce((SELECT max(number) FROM jobs WHERE kind = :kind), 0),"
        " coalesce((SELECT max(last_ids -> '$.jobs' ->> :kind) FROM removals), 0))"
    )
    return int(db.execute(sql, {"kind": kind}).fetchone()[0])


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


def find_by_number(db: Database, kind: str, number: int) -> Job | None:
    return next(iter(_select(db, "kind = ? AND number = ?", [kind, number])), None)


def find_by_request(db: Database, request_id: str) -> Job | None:
    """Return the job this request already started, if any."""
    return next(iter(_select(db, "request_id = ?", [request_id])), None)


def find_active(db: Database, project_id: int, kind: str) -> Job | None:
    """Return the newest active job of a kind in a project."""
    return next(iter(_select(db, f"state IN {ACTIVE} AND project_id = ? AND kind = ?", [project_id, kind])), None)


def active_jobs(db: Database, project_id: int | None = None) -> list[Job]:
    """Return the active jobs of one or all projects, newest first."""
    return _select(db, f"state IN {ACTIVE} AND (? IS NULL OR project_id = ?)", [project_id, project_id])


def unfinished_jobs(db: Database) -> list[Job]:
    """Return active jobs and those that ended without a result, newest first."""
    return _select(db, "state <> 'finished'", [])


def find_newest(db: Database, project_id: int, kind: str) -> Job | None:
    """Return the newest job of a kind in a project, whatever its state."""
    return next(iter(list_jobs(db, project_id=project_id, kind=kind, limit=1)), None)


def list_jobs(db: Database, *, project_id: int | None = None, kind: str | None = None, limit: int = -1) -> list[Job]:
    """Return jobs, newest first. A limit of -1 is all."""
    return _select(
        db,
        "(? IS NULL OR project_id = ?) AND (? IS NULL OR kind = ?)",
        [project_id, project_id, kind, kind, limit],
        " LIMIT ?",
    )


def _select(db: Database, where: str, values: list[Any], limit: str = "") -> list[Job]:
    # Each kind has numbers of its own, and two jobs can start in the same second. Only the rowid orders them all.
    rows = db.query(f"SELECT * FROM jobs WHERE removed_at IS NULL AND ({where}) ORDER BY rowid DESC{limit}", values)
    return [Job(**row) for row in list(rows)]


def set_state(
    db: Database, job: Job, state: str, *, reason: str | None = None, result: str | None = None, final: bool = False
) -> bool:
    """Change the state of `job`; False if it has changed since `job` was read. Call inside `write(db)`."""
    changed = db.execute(
        "UPDATE jobs SET state = ?, reason = ?, result = ?, finished_at = ? WHERE id = ? AND state = ?",
        [state, reason, result, now() if final else None, job.id, job.state],
    ).rowcount
    return bool(changed)
