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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from core.errors import JobError, StorageError
from core.files import shortened
from core.home import Home
from core.jobs import order, webhook
from core.jobs.jobdir import RESERVE, JobDir, JobStatus, job_directories
from core.jobs.results import MOST, check_result
from core.jobs.runner import GRACE_SECONDS, device_of
from db import evaluations, jobs, projects, runs
from db.connection import write
from db.records import ACTIVE, JOB_KINDS, MEASURED, REFERENCES, Job, Project, now
from db.sqlite import Database

ROOT = Path(__file__).resolve().parents[2]
"""The folder of `core` and `db`. The runner starts here, whatever the current directory is."""
RUNNER = (sys.executable, "-m", "core.jobs.runner")
WEBHOOK = (sys.executable, "-m", "core.jobs.webhook")
FOLLOW_SECONDS = 0.3
LOCK_SECONDS = 5.0
"""Longest wait for those who look at a job. Each holds its lock for milliseconds."""
STAGED = ".new-"
"""Start of the name of a directory whose job has no row yet."""
DAMAGED_RESULT = "result.json is damaged."
RECORDED_VERSIONS = ("slotlab", "torch", "timm", "albumentations", "numpy", "pillow")


# Starting


def start_job(
    db: Database,
    home: Home,
    project: Project,
    kind: str,
    spec: dict[str, Any],
    *,
    name: str | None = None,
    request_id: str | None = None,
    fill: Callable[[Path], dict[str, Any]] | None = None,
    record: Callable[[Job], None] | None = None,
    single: bool = False,
) -> Job:
    """Start a job in the background and return its row. A repeated `request_id` returns the existing job.

    `name` ends its id, such as 0002-fast. Only runs have a name, which is not a kind, so no two jobs share an id.
    `single` returns the project's active job of this kind, if there is one, even if two processes start it at once.
    `fill` writes files into its directory and returns additions to `spec`, which becomes run.json. `record` then adds
    rows in the transaction that inserts the job. Its directory appears in the same transaction, and its lock is held
    since before, so whoever sees the job finds it alive. Raises JobError or StorageError if it cannot be started.
    """
    if name is not None and (kind != "train" or name in JOB_KINDS):
        raise ValueError(f"a job of kind {kind} cannot be named {name}")
    request_id = request_id or uuid.uuid4().hex
    if (known := jobs.find_by_request(db, request_id)) is not None:
        return known
    with _staging(home) as (staged, lock):
        spec = spec | (fill(staged.path) if fill else {})
        _describe(staged, project, kind, spec)
        job, fresh = _register(db, home, project, kind, name or kind, request_id, record, staged, single=single)
        if fresh:
            directory = JobDir(home.run(job.id))
            with _record_start_failure(db, directory):
                _launch(directory, lock)
    return job


