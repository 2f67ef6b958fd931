"""What a run read on a split, as it lies in its directory: predictions-val.npz, predictions-test.npz.

N samples, P positions, C classes, V views (view 0 is the image as it is).
"""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.charset import TextSpec
from core.errors import StorageError
from core.metrics import Floats, Ints, aggregate, confusion_PCC


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Everything that can be said about the reading of a split follows from these."""

    sha256: list[str]
    labels: list[str]
    """As they were when the run read the images."""
    views: list[str]
    log_probs_VNPC: NDArray[np.float32]
    step: int = -1
    """Of the weights that read; -1 where that was not recorded."""

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """Raises StorageError when the file is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(
                    sha256=arrays["sha256"].tolist(),
                    labels=arrays["labels"].tolist(),
                    views=arrays["views"].tolist(),
                    log_probs_VNPC=arrays["log_probs"],
                    step=int(arrays["step"]) if "step" in arrays else -1,
                )
        except Exception as error:  # zipfile, zlib, numpy and KeyError each have their own for a damaged file
            raise StorageError(f"{path.name} is missing or damaged; evaluate the run again.") from error

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            with temporary.open("wb") as file:
                np.savez(
                    file,
                    sha256=np.array(self.sha256, dtype=np.str_),
                    labels=np.array(self.labels, dtype=np.str_),
                    views=np.array(self.views, dtype=np.str_),
                    log_probs=self.log_probs_VNPC,
                    step=np.array(self.step),
                )
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def reading(self, spec: TextSpec, *, tta: bool) -> "Reading":
        targets_NP = np.array([spec.encode(label) for label in self.labels], dtype=np.int64)
        log_probs_NPC = aggregate(self.log_probs_VNPC) if tta else self.log_probs_VNPC[0]
        return Reading(targets_NP.reshape(-1, spec.length), log_probs_NPC)


@dataclass(frozen=True)
class Reading:
    """One answer for each image, beside its label."""

    targets_NP: Ints
    log_probs_NPC: Floats

    @cached_property
    def predicted_NP(self) -> Ints:
        predicted_NP: Ints = self.log_probs_NPC.argmax(axis=2)
        return predicted_NP

    @cached_property
    def right_NP(self) -> NDArray[np.bool_]:
        right_NP: NDArray[np.bool_] = self.predicted_NP == self.targets_NP
        return right_NP

    @cached_property
    def confidence_N(self) -> NDArray[np.float64]:
        """Product over the positions: the probability that all are right, were they independent."""
        confidence_N: NDArray[np.float64] = np.exp(self.log_probs_NPC.max(axis=2).sum(axis=1, dtype=np.float64))
        return confidence_N

    def confusion_PCC(self) -> Ints:
        return confusion_PCC(self.targets_NP, self.predicted_NP, self.log_probs_NPC.shape[2])

    def wrong(self) -> Ints:
        """Places of the images with an error, the surest first: a sure error is often a wrong label."""
        order = self.least_sure()[::-1]
        return order[~self.right_NP[order].all(axis=1)]

    def least_sure(self) -> Ints:
        """Places of all images, the least sure first."""
        return np.argsort(self.confidence_N, kind="stable")

    def in_cell(self, position: int, true: int, read: int) -> Ints:
        """Places of the images of one cell of the confusion matrix, the least sure first."""
        order = self.least_sure()
        places: Ints = order[(self.targets_NP[order, position] == true) & (self.predicted_NP[order, position] == read)]
        return places

    def nearest(self, position: int, true: int, read: int) -> Ints:
        """Places of the images with this true character, those first that come closest to being read as the other."""
        members = np.flatnonzero(self.targets_NP[:, position] == true)
        places: Ints = members[np.argsort(-self.log_probs_NPC[members, position, read], kind="stable")]
        return places
