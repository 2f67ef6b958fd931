"""Confusion matrices, checked by counting and with scipy's exact interval."""

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import binomtest

from core.evaluation.confusion import confusion, soft_confusion
from core.evaluation.predictions import Reading


@pytest.fixture
def reading() -> Reading:
    """200 readings with three positions and four characters. The last character never occurs at position 1."""
    rng = np.random.default_rng(0)
    targets_NP = rng.integers(0, 4, (200, 3))
    targets_NP[:, 0] = rng.integers(0, 3, 200)
    logits_NPC = rng.normal(size=(200, 3, 4)) + 2.5 * np.eye(4)[targets_NP]
    return Reading(targets_NP, log_softmax(logits_NPC, axis=2))


def test_every_cell_counts_its_readings_with_the_exact_interval(reading: Reading) -> None:
    """The interval is that of a binomial test."""
    found = confusion(reading)

    assert found.counts_MCC.shape == (4, 4, 4)
    for place in range(4):
        where = slice(None) if place == 3 else place
        true, read = reading.targets_NP[:, where].ravel(), reading.predicted_NP[:, where].ravel()
        for row in range(4):
            n = int((true == row).sum())
            assert found.support_MC[place, row] == n
            for column in range(4):
                k = int(((true == row) & (read == column)).sum())
                assert found.counts_MCC[place, row, column] == k
                bounds = found.low_MCC[place, row, column], found.high_MCC[place, row, column]
                if n:
                    exact = binomtest(k, n).proportion_ci(method="exact")
                    assert bounds == pytest.approx((exact.low, exact.high))
                else:
                    assert np.isnan(bounds).all()


def test_soft_confusion_of_all_positions_is_that_of_their_characters(reading: Reading) -> None:
    """Mean probability, support and smallest margin of each character."""
    found = soft_confusion(reading)

    flat, true = reading.log_probs_NPC.reshape(-1, 4), reading.targets_NP.ravel()
    for row in range(4):
        probs = np.exp(flat[true == row])
        others = np.delete(flat[true == row], row, axis=1).max(axis=1)
        assert found.mass_MCC[3, row] == pytest.approx(probs.mean(axis=0))
        assert found.support_MC[3, row] == len(probs)
        assert found.margin_MC[3, row] == pytest.approx((flat[true == row][:, row] - others).min())
    assert np.isnan(found.mass_MCC[0, 3]).all()
    assert found.mass_MCC[3].sum(axis=1) == pytest.approx(1)
