"""Calibration of a run's confidence, and the threshold from which its readings are accepted.

A reading is right when all its characters are, so this module calibrates whole texts: calibrating single characters can
make their product worse (https://arxiv.org/abs/2012.12643). N samples, P positions, C classes.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.evaluation.metrics import Floats, interval95

Bools = NDArray[np.bool_]
Confidence = NDArray[np.float64]
BINS = 15
STARTS = (0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
"""Coverages at which the search for a threshold begins."""
TEMPERATURES = (0.05, 20.0)
"""Bounds of the fit."""


def confidence(log_probs_NPC: Floats, temperature: float = 1.0) -> Confidence:
    """Return the confidence of each reading: the product of the highest probabilities at each position."""
    return np.exp(-_negative_log_confidence_N(_gaps_CNP(log_probs_NPC), temperature))


def _gaps_CNP(log_probs_NPC: Floats) -> Floats:
    """Return the difference, in nats, between each character and the most likely one, which gets -inf itself.

    The class axis comes first, because a sum over ten characters is then ten times as fast.
    """
    log_probs_CNP = log_probs_NPC.transpose(2, 0, 1).copy()
    top_1NP = log_probs_CNP.argmax(axis=0)[None]
    gaps_CNP: Floats = log_probs_CNP - np.take_along_axis(log_probs_CNP, top_1NP, axis=0)
    np.put_along_axis(gaps_CNP, top_1NP, -np.inf, axis=0)
    return gaps_CNP


def _negative_log_confidence_N(gaps_CNP: Floats, temperature: float) -> Confidence:
    """Sum over positions. float32 is precise enough for the sum over the other characters."""
    scaled_CNP = gaps_CNP * gaps_CNP.dtype.type(1 / temperature)
    rest_NP = np.exp(scaled_CNP, out=scaled_CNP).sum(axis=0)
    total_N: Confidence = np.log1p(rest_NP).sum(axis=1, dtype=np.float64)
    return total_N


def fit_temperature(log_probs_NPC: Floats, right_N: Bools) -> float:
    """Return the temperature at which the confidence best predicts which readings are right.

    Minimizes the log loss of `right_N`. One pseudo-sample each smooths the targets, as in Platt (1999): without an
    error, the best temperature would otherwise be 0 and every confidence 1. With few samples, the pseudo-samples can
    outweigh the data. If the log loss on the data does not improve, return 1.
    """
    from scipy.optimize import minimize_scalar

    right = int(right_N.sum())
    wrong = len(right_N) - right
    target_N = np.where(right_N, (right + 1) / (right + 2), 1 / (wrong + 2))
    gaps_CNP = _gaps_CNP(log_probs_NPC)

    def at(temperature: float) -> Confidence:
        confidence_N: Confidence = np.exp(-_negative_log_confidence_N(gaps_CNP, temperature))
        return confidence_N

    bounds = (math.log(TEMPERATURES[0]), math.log(TEMPERATURES[1]))
    minimum = minimize_scalar(lambda x: log_loss(at(math.exp(x)), target_N), bounds=bounds, method="bounded")
    temperature = math.exp(minimum.x)
    return temperature if log_loss(at(temperature), right_N) < log_loss(at(1.0), right_N) else 1.0


def log_loss(confidence_N: Confidence, right_N: Bools | Confidence) -> float:
    """Return the mean log loss of the whole text, in nats. Confidences are clipped to 1e-12."""
    clipped_N = confidence_N.clip(1e-12, 1 - 1e-12)
    return -float((right_N * np.log(clipped_N) + (1 - right_N) * np.log1p(-clipped_N)).mean())


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Samples with similar confidence."""

    n: int
    correct: int
    confidence: float
    """Mean."""
    ci95: tuple[float, float]
    """Interval of the share of right readings."""


def reliability(confidence_N: Confidence, right_N: Bools, bins: int = BINS) -> list[Bin]:
    """Return bins of equal size, lowest confidence first. With equal widths, at 99% right most bins would be empty."""
    order = np.argsort(confidence_N, kind="stable")
    groups = [group for group in np.array_split(order, min(bins, len(order))) if len(group)]
    return [
        Bin(
            n=len(group),
            correct=int(right_N[group].sum()),
            confidence=float(confidence_N[group].mean()),
            ci95=interval95(int(right_N[group].sum()), len(group)),
        )
        for group in groups
    ]


def calibration_error(bins: list[Bin]) -> float:
    """Return the expected calibration error (ECE): the mean gap between confidence and accuracy, weighted by size."""
    n = sum(each.n for each in bins)
    return sum(each.n * abs(each.confidence - each.correct / each.n) for each in bins) / n


