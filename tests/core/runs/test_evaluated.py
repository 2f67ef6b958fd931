"""Loading the readings of a run on a split, for the page, the report and the command."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax
from sqlite_utils import Database

from core.errors import OptionError
from core.evaluation.predictions import Predictions
from core.evaluation.views import ViewChoice
from core.home import Home
from core.runs.evaluated import load_evaluated, predictions_path
from core.training.snapshot import write_snapshot
from db import evaluations, jobs, runs
from db.connection import write
from db.records import Project, Run


@pytest.fixture
def run(db: Database, home: Home, project: Project) -> Run:
    """A run trained on 000000. It reads 000000 and 111111 right and 222222 as 322222; with two views all are right."""
    with write(db):
        job = jobs.insert_job(
            db, id="0001-fast", number=1, kind="train", project_id=project.id, request_id="first"
        )  # fmt: skip
        runs.insert_run(db, job_id=job.id, preset="fast", config="{}", dataset_sha256="", train_n=1, val_n=3)
    directory = home.run(job.id)
    directory.mkdir(parents=True)
    write_snapshot(directory / "dataset.npz", [("a", "train", "000000", "a.png", b""), ("b", "val", "111111", "", b"")])
    digits_N = np.arange(3)
    logits_VNPC = np.zeros((2, 3, 6, 10))
    logits_VNPC[:, digits_N, :, digits_N] = 2
    logits_VNPC[0, 2, 0, 3] = 3
    Predictions(
        sha256=["1", "2", "3"],
        labels=["000000", "111111", "222222"],
        views=["as it is", "left"],
        log_probs_VNPC=log_softmax(logits_VNPC, axis=3).astype(np.float32),
        step=5,
    ).save(directory / "predictions-val.npz")
    found = runs.find_run(db, job.id)
    assert found is not None
    return found


def test_all_numbers_come_from_the_stored_readings(db: Database, home: Home, run: Run) -> None:
    """Exact match, texts seen in training, and images that TTA fixes."""
    plain = load_evaluated(db, home, run, "val", tta=False)
    with_views = load_evaluated(db, home, run, "val", tta=True)

    assert plain.reading.right_N.tolist() == [True, True, False]
    assert plain.seen_N.tolist() == [True, False, False]
    assert plain.result["string_seen"] == {"n": 1, "correct": 1}
    assert plain.result["string_not_seen"] == {"n": 2, "correct": 1}
    assert with_views.result["correct"] == 3
    assert with_views.result["tta_flips"] == {"fixed": 1, "broken": 0, "without_tta": 2}


@pytest.mark.parametrize("use", [True, False])
def test_it_is_shown_as_the_run_reads_unless_asked_otherwise(db: Database, home: Home, run: Run, use: bool) -> None:
    """The run's directory holds the choice of views."""
    ViewChoice(use=use).save(home.run(run.job.id))

    assert load_evaluated(db, home, run, "val").tta is use


def test_files_that_a_caller_holds_are_not_read_again(db: Database, home: Home, run: Run) -> None:
    """A page keeps them between reruns."""
    held = load_evaluated(db, home, run, "val", tta=True).predictions
    (home.run(run.job.id) / "predictions-val.npz").unlink()
    (home.run(run.job.id) / "dataset.npz").unlink()

    again = load_evaluated(
        db, home, run, "val", tta=True, predictions=replace(held), strings={"111111", "222222"}
    )  # fmt: skip

    assert again.result["correct"] == 3
    assert again.seen_N.tolist() == [False, True, True]


def test_a_missing_evaluation_is_refused(db: Database, home: Home, run: Run) -> None:
    """An unknown split, a split that was not evaluated, and a missing TTA raise errors."""
    with pytest.raises(OptionError, match="no split 'all'"):
        load_evaluated(db, home, run, "all")
    with pytest.raises(OptionError, match="has not been evaluated on test yet"):
        load_evaluated(db, home, run, "test")
    found = load_evaluated(db, home, run, "val").predictions
    one = replace(found, views=found.views[:1], log_probs_VNPC=found.log_probs_VNPC[:1])
    with pytest.raises(OptionError, match="This evaluation has no TTA"):
        load_evaluated(db, home, run, "val", tta=True, predictions=one)


def test_readings_of_later_weights_are_newer_than_an_evaluation(db: Database, home: Home, run: Run) -> None:
    """The run was evaluated while it trained. For the same checkpoint the evaluation wins, because it was requested."""
    own, job = home.run(run.job.id) / "predictions-val.npz", home.run("0002-evaluate")
    job.mkdir()
    with write(db):
        jobs.insert_job(
            db, id=job.name, number=2, kind="evaluate", project_id=run.job.project_id, request_id="second"
        )  # fmt: skip
        evaluations.insert_evaluation(
            db, run_id=run.job.id, job_id=job.name, split="val", tta=False, n=1, correct=1, result="{}"
        )  # fmt: skip
    assert predictions_path(db, home, run, "val") == own
    assert predictions_path(db, home, run, "test") is None

    for step, newest in ((4, own), (5, job / own.name), (6, job / own.name)):
        replace(Predictions.load(own), step=step).save(job / own.name)
        assert predictions_path(db, home, run, "val") == newest

    own.unlink()
    assert predictions_path(db, home, run, "val") == job / own.name
