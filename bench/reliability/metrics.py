"""CPU seconds and memory of a look at a run with a million lines: `python -m bench.reliability.metrics`.

It writes the metrics of a run of five million steps. It measures the first look of a process and those that follow.
"""

import argparse
import json
import math
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.cells import RESULTS, cores, environment, save_result
from core.charset import TextSpec
from core.jobs import metrics
from core.model.config import TrainConfig
from core.training import doctor

LINES = 1_000_000
LOOKS = 20
PACKAGES: tuple[str, ...] = ()
MADE_OF = ("core/jobs/metrics.py", "core/training/doctor.py", "bench/reliability/metrics.py")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.reliability.metrics", description=__doc__)
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--out", type=Path, default=RESULTS / "reliability" / "metrics.json", help="result file")
    options = parser.parse_args()
    record = environment(cores(), PACKAGES, MADE_OF)
    result = measure(options.lines)
    save_result(options.out, record | result)
    print(json.dumps(result, indent=1))


def measure(count: int) -> dict[str, Any]:
    """Return the CPU seconds of all looks, and the memory after the first."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        with path.open("w") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines(count))
        before = resident_mb()
        first = [look(path, count)]
        memory = resident_mb() - before
        for _ in range(LOOKS - 1):
            metrics._readers.clear()  # noqa: SLF001 - as a new process
            first.append(look(path, count))
        following = []
        for number in range(LOOKS):
            with path.open("a") as file:
                file.write(json.dumps(step_line(5 * (count + number))) + "\n")
            following.append(look(path, count))
        return {
            "lines": count,
            "bytes": path.stat().st_size,
            "lines_kept": len(metrics.read(path)),
            "memory_mb": round(memory, 1),
            "first_cpu_s": spread(first),
            "next_cpu_s": spread(following),
        }


def spread(seconds: Sequence[float]) -> dict[str, float]:
    return {
        "n": len(seconds),
        "min": round(min(seconds), 4),
        "median": round(median(seconds), 4),
        "max": round(max(seconds), 4),
    }


def lines(count: int) -> Iterator[dict[str, Any]]:
    """Yield a validation after every 200 logged steps."""
    for number in range(1, count + 1):
        yield val_line(5 * number) if number % 201 == 0 else step_line(5 * number)


def step_line(step: int) -> dict[str, Any]:
    return {
        "kind": "step",
        "step": step,
        "epoch": step // 200,
        "loss": 2.3 * math.exp(-step / 1e6) + random.random() / 10,
        "accuracy": random.random(),
        "lr": 0.002 * random.random(),
        "seconds": round(step * 0.03, 2),
    }


def val_line(step: int) -> dict[str, Any]:
    return {
        "kind": "val",
        "step": step,
        "epoch": step // 200,
        "loss": random.random(),
        "correct": random.randrange(500),
        "n": 500,
        "exact": random.random(),
        "per_position": [random.random() for _ in range(6)],
        "answers": 400,
        "seconds": round(step * 0.03, 2),
        "kept": random.random() > 0.5,
    }


def look(path: Path, count: int) -> float:
    """Return the CPU seconds to read and diagnose a run."""
    began = time.process_time()
    doctor.diagnose(metrics.read(path), spec=TextSpec(6, "0123456789"), config=TrainConfig(), steps=5 * count)
    return time.process_time() - began


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


if __name__ == "__main__":
    main()
