"""Training and reading speed. Each cell writes a JSON file to bench/results/speed.

    python -m bench.accuracy.speed [--only demo-fast] [--list] [--again] [--quick]

The images are those of `slotlab demo`. The time to an accuracy starts with the worker process and includes imports and
decoding. It ends when the validation line is in metrics.jsonl, polled ten times a second. An interrupted cell starts
over, because its times would be wrong. Run nothing else meanwhile. `python -m bench.tables` writes docs/benchmarks.md.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from bench.accuracy.accuracy import QUICK
from bench.accuracy.cell import Cell
from bench.accuracy.training import train
from bench.cells import ROOT, Bench, CellError
from bench.grid import main, remove
from core.cli.demo import MINUTES
from core.jobs.jobdir import JobDir
from core.jobs.runner import PARENT_VARIABLE

GOALS = (0.95, 0.99)
READ_SECONDS = 5.0
"""Duration per batch size. The quick cell takes less."""

CELLS: tuple[Cell, ...] = (
    Cell(
        name="demo-fast",
        what=f"demo images on a CPU, max_minutes={MINUTES} as in `slotlab demo`",
        group="speed",
        images="demo",
        options={"device": "cpu", "max_minutes": str(MINUTES)},
    ),
    Cell(
        name="demo-rendered",
        what="the same from rendered weights",
        group="speed",
        images="demo",
        options={"device": "cpu", "max_minutes": str(MINUTES), "init": "rendered"},
    ),
    Cell(
        name="demo-fast-gpu",
        what="demo images on a GPU",
        group="speed",
        images="demo",
        options={"device": "cuda"},
        needs=("gpu",),
    ),
    Cell(
        name="demo-article-gpu",
        what="demo images on a GPU",
        group="speed",
        images="demo",
        preset="article",
        options={"device": "cuda"},
        needs=("gpu",),
    ),
)


class Step(Cell):
    """The time of a step. Nothing is trained, so a result has no settings."""

    def changed(self, result: Mapping[str, Any]) -> bool:
        return bool(result["preset"] != self.preset)


STEPS: tuple[Step, ...] = tuple(
    Step(
        name=f"step-{preset}",
        what=f"preset {preset}, 32 rendered images",
        group="step",
        images="quick",
        preset=preset,
        options={"device": "cpu", "pretrained": "none", "column_loss": "0"},  # it has no layer of the network
    )
    for preset in ("fast", "article")
)


class Clock:
    """Recorder of the time of each validation line."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.seconds = 0.0

    def tick(self, job: JobDir, seconds: float) -> None:
        """`seconds` is the age of the worker process."""
        self.seconds = round(seconds, 1)
        written = [line for line in job.metrics() if line["kind"] == "val"]
        self.lines += [
            {"seconds": self.seconds, "step": line["step"], "k": line["correct"], "n": line["n"]}
            for line in written[len(self.lines) :]
        ]


def times_to(lines: list[dict[str, Any]], goal: float) -> dict[str, Any]:
    """Return when the validation accuracy first reached `goal`, and when it did so for good. None means never."""
    good = [line["k"] >= goal * line["n"] for line in lines]
    first = next((line for line, ok in zip(lines, good, strict=True) if ok), None)
    lasting = None
    for line, ok in zip(reversed(lines), reversed(good), strict=True):
        if not ok:
            break
        lasting = line
    return {"goal": goal, "first": first, "lasting": lasting}


def training_rate(metrics: list[dict[str, Any]], batch_size: int) -> float | None:
    """Return training images per second: the median over adjacent step lines without an evaluation between."""
    rates = [
        batch_size * (after["step"] - before["step"]) / (after["seconds"] - before["seconds"])
        for before, after in pairwise(metrics)
        if before["kind"] == after["kind"] == "step" and after["seconds"] > before["seconds"]
    ]
    return round(statistics.median(rates), 1) if rates else None


def measure(cell: Cell, bench: Bench) -> dict[str, Any]:
    """Train with timing, then time the reading; or time the parts of a step."""
    if cell.group == "step":
        from bench.accuracy import step  # imports torch

        return step.measure(cell, bench)
    folder = bench.folder(cell)
    job = JobDir(folder / "train")
    if job.read("times.json") is None:
        remove(folder)
        clock = Clock()
        trained = train(cell, bench, clock.tick)
        job.write("times.json", {"process_seconds": clock.seconds, "lines": clock.lines})
    else:
        trained = train(cell, bench)
    times, result = job.read("times.json") or {}, job.read("result.json") or {}
    config = trained.job.spec()["config"]
    metrics = job.metrics()
    return trained.described(cell) | {
        "times": [times_to(times["lines"], goal) for goal in GOALS],
        "process_seconds": times["process_seconds"],
        "end": {
            name: {"k": result[key]["correct"], "n": result[key]["n"]}
            for name, key in (("plain", "val"), ("tta", "val_tta"))
        },
        "validation": times["lines"],
        "training_images_per_s": training_rate(metrics, config["batch_size"]),
        "overall_images_per_s": round(config["batch_size"] * result["step"] / times["process_seconds"], 1),
        "reading": read(cell, bench, job),
    }


def read(cell: Cell, bench: Bench, job: JobDir) -> dict[str, Any]:
    """Time the reading and its peak memory in a separate process, on the device of the training."""
    seconds = 0.2 if cell.images == "quick" else READ_SECONDS
    device = job.spec()["choices"]["device"]
    environment = {name: value for name, value in os.environ.items() if name != PARENT_VARIABLE}
    with subprocess.Popen(
        [sys.executable, "-m", "bench.accuracy.reading", str(job.path), device, str(seconds)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env=environment | {"OMP_NUM_THREADS": str(bench.threads)},
    ) as process:
        assert process.stdout is not None
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise CellError(f"The reading process exited with code {process.returncode}.")
    out: dict[str, Any] = json.loads(text)
    return out | {"peak_mb": round(usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3), 1)}


if __name__ == "__main__":
    sys.exit(main("speed", __doc__, (*CELLS, *STEPS), (QUICK,), measure))
