"""Measure the fastest memory layout, precision and number of threads for a network on this machine.

None can be predicted. With channels_last, grouped convolutions are a third slower on one CPU and faster on another.
With bfloat16, a step takes about half the time on a CPU that has instructions for it. A small network on many cores can
lose more time to thread synchronization than it gains.
"""

import time
from collections.abc import Callable
from itertools import product
from typing import Any, TypeVar

import torch
from torch import nn

from core.charset import TextSpec
from core.errors import OptionError
from core.model.config import TrainConfig
from core.model.network import autocast, build_model, has_bfloat16, memory_format

Candidate = TypeVar("Candidate")

BATCH = 8
"""Images. With fewer, a step of a small network has too little work for a second thread."""
ROUNDS = 3
"""Rounds over all candidates, the first untimed. The minimum counts, because other processes only slow a step down."""
MAX_RATIO = 0.85
"""A candidate must take less than this fraction of the default's time. Otherwise chance would decide near ties, and
equal seeds would give different results."""


def probe(
    config: TrainConfig, spec: TextSpec, choices: dict[str, Any], build: Callable[..., nn.Module] = build_model
) -> dict[str, Any]:
    """Return `layout`, `precision`, `threads` and the timings in milliseconds per image.

    `choices` has device, image_size, centers and sigma. If the settings name the layout, all threads are used. If they
    name layout and precision, nothing is measured. `build` makes the network, as build_model does. Raises OptionError
    for a precision that the device does not have.
    """
    threads = torch.get_num_threads()  # the cores that this process may use, or OMP_NUM_THREADS
    layouts = ["channels_last", "contiguous"] if config.layout == "auto" else [config.layout]
    precisions = _precisions(config.precision, choices["device"])
    kinds = list(product(precisions, layouts))
    counts = [threads, 1] if config.layout == "auto" and threads > 1 and choices["device"] == "cpu" else [threads]
    timings: dict[str, float] = {}
    with torch.random.fork_rng():
        steps = {
            kind: _Step(build, config, spec, choices | dict(zip(("precision", "layout"), kind, strict=True)))
            for kind in kinds
        }
        precision, layout = _fastest(
            {f"{', '.join(kind)}, threads {threads}": kind for kind in kinds},
            lambda kind: steps[kind].seconds(threads),
            timings,
        )
        step = steps[precision, layout]
        count = _fastest({f"{precision}, {layout}, threads {count}": count for count in counts}, step.seconds, timings)
    torch.set_num_threads(threads)
    return {"layout": layout, "precision": precision, "threads": count, "probe_ms": timings}


def _fastest(
    candidates: dict[str, Candidate], seconds: Callable[[Candidate], float], timings: dict[str, float]
) -> Candidate:
    """Return the fastest candidate, or the first, unless another one is clearly faster. Add to `timings`."""
    names = list(candidates)
    if len(names) == 1:
        return candidates[names[0]]
    least = dict.fromkeys(names, float("inf"))
    for round_ in range(ROUNDS):
        for name, candidate in candidates.items():
            took = seconds(candidate)
            if round_ > 0:
                least[name] = min(least[name], took)
    timings |= {name: round(1000 * each / BATCH, 2) for name, each in least.items()}
    fastest = min(names, key=least.__getitem__)
    return candidates[fastest if least[fastest] < MAX_RATIO * least[names[0]] else names[0]]


def _precisions(setting: str, device: str) -> list[str]:
    """Return the precisions to measure. The first is the default."""
    if setting == "bfloat16" and not has_bfloat16(device):
        raise OptionError("This CPU has no instructions for bfloat16. Use `precision=auto` or `precision=float32`.")
    if setting != "auto":
        return [setting]
    if device == "cuda":
        return ["bfloat16"]
    return ["float32", "bfloat16"] if has_bfloat16(device) else ["float32"]


class _Step:
    """A network and a batch to time."""

    def __init__(
        self, build: Callable[..., nn.Module], config: TrainConfig, spec: TextSpec, choices: dict[str, Any]
    ) -> None:
        self.choices, layout = choices, memory_format(choices)
        device = torch.device(choices["device"])
        self.model = build(config, spec, choices, weights=None).to(device)
        self.model.to(memory_format=layout)
        self.images_B3HW = torch.rand(BATCH, 3, *choices["image_size"], device=device).to(memory_format=layout)

    def seconds(self, threads: int) -> float:
        """Return the duration of a forward and a backward pass."""
        torch.set_num_threads(threads)
        began = time.perf_counter()
        with autocast(self.choices):
            logits = self.model(self.images_B3HW)
        logits.float().square().mean().backward()
        if self.images_B3HW.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - began
