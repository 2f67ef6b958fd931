"""The effect of test-time augmentation (TTA) on labeled images, and the rule that turns it on.

N samples, P positions, V views (view 0 is the original image).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.evaluation.metrics import Ints, interval95
from core.words import plural

Bools = NDArray[np.bool_]
ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class ViewEffect:
    """The effect of one view, or of all together, compared with the original image."""

    name: str
    correct: int
    ci95: tuple[float, float]
    fixed: int
    """Images that only this reading gets right."""
    broken: int
    """Images that only the original gets right."""
    p: float
    """Exact McNemar test."""
    time_ratio: float | None
    """Time divided by that of the original image; None if not measured."""
    loss_if_removed: int | None = None
    """Right readings lost if this view is removed; negative if removing it helps."""


@dataclass(frozen=True, kw_only=True)
class TTAEffect:
    """The effect of TTA and of each of its views."""

    n: int
    views: list[ViewEffect]
    """In the order of the views; the first is the original image."""
    together: ViewEffect
    """All views together, which is TTA."""

    @property
    def wins(self) -> bool:
        """The rule that turns TTA on by default.

        TTA costs time on every image, so its gain must be significant. Six changed images are enough if TTA fixes all.
        """
        return self.together.fixed > self.together.broken and self.together.p < ALPHA

    @property
    def finding(self) -> str:
        """The effect of TTA in one sentence."""
        tta, count = self.together, len(self.views)
        if count == 1:
            return f"Without TTA, {tta.correct:,} of {plural(self.n, 'image')} {'is' if self.n == 1 else 'are'} right."
        cost = "" if tta.time_ratio is None else f" and takes {tta.time_ratio:.1f}x as long"
        if not tta.fixed and not tta.broken:
            return f"TTA with {count} views changes none of {plural(self.n, 'image')}{cost}."
        return (
            f"TTA with {count} views fixes {tta.fixed:,} and breaks {tta.broken:,} of {plural(self.n, 'image')} "
            f"({format_p(tta.p)}){cost}."
        )

    @property
    def verdict(self) -> str:
        """The effect and the result of the rule. For validation images only."""
        if len(self.views) == 1:
            return self.finding
        if self.wins:
            return f"{self.finding} Recommended."
        chance = self.together.fixed > self.together.broken
        return f"{self.finding} " + ("This may be chance. Not recommended." if chance else "Not recommended.")


def format_p(p: float) -> str:
    """Format a p value for a sentence."""
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def mcnemar(fixed: int, broken: int) -> float:
    """Return p of the exact two-sided McNemar test."""
    from scipy.stats import binomtest

    return float(binomtest(fixed, fixed + broken, 0.5).pvalue) if fixed + broken else 1.0


def measure_tta(
    names: list[str],
    predicted_VNP: NDArray[np.uint16],
    leave_one_out_VNP: NDArray[np.uint16],
    together_NP: Ints | NDArray[np.uint16],
    targets_NP: Ints | NDArray[np.uint16],
    seconds_V: NDArray[np.float64] | None,
) -> TTAEffect:
    """Measure the effect of each view and of TTA.

    `leave_one_out_VNP` is the reading of all other views together, for each view. `seconds_V[0]`
    includes the preparation.
    """
    targets_NP = targets_NP.astype(predicted_VNP.dtype)  # arrays of one type compare three times as fast
    right_VN = (predicted_VNP == targets_NP).all(axis=2)
    without_V = (leave_one_out_VNP == targets_NP).all(axis=2).sum(axis=1)
    together_N = (together_NP == targets_NP).all(axis=1)
    times_V = [None] * len(names) if seconds_V is None else (seconds_V / max(seconds_V[0], 1e-9)).tolist()
    return TTAEffect(
        n=len(targets_NP),
        views=[
            _view_effect(
                name,
                right_N,
                right_VN[0],
                times,
                loss_if_removed=int(together_N.sum() - without) if len(names) > 1 else None,
            )
            for name, right_N, times, without in zip(names, right_VN, times_V, without_V.tolist(), strict=True)
        ],
        together=_view_effect("all together", together_N, right_VN[0], None if seconds_V is None else sum(times_V)),
    )


def _view_effect(
    name: str, right_N: Bools, plain_N: Bools, times: float | None, loss_if_removed: int | None = None
) -> ViewEffect:
    fixed, broken = int((right_N & ~plain_N).sum()), int((plain_N & ~right_N).sum())
    correct = int(right_N.sum())
    return ViewEffect(
        name=name,
        correct=correct,
        ci95=interval95(correct, len(right_N)),
        fixed=fixed,
        broken=broken,
        p=mcnemar(fixed, broken),
        time_ratio=times,
        loss_if_removed=loss_if_removed,
    )
