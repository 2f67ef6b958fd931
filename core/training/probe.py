"""Which memory layout and how many threads make a training step fastest, for this network on this machine.

Neither can be told from outside: grouped convolutions lose a third by channels_last on one CPU and gain on another, and
a small network on many cores loses more by waiting for threads than it gains from them.
"""

import time
from typing import Any

import torch

from core.charset import TextSpec
from core.model.config import TrainConfig
from core.model.network import Recognizer, build_model, memory_format

BATCH = 4
ROUNDS = 3
"""Of all candidates in turn, the first untimed. The fastest of each counts: other processes can only slow a step."""
WORTH = 0.85
"""What differs from the usual choice must take less than this fraction of its time: equal seeds should give equal
numbers, and near ties would be decided by chance."""


def probe(config: TrainConfig, spec: TextSpec, choices: dict[str, Any]) -> dict[str, Any]:
    """Return `layout`, `threads` and the timings, in milliseconds per image, that they rest on.

    `choices` holds what is decided already: device, image_size, centers, sigma. Nothing is measured, and all threads
    are used, where the settings name a layout.
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
    usual, fastest = candidates[0], min(seconds, key=seconds.__getitem__)
    layout, count = fastest if seconds[fastest] < WORTH * seconds[usual] else usual
    timings = {
        f"{layout}, threads {count}": round(1000 * seconds[layout, count] / BATCH, 2) for layout, count in seconds
    }
    return {"layout": layout, "threads": count, "probe_ms": timings}


class _Step:
    """One network and one batch to time it on."""

    def __init__(self, config: TrainConfig, spec: TextSpec, choices: dict[str, Any]) -> None:
        layout = memory_format(choices)
        device = torch.device(choices["device"])
        self.model: Recognizer = build_model(config, spec, choices, weights=None).to(device)
        self.model.to(memory_format=layout)
        self.images_B3HW = torch.rand(BATCH, 3, *choices["image_size"], device=device).to(memory_format=layout)

    def seconds(self) -> float:
        """Of a forward and a backward pass."""
        began = time.perf_counter()
        with torch.autocast(self.images_B3HW.device.type, torch.bfloat16, enabled=self.images_B3HW.is_cuda):
            logits_BPC = self.model(self.images_B3HW)
        logits_BPC.float().square().mean().backward()
        if self.images_B3HW.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - began
