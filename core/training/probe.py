"""Measure the fastest memory layout and number of threads for a network on this machine.

Neither can be predicted. With channels_last, grouped convolutions are a third slower on one CPU and faster on another.
A small network on many cores can lose more time to thread synchronization than it gains.
"""

import time
from typing import Any

import torch

from core.charset import TextSpec
from core.model.config import TrainConfig
from core.model.network import Recognizer, build_model, memory_format

BATCH = 4
ROUNDS = 3
"""Rounds over all candidates, the first untimed. The minimum counts, because other processes only slow a step down."""
MAX_RATIO = 0.85
"""A candidate must take less than this fraction of the default's time. Otherwise chance would decide near ties, and
equal seeds would give different results."""


def probe(config: TrainConfig, spec: TextSpec, choices: dict[str, Any]) -> dict[str, Any]:
    """Return `layout`, `threads` and the timings in milliseconds per image.

    `choices` has device, image_size, centers and sigma. If the settings name a layout, nothing is measured and all
    threads are used.
    """
    threads = torch.get_num_threads()  # the cores that this process may use, or OMP_NUM_THREADS
    if config.layout != "auto":
        return {"layout": config.layout, "threads": threads, "probe_ms": {}}
    counts = [threads, 1] if threads > 1 and choices["device"] == "cpu" else [threads]
    candidates = [(layout, count) for count in counts for layout in ("channels_last", "contiguous")]
    with torch.random.fork_rng():
        steps = {layout: _Step(config, spec, choices | {"layout": layout}) for layout, _ in candidates}
        seconds = {candidate: float("inf") for candidate in candidates}
        for round_ in range(ROUNDS):
            for layout, count in candidates:
                torch.set_num_threads(count)
                took = steps[layout].seconds()
                if round_ > 0:
                    seconds[layout, count] = min(seconds[layout, count], took)
    torch.set_num_threads(threads)
    default, fastest = candidates[0], min(seconds, key=seconds.__getitem__)
    layout, count = fastest if seconds[fastest] < MAX_RATIO * seconds[default] else default
    timings = {
        f"{layout}, threads {count}": round(1000 * seconds[layout, count] / BATCH, 2) for layout, count in seconds
    }
    return {"layout": layout, "threads": count, "probe_ms": timings}


class _Step:
    """A network and a batch to time."""

    def __init__(self, config: TrainConfig, spec: TextSpec, choices: dict[str, Any]) -> None:
        layout = memory_format(choices)
        device = torch.device(choices["device"])
        self.model: Recognizer = build_model(config, spec, choices, weights=None).to(device)
        self.model.to(memory_format=layout)
        self.images_B3HW = torch.rand(BATCH, 3, *choices["image_size"], device=device).to(memory_format=layout)

    def seconds(self) -> float:
        """Return the duration of a forward and a backward pass."""
        began = time.perf_counter()
        with torch.autocast(self.images_B3HW.device.type, torch.bfloat16, enabled=self.images_B3HW.is_cuda):
            logits_BPC = self.model(self.images_B3HW)
        logits_BPC.float().square().mean().backward()
        if self.images_B3HW.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - began
