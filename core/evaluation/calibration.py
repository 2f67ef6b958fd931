"""How far a run's confidence can be trusted, and from where on its answers are to be used.

An answer is right when all its characters are, so everything here is about whole strings: calibrating single characters
can make the product worse (https://arxiv.org/abs/2012.12643). N samples, P positions, C classes.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.evaluation.metrics import Floats, interval95, normalized

Bools = NDArray[np.bool_]
Confidence = NDArray[np.float64]
BINS = 15
STARTS = (0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
"""Shares of all samples at which the search for a threshold begins."""
TEMPERATURES = (0.05, 20.0)
"""Beyond these a temperature says that there is nothing to fit."""


def at_temperature(log_probs_NPC: Floats, temperature: float) -> Floats:
    """Log-probabilities made less sure (above 1) or surer (below 1), with the same characters on top; float64."""
    return normalized(log_probs_NPC.astype(np.float64) / temperature)


def confidence(log_probs_NPC: Floats, temperature: float = 1.0) -> Confidence:
    """Of each sample, the probability that all characters are right: the product of the best at each position."""
    return np.exp(-_doubt_N(_gaps_CNP(log_probs_NPC), temperature))


def _gaps_CNP(log_probs_NPC: Floats) -> Floats:
    """By how much, in nats, each character is behind the likeliest, -inf for that one itself; characters first.

    In this order a sum over ten characters takes a tenth of the time.
    """
    log_probs_CNP = log_probs_NPC.transpose(2, 0, 1).copy()
    top_1NP = log_probs_CNP.argmax(axis=0)[None]
    gaps_CNP: Floats = log_probs_CNP - np.take_along_axis(log_probs_CNP, top_1NP, axis=0)
    np.put_along_axis(gaps_CNP, top_1NP, -np.inf, axis=0)
    return gaps_CNP


def _doubt_N(gaps_CNP: Floats, temperature: float) -> Confidence:
    """Minus the logarithm of the confidence. float32 is enough for the sum of what is beside the likeliest."""
    scaled_CNP = gaps_CNP * gaps_CNP.dtype.type(1 / temperature)
    rest_NP = np.exp(scaled_CNP, out=scaled_CNP).sum(axis=0)
    doubt_N: Confidence = np.log1p(rest_NP).sum(axis=1, dtype=np.float64)
    return doubt_N


def fit_temperature(log_probs_NPC: Floats, right_N: Bools) -> float:
    """The temperature under which the confidence predicts best which samples are right as a whole.

    Minimizes the log loss of `right_N`. Its targets are drawn in by one pseudo-sample each, as Platt (1999) does:
    without an error the best temperature would be 0, and every confidence 1. Of few samples these two can outweigh what
    was seen; where the samples themselves are then predicted no better than before, the temperature stays 1.
    """
    from scipy.optimize import minimize_scalar

    right = int(right_N.sum())
    wrong = len(right_N) - right
    wanted_N = np.where(right_N, (right + 1) / (right + 2), 1 / (wrong + 2))
    gaps_CNP = _gaps_CNP(log_probs_NPC)

    def at(temperature: float) -> Confidence:
        sure_N: Confidence = np.exp(-_doubt_N(gaps_CNP, temperature))
        return sure_N

    bounds = (math.log(TEMPERATURES[0]), math.log(TEMPERATURES[1]))
    found = minimize_scalar(lambda x: log_loss(at(math.exp(x)), wanted_N), bounds=bounds, method="bounded")
    temperature = math.exp(found.x)
    return temperature if log_loss(at(temperature), right_N) < log_loss(at(1.0), right_N) else 1.0


def log_loss(confidence_N: Confidence, right_N: Bools | Confidence) -> float:
    """Of being right as a whole, in nats; mean. No single sample costs more than that of a confidence of 1e-12."""
    sure_N = confidence_N.clip(1e-12, 1 - 1e-12)
    return -float((right_N * np.log(sure_N) + (1 - right_N) * np.log1p(-sure_N)).mean())


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Samples of like confidence."""

    n: int
    correct: int
    confidence: float
    """Mean."""
    ci95: tuple[float, float]
    """Of the share that is right."""


def reliability(confidence_N: Confidence, right_N: Bools, bins: int = BINS) -> list[Bin]:
    """Bins of equal size, the least sure first; at 99% right, bins of equal width would all but one be empty."""
    order = np.argsort(confidence_N, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, len(order))) if len(part)]
    return [
        Bin(
            n=len(part),
            correct=int(right_N[part].sum()),
            confidence=float(confidence_N[part].mean()),
            ci95=interval95(int(right_N[part].sum()), len(part)),
        )
        for part in parts
    ]


def calibration_error(found: list[Bin]) -> float:
    """Mean distance between confidence and the share that is right (ECE), weighted by the size of the bins."""
    n = sum(part.n for part in found)
    return sum(part.n * abs(part.confidence - part.correct / part.n) for part in found) / n


