"""What the views of test-time augmentation are worth on labeled images, and whether a run should read with them.

N samples, P positions, V views (view 0 is the image as it is).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.evaluation.metrics import Ints, interval95

Bools = NDArray[np.bool_]
ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class ViewWorth:
    """One way of reading the images, against reading them as they are."""

    name: str
    correct: int
    ci95: tuple[float, float]
    fixed: int
    """Wrong as they are, right this way."""
    broken: int
    """Right as they are, wrong this way."""
    p: float
    """Chance of a difference at least so large if neither way were better (McNemar, exact)."""
    times: float | None
    """Its time divided by that of the image as it is; None where it was not measured."""
    lost: int | None = None
    """Of a view: right answers that all views together lose without it; below 0 they gain."""


@dataclass(frozen=True, kw_only=True)
class ViewsWorth:
    n: int
    views: list[ViewWorth]
    """In the order of the views; the first is the image as it is."""
    together: ViewWorth
    """The mean of all views."""

    @property
    def wins(self) -> bool:
        """The rule by which a run reads with its views unless somebody decides otherwise.

        They cost their time on every image, so their gain has to be shown: more mended than broken, by more than
        chance would do once in 20. As few as six changed images can show it, if all six are mended.
        """
        return self.together.fixed > self.together.broken and self.together.p < ALPHA

    @property
    def finding(self) -> str:
        """What all views together do, in one sentence."""
        all_views, count = self.together, len(self.views)
        if count == 1:
            return f"One view reads {all_views.correct:,} of {self.n:,}; there is nothing to compare."
        time = "" if all_views.times is None else f"{all_views.times:.1f} times the time"
        if not all_views.fixed and not all_views.broken:
            cost = f", for {time}" if time else ""
            return f"All {count} views together mend none and break none of {self.n:,}{cost}."
        cost = f", {time}" if time else ""
        return (
            f"All {count} views together mend {all_views.fixed:,} and break {all_views.broken:,} of {self.n:,}: "
            f"{format_p(all_views.p)}{cost}."
        )

    @property
    def verdict(self) -> str:
        """The finding, and what follows from it by the rule; on test it is not to be asked for."""
        if len(self.views) == 1:
            return self.finding
        if self.wins:
            return f"{self.finding} With them."
        chance = self.together.fixed > self.together.broken
        return f"{self.finding} " + ("That may be chance: without them." if chance else "Without them.")


def format_p(p: float) -> str:
    """As a sentence has it."""
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def mcnemar(fixed: int, broken: int) -> float:
    """Exact two-sided p of the difference between two readings of the same images: only changed ones count."""
    from scipy.stats import binomtest

    return float(binomtest(fixed, fixed + broken, 0.5).pvalue) if fixed + broken else 1.0


def weigh_views(
    names: list[str],
    predicted_VNP: NDArray[np.uint16],
    without_VNP: NDArray[np.uint16],
    together_NP: Ints | NDArray[np.uint16],
    targets_NP: Ints | NDArray[np.uint16],
    seconds_V: NDArray[np.float64] | None,
) -> ViewsWorth:
    """`without_VNP` is what all views but one read together; what `seconds_V` says of view 0 comes before any view."""
    targets_NP = targets_NP.astype(predicted_VNP.dtype)  # numbers of one kind are compared in a third of the time
    right_VN = (predicted_VNP == targets_NP).all(axis=2)
    without_V = (without_VNP == targets_NP).all(axis=2).sum(axis=1)
    together_N = (together_NP == targets_NP).all(axis=1)
    times_V = [None] * len(names) if seconds_V is None else (seconds_V / max(seconds_V[0], 1e-9)).tolist()
    return ViewsWorth(
        n=len(targets_NP),
        views=[
            _view_worth(
                name, right_N, right_VN[0], times, lost=int(together_N.sum() - without) if len(names) > 1 else None
            )
            for name, right_N, times, without in zip(names, right_VN, times_V, without_V.tolist(), strict=True)
        ],
        together=_view_worth("all together", together_N, right_VN[0], None if seconds_V is None else sum(times_V)),
    )


def _view_worth(name: str, right_N: Bools, plain_N: Bools, times: float | None, lost: int | None = None) -> ViewWorth:
    fixed, broken = int((right_N & ~plain_N).sum()), int((plain_N & ~right_N).sum())
    correct = int(right_N.sum())
    return ViewWorth(
        name=name,
        correct=correct,
        ci95=interval95(correct, len(right_N)),
        fixed=fixed,
        broken=broken,
        p=mcnemar(fixed, broken),
        times=times,
        lost=lost,
    )
