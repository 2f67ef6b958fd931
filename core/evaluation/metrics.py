"""How well predictions fit labels, with the uncertainty that belongs to each number.

N samples, P positions, C classes, V views (view 0 is the image as it is).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import TrainingError

Floats = NDArray[np.float32] | NDArray[np.float64]
Ints = NDArray[np.int64]


def interval95(correct: int, n: int) -> tuple[float, float]:
    """The exact (Clopper-Pearson) 95% interval of a proportion; 0 errors in 400 still allow 0.92% errors."""
    if not 0 <= correct <= n or n == 0:
        raise ValueError(f"{correct} of {n} is no proportion")
    low, high = intervals95(np.array(correct), np.array(n))
    return float(low), float(high)


def intervals95(correct: Ints, n: Ints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """interval95 of many proportions at once, in arrays of any shape; 0 to 1 where n is 0."""
    from scipy.special import betaincinv

    wrong = n - correct
    low, high = np.zeros(correct.shape), np.ones(correct.shape)
    some, less = correct > 0, wrong > 0  # where not, the bound is known: most cells of a confusion matrix are empty
    low[some] = betaincinv(correct[some], wrong[some] + 1, 0.025)
    high[less] = betaincinv(correct[less] + 1, wrong[less], 0.975)
    return low, high


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What one model does on one set of labeled images."""

    n: int
    correct: int
    """Exact matches: all positions of a sample right."""
    exact_match: float
    ci95: tuple[float, float]
    per_position: list[float]
    """Fraction of samples whose character at the position is right."""
    per_position_correct: list[int]
    nll: float
    """Mean over samples and positions of the negative log-likelihood of the label, in nats; ln C is chance."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"ci95": list(self.ci95)}


def evaluate(log_probs_NPC: Floats, targets_NP: Ints) -> Evaluation:
    """Raises TrainingError on nothing: an accuracy of no images would be made up."""
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


def aggregate(log_probs_VNPC: Floats) -> Floats:
    """One answer from all views: the mean of their log-probabilities, normalized again.

    Averaging logarithms lets one dissenting view pull the confidence down, which is what a rejection rule wants.
    """
    return normalized(log_probs_VNPC.mean(axis=0))


def normalized(scores_NPC: Floats) -> Floats:
    """Logarithms of any height as log-probabilities: those of the characters at each position sum to 1."""
    from scipy.special import log_softmax

    log_probs_NPC: Floats = log_softmax(scores_NPC, axis=2)
    return log_probs_NPC


def evaluate_views(log_probs_VNPC: Floats, targets_NP: Ints, *, tta: bool, seen_N: NDArray[np.bool_]) -> dict[str, Any]:
    """The result of an evaluation, as `slotlab evaluate --json` prints it.

    `seen_N` says which label strings also occur in the training images. With `tta`, `tta_flips` counts the samples
    that the other views mend and break against view 0 alone.
    """
    plain_NPC = log_probs_VNPC[0]
    chosen_NPC = aggregate(log_probs_VNPC) if tta else plain_NPC
    right_N = (chosen_NPC.argmax(axis=2) == targets_NP).all(axis=1)
    plain_N = (plain_NPC.argmax(axis=2) == targets_NP).all(axis=1) if tta else None
    return in_parts(evaluate(chosen_NPC, targets_NP), right_N, seen_N, plain_N)


def in_parts(
    whole: Evaluation, right_N: NDArray[np.bool_], seen_N: NDArray[np.bool_], plain_N: NDArray[np.bool_] | None
) -> dict[str, Any]:
    """The result of `evaluate_views` from its parts; `plain_N` says which samples are right without the other views."""
    result = whole.to_dict()
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
    """Counts per position; rows are true characters, columns predicted ones."""
    positions = targets_NP.shape[1]
    cells_NP = (np.arange(positions) * classes + targets_NP) * classes + predicted_NP
    counts = np.bincount(cells_NP.ravel(), minlength=positions * classes**2)
    return counts.reshape(positions, classes, classes)


def soft_confusion_PCC(log_probs_NPC: Floats, targets_NP: Ints) -> NDArray[np.float64]:
    """Mean probability of each character where a true one stands, per position: rows are true and sum to 1.

    Where nothing is read wrong, the counts of `confusion_PCC` are a diagonal; what stands beside it here is where the
    next error will come from. A row without a sample is nan.
    """
    positions, classes = log_probs_NPC.shape[1:]
    mass_PCC = np.zeros((positions, classes, classes))
    for position in range(positions):
        np.add.at(mass_PCC[position], targets_NP[:, position], np.exp(log_probs_NPC[:, position].astype(np.float64)))
    with np.errstate(invalid="ignore"):
        return mass_PCC / support_PC(targets_NP, classes)[:, :, None]


def support_PC(targets_NP: Ints, classes: int) -> Ints:
    """How many samples have each character at each position."""
    return np.stack([np.bincount(column_N, minlength=classes) for column_N in targets_NP.T])


def worst_margin_PC(log_probs_NPC: Floats, targets_NP: Ints) -> NDArray[np.float64]:
    """By how much, in nats, the true character leads the next at its closest, per position and true character.

    Below 0 it has been read wrong; nan where there is no sample.
    """
    positions, classes = log_probs_NPC.shape[1:]
    margin_NP = margins_NP(log_probs_NPC, targets_NP)
    worst_PC = np.full((positions, classes), np.inf)
    for position in range(positions):
        np.minimum.at(worst_PC[position], targets_NP[:, position], margin_NP[:, position])
    return np.where(np.isinf(worst_PC), np.nan, worst_PC)


def margins_NP(log_probs_NPC: Floats, targets_NP: Ints) -> NDArray[np.float64]:
    """Lead of the true character over the likeliest other one, in nats; below 0 it has been read wrong."""
    others_CNP = np.moveaxis(log_probs_NPC, 2, 0).astype(np.float64, order="C")
    true_NP = np.take_along_axis(others_CNP, targets_NP[None], axis=0)[0]
    np.put_along_axis(others_CNP, targets_NP[None], -np.inf, axis=0)
    lead_NP: NDArray[np.float64] = true_NP - others_CNP.max(axis=0)
    return lead_NP
