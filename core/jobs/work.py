"""The common part of all workers: stop on request, report progress, write the result or the failure."""

import os
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.errors import Cause
from core.jobs.failures import explain
from core.jobs.jobdir import EXIT_STOPPED, JobDir
from core.jobs.runner import PARENT_VARIABLE

STATUS_SECONDS = 0.5
"""Minimum interval between updates of status.json."""


class Work:
    """A job, from its worker's side."""

    def __init__(self, job: JobDir) -> None:
        self.job = job
        self.spec = job.spec()
        self._stopping = False
        self._runner = os.environ.get(PARENT_VARIABLE)
        self._status: dict[str, Any] = (job.read("status.json") or {}) | {"state": "running", "message": "Starting …"}
        self._written = float("-inf")
        self._beat = 0
        self._times: deque[tuple[float, int]] = deque(maxlen=200)
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def should_stop(self) -> bool:
        """Return True if the worker should save and exit. Call often: each call is also the heartbeat."""
        if self._runner is not None and os.getppid() != int(self._runner):
            self._stopping = True  # the runner died, on a system without a parent-death signal
        self.say()
        return self._stopping

    def say(self, message: str | None = None, **numbers: Any) -> None:
        """Update the status message and any of step, steps, epoch, epochs."""
        now = time.monotonic()
        self._beat += 1
        if "step" in numbers and numbers["step"] != self._status.get("step"):
            if self._times and numbers["step"] < self._times[-1][1]:
                self._times.clear()  # a new count started
            self._times.append((now, numbers["step"]))
        changed = message is not None and message != self._status["message"]
        self._status |= numbers | ({} if message is None else {"message": message})
        if changed or now - self._written >= STATUS_SECONDS:
            self._written = now
            self.job.write("status.json", self._status | {"beat": self._beat, "eta_s": self._eta(now)}, sync=False)

    def _eta(self, now: float) -> float | None:
        """Return the seconds to the last step, at the rate of the last 200 reports; None after the last step."""
        if len(self._times) < 2 or self._times[-1][1] >= self._status.get("steps", 0):
            return None
        (start, first), (_, last) = self._times[0], self._times[-1]
        rate = (last - first) / (now - start) if now > start else 0.0
        return (self._status["steps"] - last) / rate if rate > 0 else None

    def end(self, reason: str | None = None, cause: Cause | None = None) -> None:
        """Write the final status."""
        last = {"beat": self._beat + 1, "eta_s": None, "reason": reason, "cause": cause}
        self.job.write_last("status.json", self._status | last)


def run_worker(directory: str, work: Callable[[Work], dict[str, Any] | None]) -> int:
    """Call `work`, write its result to result.json or its failure to status.json, and return the exit code.

    `work` returns None if it saved its state and stopped early because of `should_stop`.
    """
    job = JobDir(Path(directory).resolve())
    task = Work(job)
    try:
        result = work(task)
        if result is not None:
            job.write_last("result.json", result)
    except Exception as error:  # noqa: BLE001 - every failure gets its reason
        with suppress(OSError):  # a full disk
            traceback.print_exc()
        task.end(*explain(error, task.spec))
        return 1
    task.end()
    return EXIT_STOPPED if result is None else 0
