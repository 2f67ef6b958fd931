"""Rows of jobs, runs and evaluations."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from db import evaluations, integrity, jobs, runs
from db.connection import opened, write
from db.projects import insert_project
from db.records import Job, Project


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Return a new database."""
    with opened(tmp_path / "slotlab.db", create=True) as db:
        yield db


@pytest.fixture
def project(db: Database) -> Project:
    """Return a project with six digits."""
    with write(db):
        return insert_project(db, "portal", 6, "0123456789")


def insert(db: Database, project: Project, kind: str = "train", name: str = "fast") -> Job:
    number = jobs.next_number(db, kind)
    return jobs.insert_job(
        db, id=f"{number:04}-{name}", number=number, kind=kind, project_id=project.id, request_id=f"{kind} {number}"
    )


def insert_run(db: Database, project: Project) -> Job:
    job = insert(db, project)
    runs.insert_run(db, job_id=job.id, preset="fast", config="{}", dataset_sha256="ab", train_n=80, val_n=10)
    return job


def test_each_kind_of_job_counts_for_itself(db: Database, project: Project) -> None:
    """A number means one job of a kind, in all projects."""
    with write(db):
        other = insert_project(db, "other", 4, "0123456789")
        made = [
            insert(db, project, "import", "import"), insert(db, project), insert(db, project, "evaluate", "evaluate"),
            insert(db, other, name="article"), insert(db, other, "bundle", "bundle"),
        ]  # fmt: skip

    assert [job.id for job in made] == ["0001-import", "0001-fast", "0001-evaluate", "0002-article", "0001-bundle"]
    with pytest.raises(sqlite3.IntegrityError), write(db):
        jobs.insert_job(db, id="0002-fast", number=2, kind="train", project_id=project.id, request_id="again")


def test_jobs_are_listed_newest_first(db: Database, project: Project) -> None:
    """A list can be limited to a kind, a project or the newest jobs. Numbers of different kinds say nothing."""
    with write(db):
        other = insert_project(db, "other", 4, "0123456789")
        insert(db, project)
        insert(db, other)
        insert(db, project, "import", "import")

    assert [job.id for job in jobs.list_jobs(db)] == ["0001-import", "0002-fast", "0001-fast"]
    assert [job.id for job in jobs.active_jobs(db)] == ["0001-import", "0002-fast", "0001-fast"]
    assert list(integrity.jobs(db)) == ["0001-fast", "0002-fast", "0001-import"]
    assert [job.id for job in jobs.list_jobs(db, limit=1)] == ["0001-import"]
    assert [job.id for job in jobs.list_jobs(db, kind="train", project_id=project.id)] == ["0001-fast"]


def test_a_state_moves_on_once(db: Database, project: Project) -> None:
    """The second of two changes from the same state has no effect."""
    with write(db):
        job = insert(db, project)

        assert jobs.set_state(db, job, "finished", result="{}", final=True)
        assert not jobs.set_state(db, job, "lost", reason="too late", final=True)

    after = jobs.get_job(db, job.id)
    assert (after.state, after.reason, after.result) == ("finished", None, "{}")
    assert after.finished_at is not None
    assert jobs.active_jobs(db) == []


def test_a_job_is_found_by_each_of_its_names(db: Database, project: Project) -> None:
    """It is found by full name, by number and by request."""
    with write(db):
        job = insert(db, project)

    assert jobs.find_job(db, "0001-fast") == job
    assert jobs.find_by_number(db, "train", 1) == job
    assert jobs.find_by_number(db, "import", 1) is None
    assert jobs.find_by_request(db, "train 1") == job
    assert jobs.find_job(db, "0002-fast") is None


def test_a_run_is_a_job_with_its_settings(db: Database, project: Project) -> None:
    """Only training jobs are runs; the validation result is added at the end."""
    with write(db):
        insert(db, project, "import", "import")
        job = insert_run(db, project)
        runs.set_val_correct(db, job.id, 9)

    (run,) = runs.list_runs(db, project.id)
    assert (run.job, run.preset, run.train_n, run.val_n, run.val_correct) == (job, "fast", 80, 10, 9)
    assert runs.find_run(db, "0001-import") is None
    assert runs.list_runs(db, project.id + 1) == []


def test_an_evaluation_is_stored_once(db: Database, project: Project) -> None:
    """Two processes that see the end of a job at once store one row."""
    with write(db):
        run = insert_run(db, project)
        job = insert(db, project, "evaluate", "evaluate")
        for correct in (9, 8):
            evaluations.insert_evaluation(
                db, run_id=run.id, job_id=job.id, split="val", tta=True, n=10, correct=correct, result="{}"
            )

    (evaluation,) = evaluations.list_evaluations(db, run.id)
    assert (evaluation.split, evaluation.tta, evaluation.n, evaluation.correct) == ("val", 1, 10, 9)
    assert evaluations.list_evaluations(db, run.id, "test") == []


def test_uses_of_the_test_split_are_counted(db: Database, project: Project) -> None:
    """Each use has its own row."""
    with write(db):
        job = insert(db, project, "evaluate", "evaluate")
        assert evaluations.count_test_uses(db, project.id) == 0
        evaluations.insert_test_use(db, project_id=project.id, job_id=job.id, operator="ada")
        evaluations.insert_test_use(db, project_id=project.id, job_id=job.id, operator="bob")

    assert evaluations.count_test_uses(db, project.id) == 2


def test_the_newest_evaluation_since_its_end_is_the_score_of_a_run(db: Database, project: Project) -> None:
    """It is without TTA. An evaluation from before a resume is of another checkpoint."""
    with write(db):
        run = insert_run(db, project)
        runs.set_val_correct(db, run.id, 5)
        jobs.set_state(db, run, "finished", final=True)

        def evaluate(correct: int, *, tta: bool, result: str = "{}") -> str:
            job = insert(db, project, "evaluate", "evaluate")
            evaluations.insert_evaluation(
                db, run_id=run.id, job_id=job.id, split="val", tta=tta, n=12, correct=correct, result=result
            )
            return job.id

        def score() -> tuple[object, ...]:
            found = runs.list_runs(db, project.id)[0].score
            assert found is not None
            return found.correct, found.n, found.with_tta, found.evaluation

        assert score() == (5, 10, None, "")
        evaluate(6, tta=False)
        newer = evaluate(8, tta=True, result='{"tta_flips": {"without_tta": 7}}')
        assert score() == (7, 12, 8, newer)
        db.execute("UPDATE jobs SET finished_at = '9999-01-01T00:00:00+00:00' WHERE id = ?", [run.id])
        assert score() == (5, 10, None, "")
