"""What augmentation costs: milliseconds per image and transform, on a project's own images, and against a step."""

import itertools
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.images.augment_settings import TRANSFORMS, check_augment
from core.images.pixels import Pixels

ROUNDS = 5
"""Each transform takes its turn in every round; the median counts, so that what else the machine does costs little."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one transform, in milliseconds per image."""

    key: str
    ms: float
    """Where it is applied."""
    p: float
    """Share of the images it is applied to."""

    @property
    def share_ms(self) -> float:
        """Over all images."""
        return self.p * self.ms


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Of a recipe."""

    base_ms: float
    """Of an image on which nothing is applied: the draws and a copy."""
    transforms: list[Cost]
    """In order of application."""

    @property
    def total_ms(self) -> float:
        """Mean per image."""
        return self.base_ms + sum(cost.share_ms for cost in self.transforms)


def measure(images: Sequence[Pixels], settings: Mapping[str, Any], *, rounds: int = ROUNDS) -> Costs:
    """Time each transform of `settings` alone on images as the network sees them: 0.1 to 1 ms each, times `rounds`.

    Raises OptionError for settings that cannot be.
    """
    from core.images.augmenter import Augmenter

    checked = check_augment(settings)
    augmenters = {"": Augmenter({}, seed=0)}
    augmenters |= {key: Augmenter({key: values | {"p": 1.0}}, seed=0) for key, values in checked.items()}
    taken: dict[str, list[float]] = {key: [] for key in augmenters}
    for augment in augmenters.values():
        augment(images[0], 0)  # the first call of some transforms builds tables
    for round_ in range(rounds):
        for key, augment in augmenters.items():
            began = time.perf_counter()
            for index, image in enumerate(images):
                augment(image, round_ * len(images) + index)
            taken[key].append(1000 * (time.perf_counter() - began) / len(images))
    base = statistics.median(taken[""])
    costs = [
        Cost(key=info.key, ms=max(0.0, statistics.median(taken[info.key]) - base), p=float(checked[info.key]["p"]))  # type: ignore[arg-type]
        for info in TRANSFORMS
        if info.key in checked
    ]
    return Costs(base_ms=base, transforms=costs)


def step_seconds(metrics: Sequence[Mapping[str, Any]]) -> float | None:
    """Median seconds of a run's training step, from the lines of its metrics.jsonl; None before there are two.

    Validation falls between some of the lines only, and the median leaves those out.
    """
    lines = [line for line in metrics if line.get("kind") == "step"]
    gaps = [
        (after["seconds"] - before["seconds"]) / (after["step"] - before["step"])
        for before, after in itertools.pairwise(lines)
        if after["step"] > before["step"]
    ]
    return statistics.median(gaps) if gaps else None
