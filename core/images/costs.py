"""Cost of augmentation: milliseconds per image and transform, and seconds per training step."""

import itertools
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.images.augment_settings import TRANSFORMS, check_augment
from core.images.pixels import Pixels

ROUNDS = 5
"""Timing rounds. The median over the rounds hides other load on the machine."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of one transform, in milliseconds per image."""

    key: str
    ms: float
    """Per image the transform is applied to."""
    p: float
    """Share of images the transform is applied to."""

    @property
    def share_ms(self) -> float:
        """Return the mean over all images."""
        return self.p * self.ms


@dataclass(frozen=True, kw_only=True)
class Costs:
    """The cost of a recipe."""

    base_ms: float
    """Cost without any transform: random numbers and a copy."""
    transforms: list[Cost]
    """The costs in order of application."""

    @property
    def total_ms(self) -> float:
        """Return the mean per image."""
        return self.base_ms + sum(cost.share_ms for cost in self.transforms)


def measure(images: Sequence[Pixels], settings: Mapping[str, Any], *, rounds: int = ROUNDS) -> Costs:
    """Time each transform of `settings` alone on images at the network's size: 0.1 to 1 ms per image and round.

    Raises OptionError for invalid settings.
    """
    from core.images.augmenter import Augmenter

    checked = check_augment(settings)
    augmenters = {"": Augmenter({}, seed=0)}
    augmenters |= {key: Augmenter({key: values | {"p": 1.0}}, seed=0) for key, values in checked.items()}
    times_ms: dict[str, list[float]] = {key: [] for key in augmenters}
    for augment in augmenters.values():
        augment(images[0], 0)  # the first call of some transforms builds tables
    for round_ in range(rounds):
        for key, augment in augmenters.items():
            began = time.perf_counter()
            for index, image in enumerate(images):
                augment(image, round_ * len(images) + index)
            times_ms[key].append(1000 * (time.perf_counter() - began) / len(images))
    base = statistics.median(times_ms[""])
    costs = [
        Cost(key=info.key, ms=max(0.0, statistics.median(times_ms[info.key]) - base), p=float(checked[info.key]["p"]))  # type: ignore[arg-type]
        for info in TRANSFORMS
        if info.key in checked
    ]
    return Costs(base_ms=base, transforms=costs)


def step_seconds(metrics: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the median seconds per training step from metrics.jsonl; None with fewer than two lines.

    The median ignores the few gaps that contain a validation.
    """
    lines = [line for line in metrics if line.get("kind") == "step"]
    gaps = [
        (after["seconds"] - before["seconds"]) / (after["step"] - before["step"])
        for before, after in itertools.pairwise(lines)
        if after["step"] > before["step"]
    ]
    return statistics.median(gaps) if gaps else None
