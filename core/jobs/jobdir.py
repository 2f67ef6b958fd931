"""The directory of a job: its files, its lock and its state.

    run.json        the request; a run adds the choices of its first start
    dataset.npz     the samples it works on
    lock            held (flock) from before the job is visible until its last process ends; lists its processes
    status.json     current progress; replaced atomically
    metrics.jsonl   one line per logging point
    log.txt         everything the processes print; beyond 10 MB, log.1.txt has the earlier part
    cancel          a request to stop
    reserve         space for the last files of a job, freed when the disk is full
    exit.json       exit code or signal of the worker
    result.json     the result; its presence means the job is finished
    checkpoints/, predictions-SPLIT.npz, views.json, acceptance.json     of a run: weights, readings, choices
    familiar.npz                         of a run: what its images look like
    upload.zip, labels.csv, report.json     of an import: uploaded files, and the report of a watched folder

While a job is active, its directory is authoritative and the database follows. A job is alive while its lock is held.
The process that starts or resumes a job takes the lock first and hands it to the runner. So nobody sees it free while
the job lives. A process id proves nothing: the system reuses ids, and a zombie still has one.
"""

import errno
import fcntl
import json
import math
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import Cause, JobError, StorageError
from core.files import atomic_write, open_regular
from core.jobs import log, metrics
from core.jobs.failures import legacy_cause
from db.records import ACTIVE, JOB_KINDS

