"""A worker that trains nothing, for tests of everything else. `behave` in run.json controls it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from core.errors import TrainingError
from core.jobs.jobdir import JobDir
from core.jobs.results import COUNTS
from core.jobs.work import Work, run_worker
from tests.helpers.repository import ROOT

RUNNER = """
import sys, core.jobs.runner as runner
runner.MODULES = dict.fromkeys(runner.MODULES, "tests.helpers.stand_in")
runner.GRACE_SECONDS = 0.5
runner.main(*sys.argv[1:])
"""
NO_READINGS = {"readers": [], "images": 0, "usable": False, "verdict": "", "unread": []}
RESULTS: dict[str, dict[str, Any]] = {
    "import": dict.fromkeys(COUNTS, 0) | {"reasons": []},
    "propose": NO_READINGS | {"by_position": [], "by_character": {}, "confusions": []},
    "round": {"run": "", "accepted": 0, "proved": 0, "next_run": None},
    "folds": {"n": 0, "correct": 0},
}
"""Results by the kind of job."""
FOREVER = 1_000_000
STEPS = "STAND_IN_STEPS"
"""Environment variable with the number of steps, for jobs that a test cannot start with `steps` in run.json."""
MakeJob = Callable[..., JobDir]
RunJob = Callable[[JobDir], subprocess.Popen[bytes]]


def work(task: Work) -> dict[str, Any] | None:
    behave = task.spec.get("behave", "work")
    usual = FOREVER if task.spec["kind"] == "train" else 3
    steps = task.spec.get("steps", int(os.environ.get(STEPS, usual)))
    task.job.append_metrics({"kind": "attempt", "pid": os.getpid()})
    if behave == "refuse":
        raise TrainingError("The images are too small.")
    if behave == "crash":
        raise ZeroDivisionError
    if behave == "fill the disk":
        raise OSError(28, os.strerror(28))
    if behave == "ignore":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    step = (task.job.read("saved.json") or {"step": 0})["step"]
    while step < steps:
        step += 1
        task.say("Working", step=step, steps=steps)
        if task.should_stop():
            task.job.write("saved.json", {"step": step})
            return None
        time.sleep(0.02)
    return RESULTS.get(task.spec["kind"], {}) | {"val": {"correct": step}}


def start_runner(job: JobDir) -> subprocess.Popen[bytes]:
    """Start the real runner with the stand-in worker, in its own session like the app does."""
    return launch(job, [sys.executable, "-c", RUNNER, str(job.path)])


def launch(job: JobDir, command: list[str]) -> subprocess.Popen[bytes]:
    """Start a runner. Hand it the job's lock, unless the job is running."""
    lock = job.take_lock(wait_s=0)
    held = [] if lock is None else [lock]
    try:
        with (job.path / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [*command, *map(str, held)],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
                pass_fds=held,
                start_new_session=True,
            )
    finally:
        for number in held:
            os.close(number)


if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1], work))
