"""Slices: exact match on groups of samples that share a property, worst first. N samples, P positions, S slices."""

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
"""Properties of a sample from db.samples.facts_by_hash."""
DELETED = dict.fromkeys(FACTS, "deleted")
"""Properties of a sample that is no longer in the database."""


@dataclass(frozen=True)
class Categorical:
    """One value per sample, as an index into the list of distinct values."""

    values: list[str]
    codes_N: Ints

    @classmethod
    def of(cls, values: Iterable[str]) -> "Categorical":
        values = list(values)
        distinct = sorted(set(values))
        codes = {value: code for code, value in enumerate(distinct)}
        return cls(distinct, np.fromiter(map(codes.__getitem__, values), dtype=np.int64, count=len(values)))

    @classmethod
    def either(cls, members_N: Bools, yes: str, no: str) -> "Categorical":
        return cls([no, yes], members_N.astype(np.int64))

    def members(self, value: str) -> Bools:
        """Mark the samples with this value; no sample if the value does not occur."""
        members_N: Bools = self.codes_N == (self.values.index(value) if value in self.values else -1)
        return members_N

    def among(self, members_N: Bools) -> "Categorical":
        return Categorical(self.values, self.codes_N[members_N])


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Samples that share a property, and their exact match."""

    kind: str
    """The property, such as "source" or "position 3" (1-based)."""
    value: str
    n: int
    correct: int
    ci95: tuple[float, float]
    """Interval of the exact match."""
    error_ratio: float
    """Error rate divided by that of all other samples; inf if the others have no error, nan if none has."""
    p: float
    """Probability of at least this many errors in any slice if all samples were equally hard."""

    @property
    def significant(self) -> bool:
        """True if worse than the rest by more than chance, corrected for the number of slices."""
        return self.p < ALPHA


def text_columns(targets_NP: Ints, charset: str) -> dict[str, Categorical]:
    """Return the properties of the label: repeated characters, a leading zero, and the character at each position."""
    equal_NQ = targets_NP[:, 1:] == targets_NP[:, :-1]
    triple_N = (equal_NQ[:, 1:] & equal_NQ[:, :-1]).any(axis=1)
    columns = {"adjacent characters": Categorical.either(equal_NQ.any(axis=1), "two equal", "all different")}
    if triple_N.any():
        columns["three equal in a row"] = Categorical.either(triple_N, "yes", "no")
    if charset.isdecimal() and "0" in charset:
        columns["leading zero"] = Categorical.either(targets_NP[:, 0] == charset.index("0"), "yes", "no")
    chars = list(charset)
    return columns | {f"position {number}": Categorical(chars, codes) for number, codes in enumerate(targets_NP.T, 1)}


def all_columns(
    targets_NP: Ints,
    charset: str,
    seen_N: Bools,
    facts: Sequence[Mapping[str, str]],
    colors_N23: NDArray[np.uint8] | None,
) -> dict[str, Categorical]:
    """Return all properties that define slices.

    `seen_N` marks texts that also occur in the training images. `facts` has FACTS of each sample. `colors_N23` comes
    from core.images.colors; None if not recorded.
    """
    columns = text_columns(targets_NP, charset)
    columns["text"] = Categorical.either(seen_N, "seen in training", "not seen in training")
    columns |= {kind: Categorical.of(row[kind] for row in facts) for kind in FACTS}
    if colors_N23 is not None:
        columns["colors"] = Categorical.of(name_colors(colors_N23))
    return columns


def find_slices(columns: Mapping[str, Categorical], right_N: Bools, min_images: int = 1) -> list[Slice]:
    """Return a slice for each value of each column with at least `min_images` samples, but not all samples.

    Sorted by the upper end of the interval, lowest first, then by exact match and size. `p` is from Fisher's one-sided
    exact test against all other samples, with Holm's correction (1979). Without it, five of a hundred equally hard
    slices would look worse than the rest.
    """
    wrong_N = (~right_N).astype(np.float64)
    total, total_wrong = len(right_N), int(wrong_N.sum())
    groups = [
        (kind, value, n, wrong)
        for kind, column in columns.items()
        for value, n, wrong in zip(
            column.values,
            np.bincount(column.codes_N, minlength=len(column.values)).tolist(),
            np.bincount(column.codes_N, weights=wrong_N, minlength=len(column.values)).astype(int).tolist(),
            strict=True,
        )
        if min_images <= n < total and n
    ]
    if not groups:
        return []
    n_S, wrong_S = np.array([group[2:] for group in groups]).T
    low_S, high_S = intervals95(n_S - wrong_S, n_S)
    p_S = holm(worse_than_rest(wrong_S, n_S, total_wrong, total))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio_S = (wrong_S / n_S) / ((total_wrong - wrong_S) / (total - n_S))
    slices = [
        Slice(kind=kind, value=value, n=n, correct=n - wrong, ci95=(low, high), error_ratio=ratio, p=p)
        for (kind, value, n, wrong), low, high, ratio, p in zip(
            groups, low_S.tolist(), high_S.tolist(), ratio_S.tolist(), p_S.tolist(), strict=True
        )
    ]
    return sorted(slices, key=lambda each: (each.ci95[1], each.correct / each.n, each.n, each.kind, each.value))


def worse_than_rest(wrong_S: Ints, n_S: Ints, total_wrong: int, total: int) -> Floats:
    """Return the one-sided p of Fisher's exact test: at least `wrong_S` errors among `n_S` of all `total` samples."""
    from scipy.stats import hypergeom

    p_S: Floats = hypergeom.sf(wrong_S - 1, total, total_wrong, n_S)
    return p_S


def holm(p_S: Floats) -> Floats:
    """Adjust p values for their number with Holm's method, which controls the family-wise error rate."""
    order = np.argsort(p_S)
    adjusted_S = np.empty(len(p_S))
    adjusted_S[order] = np.maximum.accumulate(p_S[order] * np.arange(len(p_S), 0, -1)).clip(max=1.0)
    return adjusted_S