@contextmanager
def _staging(home: Home) -> Iterator[tuple[JobDir, int]]:
    """Yield a hidden directory for a job and its lock. Delete it unless `_register` renames it. Raises StorageError."""
    home.create()
    _delete_abandoned(home)
    staged = JobDir(home.runs / f"{STAGED}{uuid.uuid4().hex}")
    lock = None
    try:
        staged.path.mkdir(mode=0o700)
        lock = staged.take_lock(wait_s=0)
        assert lock is not None
        staged.reserve()
        yield staged, lock
    except OSError as error:
        raise StorageError(f"The job's directory could not be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(staged.path, ignore_errors=True)
        if lock is not None:  # the runner has inherited it
            os.close(lock)


def _delete_abandoned(home: Home) -> None:
    """Delete the hidden directories of starts that were killed."""
    for path in home.runs.glob(f"{STAGED}*"):
        if not (path / RESERVE).exists():  # perhaps created just now, and not locked yet
            continue
        with JobDir(path).unlocked() as free:
            if free:
                shutil.rmtree(path, ignore_errors=True)


def _describe(staged: JobDir, project: Project, kind: str, spec: dict[str, Any]) -> None:
    """Write run.json and status.json."""
    staged.write(
        "run.json",
        {"format": 1, "kind": kind}
        | spec
        | {
            "project": {"name": project.name, "length": project.length, "charset": project.charset},
            "created_at": now(),
            "versions": _versions(),
        },
    )
    staged.write("status.json", {"state": "launching"})


def _register(
    db: Database,
    home: Home,
    project: Project,
    kind: str,
    name: str,
    request_id: str,
    record: Callable[[Job], None] | None,
    staged: JobDir,
    *,
    single: bool,
) -> tuple[Job, bool]:
    """Insert a job and give the staged directory its name, both or neither. Return the job and True if it is new."""
    directory = None
    try:
        with write(db):
            known = jobs.find_by_request(db, request_id)
            if known is None and single:
                known = jobs.find_active(db, project.id, kind)
            if known is not None:
                return known, False
            _check_exists(db, project)
            # A restored backup may know fewer jobs than there are directories, so skip the numbers of the directories.
            on_disk = (job.number for job in job_directories(home.runs) if job.kind == kind)
            number = max(jobs.next_number(db, kind), max(on_disk, default=0) + 1)
            job = jobs.insert_job(
                db, id=f"{number:04d}-{name}", number=number, kind=kind, project_id=project.id, request_id=request_id
            )
            if record:
                record(job)
            directory = staged.path.rename(home.run(job.id))
    except BaseException:
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)
        raise
    return job, True


def _check_exists(db: Database, project: Project) -> None:
    if projects.find_project(db, project.name) is None:
        raise JobError(f"Project {project.name} was renamed or deleted. Open it again.")


@contextmanager
def _record_start_failure(db: Database, directory: JobDir) -> Iterator[None]:
    """Mark the job as failed, in its directory and its row, if the block raises."""
    try:
        yield
    except BaseException as error:
        reason = f"The job could not be started: {error}"
        with suppress(OSError):
            directory.write_last("exit.json", {"error": reason, "at": now()})
        with suppress(StorageError), write(db):
            jobs.set_state(db, jobs.get_job(db, directory.id), "failed", reason=reason, final=True)
        raise


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in RECORDED_VERSIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _launch(job: JobDir, lock: int) -> None:
    """Start the runner, which inherits the lock. Raises JobError if the system cannot start a process."""
    _start_process(job, [*RUNNER, str(job.path), str(lock)], pass_fds=[lock])


def _start_process(
    job: JobDir, command: Sequence[str], *, stdin: int = subprocess.DEVNULL, pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a process in a new session, so it survives the app, a closed terminal and Ctrl-C. It prints into the log.

    Raises JobError if the system cannot start a process.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with (job.path / "log.txt").open("ab") as log:
        try:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": path},
                stdin=stdin,
                stdout=log,
                stderr=log,
                pass_fds=pass_fds,
                start_new_session=True,
            )
        except OSError as error:
            raise JobError(f"The process of job {job.id} could not be started ({error.strerror}).") from error
    # Reap it, or it stays a zombie until this process exits.
    threading.Thread(target=process.wait, daemon=True).start()
    return process


# Watching


def find_job(db: Database, text: str, kind: str = "train") -> Job:
    """Return the job named `0007-import`, or the one of this kind with the number `7` or `0007`. Raises JobError."""
    number = _number(text)
    job = jobs.find_job(db, text) if number is None else jobs.find_by_number(db, kind, number)
    if job is None:
        if kind == "bundle":
            raise JobError(f"There is no bundle {shortened(text)!r}. `slotlab models` lists the bundles.")
        raise JobError(f"There is no run or job {shortened(text)!r}. `slotlab runs` lists the runs and active jobs.")
    return job


