"""Jobs as the app and the command line start, watch, cancel and resume them: rows that follow directories."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlite_utils import Database

from core.cli import commands
from core.errors import JobError, TrainingError
from core.evaluation.predictions import Predictions
from core.home import Home
from core.images.pixels import encode_png
from core.jobs import control
from core.jobs.jobdir import JobDir, JobStatus
from core.model.config import PRESETS, TrainConfig
from core.runs import recipes
from core.runs.start import predictions_path, start_evaluation, start_training
from core.runs.watch import diagnose, follow, watch
from core.training.snapshot import load_snapshot
from db import evaluations, projects, runs, samples
from db import jobs as rows
from db.connection import opened, write
from db.records import Project, Run, now
from tests.helpers.repository import ROOT
from tests.helpers.stand_in import RUNNER, start_runner
from tests.helpers.waiting import wait_for, wait_until_working

CPU = TrainConfig(device="cpu")


@pytest.fixture
def project(db: Database) -> Project:
    """Three digits, no images."""
    with write(db):
        return projects.insert_project(db, "portal", 3, "0123456789")


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch, home: Home) -> Iterator[None]:
    """Runners start a stand-in for the worker; none is left after the test."""
    monkeypatch.setattr(control, "RUNNER", (sys.executable, "-c", RUNNER))
    yield
    for path in home.runs.glob("[0-9]*"):
        JobDir(path).write("cancel", {"at": time.time()})
        JobDir(path).kill()


def add(db: Database, project: Project, **labels: list[str]) -> None:
    """Add an image for each label, by split."""
    with write(db):
        source = projects.find_source(db, project.id, "images") or projects.insert_source(
            db, project.id, "images", "the team", "ticket 1"
        )
        for split, texts in labels.items():
            for text in texts:
                number = samples.count_samples(db, project.id)
                sample_id = samples.insert_sample(
                    db, project_id=project.id, source_id=source.id, sha256=f"{number:064}", name=f"{text}.png",
                    width=8, height=4, split=split, image=encode_png(np.full((4, 8, 3), number, np.uint8)),
                )  # fmt: skip
                db.execute(
                    "UPDATE samples SET state = 'labelled', label = ?, version = 1, operator = 'ada', labelled_at = ?"
                    " WHERE id = ?",
                    [text, now(), sample_id],
                )


@pytest.fixture
def labelled(db: Database, project: Project) -> Project:
    """The project with four training images, two validation images and one test image."""
    add(db, project, train=["123", "456", "789", "124"], val=["123", "457"], test=["789"])
    return project


def start(db: Database, home: Home, project: Project, request_id: str | None = None) -> Run:
    return start_training(db, home, project, CPU, preset="fast", operator="ada", request_id=request_id)


def start_forever(db: Database, home: Home, project: Project) -> JobDir:
    job = JobDir(home.run(start(db, home, project).job.id))
    wait_until_working(job)
    return job


def test_a_run_freezes_its_data_and_settings(db: Database, home: Home, labelled: Project) -> None:
    """What a run was trained on is in its directory, whatever is labelled later; test images are not."""
    run = start(db, home, labelled)

    assert (run.job.id, run.train_n, run.val_n, run.val_correct) == ("0001-fast", 4, 2, None)
    job = JobDir(home.run(run.job.id))
    snapshot = load_snapshot(job.path / "dataset.npz")
    assert sorted(snapshot.splits) == ["train"] * 4 + ["val"] * 2
    spec = job.spec()
    assert spec["dataset"] == {"sha256": run.dataset_sha256, "train": 4, "val": 2}
    config = recipes.resolve(db, labelled, CPU)
    assert spec["config"] == json.loads(run.config) == json.loads(json.dumps(config.to_dict()))
    assert spec["project"] == {"name": "portal", "length": 3, "charset": "0123456789"}
    assert not list(home.runs.glob(".new-*"))


def test_strings_of_held_out_images_can_be_left_out(db: Database, home: Home, labelled: Project) -> None:
    """With drop_seen_strings no training image reads what a val or test image reads."""
    config = TrainConfig(device="cpu", drop_seen_strings=True)

    run = start_training(db, home, labelled, config, preset="fast", operator="ada")

    snapshot = load_snapshot(home.run(run.job.id) / "dataset.npz")
    assert run.train_n == 2
    assert {snapshot.labels[index] for index in snapshot.labelled("train")} == {"456", "124"}


@pytest.mark.parametrize(
    ("train", "val", "sentence"),
    [
        ([], [], "There are no labels yet"),
        (["123"], ["456"], "There are 1 labelled training images and 1 labelled validation images"),
        (["123", "456"], [], "There are 2 labelled training images and 0 labelled validation images"),
        (["111", "111"], ["111"], "All 2 training labels read '111'"),
        (["121", "121", "121"], ["456"], "All 3 training labels read '121'"),
    ],
)
def test_too_little_to_learn_from_is_refused(
    db: Database, home: Home, project: Project, train: list[str], val: list[str], sentence: str
) -> None:
    """The refusal comes with the counts, and before anything is written."""
    add(db, project, train=train, val=val)

    with pytest.raises(TrainingError, match=sentence):
        start(db, home, project)

    assert rows.list_jobs(db) == []
    assert list(home.runs.iterdir()) == []


def test_pressing_start_twice_is_one_run(db: Database, home: Home, labelled: Project) -> None:
    """A double click, and two threads that carry out the same click, start one run."""
    found = []

    def press() -> None:
        with opened(home.db) as own:
            found.append(start(own, home, labelled, request_id="one click").job.id)

    presses = [threading.Thread(target=press) for _ in range(4)]
    for thread in presses:
        thread.start()
    for thread in presses:
        thread.join()

    assert found == ["0001-fast"] * 4
    assert [path.name for path in home.runs.glob("[0-9]*")] == ["0001-fast"]
    assert not list(home.runs.glob(".new-*"))


def test_a_run_that_was_started_has_a_runner(db: Database, home: Home, labelled: Project) -> None:
    """The row follows the directory, from whatever process looks."""
    job = start_forever(db, home, labelled)

    control.reconcile(db, home)

    assert rows.get_job(db, job.id).state == "running"
    assert [active.id for active in control.active(db, home)] == [job.id]


def test_a_job_survives_the_process_that_started_it(db: Database, home: Home, labelled: Project) -> None:
    """The app may be killed, with its whole process group; the next one finds the run at work."""
    script = f"""
