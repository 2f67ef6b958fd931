"""Where errors gather: exact match on parts of a held-out set, worst first. N samples, P positions, S slices."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.evaluation.metrics import Ints, intervals95
from core.images.colors import name_colors

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
ALPHA = 0.05
FACTS = ("source", "import day", "operator", "size")
"""What the database knows of a sample, as db.samples.facts_by_hash names it."""
GONE = dict.fromkeys(FACTS, "gone")
"""Of a sample that is no longer there."""


@dataclass(frozen=True)
class Categorical:
    """One value of each sample, as a place in the list of all values."""

    values: list[str]
    codes_N: Ints

    @classmethod
    def of(cls, values: Iterable[str]) -> "Categorical":
        values = list(values)
        distinct = sorted(set(values))
        places = {value: place for place, value in enumerate(distinct)}
        return cls(distinct, np.fromiter(map(places.__getitem__, values), dtype=np.int64, count=len(values)))

    @classmethod
    def either(cls, members_N: Bools, yes: str, no: str) -> "Categorical":
        return cls([no, yes], members_N.astype(np.int64))

    def members(self, value: str) -> Bools:
        """Which samples have this value; none where there is no such value."""
        members_N: Bools = self.codes_N == (self.values.index(value) if value in self.values else -1)
        return members_N

    def among(self, members_N: Bools) -> "Categorical":
        return Categorical(self.values, self.codes_N[members_N])


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
    p: float
    """Chance of so many errors here, or more, in any of the slices, if all samples were equally hard."""

    @property
    def surely_worse(self) -> bool:
        """Whether it is worse than the rest by more than the worst of so many slices would be by chance."""
        return self.p < ALPHA


def text_columns(targets_NP: Ints, charset: str) -> dict[str, Categorical]:
    """What the label alone decides: equal neighbors, a leading zero, and the character at each position."""
    equal_NQ = targets_NP[:, 1:] == targets_NP[:, :-1]
    three_N = (equal_NQ[:, 1:] & equal_NQ[:, :-1]).any(axis=1)
    columns = {"neighbors": Categorical.either(equal_NQ.any(axis=1), "two equal", "all different")}
    if three_N.any():
        columns["in a row"] = Categorical.either(three_N, "three equal", "at most two equal")
    if charset.isdecimal() and "0" in charset:
        columns["leading zero"] = Categorical.either(targets_NP[:, 0] == charset.index("0"), "yes", "no")
    chars = list(charset)
    return columns | {f"character at {place}": Categorical(chars, codes) for place, codes in enumerate(targets_NP.T, 1)}


def all_columns(
    targets_NP: Ints,
    charset: str,
    seen_N: Bools,
    facts: Sequence[Mapping[str, str]],
    colors_N23: NDArray[np.uint8] | None,
) -> dict[str, Categorical]:
    """Everything by which samples are divided into parts.

    `seen_N` says whose text also occurs in the training images; `facts` has FACTS of each sample; colors are those of
    core.images.colors, None where they were not recorded.
    """
    columns = text_columns(targets_NP, charset)
    columns["text"] = Categorical.either(seen_N, "seen in training", "new to the run")
    columns |= {kind: Categorical.of(row[kind] for row in facts) for kind in FACTS}
    if colors_N23 is not None:
        columns["colors"] = Categorical.of(name_colors(colors_N23))
    return columns


def find_slices(columns: Mapping[str, Categorical], right_N: Bools, least: int = 1) -> list[Slice]:
    """A slice for each value of each column that at least so many samples have, and not all of them.

    Ordered by how bad they surely are: by the upper end of their interval, lowest first; of equal ones the smaller,
    which shows less. `p` is that of Fisher's exact test against all other samples, one-sided, times the number of
    slices as Holm (1979) has it: among a hundred slices of equally hard samples, five would otherwise look worse than
    the rest "with 95% confidence".
    """
    wrong_N = (~right_N).astype(np.float64)
    total, wrongs = len(right_N), int(wrong_N.sum())
    parts = [
        (kind, value, n, wrong)
        for kind, column in columns.items()
        for value, n, wrong in zip(
            column.values,
            np.bincount(column.codes_N, minlength=len(column.values)).tolist(),
            np.bincount(column.codes_N, weights=wrong_N, minlength=len(column.values)).astype(int).tolist(),
            strict=True,
        )
        if least <= n < total and n
    ]
    if not parts:
        return []
    n_S, wrong_S = np.array([part[2:] for part in parts]).T
    low_S, high_S = intervals95(n_S - wrong_S, n_S)
    p_S = holm(worse_than_rest(wrong_S, n_S, wrongs, total))
    with np.errstate(divide="ignore", invalid="ignore"):
        lift_S = (wrong_S / n_S) / ((wrongs - wrong_S) / (total - n_S))
    slices = [
        Slice(kind=kind, value=value, n=n, correct=n - wrong, ci95=(low, high), lift=lift, p=p)
        for (kind, value, n, wrong), low, high, lift, p in zip(
            parts, low_S.tolist(), high_S.tolist(), lift_S.tolist(), p_S.tolist(), strict=True
        )
    ]
    return sorted(slices, key=lambda part: (part.ci95[1], part.correct / part.n, part.n, part.kind, part.value))


def worse_than_rest(wrong_S: Ints, n_S: Ints, wrongs: int, total: int) -> Floats:
    """Chance of at least so many wrong among n of all `total` samples, of which `wrongs` are wrong (Fisher, exact)."""
    from scipy.stats import hypergeom

    p_S: Floats = hypergeom.sf(wrong_S - 1, total, wrongs, n_S)
    return p_S


def holm(p_S: Floats) -> Floats:
    """Adjusted for their number: below a level, with that chance of even one mistake among all that are below it."""
    order = np.argsort(p_S)
    adjusted_S = np.empty(len(p_S))
    adjusted_S[order] = np.maximum.accumulate(p_S[order] * np.arange(len(p_S), 0, -1)).clip(max=1.0)
    return adjusted_S