def _number(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= 18  # SQLite has integers of 64 bits
    return int(text) if is_number else None


def active(db: Database, home: Home) -> list[Job]:
    """Return active jobs, newest first."""
    reconcile(db, home)
    return jobs.active_jobs(db)


def find_active(db: Database, home: Home, project: Project, kind: str) -> Job | None:
    """Return the newest active job of a kind in a project."""
    reconcile(db, home)
    return jobs.find_active(db, project.id, kind)


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


def starts_after(home: Home, setting: str) -> str | None:
    """Return the run after which a new one with this `device` setting would start; None if it starts at once."""
    return order.starts_after(home.runs, device_of(setting))


def move(home: Home, run_id: str, *, before: str | None) -> None:
    """Move a queued run before another one, or to the end (None). Raises JobError, StorageError."""
    order.move(home.runs, run_id, before=before)


def log_tail(home: Home, job_id: str, lines: int = 30) -> str:
    return JobDir(home.run(job_id)).log_tail(lines)


def reconcile(db: Database, home: Home) -> StorageError | None:
    """Update the rows of all jobs that have not finished. Cheap: reads a few small files per job.

    A row that says lost, failed or canceled follows its directory too, so a wrong state does not last. Return why rows
    could not be saved, such as a full disk; reading can continue.
    """
    try:
        for job in jobs.unfinished_jobs(db):
            directory = JobDir(home.run(job.id))
            if job.state in ACTIVE or directory.may_contradict_its_row:
                _reconcile(db, job, directory)
    except StorageError as error:
        return error
    return None


def _reconcile(db: Database, job: Job, directory: JobDir) -> None:
    with directory.unlocked() as free:  # then nobody can resume it meanwhile
        if free:
            _reconcile_ended(db, job, directory)
            return
    _kill_if_cancel_is_ignored(directory)
    state = directory.observe().state
    if state in ACTIVE and state != job.state:
        with write(db):
            jobs.set_state(db, job, state)


def _reconcile_ended(db: Database, job: Job, directory: JobDir) -> None:
    """Update the row of a job without live processes."""
    outcome = directory.outcome()
    result = directory.read("result.json") if outcome.state == "finished" else None
    if outcome.state == job.state:
        return
    try:
        with write(db):
            moved = jobs.set_state(
                db, job, outcome.state, reason=outcome.reason, result=json.dumps(result) if result else None, final=True
            )
            if moved and result:
                _store_result(db, job, directory.spec(), result)
        if moved and job.state in ACTIVE and directory.read("exit.json") is None:
            _call_webhook(directory)  # its runner was killed, and only one of those who look moves the row
    except (KeyError, TypeError, ValueError, JobError):
        if job.state in ACTIVE:
            with write(db):
                jobs.set_state(db, job, "failed", reason=DAMAGED_RESULT, final=True)


def _call_webhook(directory: JobDir) -> None:
    """Report the end of a run in a process of its own, so nobody waits for the receiver."""
    message = webhook.message_of(directory)
    if message is None or not os.environ.get(webhook.VARIABLE):
        return
    with suppress(OSError, JobError):
        process = _start_process(directory, WEBHOOK, stdin=subprocess.PIPE)
        assert process.stdin is not None
        with process.stdin:
            process.stdin.write(json.dumps(message).encode())


def _store_result(db: Database, job: Job, spec: dict[str, Any], result: dict[str, Any]) -> None:
    """Copy a result into the rows. Raises KeyError, TypeError or ValueError if the files are damaged."""
    check_result(job.kind, result)
    if job.kind == "train":
        run = runs.find_run(db, job.id)
        if run is not None:
            runs.set_val_correct(db, job.id, _count(result["val"]["correct"], run.val_n))
    elif job.kind == "evaluate":
        reference = spec.get("reference", "people")  # earlier versions had only labels of people
        known = spec["split"] in MEASURED and reference in REFERENCES
        if (run := runs.find_run(db, str(spec["run"]))) is None or not known:
            raise ValueError("run.json names another evaluation")
        n = _count(result["n"], MOST)
        evaluations.insert_evaluation(
            db,
            run_id=run.job.id,
            job_id=job.id,
            split=spec["split"],
            tta=spec["tta"] is True,
            n=n,
            correct=_count(result["correct"], n),
            result=json.dumps(result),
            reference=reference,
        )


def _count(value: object, most: int) -> int:
    if not isinstance(value, int):
        raise TypeError(f"expected a number, got {value!r}")
    if not 0 <= value <= most:
        raise ValueError(f"expected at most {most}, got {value}")
    return value


def _kill_if_cancel_is_ignored(directory: JobDir) -> None:
    """Kill a worker that ignores a cancel because its runner was killed."""
    asked = (directory.read("cancel") or {}).get("at")
    if isinstance(asked, int | float) and time.monotonic() - asked > 2 * GRACE_SECONDS:
        directory.kill()


def follow(db: Database, home: Home, job_id: str, on_progress: Callable[[JobStatus], None]) -> Job:
    """Wait for the end of a job, reporting progress every 0.3 s. Return its updated row."""
    while True:
        _reconcile_or_raise(db, home)
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

    The request is a file. The runner reacts within 0.2 s; a runner that starts later never starts the worker. Its time
    is on the monotonic clock, which all processes of one boot share. Raises StorageError.
    """
    _reconcile_or_raise(db, home)
    if find_job(db, job_id).state in ACTIVE:
        _ask_to_stop(JobDir(home.run(job_id)))


def cancel_without_database(home: Home, text: str) -> JobStatus | None:
    """Cancel a running job from its directory, and return its end. None if no such job is running.

    `text` is its id, or the number of a run.
    A restore needs all jobs ended, also if the database is lost.
    """
    for job in job_directories(home.runs):
        is_meant = text == job.id or (job.kind == "train" and _number(text) == job.number)
        if is_meant and job.observe().active:
            _ask_to_stop(job)
            while job.observe().active:
                time.sleep(FOLLOW_SECONDS)
            return job.observe()
    return None


def _ask_to_stop(directory: JobDir) -> None:
    if directory.cancel_asked:
        return
    try:
        directory.write_last("cancel", {"at": time.monotonic()})
    except OSError as error:
        raise StorageError(f"Job {directory.id} could not be canceled ({error.strerror}).") from error


def resume(db: Database, home: Home, job_id: str) -> Job:
    """Resume a canceled, lost or failed job in its directory, with its settings, from its last checkpoint.

    Raises JobError if there is nothing to resume, StorageError if its directory cannot be written.
    """
    _reconcile_or_raise(db, home)
    job, directory = find_job(db, job_id), JobDir(home.run(job_id))
    if job.state in ACTIVE:
        raise JobError(f"Job {job_id} is {job.state}; there is nothing to resume.")
    if job.state == "finished":
        raise JobError(f"Job {job_id} is finished; start a new one to train further.")
    directory.spec()
    end = directory.read("exit.json")
    try:
        if (lock := directory.take_lock(wait_s=LOCK_SECONDS)) is not None:
            try:
                if directory.read("exit.json") == end:
                    _resume(db, home, directory, lock)
            finally:
                os.close(lock)  # the runner has inherited it
    except OSError as error:
        raise StorageError(f"The directory of job {job_id} could not be written ({error.strerror}).") from error
    return find_job(db, job_id)  # without the lock, or with another end, someone else has just resumed it


def _resume(db: Database, home: Home, directory: JobDir, lock: int) -> None:
    """Start a job again. The caller holds its lock, so nobody else can."""
    with write(db):
        jobs.set_state(db, jobs.get_job(db, directory.id), "starting")
    with _record_start_failure(db, directory):
        order.forget(home.runs, directory.id)
        directory.reserve()
        status = directory.read("status.json") or {}  # its progress so far
        directory.write("status.json", status | {"state": "launching", "reason": None, "cause": None})
        directory.remove("cancel", "exit.json")
        _launch(directory, lock)


def _reconcile_or_raise(db: Database, home: Home) -> None:
    if error := reconcile(db, home):
        raise error