import sys, os, signal
from core.home import Home
from core.jobs import control
from core.model.config import TrainConfig
from core.runs.start import start_training
from db.connection import opened
from db.projects import find_project
from tests.helpers.stand_in import RUNNER
control.RUNNER = (sys.executable, "-c", RUNNER)
from pathlib import Path
home = Home(Path({str(home.root)!r}))
with opened(home.db) as db:
    start_training(db, home, find_project(db, "portal"), TrainConfig(device="cpu"), preset="fast", operator="ada")
os.killpg(0, signal.SIGKILL)
"""
    app = subprocess.run(
        [sys.executable, "-c", script],
        cwd="/",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
        check=False,
    )
    assert app.returncode == -signal.SIGKILL

    wait_until_working(JobDir(home.run("0001-fast")))
    assert [job.state for job in control.active(db, home)] == ["running"]


def test_cancel_twice_is_cancel_once(db: Database, home: Home, labelled: Project) -> None:
    """A second press, from another session too, and one after the end change nothing."""
    job = start_forever(db, home, labelled)

    control.cancel(db, home, job.id)
    asked = job.read("cancel")
    control.cancel(db, home, job.id)
    assert job.read("cancel") == asked
    ended = control.follow(db, home, job.id, lambda _: None)
    control.cancel(db, home, job.id)

    assert ended.state == "cancelled"
    assert rows.get_job(db, job.id) == ended
    assert job.read("cancel") == asked


def test_who_must_have_a_result_gets_it_or_the_reason(db: Database, home: Home, project: Project) -> None:
    """A job that did not finish is an error there, in the words of its reason."""
    good, bad = (control.start_job(db, home, project, "import", {"behave": behave}) for behave in ("work", "refuse"))

    assert control.finish(db, home, good.id, lambda _: None).state == "finished"
    with pytest.raises(JobError, match="The images are too small"):
        control.finish(db, home, bad.id, lambda _: None)


def test_who_follows_a_run_hears_each_finding_once(
    db: Database, home: Home, labelled: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the last one at the end, however seldom the doctor is asked; other jobs have no doctor."""
    monkeypatch.setattr("core.runs.watch.DIAGNOSE_SECONDS", 0.0)
    job, told = start_forever(db, home, labelled), []

    def go_on(view: JobStatus) -> None:
        step = len(job.metrics()) + 1
        loss = 2.3 if not told else 0.5
        job.append_metrics({"kind": "step", "step": step, "epoch": 1, "loss": loss, "accuracy": 0.5, "lr": 1e-3})
        if step > 4:
            control.cancel(db, home, job.id)
            job.append_metrics({"kind": "step", "step": 1000, "epoch": 1, "loss": 0.5, "accuracy": 0.9, "lr": 1e-3})

    follow(db, home, job.id, go_on, lambda found: told.append(found.state))

    assert told == ["plateau", "learning"]
    assert diagnose(home, control.start_job(db, home, labelled, "import", {}).id) is None


