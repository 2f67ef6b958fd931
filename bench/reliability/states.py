"""Start, cancel and resume jobs beside watchers, with slow writes, and count wrong states.

    python -m bench.reliability.states [--watchers 20] [--operations 200] [--seconds 1.5] [--seed 1] [--out FILE]

Every watcher is a process that updates and reads the rows of all jobs as fast as it can. Nothing is ever killed. So no
job may be seen as lost or failed, and only a job that was asked to stop may be canceled. The processes that start,
resume or run jobs sleep up to --seconds in each fsync, as on a slow disk. The runners are real. Their worker is a
stand-in that counts, so that 200 operations take minutes.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.home import Home
from core.jobs import control
from core.jobs.jobdir import JobDir
from db import jobs, projects
from db.connection import opened, write
from db.records import ACTIVE, Project
from db.sqlite import Database
from tests.helpers.stand_in import FOREVER, RUNNER

ROOT = Path(__file__).resolve().parents[2]
SLOW_FSYNC = """
import os, random, time
_fsync = os.fsync
def fsync(number):
    time.sleep(random.uniform(0, {seconds}))
    _fsync(number)
os.fsync = fsync
"""
"""A sitecustomize module: Python runs it in every process that has its folder on the path."""


def measure(*, watchers: int, operations: int, seconds: float, seed: int) -> dict[str, Any]:
    """Return what the watchers saw."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        home = Home(Path(temporary) / "home").create()
        _make_project(home)
        slow = Path(temporary) / "slow"
        slow.mkdir()
        (slow / "sitecustomize.py").write_text(SLOW_FSYNC.format(seconds=seconds))
        with _watching(home, watchers) as logs:
            script = [sys.executable, "-m", "bench.reliability.states", "--operate", str(home.root)]
            script += ["--operations", str(operations), "--seed", str(seed)]
            path = os.pathsep.join([str(slow), str(ROOT)])
            operated = subprocess.run(
                script, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, check=True
            )
        expected: dict[str, str] = (result := json.loads(operated.stdout))["expected"]
        seen = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
        with opened(home.db) as db:
            ends = {job.id: job.state for job in jobs.list_jobs(db)}
            left = [path.name for path in home.runs.glob(".new-*")]
    wrong = [
        line
        for line in seen
        if "error" in line
        or line["state"] in ("lost", "failed")
        or (line["state"] == "canceled" and expected[line["job"]] != "canceled")
    ]
    return {
        "operations": result["operations"],
        "watchers": watchers,
        "fsync_s": seconds,
        "seed": seed,
        "jobs": len(ends),
        "looks": sum(line.get("looks", 0) for line in seen),
        "changes_seen": sum("job" in line for line in seen),
        "wrong": len(wrong),
        "wrong_first": wrong[:5],
        "wrong_ends": {job: [ends[job], end] for job, end in expected.items() if ends[job] != end},
        "directories_left": left,
        "seconds": round(time.monotonic() - began, 1),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
    }


def _make_project(home: Home) -> None:
    with opened(home.db, create=True) as db, write(db):
        project = projects.insert_project(db, "portal", 6, "0123456789")
        projects.insert_source(db, project.id, "images", "the team", "ticket 1")


@contextmanager
def _watching(home: Home, count: int) -> Iterator[list[Path]]:
    """Run watchers during the with-block. Yield their logs."""
    logs = [home.root / f"watcher-{number}" for number in range(count)]
    command = [sys.executable, "-m", "bench.reliability.states", "--watch", str(home.root)]
    watchers = []
    for log in logs:
        with log.open("wb") as file:
            watchers.append(subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=file))
    try:
        yield logs
    finally:
        for watcher in watchers:
            watcher.communicate()  # closes its stdin, so that it looks once more and exits


