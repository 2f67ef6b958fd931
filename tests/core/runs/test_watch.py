"""Watching a run, on the page and in the terminal."""

import os
from pathlib import Path

import pytest
from sqlite_utils import Database

from core.home import Home
from core.jobs import control
from core.jobs.jobdir import JobStatus
from core.runs.watch import diagnose, follow, watch
from db.records import Project
from tests.helpers.runs import start_forever

pytestmark = pytest.mark.usefixtures("stand_in")


def test_follow_reports_each_diagnosis_once(
    db: Database, home: Home, labeled: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last diagnosis is reported at the end, however long the interval. Other jobs have none."""
    monkeypatch.setattr("core.runs.watch.DIAGNOSE_SECONDS", 0.0)
    job, states = start_forever(db, home, labeled), []

    def advance(view: JobStatus) -> None:
        step = len(job.metrics()) + 1
        loss = 2.3 if not states else 0.5
        job.append_metrics({"kind": "step", "step": step, "epoch": 1, "loss": loss, "accuracy": 0.5, "lr": 1e-3})
        if step > 4:
            control.cancel(db, home, job.id)
            job.append_metrics({"kind": "step", "step": 1000, "epoch": 1, "loss": 0.5, "accuracy": 0.9, "lr": 1e-3})

    follow(db, home, job.id, advance, lambda diagnosis: states.append(diagnosis.state))

    assert states == ["plateau", "learning"]
    assert diagnose(home, control.start_job(db, home, labeled, "import", {}).id) is None


def test_watching_a_run_reads_its_metrics_once(
    db: Database, home: Home, labeled: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page updates every second, and the file grows with the run."""
    job, opened_files = start_forever(db, home, labeled), []
    for step in range(1, 40):
        job.append_metrics({"kind": "step", "step": step, "epoch": 1, "loss": 2.3, "accuracy": 0.1, "lr": 1e-3})
    real_open = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest: opened_files.append(Path(path).name) or real_open(path, *rest))

    observation = watch(home, job.id)

    assert opened_files.count("metrics.jsonl") == 1
    assert (observation.status.state, len(observation.metrics)) == ("running", 40)
    assert observation.diagnosis is not None
    assert observation.diagnosis.state == "plateau"
