"""Train and evaluate a cell with the real worker, each in its own job directory.

An interrupted run resumes from its last checkpoint, even after kill -9.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.accuracy.cell import Cell, described
from bench.accuracy.data import Frozen, freeze
from bench.cells import ROOT, Bench, CellError, Interrupted, environment
from bench.grid import ORPHAN_SECONDS, remove
from core.jobs.jobdir import JobDir
from core.jobs.runner import PARENT_VARIABLE
from core.model.config import TrainConfig
from core.training.doctor import lines_of_kind

TICK_SECONDS = 0.1
REPORT_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A cell with a finished run."""

    frozen: Frozen
    job: JobDir

    def described(self, cell: Cell) -> dict[str, Any]:
        """Return everything about the run except its figures on test. `validation` has step, seconds, right and n."""
        spec, result = self.job.spec(), self.job.read("result.json") or {}
        first, *later = (self.job.read("bench.json") or {})["starts"]
        choices = dict(spec["choices"])
        # The path of the weights, or why the hub failed, concerns only this machine.
        choices["weights"] = Path(choices["weights"]).name if choices["weights"] else None
        choices["pretrained"] = choices["pretrained"].split(" (")[0]
        return described(cell, self.frozen) | {
            "preset": cell.preset,
            "options": dict(cell.options),
            "seed": spec["config"]["seed"],
            "config": spec["config"],
            "choices": choices,
            **{key: first[key] for key in ("at", "hardware", "versions", "git")},
            "resumed": [{key: start[key] for key in ("at", "git")} for start in later],
            "steps": result["step"],
            "best_step": result["best_step"],
            "seconds": result["seconds"],
            "peak_mb": max(start["peak_mb"] or 0 for start in [first, *later]),
            "validation": [
                [line["step"], line["seconds"], line["correct"], line["n"]]
                for line in lines_of_kind(self.job.metrics(), "val")
            ],
        }


def train(cell: Cell, bench: Bench, on_tick: Callable[[JobDir, float], None] | None = None) -> Trained:
    """Train or resume a cell. It starts over if settings or images have changed."""
    frozen = freeze(cell.image_set, bench.work, bench.data)
    spec = _spec(cell, "train") | {"config": cell.config().to_dict(), "data": frozen.hash}
    spec = json.loads(json.dumps(spec))
    job = JobDir(bench.folder(cell) / "train")
    before = job.read("run.json")
    if before is not None:  # options that are missing there had the value of `from_dict`
        before["config"] = json.loads(json.dumps(TrainConfig.from_dict(before["config"]).to_dict()))
    keys = ("data",) if bench.recount else tuple(spec)
    if before is not None and any(before.get(key) != spec[key] for key in keys):
        if bench.recount:
            raise CellError("The images have changed. Rerun the cell with --again.")
        bench.say(f"{cell.name}: starting over, because its settings or images have changed")
        remove(bench.folder(cell))
    _fill(job, spec, frozen)
    if job.read("result.json") is None:
        run_worker(cell, job, bench, on_tick)
    return Trained(frozen=frozen, job=job)


def evaluate(cell: Cell, bench: Bench, trained: Trained, split: str) -> JobDir:
    """Evaluate a split with the selected checkpoint of a run and TTA."""
    job = JobDir(trained.job.path.parent / split)
    _fill(job, _spec(cell, "evaluate") | {"run": trained.job.id, "split": split, "tta": True}, trained.frozen)
    if job.read("result.json") is None:
        run_worker(cell, job, bench)
    return job


def _spec(cell: Cell, kind: str) -> dict[str, Any]:
    project = {"name": cell.name, "length": cell.image_set.length, "charset": cell.image_set.charset}
    return {"format": 1, "kind": kind, "project": project} | ({"variant": cell.variant} if cell.variant else {})


def _fill(job: JobDir, spec: Mapping[str, Any], frozen: Frozen) -> None:
    """Create the directory of a job. run.json comes last and marks it complete."""
    if job.read("run.json") is None:
        job.path.mkdir(parents=True, exist_ok=True)
        dataset = job.path / "dataset.npz"
        dataset.unlink(missing_ok=True)
        try:
            os.link(frozen.path, dataset)  # do not copy 10,000 images for each cell
        except OSError:
            shutil.copyfile(frozen.path, dataset)
        job.write("run.json", spec)


def run_worker(cell: Cell, job: JobDir, bench: Bench, on_tick: Callable[[JobDir, float], None] | None = None) -> None:
    """Run the worker of a job until it ends. `on_tick` gets the age of the process every 0.1 s.

    The worker holds the job's lock. It saves and exits when this process dies (see core.jobs.work). Raises
    Interrupted, or CellError with the worker's reason.
    """
    lock = job.take_lock(wait_s=ORPHAN_SECONDS)
    if lock is None:
        raise CellError(f"Another bench is running in {job.path}.")
    try:
        starts = [*(job.read("bench.json") or {"starts": []})["starts"], environment(bench.threads) | {"peak_mb": None}]
        job.write("bench.json", {"starts": starts})
        began = time.monotonic()
        with (job.path / "log.txt").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-u", "-m", cell.worker, str(job.path)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock],
                process_group=0,  # Ctrl-C reaches it as SIGTERM, and it saves
                env=os.environ
                | {PARENT_VARIABLE: str(os.getpid()), "OMP_NUM_THREADS": str(bench.threads)}
                # A run from scratch would start from ImageNet weights where the hub or its cache has them.
                | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(bench.work / "no-weights")},
            )
        job.name_processes(lock, worker.pid)
        code, starts[-1]["peak_mb"] = _watch(cell, job, bench, worker, began, on_tick)
        job.write("bench.json", {"starts": starts})
    finally:
        os.close(lock)
    if code != 0 and bench.stop.is_set():
        raise Interrupted
    if code != 0:
        reason = (job.read("status.json") or {}).get("reason")
        raise CellError(reason or f"The worker exited with code {code}. See {job.path / 'log.txt'}.")


def _watch(
    cell: Cell,
    job: JobDir,
    bench: Bench,
    worker: subprocess.Popen[bytes],
    began: float,
    on_tick: Callable[[JobDir, float], None] | None,
) -> tuple[int, float]:
    """Wait for the worker and return its exit code and peak memory in MB."""
    stopping, last_report = False, began
    while True:
        pid, status, usage = os.wait4(worker.pid, os.WNOHANG)
        now = time.monotonic()
        if on_tick is not None:
            on_tick(job, now - began)
        if pid:
            worker.returncode = os.waitstatus_to_exitcode(status)
            return worker.returncode, round(usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3), 1)
        if bench.stop.is_set() and not stopping:
            worker.terminate()
            stopping = True
        if now - last_report >= REPORT_SECONDS:
            bench.say(f"{cell.name}: {(job.read('status.json') or {}).get('message', 'starting')}")
            last_report = now
        time.sleep(TICK_SECONDS)
