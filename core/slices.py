"""Where errors gather: exact match on parts of a held-out set, worst first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.metrics import interval95

Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Samples that have something in common, and how many of them were read without an error."""

    kind: str
    """What they have in common, as "source" or "character at 3"; positions count from 1, as on the screen."""
    value: str
    n: int
    correct: int
    ci95: tuple[float, float]
    """Of the share that is right."""
    lift: float
    """Error rate here divided by that of all other samples; inf where those have no error, nan where none has."""


def find_slices(labels: Sequence[str], right_N: Bools, facts: Mapping[str, Sequence[str]]) -> list[Slice]:
    """Slices by text, by each character at each position, and by every fact; each fact has one value a sample.

    Ordered by how bad they surely are: by the upper end of their interval, lowest first. A slice that holds all
    samples says nothing and is left out.
    """
    members = text_slices(labels) | {
        (kind, value): np.array([each == value for each in values], dtype=bool)
        for kind, values in facts.items()
        for value in sorted(set(values))
    }
    found = [
        _slice(kind, value, right_N, members_N)
        for (kind, value), members_N in members.items()
        if 0 < members_N.sum() < len(right_N)
    ]
    return sorted(found, key=lambda part: (part.ci95[1], part.correct / part.n, part.kind, part.value))


def text_slices(labels: Sequence[str]) -> dict[tuple[str, str], Bools]:
    """Members of each slice that the label alone decides, by kind and value."""
    chars_NP = np.array([list(label) for label in labels])
    repeats_N = (chars_NP[:, 1:] == chars_NP[:, :-1]).any(axis=1)
    members = {("neighbours", "two equal"): repeats_N, ("neighbours", "all different"): ~repeats_N}
    for position in range(chars_NP.shape[1]):
        for char in np.unique(chars_NP[:, position]).tolist():
            members[f"character at {position + 1}", char] = chars_NP[:, position] == char
    return members


def _slice(kind: str, value: str, right_N: Bools, members_N: Bools) -> Slice:
    n, correct = int(members_N.sum()), int(right_N[members_N].sum())
    others = right_N[~members_N]
    here, elsewhere = 1 - correct / n, 1 - others.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = float(np.divide(here, elsewhere))
    return Slice(kind=kind, value=value, n=n, correct=correct, ci95=interval95(correct, n), lift=lift)
