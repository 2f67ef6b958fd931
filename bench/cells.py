"""A bench as a grid of cells: each is trained by the real worker in a job directory of its own and leaves a JSON file.

A cell whose file is there is skipped. One that was interrupted, be it by kill -9, goes on from its last checkpoint.
Imports neither torch nor a database: a cell without training runs where there is no torch.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.data import SETS, Frozen, ImageSet, freeze
from core.config import TrainConfig, preset, with_options
from core.errors import SlotlabError
from core.jobdir import JobDir
from core.runner import PARENT_VARIABLE, device_of

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
PACKAGES = ("torch", "timm", "albumentations", "opencv-python-headless", "numpy", "pillow", "ddddocr", "onnxruntime")
NEEDS = {"gpu": "a GPU", "ddddocr": "pip install ddddocr==1.6.1"}
ORPHAN_SECONDS = 180.0
"""How long the worker of a killed bench may take to notice and to save: a step of a large network and a checkpoint."""
TICK_SECONDS = 0.1
SAY_SECONDS = 30.0


class CellError(SlotlabError):
    """A cell could not be finished; the sentence says why."""


class Interrupted(Exception):  # noqa: N818 - somebody wants the bench to stop; that is no error
    pass


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One figure to be measured."""

    name: str
    what: str
    group: str
    """The table it belongs to."""
    images: str
    """Name of its image set."""
    preset: str | None = "fast"
    """None: nothing is trained."""
    options: Mapping[str, str] = field(default_factory=dict)
    """On top of the preset, as for --set."""
    needs: tuple[str, ...] = ()
    """Keys of NEEDS."""

    @property
    def image_set(self) -> ImageSet:
        return SETS[self.images]

    def config(self) -> TrainConfig:
        assert self.preset is not None
        return with_options(preset(self.preset), self.options)

    def needed(self) -> str:
        """What it takes to run it, whatever is there; empty when it runs everywhere."""
        folder = self.image_set.folder
        return ", ".join([*([f"--data with {folder}/"] if folder else []), *(NEEDS[need] for need in self.needs)])

    def missing(self, data: Path | None) -> str | None:
        """Why it cannot be run here and now."""
        folder = self.image_set.folder
        if folder and (data is None or not (data / folder).is_dir()):
            return f"there is no --data folder with {folder}/"
        if "gpu" in self.needs and device_of("auto") != "gpu":
            return "needs a GPU"
        if "ddddocr" in self.needs and find_spec("ddddocr") is None:
            return NEEDS["ddddocr"]
        if self.preset is not None and find_spec("torch") is None:
            return "torch is not installed here"
        return None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """How and where the cells of one command are run."""

    kind: str
    work: Path
    results: Path
    data: Path | None = None
    threads: int = 1
    recount: bool = False
    """Finished runs are only counted again, also those whose settings are no longer today's."""
    stop: threading.Event = field(default_factory=threading.Event)

    def folder(self, cell: Cell) -> Path:
        """Job directories of a cell."""
        return self.work / self.kind / cell.name

    def result(self, cell: Cell) -> Path:
        return self.results / f"{cell.name}.json"

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


# What every result says of itself


def environment(threads: int) -> dict[str, Any]:
    """Machine, versions and state of the code, as they are now."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": {
            "cpu": _cpu(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "threads": threads,
            "ram_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            "gpu": _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or None,
        },
        "versions": {"python": platform.python_version()} | {name: found for name in PACKAGES if (found := _has(name))},
        "git": {
            "commit": _output("git", "rev-parse", "HEAD") or None,
            # Of what makes the figures; earlier results and texts do not.
            "dirty": bool(_output("git", "status", "--porcelain", "--", "core", "bench/*.py", "bench/audits")),
        },
    }


def _cpu() -> str:
    with suppress(OSError):
        if match := re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
            return match[1]
    return platform.processor() or platform.machine()


def _has(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _output(*command: str) -> str:
    """What a program prints; nothing when it is not there or fails."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def described(cell: Cell, frozen: Frozen) -> dict[str, Any]:
    """The part of a result that is known beforehand."""
    return {
        "cell": cell.name,
        "what": cell.what,
        "data": {"name": cell.images, "hash": frozen.hash, "n": frozen.counts},
    }