def brier(confidence_N: Confidence, right_N: Bools) -> float:
    """Return the Brier score."""
    return float(np.square(confidence_N - right_N).mean())


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A risk-coverage curve. Entry k accepts the k + 1 readings of highest confidence."""

    threshold_N: Confidence
    """Lowest accepted confidence."""
    coverage_N: Confidence
    """Share of readings that are accepted."""
    wrong_N: NDArray[np.int64]
    """Wrong readings among the accepted ones."""

    @property
    def risk_N(self) -> Confidence:
        """Error rate of the accepted readings."""
        return self.wrong_N / np.arange(1, len(self.wrong_N) + 1)

    @property
    def ends(self) -> NDArray[np.intp]:
        """Entries that a threshold can produce: the last of each group of equal confidences."""
        return np.flatnonzero(np.append(self.threshold_N[:-1] != self.threshold_N[1:], True))

    @property
    def starts(self) -> NDArray[np.intp]:
        """Indices into `ends` where the searches for a threshold begin, one for each of STARTS."""
        return np.searchsorted(self.ends + 1, np.array(STARTS) * len(self.wrong_N))


def risk_coverage(confidence_N: Confidence, right_N: Bools) -> Curve:
    """Return the risk-coverage curve."""
    order = np.argsort(-confidence_N, kind="stable")
    return Curve(
        threshold_N=confidence_N[order],
        coverage_N=np.arange(1, len(order) + 1) / len(order),
        wrong_N=np.cumsum(~right_N[order]),
    )


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A threshold, and its results on a set of samples."""

    threshold: float
    n: int
    """All samples."""
    used: int
    """Accepted readings."""
    wrong: int
    """Wrong readings among the accepted ones."""
    risk_bound: float
    """Upper confidence bound of the error rate."""

    @property
    def coverage(self) -> float:
        return self.used / self.n


def upper_bound(wrong: int, n: int, delta: float) -> float:
    """Return the one-sided Clopper-Pearson bound of an error rate, at confidence 1 - `delta`."""
    from scipy.stats import beta

    return float(beta.ppf(1 - delta, wrong + 1, n - wrong)) if wrong < n else 1.0


def choose_threshold(
    confidence_N: Confidence, right_N: Bools, max_risk: float, delta: float = 0.05, *, least: float = 0.0
) -> Threshold | None:
    """Return the lowest threshold whose error rate is at most `max_risk`, with confidence 1 - `delta`.

    The samples stand for all readings of a confidence of at least `least`, and the threshold is never below it.

    Testing every threshold would select a lucky one. So the coverages in STARTS, fixed in advance, share `delta`. From
    each one that holds its bound, lower the threshold step by step until the first that does not
    (fixed-sequence testing, https://arxiv.org/abs/2110.01052).
    Return None if these samples cannot show it. Without an error, `samples_needed(max_risk, delta / len(STARTS))`
    samples are enough.
    """
    from scipy.stats import binom

    n, share = len(confidence_N), delta / len(STARTS)
    curve = risk_coverage(confidence_N, right_N)
    ends = curve.ends
    # Equivalent to upper_bound <= max_risk, which is slow for many thresholds.
    holds = binom.cdf(curve.wrong_N[ends], ends + 1, max_risk) <= share
    last = -1
    for first in curve.starts.tolist():
        fails = np.flatnonzero(~holds[first:])
        end = first + int(fails[0]) if len(fails) else len(ends)
        last = max(last, end - 1 if end > first else -1)
    if last < 0:
        return None
    wrong, used = int(curve.wrong_N[ends[last]]), int(ends[last]) + 1
    # Halfway to the next lower confidence, because confidences vary in the sixth digit between batches.
    below = float(curve.threshold_N[used]) if used < n else least
    threshold = (float(curve.threshold_N[used - 1]) + below) / 2
    return Threshold(threshold=threshold, n=n, used=used, wrong=wrong, risk_bound=upper_bound(wrong, used, share))


def apply_threshold(confidence_N: Confidence, right_N: Bools, threshold: float, delta: float = 0.05) -> Threshold:
    """Return the results of a threshold on other samples, with the risk bound at confidence 1 - `delta`."""
    used_N = confidence_N >= threshold
    used, wrong = int(used_N.sum()), int((used_N & ~right_N).sum())
    return Threshold(
        threshold=threshold, n=len(used_N), used=used, wrong=wrong, risk_bound=upper_bound(wrong, used, delta)
    )


def samples_needed(max_risk: float, delta: float = 0.05, wrong: int = 0) -> int:
    """Return the number of samples needed to show an error rate of at most `max_risk` with `wrong` errors.

    0.1% takes 2,995 samples without an error, and 16,958 with 10. So 400 held-out images can never show 99.9%.
    """
    low, high = wrong + 1, wrong + 2
    while upper_bound(wrong, high, delta) > max_risk:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if upper_bound(wrong, middle, delta) > max_risk else (low, middle)
    return high


@dataclass(frozen=True, kw_only=True)
class Logins:
    """Expected figures of one login at a portal that locks it after several wrong readings."""

    submissions: float
    """Expected submissions, including the right one."""
    images: float
    """Expected images, including those whose reading is not accepted."""
    lockout: float
    """Probability that all tries are wrong."""


def logins(risk: float, coverage: float, tries: int) -> Logins:
    """Return the expected figures of one login.

    `risk` is the error rate of accepted readings, `coverage` the share of accepted ones. Assumes that errors are
    independent and that requesting a new image is free.
    """
    submissions = sum(risk**attempt for attempt in range(tries))
    return Logins(submissions=submissions, images=submissions / coverage, lockout=risk**tries)


def risk_for_lockout(lockout: float, tries: int) -> float:
    """Return the error rate at which the probability that all tries are wrong is `lockout`."""
    return float(lockout ** (1 / tries))