def test_a_look_at_a_run_reads_its_metrics_once(
    db: Database, home: Home, labelled: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page looks every second, and the file grows with the run."""
    job, opened_files = start_forever(db, home, labelled), []
    for step in range(1, 40):
        job.append_metrics({"kind": "step", "step": step, "epoch": 1, "loss": 2.3, "accuracy": 0.1, "lr": 1e-3})
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: opened_files.append(path.name) or read_bytes(path))

    seen = watch(home, job.id)

    assert opened_files.count("metrics.jsonl") == 1
    assert (seen.view.state, len(seen.metrics)) == ("running", 40)
    assert seen.diagnosis is not None
    assert seen.diagnosis.state == "plateau"


def test_runs_that_wait_are_listed_and_moved(
    db: Database,
    home: Home,
    labelled: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By device, in the order of their turns, on the terminal too; nobody waits where nothing runs."""
    monkeypatch.setenv("SLOTLAB_HOME", str(home.root))
    assert control.queue(home) == {}
    start_forever(db, home, labelled)
    waiting = [JobDir(home.run(start(db, home, labelled).job.id)) for _ in range(2)]
    for job in waiting:
        wait_for(job, lambda view: view.state == "queued")

    control.move(home, "0003-fast", before="0002-fast")

    assert control.queue(home) == {"cpu": ["0003-fast", "0002-fast"]}
    commands.list_runs(project=None, as_json=False)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["0003-fast", "portal", "queued", "turn", "1"],
        ["0002-fast", "portal", "queued", "turn", "2"],
        ["0001-fast", "portal", "running"],
    ]
    commands.list_runs(project=None, as_json=True)
    listed = json.loads(capsys.readouterr().out)
    assert {run["run"]: run["turn"] for run in listed} == {"0003-fast": 1, "0002-fast": 2, "0001-fast": None}
    control.cancel(db, home, "0003-fast")
    assert control.queue(home) == {"cpu": ["0002-fast"]}


def test_a_cancelled_run_can_be_resumed(db: Database, home: Home, labelled: Project) -> None:
    """The same directory goes on from where it stopped; pressing Resume twice starts one runner."""
    job = start_forever(db, home, labelled)
    control.cancel(db, home, job.id)
    control.follow(db, home, job.id, lambda _: None)
    saved = job.read("saved.json")["step"]

    resumed = control.resume(db, home, job.id)
    with pytest.raises(JobError, match="nothing to resume"):
        control.resume(db, home, job.id)
    wait_until_working(job)

    assert (resumed.state, resumed.reason, resumed.finished_at) == ("starting", None, None)
    assert wait_for(job, lambda view: view.step > saved).state == "running"
    assert not job.cancel_asked


