"""CPU seconds and memory of a look at a run with a million lines: `python -m bench.reliability.metrics`.

It writes the metrics of a run of five million steps, and prints the first look of a process and the looks that follow.
"""

import argparse
import json
import math
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.charset import TextSpec
from core.jobs import metrics
from core.model.config import TrainConfig
from core.training import doctor

LINES = 1_000_000
LOOKS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=LINES)
    count = parser.parse_args().lines
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        with path.open("w") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines(count))
        before = resident_mb()
        seconds, kept = look(path, count)
        print(f"{count:,} lines, {path.stat().st_size / 1e6:.0f} MB")
        print(f"first look {seconds:.3f} s, {resident_mb() - before:.0f} MB more memory, {kept:,} lines kept")
        times = []
        for number in range(LOOKS):
            with path.open("a") as file:
                file.write(json.dumps(step_line(5 * (count + number))) + "\n")
            times.append(look(path, count)[0])
        print(f"next looks {sorted(times)[LOOKS // 2]:.3f} s, slowest {max(times):.3f} s")


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


def look(path: Path, count: int) -> tuple[float, int]:
    """Return the CPU seconds to read and diagnose a run, and the lines kept."""
    began = time.process_time()
    read = metrics.read(path)
    doctor.diagnose(read, spec=TextSpec(6, "0123456789"), config=TrainConfig(), steps=5 * count)
    return time.process_time() - began, len(read)


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


if __name__ == "__main__":
    main()
