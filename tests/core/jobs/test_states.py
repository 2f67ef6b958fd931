"""States of jobs that others watch, that were recorded wrongly, and on a full disk."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_utils import Database

from bench.reliability import states
from core.backup.check import check
from core.errors import JobError, StorageError
from core.home import Home
from core.jobs import control
from core.jobs.jobdir import JobDir
from db import jobs as rows
from db.connection import opened, write
from db.records import Project
from tests.helpers.repository import ROOT
from tests.helpers.runs import start, start_forever
from tests.helpers.waiting import wait_for_end, wait_until_working


@pytest.mark.long
def test_watchers_never_see_a_wrong_state() -> None:
    """Starts, cancels and resumes beside watchers, with every fsync slowed."""
    result = states.measure(watchers=4, operations=12, seconds=1.5, seed=7)

    assert result["looks"] > 4
    assert result["changes_seen"] > 4
    assert (result["wrong"], result["wrong_ends"], result["directories_left"]) == (0, {}, [])


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("state", ["lost", "failed", "canceled"])
def test_a_wrong_state_heals(db: Database, home: Home, labeled: Project, state: str) -> None:
    """The row of a running job says that it ended. It follows the job again, to its end."""
    job = start_forever(db, home, labeled)
    control.reconcile(db, home)
    with write(db):
        rows.set_state(db, rows.get_job(db, job.id), state, reason="wrong", final=True)

    control.reconcile(db, home)
    healed = rows.get_job(db, job.id)
    assert (healed.state, healed.reason, healed.finished_at) == ("running", None, None)

    control.cancel(db, home, job.id)
    assert control.follow(db, home, job.id, lambda _: None).state == "canceled"


@pytest.mark.usefixtures("stand_in")
def test_the_result_of_a_job_recorded_as_lost_is_taken(db: Database, home: Home, project: Project) -> None:
    job = control.start_job(db, home, project, "import", {})
    wait_for_end(JobDir(home.run(job.id)))
    with write(db):
        rows.set_state(db, rows.get_job(db, job.id), "lost", reason="wrong", final=True)

    control.reconcile(db, home)

    healed = rows.get_job(db, job.id)
    assert (healed.state, healed.reason) == ("finished", None)
    assert json.loads(healed.result or "")["val"] == {"correct": 3}


@pytest.mark.usefixtures("stand_in")
def test_two_resumes_at_once_start_one_worker(db: Database, home: Home, labeled: Project) -> None:
    """The second one finds the lock taken, or the job active."""
    job = start_forever(db, home, labeled)
    control.cancel(db, home, job.id)
    control.follow(db, home, job.id, lambda _: None)
    script = f"""
import sys
from pathlib import Path
from core.errors import JobError
from core.home import Home
from core.jobs import control
from db.connection import opened
from tests.helpers.stand_in import RUNNER
control.RUNNER = (sys.executable, "-c", RUNNER)
home = Home(Path({str(home.root)!r}))
with opened(home.db) as db:
    try:
        control.resume(db, home, {job.id!r})
    except JobError:
        pass
