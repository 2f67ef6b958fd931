"""Suspicion: the probability that the character of a label is wrong, from out-of-fold readings.

A label is a reading of the network with a small share of errors at random: the network's temperature T and that share
are fitted together to the labels. A weak network needs a high temperature, and then contradicts no label with
certainty, so it suspects few. A fixed limit would suspect every image that a weak network misreads.

N samples, P positions, C classes.
"""

import math
from dataclasses import dataclass

import numpy as np

from core.bundle.reader import at_temperature
from core.evaluation.calibration import TEMPERATURES
from core.evaluation.metrics import Floats, Ints

SHARES = (1e-5, 0.2)
"""Bounds of the fitted share of wrong characters."""
SUSPECT = 0.3
"""Lowest probability that a character is wrong at which it is suspected.

With 2% flipped labels of 151 rendered images, 20 draws: a network that reads 95% finds 95% of them, and one that reads
52% finds 37%, both without a false one. At 0.1, half of the labels that the weak network suspects are right.
"""

FITTED = 5000
"""Labels that are enough to fit two numbers. With all of 100,000, the fit takes 17 s or more."""


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """The suspicion against each character of each label."""

    temperature: float
    wrong_share: float
    """Fitted share of wrong characters."""
    wrong_NP: Floats
    """Probability that the character of the label is wrong and the network's best one is right."""
    label_NP: Floats
    """Calibrated out-of-fold probability of the character of the label."""
    best_NP: Ints
    """The network's most probable character."""


def measure(log_probs_NPC: Floats, targets_NP: Ints) -> Suspicion:
    """Fit the temperature and the share of wrong characters by maximum likelihood, and judge each character.

    Fits at most 5,000 labels, evenly spaced over all of them.
    """
    from scipy.optimize import minimize

    others = log_probs_NPC.shape[2] - 1
    spaced = np.linspace(0, len(targets_NP) - 1, min(FITTED, len(targets_NP))).astype(int)
    fitted_NPC, fitted_NP = log_probs_NPC[spaced], targets_NP[spaced]

    def loss(values: Floats) -> float:
        share = math.exp(values[1])
        label_NP = _of_labels(np.exp(at_temperature(fitted_NPC, math.exp(values[0]))), fitted_NP)
        return -float(np.log((1 - share) * label_NP + share / others * (1 - label_NP)).mean())

    bounds = [tuple(map(math.log, pair)) for pair in (TEMPERATURES, SHARES)]
    fit = minimize(loss, x0=np.log([1.0, 0.01]), bounds=bounds, method="Nelder-Mead")
    temperature, share = map(math.exp, fit.x)
    probs_NPC: Floats = np.exp(at_temperature(log_probs_NPC, temperature))
    label_NP, best_probs_NP = _of_labels(probs_NPC, targets_NP), probs_NPC.max(axis=2)
    best_NP = log_probs_NPC.argmax(axis=2)
    given_NP = (1 - share) * label_NP + share / others * (1 - label_NP)
    wrong_NP = np.where(best_NP == targets_NP, 0.0, share / others * best_probs_NP / given_NP)
    return Suspicion(temperature=temperature, wrong_share=share, wrong_NP=wrong_NP, label_NP=label_NP, best_NP=best_NP)


def _of_labels(probs_NPC: Floats, targets_NP: Ints) -> Floats:
    """Return the probability of the character of each label."""
    samples, positions = targets_NP.shape
    return probs_NPC[np.arange(samples)[:, None], np.arange(positions), targets_NP]
