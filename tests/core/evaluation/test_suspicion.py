"""Suspicion against labels: found with a strong network, and few false ones with a weak one."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax

from core.evaluation.suspicion import SUSPECT, measure

CLASSES = 10


def readings(lead: float, n: int = 1500) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return log-probabilities of a network that leads by `lead` at the right character, and the right characters."""
    rng = np.random.default_rng(0)
    right_NP = rng.integers(0, CLASSES, (n, 4))
    logits_NPC = rng.normal(0, 1.5, (n, 4, CLASSES))
    np.put_along_axis(logits_NPC, right_NP[:, :, None], rng.normal(lead, lead / 3, (n, 4, 1)), axis=2)
    return log_softmax(3 * logits_NPC, axis=2).astype(np.float32), right_NP  # three times too certain


@pytest.mark.parametrize(("lead", "recall"), [(15.0, 0.9), (5.0, 0.4), (3.0, 0.0)])
def test_flips_are_found_without_false_alarms(lead: float, recall: float) -> None:
    """One label in fifty is wrong at one position. A weaker network finds fewer, but accuses no more right labels."""
    log_probs_NPC, right_NP = readings(lead)
    rng = np.random.default_rng(1)
    given_NP = right_NP.copy()
    flipped = rng.choice(len(given_NP), len(given_NP) // 50, replace=False)
    place = rng.integers(0, 4, len(flipped))
    given_NP[flipped, place] = (given_NP[flipped, place] + rng.integers(1, CLASSES, len(flipped))) % CLASSES

    suspicion = measure(log_probs_NPC, given_NP)

    suspected = np.flatnonzero((suspicion.wrong_NP >= SUSPECT).any(axis=1))
    hits = np.isin(suspected, flipped).sum()
    assert hits >= recall * len(flipped)
    assert hits >= 0.9 * len(suspected)
    assert suspicion.temperature > 1


def test_right_labels_and_a_certain_network_make_no_suspicion() -> None:
    """A character that the network reads alike is never suspected."""
    log_probs_NPC, right_NP = readings(30.0)

    suspicion = measure(log_probs_NPC, right_NP)

    assert not (suspicion.wrong_NP >= SUSPECT).any()
    assert (suspicion.wrong_NP[suspicion.best_NP == right_NP] == 0).all()


def test_many_labels_are_judged_like_few_also_where_the_wrong_ones_stand_together() -> None:
    """The fit uses a part of many labels. That part holds wrong ones, although only the last source has them."""
    log_probs_NPC, right_NP = readings(15.0, n=12_000)
    given_NP = right_NP.copy()
    given_NP[-240:, 0] = (given_NP[-240:, 0] + 1) % CLASSES

    suspicion = measure(log_probs_NPC, given_NP)

    suspected = np.flatnonzero((suspicion.wrong_NP >= SUSPECT).any(axis=1))
    hits = (suspected >= 12_000 - 240).sum()
    assert hits >= 0.9 * 240
    assert hits >= 0.9 * len(suspected)
    assert suspicion.wrong_share == pytest.approx(240 / 48_000, rel=0.3)
