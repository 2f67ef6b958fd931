"""Control of jobs: watch, cancel, resume, and rows that follow directories."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from core.cli import commands
from core.errors import JobError
from core.home import Home
from core.jobs import control
from core.jobs.jobdir import JobDir, JobStatus
from db import jobs as rows
from db import runs
from db.records import Project
from tests.helpers.repository import ROOT
from tests.helpers.runs import start, start_forever
from tests.helpers.stand_in import FOREVER
from tests.helpers.waiting import wait_for, wait_for_end, wait_until_working

pytestmark = pytest.mark.usefixtures("stand_in")


def test_a_run_that_was_started_has_a_runner(db: Database, home: Home, labeled: Project) -> None:
    """The row follows the directory, whichever process reconciles it."""
    job = start_forever(db, home, labeled)

    control.reconcile(db, home)

    assert rows.get_job(db, job.id).state == "running"
    assert [active.id for active in control.active(db, home)] == [job.id]


def test_a_job_survives_the_process_that_started_it(db: Database, home: Home, labeled: Project) -> None:
    """The app and its process group may be killed; the next app sees the run running."""
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
from typing import Any
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


def test_cancel_twice_is_cancel_once(db: Database, home: Home, labeled: Project) -> None:
    """Repeated cancels, even from another session or after the end, have no effect."""
    job = start_forever(db, home, labeled)

    control.cancel(db, home, job.id)
    asked = job.read("cancel")
    control.cancel(db, home, job.id)
    assert job.read("cancel") == asked
    ended = control.follow(db, home, job.id, lambda _: None)
    control.cancel(db, home, job.id)

    assert ended.state == "canceled"
    assert rows.get_job(db, job.id) == ended
    assert job.read("cancel") == asked


def test_two_starts_of_a_single_job_start_one(db: Database, home: Home, project: Project) -> None:
    """The second process looks for an active job before the first has inserted its own. After the end, one more."""
    first = []

    def start_first(_: Path) -> dict[str, Any]:
        first.append(control.start_job(db, home, project, "propose", {}, single=True))
        return {}

    second = control.start_job(db, home, project, "propose", {}, fill=start_first, single=True)

    assert [second] == first
    control.finish(db, home, second.id, lambda _: None)
    assert control.start_job(db, home, project, "propose", {}, single=True).id != second.id


def test_finish_returns_the_result_or_raises_the_reason(db: Database, home: Home, project: Project) -> None:
    """`finish` raises the reason of a job that did not finish."""
    good, bad = (control.start_job(db, home, project, "import", {"behave": behave}) for behave in ("work", "refuse"))

    assert control.finish(db, home, good.id, lambda _: None).state == "finished"
    with pytest.raises(JobError, match="The images are too small"):
        control.finish(db, home, bad.id, lambda _: None)


def test_runs_that_wait_are_listed_and_moved(
    db: Database,
    home: Home,
    labeled: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Queued runs are listed by device and in order, in the terminal too; without runs the queue is empty."""
    monkeypatch.setenv("SLOTLAB_HOME", str(home.root))
    assert control.queue(home) == {}
    start_forever(db, home, labeled)
    waiting = [JobDir(home.run(start(db, home, labeled).job.id)) for _ in range(2)]
    for job in waiting:
        wait_for(job, lambda view: view.state == "queued")

    control.move(home, "0003-fast", before="0002-fast")

    assert control.queue(home) == {"cpu": ["0003-fast", "0002-fast"]}
    commands.list_runs(project=None, as_json=False)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["0003-fast", "portal", "queued", "#1"],
        ["0002-fast", "portal", "queued", "#2"],
        ["0001-fast", "portal", "running"],
    ]
    commands.list_runs(project=None, as_json=True)
    listed = json.loads(capsys.readouterr().out)
    assert {run["run"]: run["turn"] for run in listed} == {"0003-fast": 1, "0002-fast": 2, "0001-fast": None}
    control.cancel(db, home, "0003-fast")
    assert control.queue(home) == {"cpu": ["0002-fast"]}


def test_a_canceled_run_can_be_resumed(db: Database, home: Home, labeled: Project) -> None:
    """It continues in its directory from where it stopped; resuming twice starts one runner."""
    job = start_forever(db, home, labeled)
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
    """It has nothing left to do."""
    job = control.start_job(db, home, project, "import", {})
    control.follow(db, home, job.id, lambda _: None)

    with pytest.raises(JobError, match="is finished"):
        control.resume(db, home, job.id)


