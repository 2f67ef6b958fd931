"""Measure the reading speed of a run: `python -m bench.accuracy.reading RUN_DIR DEVICE SECONDS` prints one JSON object.

It times encoded bytes to text without TTA, in batches of 1 and 64. It is a separate process, so its memory excludes
training.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.images.pixels import decode
from core.model.predictor import Predictor
from core.training.snapshot import Snapshot, load_snapshot

BATCHES = (1, 64)
WARMUPS = 2


def parameters(model: nn.Module) -> dict[str, int]:
    """Return parameter counts of the network and its parts, without the heads' shared weights: folding zeroes them."""
    counts = {
        name: sum(p.numel() for key, p in part.named_parameters(name) if not key.startswith("heads.shared."))
        for name, part in model.named_children()
    }
    return {"total": sum(counts.values())} | counts


def timed(predictor: Predictor, snapshot: Snapshot, batch: int, seconds: float) -> dict[str, Any]:
    """Return the median time of a batch, over at least three batches and `seconds`."""
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < WARMUPS + 3 or time.perf_counter() - began < seconds:
        blobs = [snapshot.blob((len(times) * batch + place) % len(snapshot)) for place in range(batch)]
        start = time.perf_counter()
        predictor.predict([decode(blob) for blob in blobs], tta=False)
        times.append(time.perf_counter() - start)
    median = statistics.median(times[WARMUPS:])
    return {
        "batches": len(times) - WARMUPS,
        "ms": round(1000 * median, 2),
        "images_per_s": round(batch / median, 1),
    }


def main(run: Path, device: str, seconds: float) -> None:
    predictor, snapshot = Predictor.load(run, device), load_snapshot(run / "dataset.npz")
    result: dict[str, Any] = {
        "device": device,
        "threads": torch.get_num_threads(),
        "parameters": parameters(predictor.model),
    }
    for batch in BATCHES:
        result[f"batch{batch}"] = timed(predictor, snapshot, batch, seconds)
    print(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
