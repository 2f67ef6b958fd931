"""Start, watch, cancel and resume jobs, and keep their rows in step with their directories."""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from core.errors import JobError, StorageError
from core.home import Home
from core.jobs import order
from core.jobs.jobdir import LAUNCH_SECONDS, JobDir, JobStatus
from core.jobs.runner import GRACE_SECONDS
from db import evaluations, jobs, runs
from db.connection import write
from db.records import ACTIVE, Job, Project, now

ROOT = Path(__file__).resolve().parents[2]
"""The folder of `core` and `db`. The runner starts here, whatever the current directory is."""
RUNNER = (sys.executable, "-m", "core.jobs.runner")
FOLLOW_SECONDS = 0.3
RECORDED_VERSIONS = ("slotlab", "torch", "timm", "albumentations", "numpy", "pillow")


# Starting


def start_job(
    db: Database,
    home: Home,
    project: Project,
    kind: str,
    spec: dict[str, Any],
    *,
    request_id: str | None = None,
    record: Callable[[Job], None] | None = None,
    fill: Callable[[Path], None] | None = None,
) -> Job:
    """Start a job with `spec` in its run.json.

    `record` can add rows in the transaction that inserts the job. `fill` then writes files into its directory.
    """
    job, fresh = register(db, home, project, kind, kind, request_id, record)
    if fresh:
        with record_start_failure(db, job), staging(home) as directory:
            if fill:
                fill(directory)
            begin(home, project, job, directory, spec)
    return job


def register(
    db: Database,
    home: Home,
    project: Project,
    kind: str,
    name: str,
    request_id: str | None = None,
    record: Callable[[Job], None] | None = None,
) -> tuple[Job, bool]:
    """Insert a job, with the rows `record` adds in the same transaction. Return the job and True if it is new.

    A repeated `request_id` returns the existing job.
    """
    request_id = request_id or uuid.uuid4().hex
    with write(db):
        if (known := jobs.find_by_request(db, request_id)) is not None:
            return known, False
        # A restored backup may know fewer jobs than there are directories, so skip the numbers of the directories.
        on_disk = [JobDir(path).number for path in home.runs.glob("[0-9]*-*")]
        number = max(jobs.next_number(db), max(on_disk, default=0) + 1)
        job = jobs.insert_job(
            db, id=f"{number:04d}-{name}", number=number, kind=kind, project_id=project.id, request_id=request_id
        )
        if record:
            record(job)
    return job, True


@contextmanager
def record_start_failure(db: Database, job: Job) -> Iterator[None]:
    """Mark the job as failed if the block raises."""
    try:
        yield
    except BaseException as error:
        with write(db):
            jobs.set_state(db, job, "failed", reason=f"The job could not be started: {error}", final=True)
        raise


