"""Exact match by number of labels in the benchmarks, on images that trained nothing.

label_curve.json holds the measured points. `python -m bench.labels --write` makes it from bench/results.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from core.evaluation.metrics import interval95
from core.evaluation.percent import percent

FILE = Path(__file__).with_name("label_curve.json")
SETS = {
    "hard4000": "rendered, six touching digits",
    "digits4": "a real portal, four digits",
    "henan4": "another real portal, four digits",
}
"""Titles of the image sets."""
STARTS = {
    "readers": "rendered weights and readers' labels",
    "rendered": "rendered weights",
    "scratch": "from scratch",
}
"""Titles of what a run begins with."""


TICKS = {0.0: "0%", 0.9: "90%", 0.99: "99%", 0.999: "≥99.9%"}
"""Shares with a tick on the axis of a figure. Each is a tenth of the errors below."""


def nines(share: float) -> float:
    """Return the height of a share in a figure: 1 for 90%, 2 for 99%, and at most 3."""
    return -math.log10(max(1 - share, 0.001))


@dataclass(frozen=True)
class Point:
    """Runs that differ only in their seeds."""

    images: str
    """Key of SETS."""
    start: str
    """Key of STARTS."""
    labels: int
    """Labels of people for training and validation. Those beside the readers' labels are a tenth for testing."""
    right: tuple[int, ...]
    """Right images of each seed."""
    n: int
    """Test images."""

    @property
    def share(self) -> float:
        """Exact match, as the mean of the seeds."""
        return fmean(self.right) / self.n

    @property
    def ci95(self) -> tuple[float, float]:
        """Interval of one seed with the mean number of right images: all seeds read the same images."""
        return interval95(round(fmean(self.right)), self.n)

    @property
    def text(self) -> str:
        """Mean with its interval, and what each seed reads."""
        low, high = self.ci95
        each = ", ".join(f"{right:,}" for right in self.right)
        return f"{percent(self.share)} ({percent(low)} to {percent(high)}); {each} of {self.n:,}"


def points_of(values: list[dict[str, Any]]) -> list[Point]:
    return [Point(each["images"], each["start"], each["labels"], tuple(each["right"]), each["n"]) for each in values]


def load_points() -> list[Point]:
    """Return the measured points, by set, start and labels."""
    return points_of(json.loads(FILE.read_text(encoding="utf-8")))


def hardest(start: str, labels: int) -> Point:
    """Return the lowest of the points with this start and number of labels. Raises ValueError without one."""
    return min(
        (point for point in load_points() if (point.start, point.labels) == (start, labels)),
        key=lambda point: point.share,
    )
