"""The scores of a model that ignores the images and always gives the most frequent characters."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from core.charset import TextSpec


@dataclass(frozen=True, kw_only=True)
class Guessing:
    """Scores of guessing. At a position that is blank in most images, always answering blank is mostly right."""

    shares: tuple[float, ...]
    """Share of the most frequent character at each position."""
    loss: float
    """Loss of knowing only how frequent the characters are."""

    @property
    def share(self) -> float:
        """Share of all characters that guessing gets right."""
        return fmean(self.shares)

    @classmethod
    def uniform(cls, spec: TextSpec) -> "Guessing":
        return cls(shares=(1 / spec.num_classes,) * spec.length, loss=math.log(spec.num_classes))

    @classmethod
    def of_labels(cls, labels: Sequence[str]) -> "Guessing":
        frequencies = [
            [count / len(labels) for count in Counter(position).values()] for position in zip(*labels, strict=True)
        ]
        return cls(
            shares=tuple(max(each) for each in frequencies),
            loss=fmean(-sum(share * math.log(share) for share in each) for each in frequencies),
        )

    @classmethod
    def from_choices(cls, choices: Mapping[str, Any], spec: TextSpec) -> "Guessing":
        """Read `guessing` of a run's choices. It is missing in runs of earlier versions and before the start."""
        try:
            shares, loss = choices["guessing"]["shares"], float(choices["guessing"]["loss"])
            guessing = cls(shares=tuple(map(float, shares)), loss=loss)
        except (KeyError, TypeError, ValueError):
            return cls.uniform(spec)
        return guessing if len(guessing.shares) == spec.length else cls.uniform(spec)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"shares": list(self.shares)}