def test_follow_reports_progress_and_returns_the_result(db: Database, home: Home, project: Project) -> None:
    """The command line waits this way. The result is then in the row."""
    views: list[JobStatus] = []

    job = control.start_job(db, home, project, "import", {"path": "x"})
    job = control.follow(db, home, job.id, views.append)

    assert (job.id, job.state) == ("0001-import", "finished")
    assert json.loads(job.result or "")["val"] == {"correct": 3}
    assert views
    assert all(view.active for view in views)


def test_a_finished_run_has_its_validation_result(db: Database, home: Home, labeled: Project) -> None:
    """The first reconcile copies the worker's result into the rows."""
    run = start(db, home, labeled)
    job = JobDir(home.run(run.job.id))
    wait_until_working(job)
    job.write("result.json", {"val": {"correct": 2, "n": 2}})
    job.kill()
    wait_for(job, lambda view: not view.active)

    control.reconcile(db, home)

    after = runs.find_run(db, run.job.id)
    assert after is not None
    assert (after.job.state, after.val_correct) == ("finished", 2)


def test_a_job_whose_runner_dies_at_once_is_lost(
    db: Database, home: Home, labeled: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is held without a break from the start, so a free lock means that no process is left."""
    monkeypatch.setattr(control, "RUNNER", (sys.executable, "-c", "pass"))
    job = JobDir(home.run(start(db, home, labeled).job.id))
    wait_for_end(job)

    control.reconcile(db, home)

    after = rows.get_job(db, job.id)
    assert after.state == "lost"
    assert after.reason == "The job was not started: the process that started it was killed."
    assert after.finished_at is not None


def test_a_runner_that_cannot_be_started_fails_the_job(
    db: Database, home: Home, labeled: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason stays, in the row and in the directory."""
    monkeypatch.setattr(control, "RUNNER", ("/no/such/python",))

    with pytest.raises(JobError, match="could not be started"):
        start(db, home, labeled)

    (job,) = rows.list_jobs(db)
    reason = f"The job could not be started: The process of job {job.id} could not be started"
    control.reconcile(db, home)
    for state, why in ((job.state, job.reason), JobDir(home.run(job.id)).outcome()[:2]):
        assert state == "failed"
        assert (why or "").startswith(reason)


def test_a_deleted_directory_fails_the_job(db: Database, home: Home, labeled: Project) -> None:
    """The row stays, with the reason."""
    job = rows.insert_job(db, id="0007-fast", number=7, kind="train", project_id=labeled.id, request_id="a")

    control.reconcile(db, home)

    after = rows.get_job(db, job.id)
    assert (after.state, after.reason) == ("failed", "The job's directory is missing.")


def test_a_failure_before_the_start_leaves_nothing(db: Database, home: Home, project: Project) -> None:
    """If a job's files or rows cannot be written, there is no job and no file."""

    def fail(_: object) -> dict[str, Any]:
        raise JobError("The upload is empty.")

    for calls in ({"fill": fail}, {"record": fail}):
        with pytest.raises(JobError, match="upload is empty"):
            control.start_job(db, home, project, "import", {}, **calls)

    assert rows.list_jobs(db) == []
    assert list(home.runs.iterdir()) == []


def test_what_a_killed_start_left_is_deleted_at_the_next(db: Database, home: Home, project: Project) -> None:
    """A start that is still being prepared is not: its lock is held."""
    script = f"""
import os, signal
from pathlib import Path
from typing import Any
from core.home import Home
from core.jobs import control
with control._staging(Home(Path({str(home.root)!r}))):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    (left,) = home.runs.iterdir()

    def fill(directory: Path) -> dict[str, Any]:
        control.start_job(db, home, project, "import", {"behave": "work"})
        return {}

    control.start_job(db, home, project, "import", {}, fill=fill)

    assert not left.exists()
    assert sorted(path.name for path in home.runs.iterdir()) == ["0001-import", "0002-import"]


def test_a_worker_that_outlives_its_runner_and_ignores_cancel_is_killed(
    db: Database, home: Home, project: Project
) -> None:
    """Reconciling kills the recorded processes when the runner is dead."""
    job = control.start_job(db, home, project, "import", {"behave": "ignore", "steps": 1_000_000})
    directory = JobDir(home.run(job.id))
    wait_until_working(directory)
    runner = json.loads((directory.path / "lock").read_text())[0]["pid"]
    os.kill(runner, signal.SIGKILL)

    directory.write("cancel", {"at": time.monotonic() - 60})
    assert control.follow(db, home, job.id, lambda _: None).state == "canceled"


def test_numbers_of_directories_are_not_given_again(db: Database, home: Home, project: Project) -> None:
    """A restored older database does not write into newer runs. What people put there does not matter.

    A directory without run.json counts too, because its name tells its kind.
    """
    for name in ("0041-article", "0008-import", "1st-try-backup"):
        (home.runs / name).mkdir()
    (home.runs / "99-notes").write_text("mine")

    assert control.start_job(db, home, project, "train", {}, name="fast").id == "0042-fast"
    assert control.start_job(db, home, project, "import", {}).id == "0009-import"
    assert control.start_job(db, home, project, "bundle", {}).id == "0001-bundle"


def test_each_kind_of_job_counts_for_itself(db: Database, home: Home, labeled: Project) -> None:
    """A reader of "run 2" does not look for a run between 1 and 2. The newest job comes first all the same."""
    made = [control.start_job(db, home, labeled, "import", {}).id]
    for kind in ("evaluate", "bundle"):
        made.append(start(db, home, labeled).job.id)
        made.append(control.start_job(db, home, labeled, kind, {}).id)

    assert made == ["0001-import", "0001-fast", "0001-evaluate", "0002-fast", "0001-bundle"]
    assert [job.id for job in rows.list_jobs(db)] == made[::-1]


@pytest.mark.parametrize(("kind", "name"), [("train", "import"), ("train", "bundle"), ("import", "fast")])
def test_no_job_has_the_id_of_another_kind(db: Database, home: Home, project: Project, kind: str, name: str) -> None:
    """A run that is called import would share its id with an import of the same number."""
    with pytest.raises(ValueError, match="cannot be named"):
        control.start_job(db, home, project, kind, {}, name=name)


def test_a_job_is_found_by_number_or_name(db: Database, home: Home, labeled: Project) -> None:
    """1 and 0001 mean the job of the kind that is asked for, and a full name means any job."""
    ids = [control.start_job(db, home, labeled, kind, {}).id for kind in ("import", "bundle")]
    ids.append(start(db, home, labeled).job.id)

    for text in ("1", "0001"):
        assert control.find_job(db, text).id == "0001-fast"
        assert control.find_job(db, text, "bundle").id == "0001-bundle"
    assert [control.find_job(db, text).id for text in ids] == ids
    for text in ("8", "0001-article", "", "١"):
        with pytest.raises(JobError, match=f"There is no run or job '{text}'"):
            control.find_job(db, text)
    with pytest.raises(JobError, match=r"There is no bundle '8'\. `slotlab models` lists the bundles"):
        control.find_job(db, "8", "bundle")


def test_a_number_cancels_a_run_and_an_id_any_job(
    db: Database,
    home: Home,
    labeled: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The list of runs names the other active jobs. All of it works with a lost database too."""
    monkeypatch.setenv("SLOTLAB_HOME", str(home.root))
    job = JobDir(home.run(control.start_job(db, home, labeled, "import", {"steps": FOREVER}).id))
    run = start_forever(db, home, labeled)
    wait_until_working(job)

    commands.list_runs(project="portal", as_json=True)
    printed = capsys.readouterr()
    assert [each["run"] for each in json.loads(printed.out)] == [run.id]
    assert printed.err == "0001-import is running. `slotlab cancel 0001-import` cancels it.\n"
    commands.cancel("1", as_json=False)
    assert (run.observe().state, job.observe().state) == ("canceled", "running")
    assert capsys.readouterr().out == "0001-fast is canceled.\n"
    assert control.cancel_without_database(home, "1") is None
    assert control.cancel_without_database(home, "0001-import") == job.observe()
    assert job.observe().state == "canceled"
    commands.list_runs(project="portal", as_json=False)
    assert "import" not in "".join(capsys.readouterr())