def watch(home: Home) -> None:
    """Update and read the states of all jobs until stdin closes. Print each change, in rows and directories."""
    last: dict[tuple[str, str], str] = {}
    ended = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    looks = 0
    while True:
        is_last = ended.is_set()
        with opened(home.db) as db:
            if error := control.reconcile(db, home):
                print(json.dumps({"error": str(error)}), flush=True)
            for job in jobs.list_jobs(db):
                view = control.observe(home, job.id)
                for place, state, reason in (("row", job.state, job.reason), ("directory", view.state, view.reason)):
                    if last.get((job.id, place)) != state:
                        last[job.id, place] = state
                        line = {"job": job.id, "place": place, "state": state, "reason": reason}
                        print(json.dumps(line), flush=True)
        looks += 1
        if is_last:
            print(json.dumps({"looks": looks, "state": ""}))
            return
        time.sleep(random.uniform(0, 0.05))


class Operator:
    """A thread that starts, cancels and resumes its own jobs, one after the other."""

    def __init__(self, home: Home, project: Project, number: int, seed: int) -> None:
        self.home, self.project, self.number = home, project, number
        self.random = random.Random(f"{seed} {number}")
        self.expected: dict[str, str] = {}
        self.done = Counter[str]()

    def run(self, operations: float) -> None:
        """Do at least this many operations. Every second job is long: it is canceled and resumed."""
        with opened(self.home.db) as db:
            while self.done.total() < operations:
                if self.done["start"] % 2:
                    self._short(db)
                else:
                    self._long(db)

    def _start(self, db: Database, steps: int) -> str:
        self.done["start"] += 1
        return control.start_job(db, self.home, self.project, "import", {"steps": steps}).id

    def _short(self, db: Database) -> None:
        job_id = self._start(db, 3)
        self.expected[job_id] = "finished"
        control.follow(db, self.home, job_id, lambda _: None)

    def _long(self, db: Database) -> None:
        job_id = self._start(db, FOREVER)
        self.expected[job_id] = "canceled"
        for _ in range(self.random.randint(1, 3)):
            if self.random.random() < 0.5:  # otherwise it is canceled while it starts
                self._wait_until_running(job_id)
            control.cancel(db, self.home, job_id)
            control.follow(db, self.home, job_id, lambda _: None)
            control.resume(db, self.home, job_id)
            self.done.update(cancel=1, resume=1)
        control.cancel(db, self.home, job_id)
        control.follow(db, self.home, job_id, lambda _: None)
        self.done["cancel"] += 1

    def _wait_until_running(self, job_id: str) -> None:
        while (state := JobDir(self.home.run(job_id)).observe().state) in ACTIVE and state != "running":
            time.sleep(0.02)


def operate(home: Home, operations: int, seed: int) -> None:
    """Let four threads operate, and print what each job must end as."""
    control.RUNNER = (sys.executable, "-c", RUNNER)
    with opened(home.db) as db:
        (project,) = projects.list_projects(db)
    operators = [Operator(home, project, number, seed) for number in range(4)]
    with ThreadPoolExecutor(len(operators)) as pool:
        for work in [pool.submit(operator.run, operations / len(operators)) for operator in operators]:
            work.result()
    expected = {job: state for operator in operators for job, state in operator.expected.items()}
    done = sum((operator.done for operator in operators), Counter[str]())
    print(json.dumps({"operations": dict(done), "expected": expected}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--watchers", type=int, default=20)
    parser.add_argument("--operations", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--watch", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--operate", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.watch:
        watch(Home(options.watch))
    elif options.operate:
        operate(Home(options.operate), options.operations, options.seed)
    else:
        result = measure(
            watchers=options.watchers, operations=options.operations, seconds=options.seconds, seed=options.seed
        )
        text = json.dumps(result, indent=1)
        print(text)
        if options.out:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(text + "\n", encoding="utf-8")
        sys.exit(bool(result["wrong"] or result["wrong_ends"] or result["directories_left"]))


if __name__ == "__main__":
    main()
