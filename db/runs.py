"""Queries on runs: the training jobs."""

from dataclasses import fields

from db.records import Job, Run
from db.sqlite import Database

_EVALUATED = """
    LEFT JOIN (
        SELECT max(evaluations.id), run_id AS evaluated, job_id AS evaluation, n AS evaluated_n,
            reference AS evaluated_reference, CASE WHEN tta THEN correct END AS evaluated_tta,
            CASE WHEN tta THEN json_extract(evaluations.result, '$.tta_flips.without_tta') ELSE correct END
                AS evaluated_correct
        FROM evaluations JOIN jobs AS later ON later.id = job_id JOIN jobs AS run ON run.id = run_id
        WHERE split = 'val' AND later.created_at >= run.finished_at
        GROUP BY run_id
    ) ON evaluated = runs.job_id
"""
"""The newest evaluation on val since the end of each run. SQLite takes the other columns from the row of the max."""


def insert_run(
    db: Database,
    *,
    job_id: str,
    preset: str,
    config: str,
    dataset_sha256: str,
    train_n: int,
    val_n: int,
    reference: str = "people",
) -> None:
    db.execute(
        "INSERT INTO runs (job_id, preset, config, dataset_sha256, train_n, val_n, reference)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [job_id, preset, config, dataset_sha256, train_n, val_n, reference],
    )


def find_run(db: Database, job_id: str) -> Run | None:
    return next(iter(_select(db, "jobs.id = ?", [job_id])), None)


def list_runs(db: Database, project_id: int | None = None) -> list[Run]:
    """Return the runs of one or all projects, newest first."""
    return _select(db, "? IS NULL OR jobs.project_id = ?", [project_id, project_id])


def set_val_correct(db: Database, job_id: str, correct: int) -> None:
    db.execute("UPDATE runs SET val_correct = ? WHERE job_id = ?", [correct, job_id])


def describe(db: Database, job_id: str, *, name: str, note: str, tags: str) -> None:
    """Set what people say about a run. `tags` is a JSON list."""
    db.execute("UPDATE runs SET name = ?, note = ?, tags = ? WHERE job_id = ?", [name, note, tags, job_id])


def _select(db: Database, where: str, values: list[object]) -> list[Run]:
    sql = f"SELECT * FROM jobs JOIN runs ON runs.job_id = jobs.id {_EVALUATED} WHERE removed_at IS NULL AND ({where})"
    sql += " ORDER BY jobs.number DESC"
    job_columns = [field.name for field in fields(Job)]
    run_columns = [field.name for field in fields(Run) if field.name != "job"]
    return [
        Run(job=Job(**{key: row[key] for key in job_columns}), **{key: row[key] for key in run_columns})
        for row in list(db.query(sql, values))
    ]
