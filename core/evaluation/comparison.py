"""Two runs on the same images: which of them reads more, whether that can be chance, and where they disagree.

N samples that both read with the same label, P positions.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.charset import TextSpec
from core.errors import TrainingError
from core.evaluation.metrics import Evaluation, Ints
from core.evaluation.predictions import Predictions, Reading
from core.evaluation.views_worth import ALPHA, mcnemar

Bools = NDArray[np.bool_]
POWER = 0.8
"""Share of image sets of the size that `images_needed` names that would tell the runs apart."""
Kind = Literal["first", "second", "differently", "same"]


@dataclass(frozen=True, kw_only=True)
class Common:
    """What two runs read of one split, and what of it can be compared."""

    places_N: tuple[Ints, Ints]
    """Of the common images in the predictions of each run, in the order of the first."""
    only: tuple[int, int]
    """Images that only this run read."""
    relabeled: int
    """Images that both read, but the label was changed in between."""

    @property
    def n(self) -> int:
        return len(self.places_N[0])

    def sentence(self, first: str, second: str) -> str:
        """What was left out, and why; empty where nothing was."""
        counts = {f"only {first} read": self.only[0], f"only {second} read": self.only[1]}
        counts["have another label in one of them"] = self.relabeled
        left = [f"{count:,} {why}" for why, count in counts.items() if count]
        if not left:
            return ""
        return f"Compared on the {self.n:,} images both read with the same label; left out: {', '.join(left)}."


def common(first: Predictions, second: Predictions) -> Common:
    """Raises TrainingError when there is no image to compare on."""
    places_F, places_S = _same_images(first.sha256, second.sha256)
    same_N = np.array(first.labels)[places_F] == np.array(second.labels)[places_S]
    if not same_N.any():
        raise TrainingError("There is no image that both runs have read with the same label; evaluate both again.")
    return Common(
        places_N=(places_F[same_N], places_S[same_N]),
        only=(len(first.sha256) - len(places_F), len(second.sha256) - len(places_F)),
        relabeled=int((~same_N).sum()),
    )


def _same_images(first: list[str], second: list[str]) -> tuple[Ints, Ints]:
    """Places of the common hashes in both, in the order of the first."""
    if first == second:  # two runs on the same labels: of 100,000, sorting takes a second
        return np.arange(len(first)), np.arange(len(first))
    hashes = np.array(first, dtype="U64"), np.array(second, dtype="U64")
    _, places_F, places_S = np.intersect1d(*hashes, assume_unique=True, return_indices=True)
    order = np.argsort(places_F)
    return places_F[order], places_S[order]


@dataclass(frozen=True, kw_only=True)
class Paired:
    """The paired test: only the images that one run reads right and the other wrong tell them apart."""

    n: int
    both: int
    only_first: int
    only_second: int
    p: float
    """Exact two-sided McNemar test."""

    @property
    def p_text(self) -> str:
        return "< 0.0001" if self.p < 1e-4 else f"= {self.p:.2g}"

    @property
    def images_needed(self) -> int | None:
        """Images that would tell the runs apart at these rates, in POWER of all sets of that size.

        Connor's formula for the McNemar test. None where the rates are equal.
        """
        from scipy.stats import norm

        apart, difference = (self.only_first + self.only_second) / self.n, (self.only_first - self.only_second) / self.n
        if not difference:
            return None
        chance, shown = float(norm.ppf(1 - ALPHA / 2)), float(norm.ppf(POWER))
        return math.ceil(((chance * math.sqrt(apart) + shown * math.sqrt(apart - difference**2)) / difference) ** 2)

    def verdict(self, first: str, second: str) -> str:
        """In one or two sentences."""
        b, c = self.only_first, self.only_second
        if b < c:
            (b, first), (c, second) = (c, second), (b, first)
        if not b + c:
            return f"Both read the same {self.both:,} of these {self.n:,} images right: there is nothing to tell apart."
        counts = f"{b:,} only {first} reads right, {c:,} only {second} (exact McNemar test, p {self.p_text})."
        if self.p < ALPHA:
            return f"{first} reads more of these {self.n:,} images: {counts}"
        told = f"The two cannot be told apart by these {self.n:,} images: {counts}"
        if (needed := self.images_needed) is None:
            return told
        return f"{told} If they differ as much as here, about {float(f'{needed:.2g}'):,.0f} images would show it."


@dataclass(frozen=True)
class Comparison:
    """Both readings of the common images."""

    first: Reading
    second: Reading

    @property
    def scores(self) -> tuple[Evaluation, Evaluation]:
        return self.first.evaluation, self.second.evaluation

    @cached_property
    def paired(self) -> Paired:
        return _paired(self.first.right_N, self.second.right_N)

    def paired_at(self, position: int) -> Paired:
        """The same for one character."""
        return _paired(self.first.right_NP[:, position], self.second.right_NP[:, position])

    def disagreements(self, kind: Kind) -> Ints:
        """Places among the common images, the surest wrong answer first.

        `first` and `second`: only that run reads them right; `differently`: both wrong, not alike; `same`: both read
        the same, which is not the label.
        """
        right_F, right_S = self.first.right_N, self.second.right_N
        alike_N = (self.first.predicted_NP == self.second.predicted_NP).all(axis=1)
        chosen_N = {
            "first": right_F & ~right_S,
            "second": right_S & ~right_F,
            "differently": ~right_F & ~right_S & ~alike_N,
            "same": ~right_F & ~right_S & alike_N,
        }[kind]
        sure_N = np.maximum(
            np.where(right_F, 0.0, self.first.confidence_N), np.where(right_S, 0.0, self.second.confidence_N)
        )
        places = np.flatnonzero(chosen_N)
        found: Ints = places[np.argsort(-sure_N[places], kind="stable")]
        return found


def compare(
    first: Predictions, second: Predictions, found: Common, spec: TextSpec, *, tta: tuple[bool, bool]
) -> Comparison:
    """`tta` says of each run whether its views are averaged."""
    return Comparison(
        first.reading(spec, tta=tta[0]).at(found.places_N[0]), second.reading(spec, tta=tta[1]).at(found.places_N[1])
    )


def _paired(right_F: Bools, right_S: Bools) -> Paired:
    b, c = int((right_F & ~right_S).sum()), int((right_S & ~right_F).sum())
    return Paired(n=len(right_F), both=int((right_F & right_S).sum()), only_first=b, only_second=c, p=mcnemar(b, c))
