"""The command of a bench: a grid of cells, each of which leaves a JSON file and is skipped where that is there."""

import argparse
import json
import os
import shutil
import signal
import tempfile
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
"""How long the worker of a killed bench may take to notice and to save: a step of a large network and a checkpoint."""


def main(
    kind: str,
    about: str,
    cells: Sequence[CellT],
    quick: Sequence[CellT],
    measure: Measure[CellT],
    *,
    trains: bool = True,
) -> int:
    """The command of one bench; returns the exit code. One that does not train has no data and one job at a time."""
    parser = argparse.ArgumentParser(
        prog=f"python -m bench.{'accuracy.' if kind == 'speed' else ''}{kind}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(data=None, jobs=1, recount=False)
    if trains:
        parser.add_argument("--data", type=Path, help="folder that holds digits4/ and portal6/")
        parser.add_argument("--jobs", type=int, help="cells at once (1); OMP_NUM_THREADS or their share of cores")
        parser.add_argument("--recount", action="store_true", help="write trained cells' files again, after an audit")
    parser.add_argument("--work", type=Path, help="for job directories and rendered images (build/bench)")
    parser.add_argument("--results", type=Path, help=f"for the JSON files (bench/results/{kind})")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="cells of such names, as 'digits4-*'")
    parser.add_argument("--again", action="store_true", help="run cells again that are done")
    parser.add_argument("--list", action="store_true", help="names and states")
    parser.add_argument("--quick", action="store_true", help="tiny cells in a temporary folder, to see that it works")
    options = parser.parse_args()
    if options.jobs < 1:
        parser.error("--jobs must be at least 1")
    threads = int(os.environ.get("OMP_NUM_THREADS", "0")) or max(1, cores() // options.jobs)
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
        chosen = [cell for cell in (quick if options.quick else cells) if fnmatch(cell.name, options.only)]
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
            for cell in chosen:
                print(bench.result(cell).read_text(encoding="utf-8"))
        return code


def run(cells: Sequence[CellT], bench: Bench, measure: Measure[CellT], *, jobs: int = 1, again: bool = False) -> int:
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


def _run_one(cell: CellT, bench: Bench, measure: Measure[CellT], *, again: bool) -> bool:
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


def state_of(cell: BenchCell, bench: Bench) -> str:
    """One phrase for --list."""
    done = bench.result(cell)
    if not done.exists():
        begun = JobDir(bench.folder(cell) / "train").read("status.json")
        at = f", stands at step {begun['step']}" if begun and begun.get("step") else ""
        missing = cell.missing(bench.data)
        return f"not run: {missing}{at}" if missing else f"not run{at}"
    changed = cell.changed(json.loads(done.read_text(encoding="utf-8")))
    return "done, with settings that have changed since" if changed else "done"


def remove(folder: Path) -> None:
    """Remove the job directories of a cell, once nothing works in them."""
    for path in folder.glob("*/run.json"):
        lock = JobDir(path.parent).take_lock(wait_s=ORPHAN_SECONDS)
        if lock is None:
            raise CellError(f"Another bench is at work in {path.parent}.")
        os.close(lock)
    shutil.rmtree(folder, ignore_errors=True)
