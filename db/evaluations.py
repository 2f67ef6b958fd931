"""Queries on evaluations, and on the openings of the sealed test split."""

from sqlite_utils import Database

from db.records import Evaluation, TestOpening, now


def insert_evaluation(
    db: Database, *, run_id: str, job_id: str, split: str, tta: bool, n: int, correct: int, result: str
) -> None:
    """Store what an evaluation job found; a second call for the same job changes nothing."""
    db.execute(
        "INSERT INTO evaluations (run_id, job_id, split, tta, n, correct, result, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (job_id) DO NOTHING",
        [run_id, job_id, split, int(tta), n, correct, result, now()],
    )


def list_evaluations(db: Database, run_id: str, split: str | None = None) -> list[Evaluation]:
    """Evaluations of a run, newest first."""
    rows = db.query(
        "SELECT * FROM evaluations WHERE run_id = ? AND (? IS NULL OR split = ?) ORDER BY id DESC",
        [run_id, split, split],
    )
    return [Evaluation(**row) for row in list(rows)]


def insert_test_opening(db: Database, *, project_id: int, job_id: str, operator: str) -> None:
    db.execute(
        "INSERT INTO test_openings (project_id, job_id, operator, at) VALUES (?, ?, ?, ?)",
        [project_id, job_id, operator, now()],
    )


def list_test_openings(db: Database, project_id: int) -> list[TestOpening]:
    """Every reading of the test images of a project, oldest first, with its result where there is one."""
    rows = db.query(
        "SELECT test_openings.at, test_openings.operator, test_openings.job_id, run_id, tta, n, correct"
        " FROM test_openings LEFT JOIN evaluations ON evaluations.job_id = test_openings.job_id"
        " WHERE project_id = ? ORDER BY test_openings.id",
        [project_id],
    )
    return [TestOpening(**row) for row in list(rows)]


def count_test_openings(db: Database, project_id: int) -> int:
    """How often the test images of a project have been read."""
    sql = "SELECT count(*) FROM test_openings WHERE project_id = ?"
    return int(db.execute(sql, [project_id]).fetchone()[0])
