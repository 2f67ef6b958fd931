"""Command line of a benchmark: run a grid of cells. Each writes a JSON file, and finished cells are skipped."""

import argparse
import json
import os
import shutil
import signal
import tempfile
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

from bench.cells import RESULTS, ROOT, Bench, BenchCell, CellError, Interrupted, cores, save_result
from core.errors import SlotlabError
from core.jobs.jobdir import JobDir

CellT = TypeVar("CellT", bound=BenchCell)
Measure = Callable[[CellT, Bench], dict[str, Any]]
ORPHAN_SECONDS = 180.0
"""Time for the worker of a killed bench to notice and save: one step of a large network and a checkpoint."""


def main(
    kind: str,
    about: str,
    cells: Sequence[CellT],
    quick: Sequence[CellT],
    measure: Measure[CellT],
    *,
    trains: bool = True,
) -> int:
    """Run the command of a bench and return the exit code. Without training it takes a bundle and one job at a time."""
    parser = argparse.ArgumentParser(
        prog=f"python -m bench.{'accuracy.' if kind == 'speed' else ''}{kind}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(data=None, jobs=1, recount=False)
    if trains:
        parser.add_argument("--data", type=Path, help="folder with digits4/ and portal6/")
        parser.add_argument(
            "--jobs", type=int, help="parallel cells (1), which share the cores unless OMP_NUM_THREADS is set"
        )
        parser.add_argument("--recount", action="store_true", help="recompute the results of trained cells")
    else:
        parser.add_argument("--bundle", type=Path, dest="data", help="folder of a bundle, for cells beside its service")
    parser.add_argument("--work", type=Path, help="for job directories and rendered images (build/bench)")
    parser.add_argument("--results", type=Path, help=f"for the JSON files (bench/results/{kind})")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="only matching cells, for example 'digits4-*'")
    parser.add_argument("--again", action="store_true", help="rerun finished cells")
    parser.add_argument("--list", action="store_true", help="list names and states")
    parser.add_argument("--quick", action="store_true", help="run tiny cells in a temporary folder, as a smoke test")
    options = parser.parse_args()
    if options.jobs < 1:
        parser.error("--jobs must be at least 1")
    threads = int(os.environ.get("OMP_NUM_THREADS", "0")) or max(1, cores() // options.jobs)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM acts like Ctrl-C
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
        selected = [cell for cell in (quick if options.quick else cells) if fnmatch(cell.name, options.only)]
        if not selected:
            parser.error(f"no cell matches {options.only!r}")
        if options.list:
            for cell in selected:
                print(f"{cell.name:30} {state_of(cell, bench)}")
            return 0
        if options.recount:
            selected = [cell for cell in selected if (bench.folder(cell) / "train" / "result.json").exists()]
        code = run(selected, bench, measure, jobs=options.jobs, again=options.again)
        if options.quick and code == 0:
            for path in (bench.result(cell) for cell in selected):
                if path.exists():  # else it cannot run here
                    print(path.read_text(encoding="utf-8"))
        return code


def run(cells: Sequence[CellT], bench: Bench, measure: Measure[CellT], *, jobs: int = 1, again: bool = False) -> int:
    """Run unfinished cells that can run, and return the exit code. A failed cell does not stop the others."""
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
            bench.say("Stopped. Run the same command to continue.")
            return 128 + signal.SIGINT
    return 1 if failed else 0


def _run_one(cell: CellT, bench: Bench, measure: Measure[CellT], *, again: bool) -> bool:
    if bench.stop.is_set():
        return False
    bench.say(f"{cell.name}: starting")
    try:
        if again:
            remove(bench.folder(cell))
            bench.result(cell).unlink(missing_ok=True)  # so the next command does not skip it
        save_result(bench.result(cell), measure(cell, bench))
    except Interrupted:
        return False
    except Exception as error:  # noqa: BLE001 - a fault of one cell does not stop the others
        bench.say(f"{cell.name}: FAILED, {error if isinstance(error, SlotlabError) else traceback.format_exc()}")
        return False
    bench.say(f"{cell.name}: done")
    return True


def state_of(cell: BenchCell, bench: Bench) -> str:
    """Return the state of a cell for --list."""
    done = bench.result(cell)
    if not done.exists():
        status = JobDir(bench.folder(cell) / "train").read("status.json")
        at = f", at step {status['step']}" if status and status.get("step") else ""
        missing = cell.missing(bench.data)
        return f"not run: {missing}{at}" if missing else f"not run{at}"
    changed = cell.changed(json.loads(done.read_text(encoding="utf-8")))
    return "done, but its settings have changed" if changed else "done"


def remove(folder: Path) -> None:
    """Remove the job directories of a cell, after waiting for its processes."""
    for path in folder.glob("*/run.json"):
        lock = JobDir(path.parent).take_lock(wait_s=ORPHAN_SECONDS)
        if lock is None:
            raise CellError(f"Another bench is running in {path.parent}.")
        os.close(lock)
    shutil.rmtree(folder, ignore_errors=True)
