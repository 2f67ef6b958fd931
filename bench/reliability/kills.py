"""Kill every process of Slotlab at random while operators label, and count what is lost.

    python -m bench.reliability.kills [--seed 0] [--kills 220] [--quick] [--out FILE]

Processes get SIGKILL: writers that label without a browser, and two apps on one folder with a typing browser each. So
do the worker, the runner or both of imports, trainings and evaluations. Users run everything again as they would: an
import once more, a run with `slotlab resume`. Afterwards every acknowledged label must be in the ledger, and nothing
may contradict itself. --quick kills a few and writes no file. Needs Linux, Chromium and the test extra.
"""

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.cells import RESULTS, CellError, save_result
from bench.reliability import jobs, verdict
from bench.reliability.scene import Scene
from bench.reliability.writers import Acknowledgment, Writer
from bench.ui.million import add_project
from bench.ui.ui import surroundings
from core.home import Home
from core.jobs.jobdir import JobDir
from db.connection import opened

MADE_OF = ("app.py", ".streamlit", "pages", "core", "db", "bench/*.py", "bench/reliability", "tests/helpers/lab.py")
PACKAGES = ("streamlit", "playwright", "sqlite-utils", "pysqlite3", "torch", "pillow")
LABELED = "labeled"
"""Project of the writers."""
SAMPLES = 200
TYPED = "typed"
"""Project of the browsers."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Number of kills by victim, and what runs."""

    seed: int = 0
    writers: int = 3
    writer_kills: int = 110
    app_kills: int = 25
    import_kills: int = 45
    train_kills: int = 30
    evaluate_kills: int = 10
    images: int = 6000
    """Images to type in browsers. Both type three a second, so 6,000 last for half an hour."""
    pause: float = 0.15
    """Mean seconds between two batches of a writer. Without pauses, writers leave no time for anything else."""


def scaled(plan: Mapping[str, int], kills: int) -> dict[str, int]:
    """Return the kills in the same proportions, at least one of each."""
    return {name: max(1, round(n * kills / sum(plan.values()))) for name, n in plan.items()}


SHARES = {name: value for name, value in asdict(Plan()).items() if name.endswith("_kills")}
QUICK = Plan(writers=2, writer_kills=4, app_kills=2, import_kills=3, train_kills=2, evaluate_kills=1, images=1200)


def kill_writers(scene: Scene, writers: Sequence[Writer], kills: int, most_s: float = 2.0) -> None:
    """Kill a random writer some time after its first acknowledgments and start it again, for each kill."""
    rng = scene.rng("writers")
    for _ in range(kills):
        writer = rng.choice(writers)
        writer.wait_for(rng.randint(1, 5))
        scene.pause(rng.uniform(0, most_s))
        writer.kill()
        scene.count("writer")
        writer.start()


@contextmanager
def writing(scene: Scene, number: int, project: str, pause: float = 0) -> Iterator[list[Writer]]:
    """Run writers during the block."""
    folder = scene.home.root / "writers"
    writers = [
        Writer(scene.home.db, project, f"Writer {place}", folder, seed=scene.seed, pause=pause)
        for place in range(1, number + 1)
    ]
    try:
        for writer in writers:
            writer.start()
        yield writers
    finally:
        for writer in writers:
            writer.kill()
    scene.wrong += [f"{writer.name}: {text}" for writer in writers if (text := writer.errors.read_text())]


def measure(plan: Plan, *, browser: bool = True) -> dict[str, Any]:
    """Carry out a plan in a temporary folder and return the result."""
    began = time.monotonic()
    # A shell starts background jobs with this signal ignored. The commands would inherit that, and ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Home(Path(folder).resolve()).create(), plan.seed)
        with opened(scene.home.db, create=True) as db:
            # The project of each attack, made before any starts: `add_project` must be the only writer.
            add_project(db, LABELED, SAMPLES)
            add_project(db, jobs.TRAINED, 200, seed=1, labeled=1.0)
            truth = add_project(db, TYPED, plan.images, seed=3)[1] if browser else None
        try:
            acknowledged = _attack(scene, plan, truth)
        finally:
            for directory in scene.home.runs.glob("[0-9]*-*"):
                JobDir(directory).kill()
        with opened(scene.home.db) as db:
            lost = [each for listed in acknowledged.values() for each in verdict.lost(db, listed)]
            wrong = [*scene.wrong, *verdict.damage(db), *verdict.wrong_jobs(db, scene.home)]
    return {
        "seconds": round(time.monotonic() - began, 1),
        "acknowledged": {door: len(listed) for door, listed in acknowledged.items()},
        "repeated": sum(each.status == "repeated" for each in acknowledged["apply_events"]),
        "kills": dict(sorted(scene.kills.items())),
        "missed": dict(sorted(scene.missed.items())),
        "lost": lost,
        "wrong": wrong,
        "sentences": dict(sorted(scene.sentences.items())),
    }


def _attack(scene: Scene, plan: Plan, truth: Mapping[str, str] | None) -> dict[str, list[Acknowledgment]]:
    """Run everything at once until all kills have happened. Return the acknowledged labels by door."""
    apps_killed = threading.Event()
    with writing(scene, plan.writers, LABELED, plan.pause) as writers, ThreadPoolExecutor() as pool:
        try:
            attacks: list[Future[Any]] = [
                pool.submit(kill_writers, scene, writers, plan.writer_kills),
                pool.submit(jobs.imports, scene, plan.import_kills),
                pool.submit(jobs.trainings, scene, plan.train_kills, plan.evaluate_kills),
            ]
            desk = pool.submit(_type, scene, plan, truth, apps_killed) if truth else None
            while not (all(each.done() for each in attacks) and (desk is None or apps_killed.is_set())):
                time.sleep(0.5)
                for each in [*attacks, *([desk] if desk else [])]:
                    if each.done():
                        each.result()  # a failure ends the bench
        finally:
            scene.done.set()
        typed = desk.result() if desk else []
    listed = [each for writer in writers for each in writer.acknowledgments()]
    return {"apply_events": listed} | ({"browser": typed} if truth else {})


def _type(scene: Scene, plan: Plan, truth: Mapping[str, str], killed: threading.Event) -> list[Acknowledgment]:
    from bench.reliability import apps  # needs the test extra

    return asyncio.run(apps.typing(scene, TYPED, truth, plan.app_kills, killed))


def command() -> int:
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m bench.reliability.kills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=0, help="of all random choices (0); the timing still differs")
    parser.add_argument(
        "--kills", type=int, default=sum(SHARES.values()), help=f"number of kills ({sum(SHARES.values())})"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "reliability" / "kills.json", help="JSON file")
    parser.add_argument("--quick", action="store_true", help="kill a few, as a smoke test")
    options = parser.parse_args()
    plan = QUICK if options.quick else Plan(seed=options.seed, **scaled(SHARES, options.kills))
    if shutil.which("chromium") is None:
        parser.error("chromium is not installed here")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM acts like Ctrl-C
    try:
        figures = measure(plan)
    except CellError as error:
        print(f"python -m bench.reliability.kills: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    result = {"cell": "kills", "config": asdict(plan), **surroundings(PACKAGES, MADE_OF), **figures}
    if options.quick:
        print(json.dumps(result, indent=1, ensure_ascii=False))
    else:
        save_result(options.out, result)
    return 1 if figures["lost"] or figures["wrong"] else 0


if __name__ == "__main__":
    sys.exit(command())
