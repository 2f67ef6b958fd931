"""Ranking of images, recomputed image by image."""

import numpy as np
import pytest
from scipy.special import log_softmax

from core.bundle.reader import aggregate
from core.evaluation.predictions import Reading
from core.evaluation.ranking import agreeing_views_N, in_cell, losses_N, min_margins_N, nearest, ranked

TARGETS_NP = np.random.default_rng(1).integers(0, 4, (40, 3))
LOG_PROBS_VNPC = log_softmax(np.random.default_rng(2).normal(size=(5, 40, 3, 4)) + 1.5 * np.eye(4)[TARGETS_NP], axis=3)
READING = Reading(TARGETS_NP, aggregate(LOG_PROBS_VNPC))


def test_loss_margin_and_agreement_of_each_image() -> None:
    """Recompute them from their definitions."""
    losses, margins = losses_N(READING.log_probs_NPC, TARGETS_NP), min_margins_N(READING.log_probs_NPC, TARGETS_NP)
    agreeing = agreeing_views_N(LOG_PROBS_VNPC, READING.predicted_NP)

    for place in range(40):
        rows = READING.log_probs_NPC[place]
        true = [rows[position][TARGETS_NP[place, position]] for position in range(3)]
        rest = [max(np.delete(rows[position], TARGETS_NP[place, position])) for position in range(3)]
        assert losses[place] == pytest.approx(-sum(true))
        assert margins[place] == pytest.approx(min(one - other for one, other in zip(true, rest, strict=True)))
        views = [LOG_PROBS_VNPC[view, place].argmax(axis=1).tolist() for view in range(5)]
        assert agreeing[place] == views.count(READING.predicted_NP[place].tolist())
    assert (margins < 0).tolist() == (~READING.right_NP.all(axis=1)).tolist()


def test_a_certain_reading_has_no_loss() -> None:
    """The page would show -0."""
    sure_NPC = np.log(np.eye(4)[TARGETS_NP], where=np.eye(4)[TARGETS_NP] > 0, out=np.full((40, 3, 4), -np.inf))

    assert not np.signbit(losses_N(sure_NPC, TARGETS_NP)).any()


def test_each_order_puts_its_most_interesting_images_first() -> None:
    """Each order sorts the given images by its own key."""
    places = np.arange(0, 40, 2)
    keys = {
        "confidence": READING.confidence_N,
        "loss": -losses_N(READING.log_probs_NPC, TARGETS_NP),
        "margin": min_margins_N(READING.log_probs_NPC, TARGETS_NP),
        "disagreement": agreeing_views_N(LOG_PROBS_VNPC, READING.predicted_NP),
    }
    for order, key_N in keys.items():
        found = ranked(places, READING, LOG_PROBS_VNPC, order)  # type: ignore[arg-type]

        assert sorted(found) == places.tolist()
        assert (np.diff(key_N[found]) >= 0).all(), order
    most_confident = ranked(places, READING, LOG_PROBS_VNPC, "confidence", most_confident_first=True)
    assert (np.diff(READING.confidence_N[most_confident]) <= 0).all()


@pytest.mark.parametrize("position", [0, 2, None])
def test_a_cell_names_its_images_at_one_position_or_any(position: int | None) -> None:
    """An image with the confusion at two positions counts once."""
    at = range(3) if position is None else [position]
    found = in_cell(READING, position, 1, 2)
    close = nearest(READING, position, 1, 2)

    predicted_NP = READING.predicted_NP
    assert found.tolist() == [
        place for place in range(40) if any((TARGETS_NP[place, p], predicted_NP[place, p]) == (1, 2) for p in at)
    ]
    assert sorted(close) == [place for place in range(40) if any(TARGETS_NP[place, p] == 1 for p in at)]
    shares = [max(READING.log_probs_NPC[place, p, 2] for p in at if TARGETS_NP[place, p] == 1) for place in close]
    assert shares == sorted(shares, reverse=True)


def test_an_empty_list_is_not_an_error() -> None:
    """The list may be empty in every order."""
    none = np.array([], dtype=np.int64)
    for order in ("confidence", "loss", "margin", "disagreement"):
        assert len(ranked(none, READING, LOG_PROBS_VNPC, order)) == 0  # type: ignore[arg-type]
