"""The confidence from which readings of a run are accepted, and the command that sets it."""

import json

import numpy as np
import pytest
from scipy.special import log_softmax
from sqlite_utils import Database

from core.evaluation.acceptance import Acceptance
from core.evaluation.predictions import Predictions
from core.home import Home
from core.runs.evaluated import load_evaluated
from core.runs.thresholds import by_validation
from core.training.snapshot import write_snapshot
from db import jobs, runs
from db.connection import write
from db.records import Project, Run
from tests.helpers.command_line import command_here


def make_run(db: Database, home: Home, project: Project, n: int, wrong: int) -> Run:
    """Return a run that reads `n` validation images, and only the `wrong` least confident ones not right."""
    with write(db):
        job = jobs.insert_job(db, id="0001-fast", number=1, kind="train", project_id=project.id, request_id="first")
        runs.insert_run(db, job_id=job.id, preset="fast", config="{}", dataset_sha256="", train_n=1, val_n=n)
        jobs.set_state(db, job, "finished", result="{}", final=True)
    directory = home.run(job.id)
    directory.mkdir(parents=True)
    write_snapshot(directory / "dataset.npz", [("a", "train", "000000", "a.png", b"")])
    logits_NPC = np.zeros((n, 6, 10), dtype=np.float32)
    logits_NPC[:, :, 1] = np.linspace(4, 9, n)[:, None]
    Predictions(
        sha256=[f"{index}" for index in range(n)],
        labels=["222222"] * wrong + ["111111"] * (n - wrong),
        views=["as it is"],
        log_probs_VNPC=log_softmax(logits_NPC, axis=2)[None],
        step=5,
    ).save(directory / "predictions-val.npz")
    found = runs.find_run(db, job.id)
    assert found is not None
    return found


def test_the_command_sets_the_threshold_of_the_page(
    db: Database,
    home: Home,
    project: Project,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It prints what it stores."""
    run = make_run(db, home, project, n=800, wrong=3)
    judged = by_validation(load_evaluated(db, home, run, "val"))
    chosen = judged.choose(0.01)
    assert chosen is not None

    done = command_here(home.root, capsys, monkeypatch, "threshold", "1", "--max-risk", "0.01", "--json")

    saved = Acceptance.load(home.run("0001-fast"))
    assert done.returncode == 0, done.stderr
    assert saved == judged.acceptance(chosen, max_risk=0.01, tries=3)
    assert json.loads(done.stdout)["threshold"] == saved.threshold
    assert (saved.n, saved.reference, saved.tta) == (800, "people", False)
    assert saved.used >= 505
    assert saved.wrong <= 3
    text = command_here(home.root, capsys, monkeypatch, "threshold", "1").stdout
    assert f"Of 800 validation images that accepts {saved.used:,}, {saved.wrong} of them wrong" in text


def test_too_few_images_set_nothing(
    db: Database,
    home: Home,
    project: Project,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sentence says how many are needed, and a former threshold stays."""
    make_run(db, home, project, n=40, wrong=0)

    done = command_here(home.root, capsys, monkeypatch, "threshold", "1")

    assert (done.returncode, done.stdout) == (1, "")
    assert (
        "You need at least 505 validation images to show an error rate of at most 1.000%. You have 40." in done.stderr
    )
    assert Acceptance.load(home.run("0001-fast")) is None


def test_errors_among_the_sure_readings_are_named(db: Database, home: Home, project: Project) -> None:
    """Many images and no threshold: half of them are wrong."""
    run = make_run(db, home, project, n=1200, wrong=1100)
    judged = by_validation(load_evaluated(db, home, run, "val"))

    assert judged.choose(0.01) is None
    assert "No threshold guarantees an error rate of at most 1.000%." in judged.why_none(0.01)
