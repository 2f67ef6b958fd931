"""The gain of a round, without mixing labels of people and readings."""

import json
import shutil
from typing import Any

import pytest
from sqlite_utils import Database

from core.data.labeling import apply_events
from core.errors import JobError
from core.home import Home
from core.jobs import control
from core.model.config import preset, with_options
from core.runs.rounds import _finish_round, best_run, get_run, line_of, list_rounds, measure_again, start_round
from core.runs.start import start_training
from db import evaluations, jobs, removals, samples
from db.connection import write
from db.records import ACTIVE, Project
from tests.helpers.readings import agreeing
from tests.helpers.runs import add_finished, add_unlabeled
from tests.helpers.stand_in import FOREVER, STEPS
from tests.helpers.trained import ON_READINGS, SETTINGS


def add_evaluation(db: Database, project: Project, run: str, reference: str, correct: int, n: int) -> str:
    """Add an evaluation of a run on val, and return the id of its job."""
    with write(db):
        number = jobs.next_number(db, "evaluate")
        job = jobs.insert_job(
            db, id=f"{number:04}-evaluate", number=number, kind="evaluate", project_id=project.id,
            request_id=f"evaluate {number}",
        )  # fmt: skip
        evaluations.insert_evaluation(
            db, run_id=run, job_id=job.id, split="val", tta=False, n=n, correct=correct, result="{}",
            reference=reference,
        )  # fmt: skip
    return job.id


def result(run: str, next_run: str, evaluation: str | None = None) -> dict[str, Any]:
    return {"run": run, "accepted": 5, "proved": 1, "next_run": next_run, "evaluation": evaluation}


@pytest.mark.parametrize("reference", ["people", "readers"])
def test_a_round_helps_if_more_of_val_is_right(db: Database, project: Project, reference: str) -> None:
    run, next_run = add_finished(db, project, reference, 8, 10), add_finished(db, project, reference, 19, 20)

    line = line_of(db, result(run, next_run))

    assert line.helped
    assert "8 of 10 before, 19 of 20 after" in line.sentence()


def test_an_agreement_with_readers_is_not_compared_with_an_exact_match(db: Database, project: Project) -> None:
    """People labeled val between the two runs, and the earlier run has not been evaluated since."""
    run, next_run = add_finished(db, project, "readers", 10, 10), add_finished(db, project, "people", 3, 4)

    line = line_of(db, result(run, next_run))

    assert (line.before, line.after, line.reference, line.helped) == (None, (3, 4), "people", False)
    assert line.sentence() == (
        "0001-fast: 6 more labels. Exact match on val: 3 of 4 (0002-fast). 0001-fast has not been evaluated on the "
        "same labels, so the gain is unknown."
    )


@pytest.mark.parametrize(("correct", "helped", "best"), [(2, True, "0002-fast"), (4, False, "0001-fast")])
def test_an_evaluation_on_the_same_labels_shows_the_gain(
    db: Database, project: Project, correct: int, helped: bool, best: str
) -> None:
    """The better of both runs is then the best one."""
    run, next_run = add_finished(db, project, "readers", 10, 10), add_finished(db, project, "people", 3, 4)
    evaluation = add_evaluation(db, project, run, "people", correct, 4)

    line = line_of(db, result(run, next_run, evaluation))

    assert (line.before, line.after, line.helped) == ((correct, 4), (3, 4), helped)
    assert f"Exact match on val: {correct} of 4 before, 3 of 4 after" in line.sentence()
    chosen = best_run(db, project)
    assert chosen is not None
    assert chosen.job.id == best


def test_the_best_run_takes_as_many_queries_for_many_runs_as_for_one(short_project: Project, db: Database) -> None:
    """Each page with a box of runs asks for it whenever it runs. The newest evaluation of a run counts."""
    statements: list[str] = []
    found = []
    for count in (1, 20):
        for _ in range(count):
            run = add_finished(db, short_project, "readers", 9, 10)
            for correct in (9, 2):
                add_evaluation(db, short_project, run, "people", correct, 10)
        best = add_finished(db, short_project, "people", 3, 10)
        db.conn.set_trace_callback(statements.append)
        chosen = best_run(db, short_project)
        db.conn.set_trace_callback(None)
        assert chosen is not None
        assert chosen.job.id == best
        found.append(len(statements))
        statements.clear()

    assert found[0] == found[1]


@pytest.mark.long  # a training and an evaluation in processes of their own
def test_labels_of_people_between_two_runs_are_the_reference_of_both(
    trained_on_readings: Project, db: Database, home: Home
) -> None:
    """Without new labels of val, the earlier run is not evaluated again."""
    project, run = trained_on_readings, get_run(db, ON_READINGS)
    assert measure_again(db, home, project, run, operator="Ann") is None
    for sample in samples.select_samples(db, project.id, split="val")[:3]:
        event = {"event": f"e{sample.id}", "action": "label", "sample": sample.sha256, "text": "000", "base": 0}
        apply_events(db, project, "Ann", [event])
    config = with_options(preset("fast"), SETTINGS)
    following = start_training(db, home, project, config, preset="fast", operator="Ann")

    again = measure_again(db, home, project, run, operator="Ann")

    assert again is not None
    for job_id in (again.id, following.job.id):
        control.finish(db, home, job_id, lambda _: None)
    line = line_of(db, result(ON_READINGS, following.job.id, again.id))
    assert (line.reference, line.before and line.before[1], line.after and line.after[1]) == ("people", 3, 3)


