"""Ranking of images by how much they deserve attention.

N samples, P positions, C classes, V views (view 0 is the original image).
"""

from collections.abc import Iterable
from functools import reduce
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.evaluation.metrics import Floats, Ints, margins_NP
from core.evaluation.predictions import Reading

Order = Literal["confidence", "loss", "margin", "disagreement"]


def losses_N(log_probs_NPC: Floats, targets_NP: Ints) -> NDArray[np.float64]:
    """Return the negative log-likelihood of each label, in nats: the training loss, summed over positions."""
    true_NP1 = np.take_along_axis(log_probs_NPC, targets_NP[:, :, None], axis=2)
    losses: NDArray[np.float64] = 0 - true_NP1.sum(axis=(1, 2), dtype=np.float64)  # a plain minus would give -0
    return losses


def min_margins_N(log_probs_NPC: Floats, targets_NP: Ints) -> NDArray[np.float64]:
    """Return the smallest lead of a true character over the most likely other one, in nats; negative if read wrong."""
    margins: NDArray[np.float64] = margins_NP(log_probs_NPC, targets_NP).min(axis=1)
    return margins


def agreeing_views_N(views: Iterable[Floats], predicted_NP: Ints) -> Ints:
    """Count the views (log-probabilities N x P x C) whose own reading equals the prediction."""
    agreeing = np.zeros(len(predicted_NP), dtype=np.int64)
    for log_probs_NPC in views:  # one view at a time: all of them together take hundreds of MB
        # Reduce class by class, because NumPy is three times slower along a short last axis.
        best_NP = reduce(np.maximum, np.moveaxis(log_probs_NPC, 2, 0))
        log_prob_NP = np.take_along_axis(log_probs_NPC, predicted_NP[:, :, None], axis=2)[:, :, 0]
        agreeing += (log_prob_NP >= best_NP).all(axis=1)
    return agreeing


def ranked(
    places: Ints, reading: Reading, log_probs_VNPC: Floats, order: Order, *, most_confident_first: bool = False
) -> Ints:
    """Sort indices of images: low confidence, high loss, small margin, or most disagreeing views first. Stable.

    `most_confident_first` reverses the order by confidence, because confident errors are often wrong labels.
    """
    log_probs_NPC, targets_NP = reading.log_probs_NPC[places], reading.targets_NP[places]
    if order == "loss":
        key_N = -losses_N(log_probs_NPC, targets_NP)
    elif order == "margin":
        key_N = min_margins_N(log_probs_NPC, targets_NP)
    elif order == "disagreement":
        key_N = agreeing_views_N((view[places] for view in log_probs_VNPC), reading.predicted_NP[places]).astype(
            np.float64
        )
    else:
        key_N = reading.confidence_N[places] * (-1 if most_confident_first else 1)
    in_order: Ints = places[np.argsort(key_N, kind="stable")]
    return in_order


def in_cell(reading: Reading, position: int | None, true: int, read: int) -> Ints:
    """Return the indices of the images in a confusion matrix cell. Position None means any position."""
    where = slice(None) if position is None else slice(position, position + 1)
    match_NP = (reading.targets_NP[:, where] == true) & (reading.predicted_NP[:, where] == read)
    return np.flatnonzero(match_NP.any(axis=1))


def nearest(reading: Reading, position: int | None, true: int, read: int) -> Ints:
    """Return the indices of the images with this true character, closest to being read as `read` first."""
    where = slice(None) if position is None else slice(position, position + 1)
    true_NP = reading.targets_NP[:, where] == true
    close_N = np.where(true_NP, reading.log_probs_NPC[:, where, read], -np.inf).max(axis=1)
    places: Ints = np.flatnonzero(true_NP.any(axis=1))
    return places[np.argsort(-close_N[places], kind="stable")]
