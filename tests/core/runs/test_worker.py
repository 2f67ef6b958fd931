"""Real runs of a tiny network in real processes: their results, and stops that lose nothing."""

import json
import resource
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.evaluation import familiarity
from core.evaluation.predictions import Predictions
from core.evaluation.views import DEFAULT, ViewChoice, from_dicts
from core.jobs.jobdir import JobDir
from core.model import checkpoint
from core.runs import worker
from core.training import engine
from core.training.snapshot import write_snapshot
from tests.helpers import stand_in, toy
from tests.helpers.repository import ROOT
from tests.helpers.waiting import wait_for, wait_for_end, wait_until
from tests.helpers.working import work_here

MakeRun = Callable[..., JobDir]
PATIENCE = 200
"""Seconds. A run takes 5 to 10, mostly for imports; a busy machine needs longer."""


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Create the directory of a run on the toy portal, ready for its runner."""

    def made(name: str, **settings: object) -> JobDir:
        job = JobDir(tmp_path / "runs" / name)
        job.path.mkdir(parents=True)
        sha256 = write_snapshot(job.path / "dataset.npz", toy.rows(90))
        job.write(
            "run.json",
            {
                "format": 1,
                "kind": "train",
                "run": name,
                "project": {"name": "toy", "length": toy.SPEC.length, "charset": toy.SPEC.charset},
                "config": replace(toy.CONFIG, **settings).to_dict(),  # type: ignore[arg-type]
                "dataset": {"sha256": sha256},
            },
        )
        return job

    return made


def launch(job: JobDir, *before: str) -> None:
    """Start the real runner after the shell commands in `before`."""
    job.write("status.json", (job.read("status.json") or {}) | {"state": "launching"})
    stand_in.launch(
        job, ["/bin/sh", "-c", "; ".join([*before, f'exec {sys.executable} -m core.jobs.runner {job.path} "$0"'])]
    )


def weights(job: JobDir, kind: checkpoint.Kind = "step") -> dict[str, torch.Tensor]:
    state = checkpoint.load(job.path / "checkpoints", kind)
    assert state is not None
    model: dict[str, torch.Tensor] = state["model"]
    return model


def test_a_run_and_its_evaluation_leave_their_numbers(make_run: MakeRun) -> None:
    """Result, predictions and metrics agree; run.json has the run's choices."""
    job = make_run("0001-fast", max_steps=12, column_loss=0.0)  # with that loss, so few steps only guess
    launch(job)
    view = wait_for_end(job, PATIENCE)

    assert view.state == "finished", job.log_tail(50)
    assert (view.step, view.steps) == (12, 12)
    result = job.read("result.json")
    assert result is not None
    assert result["step"] == 12
    assert result["val"]["n"] == result["val_tta"]["n"] == 18
    assert job.spec()["choices"]["image_size"] == [32, 64]
    lines = job.metrics()
    assert [line["step"] for line in lines if line["kind"] == "step"] == list(range(1, 13))
    best = next(line for line in lines if line["kind"] == "val" and line["step"] == result["best_step"])
    assert best["correct"] == result["val"]["correct"]
    assert "Learning: " in job.log_tail(50)
    predictions = Predictions.load(job.path / "predictions-val.npz")
    assert predictions.views == [view.name for view in DEFAULT]
    reading = predictions.reading(toy.SPEC, tta=True)
    assert int(reading.right_NP.all(axis=1).sum()) == result["val_tta"]["correct"]
    assert predictions.view_set == DEFAULT
    assert predictions.seconds_V is not None
    assert (predictions.seconds_V > 0).all()
    assert predictions.colors_N23 is not None
    papers_N = predictions.colors_N23[:, 0].min(axis=1)
    assert (papers_N > predictions.colors_N23[:, 1].max(axis=1)).all()
    choice = ViewChoice.load(job.path)
    assert choice is not None
    worth = predictions.tta_effect(toy.SPEC)
    assert choice == predictions.choice(worth, use=worth.wins)
    assert (choice.fixed, choice.broken) == (
        result["val_tta"]["tta_flips"]["fixed"],
        result["val_tta"]["tta_flips"]["broken"],
    )
    assert "TTA with 9 views fixes" in job.log_tail(5)
    familiar = familiarity.load(job.path)
    assert familiar is not None
    assert familiar.sizes_S2.tolist() == [[64, 32]]

    views = [{"name": "as it is"}, {"name": "nearer", "zoom": 1.1}]
    evaluation, edited = (JobDir(job.path.parent / f"000{number}-evaluate") for number in (2, 3))
    for one, asked in ((evaluation, {"tta": False}), (edited, {"tta": True, "views": views})):
        one.path.mkdir()
        write_snapshot(one.path / "dataset.npz", toy.rows(90))
        one.write("run.json", job.spec() | {"kind": "evaluate", "run": job.id, "split": "val"} | asked)
        assert work_here(one) == 0

    again = evaluation.read("result.json")
    assert again is not None
    assert {key: again[key] for key in result["val"]} == result["val"]
    assert (again["run"], again["split"], again["tta"], again["views"]) == (job.id, "val", False, ["as it is"])
    alone = Predictions.load(evaluation.path / "predictions-val.npz")
    assert np.array_equal(alone.log_probs_VNPC[0], predictions.log_probs_VNPC[0])

    assert (edited.read("result.json") or {})["views"] == ["as it is", "nearer"]
    other = Predictions.load(edited.path / "predictions-val.npz")
    assert other.view_set == from_dicts(views)
    assert np.array_equal(other.log_probs_VNPC[0], predictions.log_probs_VNPC[0])
    assert ViewChoice.load(job.path) == choice

    # A stopped evaluation has parts. One that belongs to other views, or that a power cut left empty, is read again.
    read, moves = alone.log_probs_VNPC, np.array([DEFAULT[0].geometry])
    parts = {
        "0004-evaluate": (read[:, ::-1], moves),
        "0005-evaluate": (read[:, ::-1], moves + 1),
        "0006-evaluate": None,
    }
    for name, part in parts.items():
        one = JobDir(job.path.parent / name)
        folder = one.path / f"val-{result['best_step']}"
        folder.mkdir(parents=True)
        write_snapshot(one.path / "dataset.npz", toy.rows(90))
        one.write("run.json", job.spec() | {"kind": "evaluate", "run": job.id, "split": "val", "tta": False})
        (folder / "0.npz").touch()
        if part:
            np.savez(folder / "0.npz", log_probs=part[0], seconds=np.ones(1), moves=part[1])
        assert work_here(one) == 0
        found = Predictions.load(one.path / "predictions-val.npz").log_probs_VNPC
        assert np.array_equal(found, read[:, ::-1] if name == "0004-evaluate" else read)
        assert not folder.exists()