# Training and evaluation, each in a job directory


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A cell whose run is finished."""

    frozen: Frozen
    job: JobDir

    def described(self, cell: Cell) -> dict[str, Any]:
        """Everything about the run but its figures."""
        spec, result = self.job.spec(), self.job.read("result.json") or {}
        first, *later = (self.job.read("bench.json") or {})["starts"]
        choices = dict(spec["choices"])
        # Where weights lie, or why a hub could not be reached, says something of this machine alone.
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
        }


def train(cell: Cell, bench: Bench, on_tick: Callable[[JobDir, float], None] | None = None) -> Trained:
    """Train a cell, or go on with it. A directory of other settings or other images is started over."""
    frozen = freeze(cell.image_set, bench.work, bench.data)
    spec = _spec(cell, "train") | {"config": cell.config().to_dict(), "data": frozen.hash}
    spec = json.loads(json.dumps(spec))
    job = JobDir(bench.folder(cell) / "train")
    before = job.read("run.json")
    kept = ("data",) if bench.recount else tuple(spec)
    if before is not None and any(before.get(key) != spec[key] for key in kept):
        if bench.recount:
            raise CellError("The images have changed since; --again runs it anew.")
        bench.say(f"{cell.name}: starting over, for its settings or images have changed")
        remove(bench.folder(cell))
    _fill(job, spec, frozen)
    if job.read("result.json") is None:
        run_worker(cell, job, bench, on_tick)
    return Trained(frozen=frozen, job=job)


def evaluate(cell: Cell, bench: Bench, trained: Trained, split: str) -> JobDir:
    """Read a split with the best weights of a run, under all views."""
    job = JobDir(trained.job.path.parent / split)
    _fill(job, _spec(cell, "evaluate") | {"run": trained.job.id, "split": split, "tta": True}, trained.frozen)
    if job.read("result.json") is None:
        run_worker(cell, job, bench)
    return job


def _spec(cell: Cell, kind: str) -> dict[str, Any]:
    project = {"name": cell.name, "length": cell.image_set.length, "charset": cell.image_set.charset}
    return {"format": 1, "kind": kind, "project": project}


def _fill(job: JobDir, spec: Mapping[str, Any], frozen: Frozen) -> None:
    """Make the directory of a job, run.json last: who finds it finds all."""
    if job.read("run.json") is None:
        job.path.mkdir(parents=True, exist_ok=True)
        dataset = job.path / "dataset.npz"
        dataset.unlink(missing_ok=True)
        try:
            os.link(frozen.path, dataset)  # 10,000 images once, not once a cell
        except OSError:
            shutil.copyfile(frozen.path, dataset)
        job.write("run.json", spec)


def run_worker(cell: Cell, job: JobDir, bench: Bench, on_tick: Callable[[JobDir, float], None] | None = None) -> None:
    """Run the worker of a job to its end; `on_tick` is told every 0.1 s how long the process has lived.

    The worker holds the job's lock, and saves and leaves when this process dies (see core.work).
    Raises Interrupted, or CellError with the worker's reason.
    """
    lock = job.take_lock(wait_s=ORPHAN_SECONDS)
    if lock is None:
        raise CellError(f"Another bench is at work in {job.path}.")
    try:
        starts = [*(job.read("bench.json") or {"starts": []})["starts"], environment(bench.threads) | {"peak_mb": None}]
        job.write("bench.json", {"starts": starts})
        began = time.monotonic()
        with (job.path / "log.txt").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-u", "-m", "core.worker", str(job.path)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock],
                process_group=0,  # a Ctrl-C reaches it as SIGTERM, upon which it saves
                env=os.environ | {PARENT_VARIABLE: str(os.getpid()), "OMP_NUM_THREADS": str(bench.threads)},
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
        raise CellError(reason or f"The worker ended with code {code}; see {job.path / 'log.txt'}.")


def _watch(
    cell: Cell,
    job: JobDir,
    bench: Bench,
    worker: subprocess.Popen[bytes],
    began: float,
    on_tick: Callable[[JobDir, float], None] | None,
) -> tuple[int, float]:
    """Wait for the worker; return its exit code and its peak memory in MB."""
    told, said = False, began
    while True:
        pid, status, usage = os.wait4(worker.pid, os.WNOHANG)
        now = time.monotonic()
        if on_tick is not None:
            on_tick(job, now - began)
        if pid:
            worker.returncode = os.waitstatus_to_exitcode(status)
            return worker.returncode, round(usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3), 1)
        if bench.stop.is_set() and not told:
            worker.terminate()
            told = True
        if now - said >= SAY_SECONDS:
            bench.say(f"{cell.name}: {(job.read('status.json') or {}).get('message', 'starting')}")
            said = now
        time.sleep(TICK_SECONDS)


def remove(folder: Path) -> None:
    """Remove the job directories of a cell, once nothing works in them."""
    for path in folder.glob("*/run.json"):
        lock = JobDir(path.parent).take_lock(wait_s=ORPHAN_SECONDS)
        if lock is None:
            raise CellError(f"Another bench is at work in {path.parent}.")
        os.close(lock)
    shutil.rmtree(folder, ignore_errors=True)


# Results


def load_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Every result of a folder by the name of its cell."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def save_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result whole or not at all, a list of plain values in one line."""
    text = json.dumps(result, indent=1, ensure_ascii=False)
    # A line break is never part of a JSON string, so only the layout is changed.
    text = re.sub(r"\[\n *([^\[\]{}]*)\n *\]", lambda match: "[" + re.sub(r"\n *", " ", match[1]) + "]", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(path)


def state_of(cell: Cell, bench: Bench) -> str:
    """One phrase for --list."""
    done = bench.result(cell)
    if not done.exists():
        begun = JobDir(bench.folder(cell) / "train").read("status.json")
        at = f", stands at step {begun['step']}" if begun and begun.get("step") else ""
        missing = cell.missing(bench.data)
        return f"not run: {missing}{at}" if missing else f"not run{at}"
    config = json.loads(done.read_text(encoding="utf-8")).get("config")
    changed = cell.preset is not None and config != json.loads(json.dumps(cell.config().to_dict()))
    return "done, with settings that have changed since" if changed else "done"


# The command


Measure = Callable[[Cell, Bench], dict[str, Any]]


def main(kind: str, about: str, cells: tuple[Cell, ...], quick: Cell, measure: Measure) -> int:
    """The command of one bench; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog=f"python -m bench.{kind}", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder that holds digits4/ and portal6/")
    parser.add_argument("--work", type=Path, help="for job directories and rendered images (build/bench)")
    parser.add_argument("--results", type=Path, help=f"for the JSON files (bench/results/{kind})")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="cells of such names, as 'digits4-*'")
    parser.add_argument("--jobs", type=int, default=1, help="cells at once; they share the cores")
    parser.add_argument("--again", action="store_true", help="run cells again that are done")
    parser.add_argument("--recount", action="store_true", help="write the files of trained cells again, after an audit")
    parser.add_argument("--list", action="store_true", help="names and states")
    parser.add_argument("--quick", action="store_true", help="a tiny cell in a temporary folder, to see that it works")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = int(os.environ.get("OMP_NUM_THREADS", "0")) or max(1, cores // options.jobs)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stop is a stop
    with tempfile.TemporaryDirectory() as temporary:
        spare = Path(temporary) if options.quick else None
        bench = Bench(
            kind=kind,
            work=(options.work or spare or ROOT / "build" / "bench").resolve(),
            results=(options.results or spare or RESULTS / kind).resolve(),
            data=options.data,
            threads=threads,
            recount=options.recount,
        )
        chosen = [cell for cell in ((quick,) if options.quick else cells) if fnmatch(cell.name, options.only)]
        if not chosen:
            parser.error(f"no cell is named like {options.only!r}")
        if options.list:
            for cell in chosen:
                print(f"{cell.name:30} {state_of(cell, bench)}")
            return 0
        if options.recount:
            chosen = [cell for cell in chosen if (bench.folder(cell) / "train" / "result.json").exists()]
        code = run(chosen, bench, measure, jobs=options.jobs, again=options.again)
        if options.quick and code == 0:
            print(bench.result(quick).read_text(encoding="utf-8"))
        return code


def run(cells: list[Cell], bench: Bench, measure: Measure, *, jobs: int = 1, again: bool = False) -> int:
    """Run what is not done and can be run; returns the exit code. One cell that fails does not stop the others."""
    todo = []
    for cell in cells:
        if bench.result(cell).exists() and not (again or bench.recount):
            bench.say(f"{cell.name}: done")
        elif (missing := cell.missing(bench.data)) is not None:
            bench.say(f"{cell.name}: not run, {missing}")
        else:
            todo.append(cell)
    failed = 0
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(_run_one, cell, bench, measure, again=again): cell for cell in todo}
        try:
            for future in as_completed(futures):
                failed += not future.result()
        except KeyboardInterrupt:
            bench.stop.set()
            pool.shutdown(cancel_futures=True)
            bench.say("Stopped; the same command goes on from here.")
            return 128 + signal.SIGINT
    return 1 if failed else 0


def _run_one(cell: Cell, bench: Bench, measure: Measure, *, again: bool) -> bool:
    if bench.stop.is_set():
        return False
    bench.say(f"{cell.name}: begins")
    try:
        if again:
            remove(bench.folder(cell))
            bench.result(cell).unlink(missing_ok=True)  # so that the next command goes on instead of skipping it
        save_result(bench.result(cell), measure(cell, bench))
    except Interrupted:
        return False
    except SlotlabError as error:
        bench.say(f"{cell.name}: FAILED, {error}")
        return False
    bench.say(f"{cell.name}: done")
    return True
