"""A Slotlab folder of an earlier version (tests/old_home) works with this one."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlite_utils import Database
from streamlit.testing.v1 import AppTest

from core.data.reviewing import history_of
from core.data.standing import standing
from core.evaluation.predictions import Predictions
from core.evaluation.views import choice_of
from core.home import Home
from core.images.pixels import decode
from core.jobs import control
from core.jobs.jobdir import JobDir
from core.runs import recipes
from core.runs.start import changed_labels, start_evaluation
from db import evaluations, jobs, labels, projects, runs, samples
from db.connection import opened
from db.records import Project
from tests.helpers.contents import contents

HERE = Path(__file__).parent
RUN, WITH_VIEWS, CANCELED = "0002-fast", "0003-evaluate", "0006-fast"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A copy of the old folder that the pages use."""
    shutil.copytree(HERE / "old_home" / "data", tmp_path / "home")
    monkeypatch.setenv("SLOTLAB_HOME", str(tmp_path / "home"))
    return Home.from_env().create()


@pytest.fixture
def db(home: Home) -> Iterator[Database]:
    """Its database, migrated to the current schema."""
    with opened(home.db) as db:
        yield db


@pytest.fixture
def project(db: Database) -> Project:
    (project,) = projects.list_projects(db)
    return project


def test_the_state_of_each_sample_follows_from_its_ledger(db: Database, project: Project) -> None:
    """Stored labels, disputes and checks match those derived from the ledger."""
    everything = samples.select_samples(db, project.id)
    ledgers = {sample.id: labels.events_of(db, sample.id) for sample in everything}

    assert (project.name, project.length, project.charset, len(everything)) == ("portal", 2, "ILX", 90)
    assert {event.action for ledger in ledgers.values() for event in ledger} == {
        "import", "label", "skip", "undo", "second", "confirm", "doubt", "resolve",
    }  # fmt: skip
    assert {sample.state for sample in everything} == {"unlabeled", "labeled", "skipped"}
    assert {sample.flag for sample in everything} == {None, "unreadable", "not_ours"}
    assert sum(sample.disputed for sample in everything) > 2
    assert sum(sample.checked for sample in everything) > 2
    for sample in everything:
        ledger = ledgers[sample.id]
        applied = [event for event in ledger if event.version is not None]
        assert (applied[-1].content if applied else ("unlabeled", None, None)) == sample.content
        now = standing(ledger)
        assert (bool(now.dissents), now.checked) == (bool(sample.disputed), bool(sample.checked))
        assert len(history_of(ledger)) == len(ledger)


def test_runs_and_their_results_are_listed(db: Database, home: Home, project: Project) -> None:
    """Reconciling the jobs changes nothing in ended ones."""
    before = contents(db.conn)

    control.reconcile(db, home)

    assert contents(db.conn) == before
    assert [(run.job.id, run.job.state) for run in runs.list_runs(db)] == [(CANCELED, "canceled"), (RUN, "finished")]
    assert [each.split for each in evaluations.list_evaluations(db, RUN)] == ["test", "val", "val"]
    assert evaluations.count_test_uses(db, project.id) == 1
    report = jobs.find_job(db, "0001-import")
    assert report is not None
    assert json.loads(report.result or "")["imported"] == 90
    assert [jobs.next_number(db, kind) for kind in ("train", "evaluate", "import", "bundle")] == [7, 6, 2, 1]
    assert recipes.titles(db, project) == ["default", "off", "tilted@2", "tilted@1"]
    assert recipes.default_title(db, project) == "tilted@1"
    run = runs.find_run(db, RUN)
    assert run is not None
    assert changed_labels(db, home, run) == (0, {"train": 1})


def test_a_run_reads_the_same_as_before(db: Database, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real worker evaluates it again, with equal readings per view and equal counts."""
    from tests.helpers.working import work_here  # imports torch

    monkeypatch.setattr(control, "RUNNER", (sys.executable, "-c", ""))  # the worker works here
    stored = home.run(WITH_VIEWS)
    old = json.loads((stored / "result.json").read_text())
    before = Predictions.load(stored / "predictions-val.npz")
    (stored / "predictions-val.npz").rename(stored / "old.npz")  # otherwise the stored evaluation is reused
    run = runs.find_run(db, RUN)
    assert run is not None

    job = start_evaluation(db, home, run, "val", tta=True, operator="ann")
    assert work_here(JobDir(home.run(job.id))) == 0
    job = control.follow(db, home, job.id, lambda _: None)

    assert job.state == "finished", job.reason
    new = json.loads(job.result or "")
    counts = ("n", "correct", "per_position", "per_position_correct", "string_seen", "string_not_seen", "tta_flips")
    assert {name: new[name] for name in counts} == {name: old[name] for name in counts}
    after = Predictions.load(home.run(job.id) / "predictions-val.npz")
    assert (after.sha256, after.views) == (before.sha256, before.views)
    assert (after.predicted_VNP == before.predicted_VNP).all()
    assert np.allclose(after.log_probs_VNPC, before.log_probs_VNPC, atol=1e-3)  # processors round differently


def test_predictions_are_the_same_as_before(db: Database, home: Home, project: Project) -> None:
    """Predictions use the views and the threshold of the run."""
    from core.model.predictor import Predictor

    expected = json.loads((home.root / "predicted.json").read_text())
    chosen = samples.select_samples(db, project.id, state="labeled", split="val")
    images = samples.image_bytes(db, [sample.id for sample in chosen])

    predicted = Predictor.load(home.run(RUN)).predict([decode(images[sample.id]) for sample in chosen])

    assert choice_of(home.run(RUN)).use
    assert {sample.sha256: each.text for sample, each in zip(chosen, predicted, strict=True)} == expected
    assert all(each.accepted is not None for each in predicted)


@pytest.mark.long
def test_a_canceled_run_resumes(db: Database, home: Home) -> None:
    """It resumes from its last checkpoint to its planned end."""
    assert 0 < control.observe(home, CANCELED).step < 60

    control.resume(db, home, CANCELED)
    job = control.follow(db, home, CANCELED, lambda _: None)

    assert job.state == "finished", job.reason
    assert json.loads(job.result or "")["step"] == 60
    steps = [line["step"] for line in control.metrics(home, CANCELED) if line["kind"] == "val"]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize(
    ("name", "shown"), [("evaluate", "9 of 9"), ("train", "9/9 = 100.0%"), ("samples", "90 of 90 images")]
)
def test_pages_open_on_it(home: Home, name: str, shown: str) -> None:
    """They show its contents."""
    app = AppTest.from_file(HERE.parent / "app.py", default_timeout=60).switch_page(f"pages/{name}.py")
    app.query_params["project"], app.query_params["run"] = "portal", RUN
    app.run()

    assert not app.exception
    assert not app.error
    texts = [each.value for each in [*app.markdown, *app.caption, *app.metric]]
    assert shown in texts
