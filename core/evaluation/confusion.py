"""Confusion matrices: one per position, and one of all positions together.

M matrices: the P positions in order, then all together; C classes. Rows are true characters, columns predicted ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.evaluation.metrics import Ints, intervals95, soft_confusion_PCC, support_PC, worst_margin_PC
from core.evaluation.predictions import Reading


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Confusion matrices of counts."""

    counts_MCC: Ints
    low_MCC: NDArray[np.float64]
    """Exact (Clopper-Pearson) 95% interval of a cell's share of its row; nan if the row is empty."""
    high_MCC: NDArray[np.float64]

    @property
    def support_MC(self) -> Ints:
        """Samples in each row; characters for all positions together."""
        support_MC: Ints = self.counts_MCC.sum(axis=2)
        return support_MC


def confusion(reading: Reading) -> Confusion:
    counts_PCC = reading.confusion_PCC()
    counts_MCC = np.concatenate([counts_PCC, counts_PCC.sum(axis=0, keepdims=True)])
    n_MCC = np.broadcast_to(counts_MCC.sum(axis=2, keepdims=True), counts_MCC.shape)
    low_MCC, high_MCC = (np.where(n_MCC == 0, np.nan, bound_MCC) for bound_MCC in intervals95(counts_MCC, n_MCC))
    return Confusion(counts_MCC=counts_MCC, low_MCC=low_MCC, high_MCC=high_MCC)


@dataclass(frozen=True, kw_only=True)
class SoftConfusion:
    """Confusion matrices of probabilities."""

    mass_MCC: NDArray[np.float64]
    """Mean probability. A row sums to 1; without samples it is nan."""
    support_MC: Ints
    margin_MC: NDArray[np.float64]
    """Smallest lead of the true character over the next, in nats; nan without samples."""


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