def brier(confidence_N: Confidence, right_N: Bools) -> float:
    """Mean squared distance between confidence and being right."""
    return float(np.square(confidence_N - right_N).mean())


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What is wrong among the answers used, as fewer and fewer are used; entry k is for the k + 1 surest."""

    threshold_N: Confidence
    """Least confidence that is used."""
    coverage_N: Confidence
    """Share of all samples."""
    wrong_N: NDArray[np.int64]
    """Wrong answers among those used."""

    @property
    def risk_N(self) -> Confidence:
        """Share of the answers used that is wrong."""
        return self.wrong_N / np.arange(1, len(self.wrong_N) + 1)

    @property
    def ends(self) -> NDArray[np.intp]:
        """Entries that a threshold can end at: equal confidences are used together, so the last of each run."""
        return np.flatnonzero(np.append(self.threshold_N[:-1] != self.threshold_N[1:], True))

    @property
    def starts(self) -> NDArray[np.intp]:
        """Which of `ends` the searches for a threshold begin at, one for each of STARTS."""
        return np.searchsorted(self.ends + 1, np.array(STARTS) * len(self.wrong_N))


def risk_coverage(confidence_N: Confidence, right_N: Bools) -> Curve:
    order = np.argsort(-confidence_N, kind="stable")
    return Curve(
        threshold_N=confidence_N[order],
        coverage_N=np.arange(1, len(order) + 1) / len(order),
        wrong_N=np.cumsum(~right_N[order]),
    )


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """From where on answers are used, and what that was on the samples it was chosen on."""

    threshold: float
    n: int
    """All samples."""
    used: int
    wrong: int
    """Of those used."""
    risk_bound: float
    """With the confidence asked for, no more of the used answers are wrong than this share."""

    @property
    def coverage(self) -> float:
        return self.used / self.n


def upper_bound(wrong: int, n: int, delta: float) -> float:
    """Clopper-Pearson: the share of wrong answers is at most this, but for a chance of `delta`."""
    from scipy.stats import beta

    return float(beta.ppf(1 - delta, wrong + 1, n - wrong)) if wrong < n else 1.0


def choose_threshold(
    confidence_N: Confidence, right_N: Bools, max_risk: float, delta: float = 0.05
) -> Threshold | None:
    """The lowest threshold found above which at most `max_risk` of the answers are wrong, but for a chance of `delta`.

    Looking at every threshold would find one that is merely lucky. So `delta` is shared among the coverages STARTS,
    fixed beforehand; from each that holds its bound, thresholds are lowered one by one until the first that does not
    (fixed sequences, https://arxiv.org/abs/2110.01052). None where these samples cannot show it; without a single
    error it takes `samples_needed(max_risk, delta / len(STARTS))`.
    """
    from scipy.stats import binom

    n, share = len(confidence_N), delta / len(STARTS)
    curve = risk_coverage(confidence_N, right_N)
    ends = curve.ends
    # The bound of upper_bound holds where so few errors would be so rare; many bounds at once are slow.
    holds = binom.cdf(curve.wrong_N[ends], ends + 1, max_risk) <= share
    last = -1
    for first in curve.starts.tolist():
        fails = np.flatnonzero(~holds[first:])
        end = first + int(fails[0]) if len(fails) else len(ends)
        last = max(last, end - 1 if end > first else -1)
    if last < 0:
        return None
    wrong, used = int(curve.wrong_N[ends[last]]), int(ends[last]) + 1
    # Halfway to the next below: the same image read in another batch differs in the sixth digit.
    below = float(curve.threshold_N[used]) if used < n else 0.0
    threshold = (float(curve.threshold_N[used - 1]) + below) / 2
    return Threshold(threshold=threshold, n=n, used=used, wrong=wrong, risk_bound=upper_bound(wrong, used, share))


def try_threshold(confidence_N: Confidence, right_N: Bools, threshold: float, delta: float = 0.05) -> Threshold:
    """Count what a threshold accepts of samples that did not choose it, and bound its risk but for `delta`."""
    used_N = confidence_N >= threshold
    used, wrong = int(used_N.sum()), int((used_N & ~right_N).sum())
    return Threshold(
        threshold=threshold, n=len(used_N), used=used, wrong=wrong, risk_bound=upper_bound(wrong, used, delta)
    )


def samples_needed(max_risk: float, delta: float = 0.05, wrong: int = 0) -> int:
    """How many samples with no more than `wrong` errors show that at most `max_risk` are wrong.

    For 0.1% and no error 2,995 (and for 10 errors 16,958): the reason why 400 held-out images never show 99.9%.
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
    """What a portal that locks out after some wrong answers sees of these answers."""

    submissions: float
    """Expected for one login, the right one included."""
    images: float
    """Expected for one login, those not answered included."""
    lockout: float
    """Chance that all tries of one login are wrong."""


def logins(risk: float, coverage: float, tries: int) -> Logins:
    """`risk` is the share of wrong answers, `coverage` that of images answered; a new image can be asked for freely.

    Each try is taken to be wrong independently of the others.
    """
    submissions = sum(risk**tried for tried in range(tries))
    return Logins(submissions=submissions, images=submissions / coverage, lockout=risk**tries)


def risk_for_lockout(lockout: float, tries: int) -> float:
    """The share of wrong answers at which one login in 1/`lockout` fails all its tries."""
    return float(lockout ** (1 / tries))
