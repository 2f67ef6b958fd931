"""The directory of a job: which files it holds, and how they are read and written.

    run.json        what was asked for; a run adds what it chose at its first start
    dataset.npz     the samples it works on
    lock            held (flock) by the runner, its worker and their children; names them
    status.json     what is happening now; replaced as a whole
    metrics.jsonl   one line per logging point
    log.txt         everything the processes print
    cancel          somebody wants it to stop
    exit.json       how the worker ended
    result.json     what came out; once it is there the job is finished
    checkpoints/, predictions-SPLIT.npz, views.json, acceptance.json     of a run: weights, readings, choices

While a job lives, this directory is the truth and the database follows. A job lives as long as its lock is held: a
process number says nothing, because it is reused, and a dead process that nobody has waited for still answers to it.
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
"""Exit code of a worker that was told to stop and saved what it had."""
LAUNCH_SECONDS = 60.0
"""A launch whose runner has not taken the lock by then has failed; a cold start takes under a second."""
STALLED_SECONDS = 180.0
"""Without a heartbeat for so long, a view says so. One step of a large network on two cores takes up to a minute."""


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """What can be said of a job by looking at its directory."""

    id: str
    state: str
    """queued, starting, running, finished, failed, canceled or lost"""
    message: str = ""
    """What an active job is doing."""
    reason: str | None = None
    """Why it ended, where that is not plain from the state; for people."""
    cause: Cause | None = None
    """The same for programs, where one decides by it."""
    step: int = 0
    steps: int = 0
    epoch: int = 0
    epochs: int = 0
    eta_s: float | None = None
    idle: bool = False
    """Whether an active job has nothing to do at the moment, as a watched folder without new files."""
    canceling: bool = False
    stalled: bool = False

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


class Outcome(NamedTuple):
    """How a job ended: its state, the reason for people, the cause for programs."""

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
        """What run.json holds. Raises JobError when it is missing, damaged or of a newer format."""
        spec = self.read("run.json")
        if spec is None:
            raise JobError(f"The directory of job {self.id} is missing or damaged: it has no readable run.json.")
        if spec.get("format") != 1:
            raise JobError(f"Job {self.id} was written by a newer Slotlab (format {spec.get('format')}).")
        return spec

    def read(self, name: str) -> dict[str, Any] | None:
        """A JSON file, or None when it is missing or damaged."""
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
        """Add one line in one write, so that a kill can tear the last line and no other."""
        number = os.open(self.path / "metrics.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.lseek(number, 0, os.SEEK_END)
            torn = size > 0 and os.pread(number, 1, size - 1) != b"\n"  # by a kill before this run was resumed
            os.write(number, b"\n" * torn + json.dumps(line).encode() + b"\n")
        finally:
            os.close(number)

    def metrics(self) -> list[dict[str, Any]]:
        """All whole lines of metrics.jsonl, in the order in which they were written."""
        lines = []
        with suppress(FileNotFoundError):
            for text in (self.path / "metrics.jsonl").read_bytes().split(b"\n"):
                with suppress(ValueError):  # torn by a kill, or still being written
                    lines.append(json.loads(text))
        return [line for line in lines if isinstance(line, dict)]

    def log_tail(self, lines: int) -> str:
        """The end of the log; at most 200 kB are read, however long it is."""
        try:
            with (self.path / "log.txt").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 200_000))
                text = file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def weights_at(self) -> float:
        """When the newest weights were written, as a file's time; 0 where there are none."""
        newest = 0.0
        for path in (self.path / "checkpoints").glob("*.pt"):
            with suppress(FileNotFoundError):  # a run at work has just replaced it
                newest = max(newest, path.stat().st_mtime)
        return newest

    @property
    def selected_step(self) -> int:
        """Of the weights that a run reads with now, by the name of their file; -1 before there are any."""
        kept = (self.path / "checkpoints").glob("best-*.json")
        return max((int(path.stem.split("-")[1]) for path in kept), default=-1)

    @property
    def cancel_asked(self) -> bool:
        return (self.path / "cancel").exists()

    # Lock

    def take_lock(self, *, wait_s: float) -> int | None:
        """Take the lock for as long as the returned file descriptor, or a process that inherited it, lives.

        None when another process held it all of `wait_s`. The wait outlasts those who only look (`unlocked`).
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
        """Whether nothing of the job is alive; if so, nothing of it can start during the with-block either."""
        try:
            number = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:  # the directory is gone
            yield True
            return
        try:
            # Shared, so that two who look do not take each other for the job.
            yield try_lock(number, fcntl.LOCK_SH)
        finally:
            os.close(number)

    def name_processes(self, lock: int, *pids: int) -> None:
        """Write into the lock file who holds it, in a way that tells them from later owners of the same number."""
        text = json.dumps([{"pid": pid, "identity": process_identity(pid)} for pid in pids]).encode()
        os.ftruncate(lock, 0)
        os.pwrite(lock, text, 0)

    def kill(self) -> bool:
        """Kill what is named in the lock file, if the lock is held and they are still the same processes."""
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
        """State and progress, from the files alone."""
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
        """How a job ended of which nothing is alive."""
        if not self.path.is_dir():
            return Outcome("failed", "Its directory is gone.")
        status, end = self.read("status.json") or {}, self.read("exit.json")
        reached = f" at step {status['step']}" if status.get("step") else ""
        if (self.path / "result.json").exists():  # written last: a cancel or a kill after it changes nothing
            return Outcome("finished") if self.read("result.json") else Outcome("failed", "Its result.json is damaged.")
        if self.cancel_asked:
            return Outcome("canceled", f"Canceled{reached or ' before its first step'}.")
        if end is None and status.get("state") == "launching":
            return Outcome("starting")
        if end is None:
            return Outcome(
                "lost", f"It ended without a word{reached}: killed with its runner, or the machine restarted."
            )
        if end.get("error"):
            return Outcome("failed", end["error"])
        number = end.get("signal")
        if end.get("code") == EXIT_STOPPED or number == signal.SIGTERM:
            return Outcome("lost", f"It was told to stop{reached} by something other than Cancel, perhaps a shutdown.")
        if number == signal.SIGKILL:
            # The kernel does so when the memory has run out, and nobody is left to say it.
            reason = f"It was killed by signal 9{reached}, perhaps because the memory ran out."
            return Outcome("failed", reason, "out_of_memory")
        if number:
            return Outcome("failed", f"It died of signal {number} ({signal.strsignal(number)}){reached}; see the log.")
        reason = status.get("reason") or f"It ended with code {end.get('code')}; see the log."
        return Outcome("failed", reason, status["cause"] if "cause" in status else legacy_cause(reason))

    def launch_overdue(self) -> bool:
        """Whether a launch has had its time and no runner has shown up."""
        status = self.read("status.json") or {}
        return bool(status.get("state") == "launching" and time.time() - status["at"] > LAUNCH_SECONDS)


def duration(seconds: float) -> str:
    """For a reader: 45 s, 3 min, 2.5 h."""
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
    """What tells this process from an earlier or later one of the same number; None when there is none.

    Linux: boot and start time. Elsewhere there is no /proc, and nothing is ever killed by its number.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    return None if fields[0] == "Z" else f"{boot}:{fields[19]}"


_beats: dict[Path, tuple[int, float]] = {}
"""Last heartbeat seen of each running job, and when by this process's own clock, which no one can set."""


def _stalled(path: Path, beat: int) -> bool:
    now = time.monotonic()
    if path not in _beats or _beats[path][0] != beat:
        _beats[path] = (beat, now)
    return now - _beats[path][1] > STALLED_SECONDS
