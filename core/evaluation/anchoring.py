"""Anchoring: people who see a suggestion may repeat it, where they would read something else without it."""

import math
from dataclasses import dataclass

from core.evaluation.percent import counted
from core.words import plural

Z95 = 1.959964
ENOUGH = 20
"""Labels of each group below which the difference says little."""


@dataclass(frozen=True, kw_only=True)
class Anchoring:
    """Labels of people on training images with an agreed reading, by whether the reading was on screen."""

    shown: int
    shown_equal: int
    """Labels equal to the reading that was on screen."""
    withheld: int
    withheld_equal: int
    """Labels equal to the reading that was withheld."""

    @property
    def difference(self) -> float | None:
        """Share equal when shown minus share equal when withheld; None without labels of both groups."""
        if not self.shown or not self.withheld:
            return None
        return self.shown_equal / self.shown - self.withheld_equal / self.withheld

    @property
    def interval(self) -> tuple[float, float] | None:
        """95% interval of the difference (Newcombe 1998, method 10); None without labels of both groups."""
        difference = self.difference
        if difference is None:
            return None
        (p, p_low, p_high), (q, q_low, q_high) = (
            _wilson(self.shown_equal, self.shown),
            _wilson(self.withheld_equal, self.withheld),
        )
        return difference - math.hypot(p - p_low, q_high - q), difference + math.hypot(p_high - p, q - q_low)

    @property
    def sentence(self) -> str:
        if min(self.shown, self.withheld) < ENOUGH:
            return (
                f"{plural(self.shown, 'label')} with a suggestion and {self.withheld:,} without one. "
                f"{ENOUGH} of each are needed to compare them."
            )
        assert self.difference is not None
        assert self.interval is not None
        low, high = (100 * end for end in self.interval)
        verdict = (
            "People may repeat it without reading." if low > 0 else "No sign that people repeat it without reading."
        )
        return (
            f"With the suggestion on screen, {counted(self.shown_equal, self.shown)} of the labels are equal to it; "
            f"when it is withheld, {counted(self.withheld_equal, self.withheld)}. "
            f"The difference is {100 * self.difference:+.1f} points (95% interval {low:+.1f} to {high:+.1f}). {verdict}"
        )


def _wilson(k: int, n: int) -> tuple[float, float, float]:
    """Return the share and its Wilson interval."""
    share, z2 = k / n, Z95**2
    center = (k + z2 / 2) / (n + z2)
    half = Z95 * math.sqrt(n * share * (1 - share) + z2 / 4) / (n + z2)
    return share, max(0.0, center - half), min(1.0, center + half)