@pytest.mark.usefixtures("stand_in")
def test_an_interrupted_round_is_resumed(
    db: Database, home: Home, labeled: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have labeled images whose next run has not started. A round with another run is a new job."""
    add_unlabeled(db, labeled, train=20)
    agreeing(db, labeled, samples.select_samples(db, labeled.id, state="unlabeled"), ["123"] * 20)
    first, second = (get_run(db, add_finished(db, labeled, "people", 1, 2)) for _ in range(2))
    with monkeypatch.context() as patch:
        patch.setenv(STEPS, str(FOREVER))  # a round of three steps can end before the request to cancel arrives
        job = start_round(db, home, labeled, first, operator="ada")
    control.cancel(db, home, job.id)
    assert control.follow(db, home, job.id, lambda _: None).state == "canceled"

    assert start_round(db, home, labeled, first, operator="ada").id == job.id
    assert control.finish(db, home, job.id, lambda _: None).state == "finished"
    assert start_round(db, home, labeled, second, operator="ada").id != job.id


def add_round(db: Database, project: Project, run: str, next_run: str) -> str:
    """Add a finished round, and return its id."""
    with write(db):
        number = jobs.next_number(db, "round")
        name = f"{number:04}-round"
        job = jobs.insert_job(db, id=name, number=number, kind="round", project_id=project.id, request_id=name)
        jobs.set_state(db, job, "finished", result=json.dumps(result(run, next_run)), final=True)
    return job.id


def test_a_stopped_next_run_is_named(db: Database, home: Home, project: Project) -> None:
    run, next_run = add_finished(db, project, "people", 1, 2), add_finished(db, project, "people", 1, 2)
    with write(db):
        db.execute("UPDATE jobs SET state = 'canceled' WHERE id = ?", [next_run])
        db.execute("UPDATE runs SET val_correct = NULL WHERE job_id = ?", [next_run])

    line = line_of(db, result(run, next_run))

    assert line.is_stopped
    assert line.sentence() == (
        "0001-fast: 6 more labels. 0002-fast trains on them, but is canceled. Start the round again to resume it."
    )
    with pytest.raises(JobError, match=r"0002-fast is canceled\. Start the round again to resume it\."):
        _finish_round(db, home, jobs.get_job(db, add_round(db, project, run, next_run)), lambda _: None)


def test_a_deleted_run_of_a_round_is_named(db: Database, project: Project) -> None:
    """The list of rounds stays, without the figures of that run."""
    run, next_run = add_finished(db, project, "people", 1, 2), add_finished(db, project, "people", 2, 2)
    add_round(db, project, run, next_run)

    with write(db):
        removals.hide_jobs(db, [run])
    (line,) = list_rounds(db, project)
    assert (line.before, line.after, line.helped) == (None, (2, 2), False)
    assert line.sentence() == (
        "0001-fast: 6 more labels. Exact match on val: 2 of 2 (0002-fast). 0001-fast was deleted, so the gain is "
        "unknown."
    )
    with write(db):
        removals.hide_jobs(db, [next_run])
    (line,) = list_rounds(db, project)
    assert (line.after, line.next_state, line.is_stopped) == (None, None, False)
    assert line.sentence() == "0001-fast: 6 more labels. 0002-fast trained on them and was deleted."


@pytest.mark.usefixtures("stand_in")
def test_a_canceled_next_run_resumes(db: Database, home: Home, labeled: Project) -> None:
    """Without its files, a new round trains on the same labels."""
    add_unlabeled(db, labeled, train=20)
    agreeing(db, labeled, samples.select_samples(db, labeled.id, state="unlabeled"), ["123"] * 20)
    run = get_run(db, add_finished(db, labeled, "people", 1, 2))
    config = with_options(preset("fast"), SETTINGS)
    following = start_training(db, home, labeled, config, preset="fast", operator="Ann").job.id
    control.cancel(db, home, following)
    assert control.follow(db, home, following, lambda _: None).state == "canceled"
    round_id = add_round(db, labeled, run.job.id, following)

    assert start_round(db, home, labeled, run, operator="ada").id == round_id
    assert jobs.get_job(db, following).state in ACTIVE
    assert start_round(db, home, labeled, run, operator="ada").id == round_id
    control.cancel(db, home, following)
    control.follow(db, home, following, lambda _: None)
    shutil.rmtree(home.run(following))

    again = start_round(db, home, labeled, run, operator="ada")
    assert again.id != round_id
    assert control.spec(home, again.id)["retry"]
    control.cancel(db, home, again.id)
    control.follow(db, home, again.id, lambda _: None)