"""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    resumes = [subprocess.Popen([sys.executable, "-c", script], env=env) for _ in range(3)]
    assert [resume.wait() for resume in resumes] == [0, 0, 0]

    control.reconcile(db, home)
    assert rows.get_job(db, job.id).state in ("starting", "running")
    control.cancel(db, home, job.id)
    assert control.follow(db, home, job.id, lambda _: None).state == "canceled"
    assert sum(line.get("kind") == "attempt" for line in job.metrics()) <= 2


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    "result",
    [
        '{"other": 1}',
        '{"val": 3}',
        '{"val": {"correct": "many"}}',
        "[]",
        "{",
        '{"val": {"correct": null}}',
        '{"val": {"correct": 1000}}',  # more than there are images
        '{"val": {"correct": -1}}',
        '{"val": {"correct": 1000000000000000000000000000000}}',
        "[" * 100_000,
    ],
)
def test_a_damaged_result_fails_its_job_and_no_other(db: Database, home: Home, labeled: Project, result: str) -> None:
    """Other jobs are updated, and what people put into the folder is ignored."""
    damaged = JobDir(home.run(start(db, home, labeled).job.id))
    control.cancel(db, home, damaged.id)
    control.follow(db, home, damaged.id, lambda _: None)
    with write(db):
        rows.set_state(db, rows.get_job(db, damaged.id), "running")
    (damaged.path / "result.json").write_text(result)
    for name in ("1st-try-import", "20261128235959-import", "99999999999999999999999-import"):
        (home.runs / name).mkdir()
    good = control.start_job(db, home, labeled, "import", {})

    assert control.follow(db, home, good.id, lambda _: None).state == "finished"
    assert control.queue(home) == {}
    assert good.id == "0001-import"
    after = rows.get_job(db, damaged.id)
    assert (after.state, after.reason) == ("failed", "result.json is damaged.")


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("spec", "result"),
    [
        ({"run": "0099-fast"}, {}),
        ({"run": ["0001-fast"]}, {}),
        ({"split": "train"}, {}),
        ({}, {"correct": 11}),
        ({}, {"n": 10**30}),
        ({}, {"tta": None}),
        ({}, {"per_position": 1.0}),
    ],
)
def test_a_damaged_evaluation_fails_its_job(
    db: Database, home: Home, labeled: Project, spec: dict[str, object], result: dict[str, object]
) -> None:
    """Without its values the row would violate a constraint, and every command would end with that error."""
    run = start(db, home, labeled)
    control.cancel(db, home, run.job.id)
    control.follow(db, home, run.job.id, lambda _: None)
    request = {"run": run.job.id, "split": "val", "tta": False}
    job = control.start_job(db, home, labeled, "evaluate", request)
    control.follow(db, home, job.id, lambda _: None)
    with write(db):
        rows.set_state(db, rows.get_job(db, job.id), "running")
    directory = JobDir(home.run(job.id))
    directory.write("run.json", directory.spec() | spec)
    directory.write("result.json", {"n": 10, "correct": 5, "tta": False, "per_position": [1.0]} | result)

    assert control.reconcile(db, home) is None

    after = rows.get_job(db, job.id)
    assert (after.state, after.reason) == ("failed", "result.json is damaged.")


@pytest.mark.parametrize(
    "status",
    [
        {"state": 7, "step": "many", "steps": None, "eta_s": "soon", "message": 3, "beat": [], "idle": "yes"},
        {"state": "running", "step": {"a": 1}, "cause": 3, "reason": {"x": 1}, "eta_s": math.nan},
    ],
)
@pytest.mark.parametrize(
    "end", [None, {"code": "x"}, {"signal": "y"}, {"error": 7}, {"signal": 500}, {"signal": 0}, {"signal": 10**30}]
)
def test_a_status_with_other_types_is_readable(tmp_path: Path, status: dict[str, object], end: object) -> None:
    """Another program, or a newer version, may have written it."""
    job = JobDir(tmp_path / "0001-fast")
    job.path.mkdir()
    job.write("status.json", status)
    if end:
        job.write("exit.json", end)  # type: ignore[arg-type]

    view = job.observe()

    assert view.state in ("lost", "failed")
    assert isinstance(view.step, int)
    assert isinstance(view.reason, str)


@pytest.mark.usefixtures("stand_in")
def test_a_clock_that_jumps_cancels_nothing_early(db: Database, home: Home, labeled: Project) -> None:
    """The time of a cancel is on the clock of the machine's uptime, which nobody can set."""
    job = start_forever(db, home, labeled)
    control.cancel(db, home, job.id)

    asked = (job.read("cancel") or {})["at"]

    assert asked < os.times().elapsed + 10**9
    uptime = Path("/proc/uptime")
    if uptime.exists():
        assert asked <= float(uptime.read_text().split()[0]) + 1


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB. Only root can mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True, check=False
    ).returncode:
        pytest.skip("This user cannot mount a file system.")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk: Path) -> None:
    with (disk / "ballast").open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


@pytest.mark.usefixtures("stand_in")
def test_a_full_disk_is_the_reason_and_reading_continues(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, project: Project
) -> None:
    """The worker and the runner can still write how the job ended, and `slotlab runs` shows it."""
    home = Home(small_disk / "home").create()
    with opened(home.db, create=True) as db:
        with write(db):
            db.execute("INSERT INTO projects (name, length, charset, created_at) VALUES ('portal', 6, '01', 'now')")
        # Ends when the disk is full: the status of a step cannot be written.
        job = JobDir(home.run(control.start_job(db, home, project, "import", {"steps": 10**9}).id))
        wait_until_working(job)
        fill(small_disk)
        view = wait_for_end(job)
        fill(small_disk)  # what the reserve of the job left

        assert (view.state, view.cause) == ("failed", "disk_full")
        assert "disk or quota is full" in (view.reason or "")
        assert isinstance(control.reconcile(db, home), StorageError)
    slotlab = subprocess.run(
        [sys.executable, "-m", "core.cli", "runs"],
        env=os.environ | {"SLOTLAB_HOME": str(home.root), "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert slotlab.returncode == 0
    assert "out of date" in slotlab.stderr
    with opened(home.db) as db, pytest.raises((JobError, StorageError)):
        control.start_job(db, home, project, "import", {})

    (small_disk / "ballast").unlink()
    with opened(home.db) as db:
        assert control.reconcile(db, home) is None
        assert rows.get_job(db, job.id).state == "failed"


def test_a_full_or_read_only_disk_is_still_read(small_disk: Path) -> None:
    """Nobody has the database open, so there is no -shm, and SQLite cannot create one."""
    home = Home(small_disk / "home").create()
    with opened(home.db, create=True) as db, write(db):
        db.execute("INSERT INTO projects (name, length, charset, created_at) VALUES ('portal', 6, '01', 'now')")
    before = home.db.read_bytes()

    fill(small_disk)
    assert check(home).is_intact
    with opened(home.db) as db:
        assert db.execute("SELECT name FROM projects").fetchall() == [("portal",)]
        with pytest.raises(StorageError, match="disk is full") as full, write(db):
            db.execute("DELETE FROM projects")
    assert full.value.cause == "disk_full"

    (small_disk / "ballast").unlink()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert check(home).is_intact
    with opened(home.db) as db:
        assert db.execute("SELECT name FROM projects").fetchall() == [("portal",)]
        with pytest.raises(StorageError, match="cannot be written"), write(db):
            db.execute("DELETE FROM projects")
    assert home.db.read_bytes() == before
