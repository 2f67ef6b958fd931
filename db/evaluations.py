"""Queries on evaluations and on uses of the test set."""

from db.records import Evaluation, UseOfTest, now
from db.sqlite import Database


def insert_evaluation(
    db: Database,
    *,
    run_id: str,
    job_id: str,
    split: str,
    tta: bool,
    n: int,
    correct: int,
    result: str,
    reference: str = "people",
) -> None:
    """Store the result of an evaluation job. A second call for the same job changes nothing."""
    db.execute(
        "INSERT INTO evaluations (run_id, job_id, split, tta, n, correct, result, at, reference)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (job_id) DO NOTHING",
        [run_id, job_id, split, int(tta), n, correct, result, now(), reference],
    )


def list_evaluations(db: Database, run_id: str, split: str | None = None) -> list[Evaluation]:
    """Return the evaluations of a run, newest first."""
    rows = db.query(
        "SELECT * FROM evaluations WHERE run_id = ? AND (? IS NULL OR split = ?) ORDER BY id DESC",
        [run_id, split, split],
    )
    return [Evaluation(**row) for row in list(rows)]


def insert_test_use(db: Database, *, project_id: int, job_id: str, operator: str) -> None:
    db.execute(
        "INSERT INTO test_uses (project_id, job_id, operator, at) VALUES (?, ?, ?, ?)",
        [project_id, job_id, operator, now()],
    )


def list_test_uses(db: Database, project_id: int) -> list[UseOfTest]:
    """Return the uses of a project's test set, oldest first, with their results if any."""
    rows = db.query(
        "SELECT test_uses.at, test_uses.operator, test_uses.job_id, run_id, split, tta, n, correct"
        " FROM test_uses LEFT JOIN evaluations ON evaluations.job_id = test_uses.job_id"
        " WHERE project_id = ? ORDER BY test_uses.id",
        [project_id],
    )
    return [UseOfTest(**row) for row in list(rows)]


def count_test_uses(db: Database, project_id: int) -> int:
    """Return the number of uses of a project's test set."""
    sql = "SELECT count(*) FROM test_uses WHERE project_id = ?"
    return int(db.execute(sql, [project_id]).fetchone()[0])
