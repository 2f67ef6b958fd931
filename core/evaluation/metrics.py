"""Metrics of readings against labels, with confidence intervals.

N samples, P positions, C classes, V views (view 0 is the original image).
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.bundle.reader import aggregate
from core.errors import TrainingError

Floats = NDArray[np.float32] | NDArray[np.float64]
Ints = NDArray[np.int64]


def interval95(correct: int, n: int) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) 95% interval of a proportion. 0 errors in 400 still allow 0.92%."""
    if not 0 <= correct <= n or n == 0:
        raise ValueError(f"{correct} of {n} is not a proportion")
    low, high = intervals95(np.array(correct), np.array(n))
    return float(low), float(high)


def intervals95(correct: Ints, n: Ints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return interval95 of many proportions, in arrays of any shape; 0 to 1 where n is 0."""
    from scipy.special import betaincinv

    wrong = n - correct
    low, high = np.zeros(correct.shape), np.ones(correct.shape)
    # Most cells of a confusion matrix are empty and have a known bound, so skip them.
    has_correct, has_wrong = correct > 0, wrong > 0
    low[has_correct] = betaincinv(correct[has_correct], wrong[has_correct] + 1, 0.025)
    high[has_wrong] = betaincinv(correct[has_wrong] + 1, wrong[has_wrong], 0.975)
    return low, high


def difference95(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float]:
    """Return a 95% interval of the difference of two shares, first minus second, of different images.

    Each share is (correct, n). Newcombe's interval of 1998 (method 10) combines the Wilson intervals of both.
    """
    (low_1, share_1, high_1), (low_2, share_2, high_2) = _wilson95(*first), _wilson95(*second)
    difference = share_1 - share_2
    return (
        difference - math.hypot(share_1 - low_1, high_2 - share_2),
        difference + math.hypot(high_1 - share_1, share_2 - low_2),
    )


def _wilson95(correct: int, n: int) -> tuple[float, float, float]:
    """Return the lower end of Wilson's interval, the share, and the upper end."""
    share, z_square = correct / n, 1.959964**2
    middle = share + z_square / (2 * n)
    spread = math.sqrt(z_square * (share * (1 - share) + z_square / (4 * n)) / n)
    scale = 1 + z_square / n
    return (middle - spread) / scale, share, (middle + spread) / scale


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The metrics of one model on one set of labeled images."""

    n: int
    correct: int
    """Exact matches."""
    exact_match: float
    ci95: tuple[float, float]
    per_position: list[float]
    """Share of samples whose character at the position is right."""
    per_position_correct: list[int]
    nll: float
    """Negative log-likelihood of the label, in nats; mean over samples and positions. Chance is ln C."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"ci95": list(self.ci95)}


def evaluate(log_probs_NPC: Floats, targets_NP: Ints) -> Evaluation:
    """Compute the metrics. Raises TrainingError if there are no images."""
    right_NP = log_probs_NPC.argmax(axis=2) == targets_NP
    n, correct = len(right_NP), int(right_NP.all(axis=1).sum())
    if n == 0:
        raise TrainingError("There are no labeled images to evaluate on.")
    picked_NP = np.take_along_axis(log_probs_NPC, targets_NP[:, :, None], axis=2)[:, :, 0]
    return Evaluation(
        n=n,
        correct=correct,
        exact_match=correct / n,
        ci95=interval95(correct, n),
        per_position=[float(value) for value in right_NP.mean(axis=0)],
        per_position_correct=[int(value) for value in right_NP.sum(axis=0)],
        nll=float(-picked_NP.mean(dtype=np.float64)),
    )


def evaluate_views(log_probs_VNPC: Floats, targets_NP: Ints, *, tta: bool, seen_N: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the result of an evaluation, as `slotlab evaluate --json` prints it.

    `seen_N` marks labels that also occur in the training images. `tta_flips` counts the samples that TTA fixes and
    breaks.
    """
    plain_NPC = log_probs_VNPC[0]
    chosen_NPC = aggregate(log_probs_VNPC) if tta else plain_NPC
    right_N = (chosen_NPC.argmax(axis=2) == targets_NP).all(axis=1)
    plain_N = (plain_NPC.argmax(axis=2) == targets_NP).all(axis=1) if tta else None
    return result_dict(evaluate(chosen_NPC, targets_NP), right_N, seen_N, plain_N)


def result_dict(
    evaluation: Evaluation, right_N: NDArray[np.bool_], seen_N: NDArray[np.bool_], plain_N: NDArray[np.bool_] | None
) -> dict[str, Any]:
    """Return the result of `evaluate_views` from computed values. `plain_N`: right without TTA, None if TTA is off."""
    result = evaluation.to_dict()
    for name, members_N in (("string_seen", seen_N), ("string_not_seen", ~seen_N)):
        result[name] = {"n": int(members_N.sum()), "correct": int(right_N[members_N].sum())}
    if plain_N is not None:
        result["tta_flips"] = {
            "fixed": int((right_N & ~plain_N).sum()),
            "broken": int((plain_N & ~right_N).sum()),
            "without_tta": int(plain_N.sum()),
        }
    return result


def confusion_PCC(targets_NP: Ints, predicted_NP: Ints, classes: int) -> Ints:
    """Return counts per position. Rows are true characters, columns predicted ones."""
    positions = targets_NP.shape[1]
    cells_NP = (np.arange(positions) * classes + targets_NP) * classes + predicted_NP
    counts = np.bincount(cells_NP.ravel(), minlength=positions * classes**2)
    return counts.reshape(positions, classes, classes)


def soft_confusion_PCC(log_probs_NPC: Floats, targets_NP: Ints) -> NDArray[np.float64]:
    """Return the mean probability of each character, per position and true character. Rows sum to 1.

    Shows likely errors even if every reading is right and `confusion_PCC` is diagonal. A row without samples is nan.
    """
    positions, classes = log_probs_NPC.shape[1:]
    mass_PCC = np.zeros((positions, classes, classes))
    for position in range(positions):
        np.add.at(mass_PCC[position], targets_NP[:, position], np.exp(log_probs_NPC[:, position].astype(np.float64)))
    with np.errstate(invalid="ignore"):
        return mass_PCC / support_PC(targets_NP, classes)[:, :, None]


def support_PC(targets_NP: Ints, classes: int) -> Ints:
    """Return the number of samples with each character at each position."""
    return np.stack([np.bincount(column_N, minlength=classes) for column_N in targets_NP.T])


def worst_margin_PC(log_probs_NPC: Floats, targets_NP: Ints) -> NDArray[np.float64]:
    """Return the smallest lead of the true character over the next, in nats, per position and true character.

    Negative if it was read wrong; nan without samples.
    """
    positions, classes = log_probs_NPC.shape[1:]
    margin_NP = margins_NP(log_probs_NPC, targets_NP)
    worst_PC = np.full((positions, classes), np.inf)
    for position in range(positions):
        np.minimum.at(worst_PC[position], targets_NP[:, position], margin_NP[:, position])
    return np.where(np.isinf(worst_PC), np.nan, worst_PC)


def margins_NP(log_probs_NPC: Floats, targets_NP: Ints) -> NDArray[np.float64]:
    """Return the lead of the true character over the most likely other one, in nats; negative if read wrong."""
    others_CNP = np.moveaxis(log_probs_NPC, 2, 0).astype(np.float64, order="C")
    true_NP = np.take_along_axis(others_CNP, targets_NP[None], axis=0)[0]
    np.put_along_axis(others_CNP, targets_NP[None], -np.inf, axis=0)
    lead_NP: NDArray[np.float64] = true_NP - others_CNP.max(axis=0)
    return lead_NP