@contextmanager
def staging(home: Home) -> Iterator[Path]:
    """Yield a new directory for a job, and delete it unless `begin` renames it. Raises StorageError."""
    home.create()
    path = home.runs / f".new-{uuid.uuid4().hex}"
    path.mkdir(mode=0o700)
    try:
        yield path
    except OSError as error:
        raise StorageError(f"The job's directory could not be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(path, ignore_errors=True)


def begin(home: Home, project: Project, job: Job, directory: Path, spec: dict[str, Any]) -> None:
    """Write run.json into a staged directory, rename it to the job's directory and start the runner."""
    JobDir(directory).write(
        "run.json",
        {"format": 1, "kind": job.kind}
        | spec
        | {
            "project": {"name": project.name, "length": project.length, "charset": project.charset},
            "created_at": job.created_at,
            "versions": _versions(),
        },
    )
    directory.rename(home.run(job.id))
    _launch(JobDir(home.run(job.id)))


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in RECORDED_VERSIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _launch(job: JobDir) -> None:
    """Start the runner in a new session, so it survives the app, a closed terminal and Ctrl-C."""
    status = job.read("status.json") or {}  # progress of a resumed job
    job.write("status.json", status | {"state": "launching", "reason": None, "cause": None, "at": time.time()})
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with (job.path / "log.txt").open("ab") as log:
        runner = subprocess.Popen(
            [*RUNNER, str(job.path)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    # Reap the runner, or it stays a zombie until this process exits.
    threading.Thread(target=runner.wait, daemon=True).start()


# Watching


def find_job(db: Database, text: str) -> Job:
    """Return the job named `7`, `0007` or `0007-fast`. Raises JobError."""
    job = jobs.find_by_number(db, int(text)) if text.isascii() and text.isdigit() else jobs.find_job(db, text)
    if job is None:
        raise JobError(f"There is no run or job {text!r}. `slotlab runs` lists the runs.")
    return job


def active(db: Database, home: Home) -> list[Job]:
    """Return active jobs, newest first."""
    reconcile(db, home)
    return jobs.active_jobs(db)


def spec(home: Home, job_id: str) -> dict[str, Any]:
    """Return a job's run.json; empty if it is missing or damaged."""
    return JobDir(home.run(job_id)).read("run.json") or {}


def observe(home: Home, job_id: str) -> JobStatus:
    """Return the state and progress of a job from its directory."""
    return JobDir(home.run(job_id)).observe()


def metrics(home: Home, job_id: str) -> list[dict[str, Any]]:
    """Return a run's metrics so far, without an incomplete last line."""
    return JobDir(home.run(job_id)).metrics()


def selected_step(home: Home, job_id: str) -> int:
    """Return the step of a run's selected checkpoint; -1 if there is none."""
    return JobDir(home.run(job_id)).selected_step


def weights_at(home: Home, job_id: str) -> float:
    """Return the modification time of a run's newest checkpoint; 0 if there is none."""
    return JobDir(home.run(job_id)).weights_at()


def queue(home: Home) -> dict[str, list[str]]:
    """Return the run queue of each device, across all projects."""
    return {device: [job.id for job in line] for device, line in order.waiting_runs(home.runs).items()}


def move(home: Home, run_id: str, *, before: str | None) -> None:
    """Move a queued run before another one, or to the end (None). Raises JobError, StorageError."""
    order.move(home.runs, run_id, before=before)


def log_tail(home: Home, job_id: str, lines: int = 30) -> str:
    return JobDir(home.run(job_id)).log_tail(lines)


def reconcile(db: Database, home: Home) -> None:
    """Update the rows of all active jobs. Cheap: reads a few small files per active job."""
    for job in jobs.active_jobs(db):
        directory = JobDir(home.run(job.id))
        with directory.unlocked() as free:
            if free:
                _reconcile_ended(db, job, directory)
                continue
        _kill_if_cancel_is_ignored(directory)
        state = directory.observe().state
        if state != job.state:
            with write(db):
                jobs.set_state(db, job, state, final=state not in ACTIVE)


def _reconcile_ended(db: Database, job: Job, directory: JobDir) -> None:
    """Update the row of a job without live processes. The caller holds its lock, so none can start."""
    if not directory.path.exists() and _age_s(job) < LAUNCH_SECONDS:
        return  # its files are still being written
    if directory.launch_overdue():
        # A runner that starts later finds this file and exits.
        directory.write("exit.json", {"error": "The job did not start within a minute; see the log.", "at": now()})
    state, reason, _ = directory.outcome()
    if state == job.state:
        return
    result = directory.read("result.json") if state == "finished" else None
    with write(db):
        moved = jobs.set_state(
            db, job, state, reason=reason, result=json.dumps(result) if result else None, final=state != "starting"
        )
        if moved and result:
            _store_result(db, job, directory.spec(), result)


def _age_s(job: Job) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(job.created_at)).total_seconds()


def _store_result(db: Database, job: Job, spec: dict[str, Any], result: dict[str, Any]) -> None:
    if job.kind == "train":
        runs.set_val_correct(db, job.id, result["val"]["correct"])
    elif job.kind == "evaluate":
        evaluations.insert_evaluation(
            db,
            run_id=spec["run"],
            job_id=job.id,
            split=spec["split"],
            tta=spec["tta"],
            n=result["n"],
            correct=result["correct"],
            result=json.dumps(result),
        )


def _kill_if_cancel_is_ignored(directory: JobDir) -> None:
    """Kill a worker that ignores a cancel because its runner was killed."""
    cancel = directory.read("cancel")
    if cancel and time.time() - cancel["at"] > 2 * GRACE_SECONDS:
        directory.kill()


def follow(db: Database, home: Home, job_id: str, on_progress: Callable[[JobStatus], None]) -> Job:
    """Wait for the end of a job, reporting progress every 0.3 s. Return its updated row."""
    while True:
        reconcile(db, home)
        job = find_job(db, job_id)
        if job.state not in ACTIVE:
            return job
        status = observe(home, job_id)
        if status.active:  # it may have ended since the row was read
            on_progress(status)
        time.sleep(FOLLOW_SECONDS)


def finish(db: Database, home: Home, job_id: str, on_progress: Callable[[JobStatus], None]) -> Job:
    """Wait for a job like `follow`. Raises JobError with the reason unless it finished."""
    job = follow(db, home, job_id, on_progress)
    if job.state != "finished":
        raise JobError(job.reason or f"{job.id} was {job.state}.")
    return job


# Ending


def cancel(db: Database, home: Home, job_id: str) -> None:
    """Ask a job to save its state and stop. Repeated requests, or requests after its end, have no effect.

    The request is a file. The runner reacts within 0.2 s; a runner that starts later never starts the worker.
    """
    reconcile(db, home)
    directory = JobDir(home.run(job_id))
    if find_job(db, job_id).state in ACTIVE and not directory.cancel_asked:
        directory.write("cancel", {"at": time.time()})


def resume(db: Database, home: Home, job_id: str) -> Job:
    """Resume a canceled, lost or failed job in its directory, with its settings, from its last checkpoint."""
    reconcile(db, home)
    job, directory = find_job(db, job_id), JobDir(home.run(job_id))
    if job.state in ACTIVE:
        raise JobError(f"Job {job_id} is {job.state}; there is nothing to resume.")
    if job.state == "finished":
        raise JobError(f"Job {job_id} is finished; start a new one to train further.")
    directory.spec()
    order.forget(home.runs, job_id)
    with write(db):
        won = jobs.set_state(db, job, "starting")
    if won:  # otherwise someone else resumed it at the same moment
        directory.remove("cancel", "exit.json")
        _launch(directory)
    return find_job(db, job_id)