def test_a_finished_job_is_not_resumed(db: Database, home: Home, project: Project) -> None:
    """There is nothing left to do."""
    job = control.start_job(db, home, project, "import", {})
    control.follow(db, home, job.id, lambda _: None)

    with pytest.raises(JobError, match="is finished"):
        control.resume(db, home, job.id)


def test_follow_tells_the_progress_and_returns_the_result(db: Database, home: Home, project: Project) -> None:
    """The command line waits this way; the result is in the row when it is over."""
    views: list[JobStatus] = []

    job = control.start_job(db, home, project, "import", {"path": "x"})
    job = control.follow(db, home, job.id, views.append)

    assert (job.id, job.state) == ("0001-import", "finished")
    assert json.loads(job.result or "") == {"val": {"correct": 3}}
    assert views
    assert all(view.active for view in views)


def test_a_finished_run_tells_its_validation_result(db: Database, home: Home, labelled: Project) -> None:
    """What the worker has written is copied into the rows, once, by whoever looks first."""
    run = start(db, home, labelled)
    job = JobDir(home.run(run.job.id))
    wait_until_working(job)
    job.write("result.json", {"val": {"correct": 2, "n": 2}})
    job.kill()
    wait_for(job, lambda view: not view.active)

    control.reconcile(db, home)

    after = runs.find_run(db, run.job.id)
    assert after is not None
    assert (after.job.state, after.val_correct) == ("finished", 2)


def test_a_test_evaluation_is_written_down_before_it_starts(db: Database, home: Home, labelled: Project) -> None:
    """The opening of the sealed split is counted even where the evaluation comes to nothing."""
    run = start(db, home, labelled)
    (home.run(run.job.id) / "checkpoints").mkdir()

    job = start_evaluation(db, home, run, "test", tta=True, operator="ada")

    assert evaluations.count_test_openings(db, labelled.id) == 1
    assert job.id == "0002-evaluate"
    directory = JobDir(home.run(job.id))
    assert (directory.spec()["run"], directory.spec()["split"], directory.spec()["tta"]) == (run.job.id, "test", True)
    assert load_snapshot(directory.path / "dataset.npz").labels == ["789"]


def test_an_evaluation_without_images_or_weights_is_refused(db: Database, home: Home, labelled: Project) -> None:
    """And the sealed split stays sealed."""
    run = start(db, home, labelled)

    with pytest.raises(JobError, match="no checkpoint yet"):
        start_evaluation(db, home, run, "test", tta=False, operator="ada")
    with pytest.raises(JobError, match="not on 'train'"):
        start_evaluation(db, home, run, "train", tta=False, operator="ada")

    assert evaluations.count_test_openings(db, labelled.id) == 0


