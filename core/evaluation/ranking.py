"""Which images to look at first: how far each reading is from its label, and from another answer.

N samples, P positions, C classes, V views (view 0 is the image as it is).
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
    """Negative log-likelihood of the whole label, in nats: what training counts, summed over the positions."""
    true_NP1 = np.take_along_axis(log_probs_NPC, targets_NP[:, :, None], axis=2)
    losses: NDArray[np.float64] = 0 - true_NP1.sum(axis=(1, 2), dtype=np.float64)  # 0, not -0, where it is sure
    return losses


def narrowest_N(log_probs_NPC: Floats, targets_NP: Ints) -> NDArray[np.float64]:
    """Lead of the true character over the likeliest other one where it is smallest, in nats; below 0: read wrong."""
    narrowest: NDArray[np.float64] = margins_NP(log_probs_NPC, targets_NP).min(axis=1)
    return narrowest


def agreeing_N(views: Iterable[Floats], predicted_NP: Ints) -> Ints:
    """How many of the views, each as log-probabilities N x P x C and read alone, give exactly the answer."""
    agreeing = np.zeros(len(predicted_NP), dtype=np.int64)
    for log_probs_NPC in views:  # one view at a time: all of them at once are hundreds of MB
        # Class by class, as NumPy is three times slower along a short last axis.
        best_NP = reduce(np.maximum, np.moveaxis(log_probs_NPC, 2, 0))
        answer_NP = np.take_along_axis(log_probs_NPC, predicted_NP[:, :, None], axis=2)[:, :, 0]
        agreeing += (answer_NP >= best_NP).all(axis=1)
    return agreeing


def ranked(places: Ints, reading: Reading, log_probs_VNPC: Floats, order: Order, *, surest_first: bool = False) -> Ints:
    """These places, what is worth a look first: unsure, of high loss, of small margin, or with views that disagree.

    `surest_first` turns the order by confidence: among the wrong answers the surest are often wrong labels. Equal ones
    stay as they came.
    """
    log_probs_NPC, targets_NP = reading.log_probs_NPC[places], reading.targets_NP[places]
    if order == "loss":
        key_N = -losses_N(log_probs_NPC, targets_NP)
    elif order == "margin":
        key_N = narrowest_N(log_probs_NPC, targets_NP)
    elif order == "disagreement":
        key_N = agreeing_N((view[places] for view in log_probs_VNPC), reading.predicted_NP[places]).astype(np.float64)
    else:
        key_N = reading.confidence_N[places] * (-1 if surest_first else 1)
    in_order: Ints = places[np.argsort(key_N, kind="stable")]
    return in_order


def of_cell(reading: Reading, position: int | None, true: int, read: int) -> Ints:
    """Places of the images with this character read as that one at the position, or where there is none, at any."""
    where = slice(None) if position is None else slice(position, position + 1)
    found_NP = (reading.targets_NP[:, where] == true) & (reading.predicted_NP[:, where] == read)
    return np.flatnonzero(found_NP.any(axis=1))


def nearest(reading: Reading, position: int | None, true: int, read: int) -> Ints:
    """Places of the images with this true character there, those first that come closest to being read as the other."""
    where = slice(None) if position is None else slice(position, position + 1)
    standing_NP = reading.targets_NP[:, where] == true
    close_N = np.where(standing_NP, reading.log_probs_NPC[:, where, read], -np.inf).max(axis=1)
    places: Ints = np.flatnonzero(standing_NP.any(axis=1))
    return places[np.argsort(-close_N[places], kind="stable")]
