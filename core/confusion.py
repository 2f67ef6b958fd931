"""The confusion matrices of a page: one for each position, and one of all positions together, on one scale.

M matrices: the P positions in order, then all of them; C classes. Rows are true characters, columns predicted ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from core.metrics import Ints, soft_confusion_PCC, support_PC, worst_margin_PC
from core.predictions import Reading


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """How often each character is read as which."""

    counts_MCC: Ints
    low_MCC: NDArray[np.float64]
    """Exact (Clopper-Pearson) 95% interval of a cell's share of its row; nan where the row is empty."""
    high_MCC: NDArray[np.float64]

    @property
    def support_MC(self) -> Ints:
        """Samples in each row; of all positions, characters."""
        support_MC: Ints = self.counts_MCC.sum(axis=2)
        return support_MC


def confusion(reading: Reading) -> Confusion:
    counts_PCC = reading.confusion_PCC()
    counts_MCC = np.concatenate([counts_PCC, counts_PCC.sum(axis=0, keepdims=True)])
    low_MCC, high_MCC = _bounds(counts_MCC, counts_MCC.sum(axis=2, keepdims=True))
    return Confusion(counts_MCC=counts_MCC, low_MCC=low_MCC, high_MCC=high_MCC)


def _bounds(counts_MCC: Ints, n_MC1: Ints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """core.metrics.interval95 of many shares at once: one call for thousands of cells, most of them empty."""
    n_MCC = np.broadcast_to(n_MC1, counts_MCC.shape)
    some_MCC, all_MCC = counts_MCC > 0, counts_MCC == n_MCC
    low_MCC, high_MCC = np.zeros(counts_MCC.shape), np.ones(counts_MCC.shape)
    k, n = counts_MCC[some_MCC], n_MCC[some_MCC]
    low_MCC[some_MCC] = betaincinv(k, n - k + 1, 0.025)
    k, n = counts_MCC[~all_MCC], n_MCC[~all_MCC]
    high_MCC[~all_MCC] = betaincinv(k + 1, n - k, 0.975)
    empty_MCC = n_MCC == 0
    return np.where(empty_MCC, np.nan, low_MCC), np.where(empty_MCC, np.nan, high_MCC)


@dataclass(frozen=True, kw_only=True)
class SoftConfusion:
    """How much probability each character gets where another stands."""

    mass_MCC: NDArray[np.float64]
    """Mean probability; a row sums to 1, without samples it is nan."""
    support_MC: Ints
    margin_MC: NDArray[np.float64]
    """Closest call: by how much, in nats, the true character leads the next at its closest; nan without samples."""


def soft_confusion(reading: Reading) -> SoftConfusion:
    mass_PCC = soft_confusion_PCC(reading.log_probs_NPC, reading.targets_NP)
    rows_PC = support_PC(reading.targets_NP, mass_PCC.shape[2])
    margin_PC = worst_margin_PC(reading.log_probs_NPC, reading.targets_NP)
    support_C = rows_PC.sum(axis=0)
    with np.errstate(invalid="ignore"):
        mass_CC = np.nansum(mass_PCC * rows_PC[:, :, None], axis=0) / support_C[:, None]
    margin_C = np.fmin.reduce(margin_PC, axis=0)
    return SoftConfusion(
        mass_MCC=np.concatenate([mass_PCC, mass_CC[None]]),
        support_MC=np.concatenate([rows_PC, support_C[None]]),
        margin_MC=np.concatenate([margin_PC, margin_C[None]]),
    )
