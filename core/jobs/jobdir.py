"""The directory of a job: its files, its lock and its state.

    run.json        the request; a run adds the choices of its first start
    dataset.npz     the samples it works on
    lock            held (flock) by the runner, its worker and their children; lists their processes
    status.json     current progress; replaced atomically
    metrics.jsonl   one line per logging point
    log.txt         everything the processes print
    cancel          a request to stop
    exit.json       exit code or signal of the worker
    result.json     the result; its presence means the job is finished
    checkpoints/, predictions-SPLIT.npz, views.json, acceptance.json     of a run: weights, readings, choices
    upload.zip, labels.csv, report.json     of an import: uploaded files, and the report of a watched folder

While a job is active, its directory is authoritative and the database follows. A job is alive while its lock is held.
A process id proves nothing: the system reuses ids, and a zombie still has one.
"""

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import Cause, JobError
from core.files import atomic_write
from core.jobs.failures import legacy_cause
from db.records import ACTIVE

EXIT_STOPPED = 128 + signal.SIGTERM
"""Exit code of a worker that saved its state and stopped on request."""
LAUNCH_SECONDS = 60.0
"""A launch fails if its runner has not taken the lock by then. A cold start takes under a second."""
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

    # Files

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
            values = json.loads((self.path / name).read_bytes())
        except (OSError, ValueError):
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
        """Return all complete lines of metrics.jsonl, in the order written."""
        lines = []
        with suppress(FileNotFoundError):
            for text in (self.path / "metrics.jsonl").read_bytes().split(b"\n"):
                with suppress(ValueError):  # truncated by a kill, or still being written
                    lines.append(json.loads(text))
        return [line for line in lines if isinstance(line, dict)]

    def log_tail(self, lines: int) -> str:
        """Return the last lines of the log, from at most its last 200 kB."""
        try:
            with (self.path / "log.txt").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 200_000))
                text = file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

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
        paths = (self.path / "checkpoints").glob("best-*.json")
        return max((int(path.stem.split("-")[1]) for path in paths), default=-1)

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
            number = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:  # the directory is gone
            yield True
            return
        try:
            # A shared lock, so two callers do not mistake each other for the job.
            yield try_lock(number, fcntl.LOCK_SH)
        finally:
            os.close(number)

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
        status = self.read("status.json") or {}
        with self.unlocked() as free:
            ended = self.outcome() if free else Outcome(str(status.get("state")))
        state = ended.state
        if not free and state not in ACTIVE:
            state = "starting" if state == "launching" else "running"
        active = state in ACTIVE
        canceling = active and self.cancel_asked
        return JobStatus(
            id=self.id,
            state=state,
            message="Stopping …" if canceling else str(status.get("message", "")) if active else "",
            reason=ended.reason,
            cause=ended.cause,
            step=status.get("step", 0),
            steps=status.get("steps", 0),
            epoch=status.get("epoch", 0),
            epochs=status.get("epochs", 0),
            eta_s=status.get("eta_s") if active else None,
            idle=active and not canceling and status.get("idle", False),
            canceling=canceling,
            stalled=state == "running" and _stalled(self.path, status.get("beat", 0)),
        )

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
            return Outcome("starting")
        if end is None:
            reason = f"The job vanished{reached}: it was killed with its runner, or the machine restarted."
            return Outcome("lost", reason)
        if end.get("error"):
            return Outcome("failed", end["error"])
        number = end.get("signal")
        if end.get("code") == EXIT_STOPPED or number == signal.SIGTERM:
            return Outcome("lost", f"The job was stopped{reached} by something other than Cancel, perhaps a shutdown.")
        if number == signal.SIGKILL:
            # The kernel sends SIGKILL when memory runs out, so the worker cannot report it.
            reason = f"The job was killed by signal 9{reached}, perhaps because memory ran out."
            return Outcome("failed", reason, "out_of_memory")
        if number:
            reason = f"The job crashed with signal {number} ({signal.strsignal(number)}){reached}; see the log."
            return Outcome("failed", reason)
        reason = status.get("reason") or f"The job exited with code {end.get('code')}; see the log."
        return Outcome("failed", reason, status["cause"] if "cause" in status else legacy_cause(reason))

    def launch_overdue(self) -> bool:
        """Return True if no runner appeared within LAUNCH_SECONDS of the launch."""
        status = self.read("status.json") or {}
        return bool(status.get("state") == "launching" and time.time() - status["at"] > LAUNCH_SECONDS)


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