EXIT_STOPPED = 128 + signal.SIGTERM
"""Exit code of a worker that saved its state and stopped on request."""
RESERVE = "reserve"
RESERVE_BYTES = 256 * 1024
"""Enough for status.json, result.json and exit.json."""
NAME = re.compile(r"[0-9]{1,7}-.+", re.DOTALL)
"""Names of the directories of jobs. A new job gets the number after the highest of its kind."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
STALLED_SECONDS = 180.0
"""A job without a heartbeat for this long is stalled. A step of a large network on two cores takes up to a minute."""


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """State and progress of a job, read from its directory."""

    id: str
    state: str
    """queued, starting, running, finished, failed, canceled or lost"""
    message: str = ""
    """Current activity of an active job."""
    reason: str | None = None
    """Why it ended, for people; None if the state says enough."""
    cause: Cause | None = None
    """Why it failed, for programs."""
    step: int = 0
    steps: int = 0
    epoch: int = 0
    epochs: int = 0
    eta_s: float | None = None
    idle: bool = False
    """True if an active job has nothing to do, such as a watched folder without new files."""
    canceling: bool = False
    stalled: bool = False

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


class Outcome(NamedTuple):
    """The end of a job: state, reason for people, cause for programs."""

    state: str
    reason: str | None = None
    cause: Cause | None = None


@dataclass(frozen=True)
class JobDir:
    """The directory of one job."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def number(self) -> int:
        return int(self.id.split("-")[0])

    @property
    def kind(self) -> str:
        """Return the kind of the job. A run has the name of its preset, and any other job that of its kind."""
        name = self.id.partition("-")[2]
        return name if name in JOB_KINDS else "train"

    # Files

    def reserve(self) -> None:
        """Reserve disk space for `write_last`."""
        (self.path / RESERVE).write_bytes(bytes(RESERVE_BYTES))

    def write_last(self, name: str, values: Mapping[str, Any]) -> None:
        """Write a file that tells how a job ended. On a full disk, free the reserve for it."""
        try:
            self.write(name, values)
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            self.remove(RESERVE)
            self.write(name, values)

    def spec(self) -> dict[str, Any]:
        """Return run.json. Raises JobError if it is missing, damaged or in a newer format."""
        spec = self.read("run.json")
        if spec is None:
            raise JobError(f"The directory of job {self.id} is missing or damaged: it has no readable run.json.")
        if spec.get("format") != 1:
            raise JobError(f"Job {self.id} was written by a newer Slotlab (format {spec.get('format')}).")
        return spec

    def read(self, name: str) -> dict[str, Any] | None:
        """Return a JSON object, or None if the file is missing or damaged."""
        try:
            with open_regular(self.path / name) as file:
                values = json.loads(file.read())
        except (OSError, ValueError, RecursionError):
            return None
        return values if isinstance(values, dict) else None

    def write(self, name: str, values: Mapping[str, Any], *, sync: bool = True) -> None:
        with atomic_write(self.path / name, sync=sync) as file:
            file.write(json.dumps(values).encode())

    def remove(self, *names: str) -> None:
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Append a line in one write, so a kill can only truncate the last line."""
        number = os.open(self.path / "metrics.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.lseek(number, 0, os.SEEK_END)
            truncated = size > 0 and os.pread(number, 1, size - 1) != b"\n"  # a kill before this resume
            os.write(number, b"\n" * truncated + json.dumps(line).encode() + b"\n")
        finally:
            os.close(number)

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl; see core.jobs.metrics.read."""
        return metrics.read(self.path / "metrics.jsonl")

    def log_tail(self, lines: int) -> str:
        """Return the last lines of the log."""
        return log.tail(self.path / "log.txt", lines)

    def weights_at(self) -> float:
        """Return the modification time of the newest checkpoint; 0 if there is none."""
        newest = 0.0
        for path in (self.path / "checkpoints").glob("*.pt"):
            with suppress(FileNotFoundError):  # the run just replaced it
                newest = max(newest, path.stat().st_mtime)
        return newest

    @property
    def selected_step(self) -> int:
        """Step of the selected checkpoint, from its file name; -1 if there is none."""
        names = (path.stem.removeprefix("best-") for path in (self.path / "checkpoints").glob("best-*.json"))
        return max((int(name) for name in names if name.isascii() and name.isdigit()), default=-1)

    @property
    def cancel_asked(self) -> bool:
        return (self.path / "cancel").exists()

    # Lock

    def take_lock(self, *, wait_s: float) -> int | None:
        """Take the lock and return its file descriptor. Every process that inherits the descriptor holds the lock.

        Returns None if another process holds it for all of `wait_s`. The wait outlasts the brief locks of `unlocked`.
        """
        number = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + wait_s
        while not try_lock(number, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(number)
                return None
            time.sleep(0.02)
        return number

    @contextmanager
    def unlocked(self) -> Iterator[bool]:
        """Yield True if no process of the job is alive. Then none can start during the with-block either."""
        try:
            number = os.open(self.path / "lock", os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):  # the directory is gone, or an incomplete copy
            yield True
            return
        except OSError as error:
            raise StorageError(f"The state of job {self.id} cannot be read ({error.strerror}).") from error
        try:
            # A shared lock, so two callers do not mistake each other for the job.
            yield try_lock(number, fcntl.LOCK_SH)
        finally:
            os.close(number)

    @property
    def is_alive(self) -> bool:
        with self.unlocked() as free:
            return not free

    def name_processes(self, lock: int, *pids: int) -> None:
        """Write the holders into the lock file, with identities that later processes with the same id lack."""
        text = json.dumps([{"pid": pid, "identity": process_identity(pid)} for pid in pids]).encode()
        os.ftruncate(lock, 0)
        os.pwrite(lock, text, 0)

    def kill(self) -> bool:
        """Kill the processes in the lock file, if the lock is held and their identities still match."""
        with self.unlocked() as free:
            if free:
                return False
            try:
                processes = json.loads((self.path / "lock").read_text())
            except ValueError:
                return False
            killed = False
            for process in processes:
                if process["identity"] and process_identity(process["pid"]) == process["identity"]:
                    with suppress(ProcessLookupError):
                        os.killpg(process["pid"], signal.SIGKILL)
                        killed = True
            return killed

    # State

    def observe(self) -> JobStatus:
        """Return state and progress, from the files alone."""
        with self.unlocked() as free:
            status = self.read("status.json") or {}
            ended = self.outcome() if free else Outcome(str(status.get("state")))
        state = ended.state
        if not free and state not in ACTIVE:
            state = "starting" if state == "launching" else "running"
        active = state in ACTIVE
        canceling = active and self.cancel_asked
        eta_s = status.get("eta_s")
        return JobStatus(
            id=self.id,
            state=state,
            message="Stopping …" if canceling else str(status.get("message", "")) if active else "",
            reason=ended.reason,
            cause=ended.cause,
            step=_count(status, "step"),
            steps=_count(status, "steps"),
            epoch=_count(status, "epoch"),
            epochs=_count(status, "epochs"),
            eta_s=eta_s if active and isinstance(eta_s, int | float) and 0 <= eta_s < math.inf else None,
            idle=active and not canceling and status.get("idle") is True,
            canceling=canceling,
            stalled=state == "running" and _stalled(self.path, _count(status, "beat")),
        )

    @property
    def may_contradict_its_row(self) -> bool:
        """True if the job may be alive or finished although its row says that it ended without a result."""
        exists = (self.path / "run.json").exists()
        return exists and ((self.path / "result.json").exists() or not (self.path / "exit.json").exists())

    def outcome(self) -> "Outcome":
        """Return the outcome of a job without live processes."""
        if not self.path.is_dir():
            return Outcome("failed", "The job's directory is missing.")
        status, end = self.read("status.json") or {}, self.read("exit.json")
        reached = f" at step {status['step']}" if status.get("step") else ""
        if (self.path / "result.json").exists():  # written last, so a later cancel or kill changes nothing
            return Outcome("finished") if self.read("result.json") else Outcome("failed", "result.json is damaged.")
        if self.cancel_asked:
            return Outcome("canceled", f"Canceled{reached or ' before the first step'}.")
        if end is None and status.get("state") == "launching":
            return Outcome("lost", f"The job was not started{reached}: the process that started it was killed.")
        if end is None:
            reason = f"The job vanished{reached}: it was killed with its runner, or the machine restarted."
            return Outcome("lost", reason)
        if end.get("error"):
            return Outcome("failed", str(end["error"]))
        number = end.get("signal")
        if end.get("code") == EXIT_STOPPED or number == signal.SIGTERM:
            return Outcome("lost", f"The job was stopped{reached} by something other than Cancel, perhaps a shutdown.")
        if number == signal.SIGKILL:
            # The kernel sends SIGKILL when memory runs out, so the worker cannot report it.
            reason = f"The job was killed by signal 9{reached}, perhaps because memory ran out."
            return Outcome("failed", reason, "out_of_memory")
        if isinstance(number, int):
            reason = f"The job crashed with signal {number} ({_signal_name(number)}){reached}; see the log."
            return Outcome("failed", reason)
        reason = str(status.get("reason") or f"The job exited with code {end.get('code')}; see the log.")
        return Outcome("failed", reason, status["cause"] if "cause" in status else legacy_cause(reason))


def job_directories(runs: Path) -> Iterator[JobDir]:
    """Yield the jobs in this folder, in any order. Ignores what people put there, such as a folder named by a time."""
    for path in runs.glob("[0-9]*-*"):
        if NAME.fullmatch(path.name) and path.is_dir():
            yield JobDir(path)


def _signal_name(number: int) -> str:
    try:
        return str(signal.strsignal(number))
    except (ValueError, OverflowError):  # exit.json is damaged
        return "unknown"


def _count(status: Mapping[str, Any], name: str) -> int:
    """Return a number of status.json; 0 if it is missing or damaged."""
    value = status.get(name)
    return value if isinstance(value, int) else 0


def duration(seconds: float) -> str:
    """Format a duration: 45 s, 3 min, 2.5 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def try_lock(number: int, how: int) -> bool:
    try:
        fcntl.flock(number, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def process_identity(pid: int) -> str | None:
    """Return an identity that no other process with the same id has; None if there is no such process.

    On Linux it is boot id and start time. Other systems have no /proc, so we never kill processes by id there.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the process name before it may contain spaces and parentheses
    return None if fields[0] == "Z" else f"{boot}:{fields[19]}"


_beats: dict[Path, tuple[int, float]] = {}
"""Last heartbeat of each running job, and its time on the monotonic clock, which clock changes do not affect."""


def _stalled(path: Path, beat: int) -> bool:
    now = time.monotonic()
    if path not in _beats or _beats[path][0] != beat:
        _beats[path] = (beat, now)
    return now - _beats[path][1] > STALLED_SECONDS
