"""The runner of one job: `python -m core.jobs.runner JOB_DIR [LOCK]`.

It holds the job's lock, waits for the device, starts the worker, forwards a cancel, records the worker's exit, and
calls the webhook. It is small and imports neither torch nor the database. It has its own session, so it survives the
process that starts it.
"""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.jobs import log, order, webhook
from core.jobs.jobdir import RESERVE, JobDir, try_lock

MODULES = {
    "train": "core.runs.worker",
    "evaluate": "core.runs.worker",
    "import": "core.data.importing",
    "propose": "core.runs.propose_worker",
    "round": "core.runs.round_worker",
    "folds": "core.runs.fold_worker",
    "bundle": "core.runs.bundle_worker",
    "drift": "core.runs.drift_worker",
}
"""The worker module of each kind of job: `python -m MODULE JOB_DIR`."""
JOB_WORDS = {
    "train": "a training run",
    "evaluate": "an evaluation",
    "import": "an import",
    "propose": "a reading by general readers",
    "folds": "a search for wrong labels",
    "round": "a round",
    "bundle": "a bundle",
    "drift": "a search for drift",
}
"""Each kind of job in a sentence."""
GRACE_SECONDS = 15.0
"""Seconds from SIGTERM to SIGKILL. A worker reacts after its current step and a checkpoint."""
POLL_SECONDS = 0.2
PARENT_VARIABLE = "SLOTLAB_RUNNER_PID"
"""Gives the worker its parent's process id. A different parent means the runner is dead."""

LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1


class Runner:
    def __init__(self, job: JobDir, lock: int) -> None:
        self.job = job
        self.lock = lock
        self.locks = [lock]
        self.stopping = False

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self.job.name_processes(self.lock, os.getpid())
        try:
            spec = self.job.spec()
            end = self._run(spec)
        except Exception as error:  # noqa: BLE001 - every job needs an exit.json
            with suppress(OSError):  # a full disk
                traceback.print_exc()
            end = {"error": f"The job could not be started: {error}"}
        self.job.write_last("exit.json", end | {"at": datetime.now(UTC).isoformat(timespec="seconds")})
        self.job.remove(RESERVE)
        message = webhook.message_of(self.job)
        for lock in self.locks:  # neither the job nor the next run waits for the webhook
            os.close(lock)
        if message:
            webhook.send(message)

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _should_run(self) -> bool:
        return not self.stopping and not self.job.cancel_asked

    def _run(self, spec: dict[str, Any]) -> dict[str, Any]:
        # Only trainings queue for a device. Imports and evaluations are short and must not wait hours for a run.
        if spec["kind"] in ("train", "folds"):
            slot = wait_for_device(self.job, device_of(spec["config"]["device"]), self._should_run)
            if slot is None:
                return {"code": None, "signal": signal.SIGTERM}
            self.locks.append(slot)
        if not self._should_run():
            return {"code": None, "signal": signal.SIGTERM}
        status = self.job.read("status.json") or {}  # progress of a resumed run
        self.job.write("status.json", status | {"state": "starting", "message": "Starting …", "reason": None})
        # The worker inherits the locks, so they stay held until it exits, even if the runner is killed.
        worker = subprocess.Popen(
            [sys.executable, "-u", "-m", MODULES[spec["kind"]], str(self.job.path)],
            stdin=subprocess.DEVNULL,
            pass_fds=self.locks,
            process_group=0,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - this process has one thread
            env=os.environ | {PARENT_VARIABLE: str(os.getpid())},
        )
        self.job.name_processes(self.lock, os.getpid(), worker.pid)
        code = self._watch(worker)
        return {"code": None, "signal": -code} if code < 0 else {"code": code, "signal": None}

    def _watch(self, worker: subprocess.Popen[bytes]) -> int:
        deadline: float | None = None
        while True:
            try:
                return worker.wait(timeout=POLL_SECONDS)
            except subprocess.TimeoutExpired:
                with suppress(OSError):  # without room for a copy, the log stays as it is
                    log.rotate(self.job.path / "log.txt")
            if deadline is None and not self._should_run():
                worker.terminate()
                deadline = time.monotonic() + GRACE_SECONDS
            elif deadline is not None and time.monotonic() > deadline:
                os.killpg(worker.pid, signal.SIGKILL)


def die_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent dies, so the worker saves its state and exits."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def device_of(setting: str) -> str:
    """Return the device a run with this setting will use, without importing torch."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if setting == "cuda" or (setting == "auto" and Path("/dev/nvidiactl").exists() and not hidden):
        return "gpu"
    return "cpu"


def wait_for_device(job: JobDir, device: str, should_run: Callable[[], bool]) -> int | None:
    """Take the device's lock once this run is first in the queue; None if it should stop. Updates the status."""
    path = job.path.parent / f"{device}.lock"
    slot = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    status = job.read("status.json") or {}
    last_message = ""
    while should_run():
        first = order.run_ahead(job, device)
        if first is None and try_lock(slot, fcntl.LOCK_EX):
            os.ftruncate(slot, 0)
            os.pwrite(slot, job.id.encode(), 0)
            return slot
        message = f"Waiting for the {device.upper()}: run {path.read_text()} is using it."
        if first is not None:
            message += f" Run {first} comes before this one."
        if message != last_message:
            job.write("status.json", status | {"state": "queued", "message": message, "device": device, "reason": None})
            last_message = message
        time.sleep(POLL_SECONDS)
    os.close(slot)
    return None


def main(directory: str, lock: str | None = None) -> None:
    """Run a job. `lock` is the file descriptor of its lock, inherited from the process that starts it."""
    job = JobDir(Path(directory).resolve())
    number = job.take_lock(wait_s=5.0) if lock is None else int(lock)
    if number is None:
        print(f"Job {job.id} is already running.", file=sys.stderr)
        return
    if job.read("exit.json") is None:
        Runner(job, number).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