@pytest.mark.long
def test_a_stopped_and_resumed_run_reaches_the_same_weights(make_run: MakeRun) -> None:
    """Cancel and resume change no bit of the result; no metrics line is lost or doubled."""
    straight, stopped = make_run("0001-fast", max_steps=60), make_run("0002-fast", max_steps=60)
    launch(stopped)
    wait_for(stopped, lambda view: view.step > 10, PATIENCE)
    stopped.write("cancel", {"at": time.time()})
    view = wait_for_end(stopped, PATIENCE)
    assert view.state == "canceled"
    assert 10 < view.step < 60
    assert not (stopped.path / "result.json").exists()

    stopped.remove("cancel", "exit.json")
    launch(stopped)
    launch(straight)
    assert wait_for_end(stopped, PATIENCE).state == wait_for_end(straight, PATIENCE).state == "finished"

    for kind in ("step", "best"):
        ours, theirs = weights(stopped, kind), weights(straight, kind)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    losses = [
        [(line["kind"], line["step"], line["loss"]) for line in job.metrics() if line["kind"] == "val"]
        for job in (stopped, straight)
    ]
    assert losses[0] == losses[1]
    assert "Resuming from step" in stopped.log_tail(50)


SAVING_ALWAYS = """
import sys
from core.training import engine
from core.jobs.work import run_worker
from core.runs.worker import run_job
engine.SAVE_SECONDS = 0.0
sys.exit(run_worker(sys.argv[1], run_job))
"""