def test_a_job_that_never_comes_up_fails_after_a_minute(
    db: Database, home: Home, labelled: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app killed between row and process leaves a job that is soon seen to have failed."""
    monkeypatch.setattr(control, "RUNNER", (sys.executable, "-c", "pass"))
    run = start(db, home, labelled)
    job = JobDir(home.run(run.job.id))
    control.reconcile(db, home)
    assert rows.get_job(db, job.id).state == "starting"

    job.write("status.json", {"state": "launching", "at": time.time() - 61})
    control.reconcile(db, home)

    after = rows.get_job(db, job.id)
    assert after.state == "failed"
    assert after.reason == "It did not start within a minute; see the log."
    assert after.finished_at is not None
    late = start_runner(job)
    assert late.wait() == 0
    assert job.metrics() == []


def test_a_deleted_directory_fails_the_job(db: Database, home: Home, labelled: Project) -> None:
    """The row stays, with the reason; one whose directory is only just being written is left alone."""
    job = rows.insert_job(db, id="0007-fast", number=7, kind="train", project_id=labelled.id, request_id="a")
    control.reconcile(db, home)
    assert rows.get_job(db, job.id).state == "starting"

    db.execute("UPDATE jobs SET created_at = '2020-01-01T00:00:00+00:00'")
    control.reconcile(db, home)

    after = rows.get_job(db, job.id)
    assert (after.state, after.reason) == ("failed", "Its directory is gone.")


def test_a_failure_before_the_launch_is_in_the_row(db: Database, home: Home, project: Project) -> None:
    """Where the files of a job cannot be written, the job says so and leaves none behind."""

    def fill(directory: Path) -> None:
        raise JobError("The upload is empty.")

    with pytest.raises(JobError, match="upload is empty"):
        control.start_job(db, home, project, "import", {}, fill=fill)

    (job,) = rows.list_jobs(db)
    assert (job.state, job.reason) == ("failed", "It could not be started: The upload is empty.")
    assert list(home.runs.iterdir()) == []


def test_a_worker_that_outlives_its_runner_and_ignores_cancel_is_killed(
    db: Database, home: Home, project: Project
) -> None:
    """Whoever looks ends what the dead runner cannot; it is the recorded processes and no others."""
    job = control.start_job(db, home, project, "import", {"behave": "ignore", "steps": 1_000_000})
    directory = JobDir(home.run(job.id))
    wait_until_working(directory)
    runner = json.loads((directory.path / "lock").read_text())[0]["pid"]
    os.kill(runner, signal.SIGKILL)

    directory.write("cancel", {"at": time.time() - 60})
    assert control.follow(db, home, job.id, lambda _: None).state == "cancelled"


def test_numbers_of_directories_are_not_given_again(db: Database, home: Home, project: Project) -> None:
    """A database restored from yesterday does not write into the runs of today."""
    (home.runs / "0041-article").mkdir()

    assert control.start_job(db, home, project, "import", {}).id == "0042-import"


def test_a_job_is_found_by_number_or_name(db: Database, home: Home, project: Project) -> None:
    """7, 0007 and the whole name mean the same job; an unknown one is named."""
    job = control.start_job(db, home, project, "import", {})

    assert [control.find_job(db, text).id for text in ("1", "0001", job.id)] == [job.id] * 3
    for text in ("8", "0001-fast", "", "١"):
        with pytest.raises(JobError, match=f"There is no run or job '{text}'"):
            control.find_job(db, text)


def test_presets_are_names_of_directories() -> None:
    """A preset's name becomes part of a path."""
    assert all(name.replace("-", "").isalnum() for name in PRESETS)


def test_what_a_run_read_with_later_weights_is_newer_than_an_evaluation(
    db: Database, home: Home, project: Project
) -> None:
    """It was evaluated while it was at work; at the same weights the evaluation counts, which somebody asked for."""
    with write(db):
        run, job = (
            rows.insert_job(
                db, id=f"{number:04}-{kind}", number=number, kind=kind, project_id=project.id, request_id=kind
            ).id
            for number, kind in ((1, "train"), (2, "evaluate"))
        )
        runs.insert_run(db, job_id=run, preset="fast", config="{}", dataset_sha256="", train_n=1, val_n=1)
        evaluations.insert_evaluation(
            db, run_id=run, job_id=job, split="val", tta=False, n=1, correct=1, result="{}"
        )  # fmt: skip
    found = runs.find_run(db, run)
    assert found is not None

    def read(job_id: str, step: int) -> Path:
        path = home.run(job_id) / "predictions-val.npz"
        path.parent.mkdir(exist_ok=True)
        log_probs_VNPC = np.zeros((1, 1, 3, 10), dtype=np.float32)
        Predictions(
            sha256=["0"], labels=["000"], views=["as it is"], log_probs_VNPC=log_probs_VNPC, step=step
        ).save(path)  # fmt: skip
        return path

    assert predictions_path(db, home, found, "val") is None
    evaluated = read(job, 100)
    assert predictions_path(db, home, found, "val") == evaluated
    own = read(run, 100)
    assert predictions_path(db, home, found, "val") == evaluated
    read(run, 300)
    assert predictions_path(db, home, found, "val") == own
    read(job, 300)
    assert predictions_path(db, home, found, "val") == evaluated
    assert predictions_path(db, home, found, "test") is None
