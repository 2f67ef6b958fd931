"""Comparison of two runs on the same images: a paired test, and the images they disagree on.

N samples that both runs evaluated with the same label, P positions. F and S index the first and the second run.
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
from core.evaluation.reference import check_same
from core.evaluation.tta_effect import ALPHA, mcnemar
from core.words import plural

Bools = NDArray[np.bool_]
POWER = 0.8
"""Power for `images_needed`: the probability that this many images show a difference."""
Kind = Literal["first", "second", "differently", "same"]


@dataclass(frozen=True, kw_only=True)
class Common:
    """The images of one split on which two runs can be compared."""

    places_N: tuple[Ints, Ints]
    """Indices of the common images in each run's predictions, in the order of the first run."""
    only: tuple[int, int]
    """Images that only this run evaluated."""
    relabeled: int
    """Images that both evaluated, with different labels."""

    @property
    def n(self) -> int:
        return len(self.places_N[0])

    def sentence(self, first: str, second: str, target: str = "label") -> str:
        """Return the counts of excluded images with reasons, or an empty text. `target` is what was compared with."""
        counts = {f"only in {first}": self.only[0], f"only in {second}": self.only[1]}
        counts[f"with different {target}s"] = self.relabeled
        excluded = [f"{count:,} {reason}" for reason, count in counts.items() if count]
        if not excluded:
            return ""
        shared = f"Compared on {plural(self.n, 'image')} that both evaluated with the same {target}."
        return f"{shared} Excluded: {', '.join(excluded)}."


def common(first: Predictions, second: Predictions) -> Common:
    """Return the images to compare on. Raises TrainingError if there are none, or if the references differ."""
    check_same(first.reference, second.reference)
    places_F, places_S = _same_images(first.sha256, second.sha256)
    same_N = np.array(first.labels)[places_F] == np.array(second.labels)[places_S]
    if not same_N.any():
        raise TrainingError("Both runs have no evaluated image with the same label in common. Evaluate both again.")
    return Common(
        places_N=(places_F[same_N], places_S[same_N]),
        only=(len(first.sha256) - len(places_F), len(second.sha256) - len(places_F)),
        relabeled=int((~same_N).sum()),
    )


def _same_images(first: list[str], second: list[str]) -> tuple[Ints, Ints]:
    """Return the indices of the common hashes in both, in the order of the first."""
    if first == second:  # the usual case; sorting 100,000 hashes takes a second
        return np.arange(len(first)), np.arange(len(first))
    hashes = np.array(first, dtype="U64"), np.array(second, dtype="U64")
    _, places_F, places_S = np.intersect1d(*hashes, assume_unique=True, return_indices=True)
    order = np.argsort(places_F)
    return places_F[order], places_S[order]


@dataclass(frozen=True, kw_only=True)
class Paired:
    """A paired test. Only images that exactly one run reads right count as evidence."""

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
        """Images needed for a significant difference at these rates, with probability POWER.

        Connor's formula for the McNemar test. None if the rates are equal.
        """
        from scipy.stats import norm

        discordant = (self.only_first + self.only_second) / self.n
        difference = (self.only_first - self.only_second) / self.n
        if not difference:
            return None
        z_alpha, z_power = float(norm.ppf(1 - ALPHA / 2)), float(norm.ppf(POWER))
        spread = z_alpha * math.sqrt(discordant) + z_power * math.sqrt(discordant - difference**2)
        return math.ceil((spread / difference) ** 2)

    def verdict(self, first: str, second: str) -> str:
        """Return the result in one to three sentences."""
        b, c = self.only_first, self.only_second
        if b < c:
            (b, first), (c, second) = (c, second), (b, first)
        if not b + c:
            return f"No difference: both read the same {self.both:,} of {plural(self.n, 'image')} right."
        are = "is" if b == 1 else "are"
        counts = f"Of {plural(self.n, 'image')}, {b:,} {are} right only with {first} and {c:,} only with {second}"
        test = f"{counts} (exact McNemar test, p {self.p_text})."
        if self.p < ALPHA:
            return f"{first} is significantly better. {test}"
        result = f"The difference is not significant. {test}"
        if (needed := self.images_needed) is None:
            return result
        return f"{result} At these rates, about {float(f'{needed:.2g}'):,.0f} images would show it."


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
        """Return the test for one position."""
        return _paired(self.first.right_NP[:, position], self.second.right_NP[:, position])

    def disagreements(self, kind: Kind) -> Ints:
        """Return indices among the common images, most confident error first.

        `first`, `second`: only that run is right. `differently`: both are wrong with different readings. `same`: both
        are wrong with the same reading.
        """
        right_F, right_S = self.first.right_N, self.second.right_N
        alike_N = (self.first.predicted_NP == self.second.predicted_NP).all(axis=1)
        chosen_N = {
            "first": right_F & ~right_S,
            "second": right_S & ~right_F,
            "differently": ~right_F & ~right_S & ~alike_N,
            "same": ~right_F & ~right_S & alike_N,
        }[kind]
        confidence_N = np.maximum(
            np.where(right_F, 0.0, self.first.confidence_N), np.where(right_S, 0.0, self.second.confidence_N)
        )
        places = np.flatnonzero(chosen_N)
        in_order: Ints = places[np.argsort(-confidence_N[places], kind="stable")]
        return in_order


def compare(
    first: Predictions, second: Predictions, images: Common, spec: TextSpec, *, tta: tuple[bool, bool]
) -> Comparison:
    """Compare two runs; `tta` selects TTA for each."""
    places_F, places_S = images.places_N
    return Comparison(first.reading(spec, tta=tta[0]).at(places_F), second.reading(spec, tta=tta[1]).at(places_S))


def _paired(right_F: Bools, right_S: Bools) -> Paired:
    b, c = int((right_F & ~right_S).sum()), int((right_S & ~right_F).sum())
    return Paired(n=len(right_F), both=int((right_F & right_S).sum()), only_first=b, only_second=c, p=mcnemar(b, c))