@pytest.mark.long
def test_a_run_killed_twice_reaches_the_same_weights(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill -9 during or between steps and checkpoints changes no bit of the result."""
    monkeypatch.setattr(engine, "SAVE_SECONDS", 0.0)
    straight, killed = make_run("0001-fast", max_steps=40), make_run("0002-fast", max_steps=40)

    for least in (5, 20):
        at_work = subprocess.Popen([sys.executable, "-c", SAVING_ALWAYS, str(killed.path)], cwd=ROOT)
        wait_until(lambda least=least: last_saved(killed) >= least, PATIENCE)
        at_work.kill()
        at_work.wait()
        assert not (killed.path / "result.json").exists()
    assert work_here(killed) == work_here(straight) == 0

    for kind in ("step", "best"):
        ours, theirs = weights(killed, kind), weights(straight, kind)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def last_saved(job: JobDir) -> int:
    return max((int(path.stem.split("-")[1]) for path in (job.path / "checkpoints").glob("step-*.json")), default=0)


def test_a_full_disk_fails_the_worker(make_run: MakeRun) -> None:
    """A limit of this process acts like a full disk: the reason is one sentence, and no half-written file stays."""
    job = make_run("0001-fast", max_steps=2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))  # less than a checkpoint, more than all else
    try:
        assert work_here(job) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert "disk or quota is full" in (job.read("status.json") or {})["reason"]
    assert not list((job.path / "checkpoints").glob("*.tmp"))


@pytest.mark.long  # the runner tries again
def test_a_full_disk_is_named_and_costs_no_checkpoint(make_run: MakeRun) -> None:
    """The reason is one sentence, and no half-written file stays."""
    job = make_run("0001-fast", max_steps=12)
    launch(job, "ulimit -f 128")  # blocks of 512 bytes: less than a checkpoint, more than all else

    view = wait_for_end(job, PATIENCE)

    assert view.state == "failed"
    assert view.reason is not None
    assert "disk or quota is full" in view.reason
    assert not list((job.path / "checkpoints").glob("*.tmp"))


def test_a_damaged_checkpoint_is_named_in_log_and_metrics(make_run: MakeRun) -> None:
    """The run continues from the one before. Without any checkpoint it does not start over."""
    job = make_run("0001-fast", max_steps=8)
    assert work_here(job) == 0
    folder = job.path / "checkpoints"
    job.remove("result.json")
    for path in list(folder.glob("step-*")):
        path.unlink()
    assert work_here(job) == 1
    assert (job.read("status.json") or {})["reason"] == (
        "This run reached step 8, but its checkpoints are missing. Restore the run from a backup, or clone it to train "
        "again."
    )

    job.remove("status.json")
    assert work_here(job) == 0
    state = checkpoint.load(folder, "step")
    assert state is not None
    checkpoint.save(folder, "step", 9, state, {}).write_bytes(b"torn")
    job.remove("result.json")

    assert work_here(job) == 0
    sentence = "step-000009.pt cannot be read and was set aside. The run continues from step 8."
    assert [line["sentences"] for line in job.metrics() if line["kind"] == "note"] == [[sentence]]


def test_settings_of_a_newer_version_fail_at_once(make_run: MakeRun) -> None:
    """The error names them; they are not silently ignored."""
    job = make_run("0001-fast")
    spec = job.spec()
    spec["config"]["wings"] = 2
    job.write("run.json", spec)

    assert work_here(job) == 1
    assert (job.read("status.json") or {})["reason"] == ("The run has settings that this version does not know: wings.")


def test_more_than_one_process_is_refused(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under torchrun only rank 0 writes, and it writes the reason."""
    job = make_run("0001-fast")
    before = sorted(path.name for path in job.path.iterdir())

    monkeypatch.setattr(sys, "argv", ["worker", str(job.path)])
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")

    with pytest.raises(SystemExit, match="Only rank 0 writes"):
        runpy.run_path(worker.__file__, run_name="__main__")
    assert sorted(path.name for path in job.path.iterdir()) == before
    monkeypatch.setenv("RANK", "0")
    assert work_here(job) == 1

    status = json.loads((job.path / "status.json").read_text())
    assert status["reason"] == "This version trains in one process; start it without torchrun."
