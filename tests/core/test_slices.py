"""Parts of a held-out set, counted again by hand."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from core.slices import Slice, find_slices

LABELS = ["0123", "1123", "1023", "2222", "0011", "9876"]
RIGHT_N = np.array([True, False, True, False, True, True])
FACTS = {"source": ["mail", "mail", "mail", "post", "post", "post"], "size": ["60 x 20"] * 6}


def by_name(found: list[Slice]) -> dict[tuple[str, str], Slice]:
    return {(part.kind, part.value): part for part in found}


def test_each_slice_counts_its_own_samples() -> None:
    """Repeats, the leading zero, a character at a position, and what the database knows."""
    found = by_name(find_slices(LABELS, RIGHT_N, FACTS))

    counts = {name: (part.correct, part.n) for name, part in found.items()}
    assert counts["neighbours", "two equal"] == (1, 3)
    assert counts["neighbours", "all different"] == (3, 3)
    assert counts["character at 1", "0"] == (2, 2)
    assert counts["character at 2", "1"] == (1, 2)
    assert counts["source", "mail"] == (2, 3)
    assert counts["source", "post"] == (2, 3)
    for part in found.values():
        exact = binomtest(part.correct, part.n).proportion_ci(0.95, "exact")
        assert part.ci95 == pytest.approx((exact.low, exact.high))


def test_a_slice_of_all_samples_is_left_out() -> None:
    """All images have the same size, so the size explains nothing."""
    assert not [part for part in find_slices(LABELS, RIGHT_N, FACTS) if part.kind == "size"]


def test_the_worst_comes_first() -> None:
    """Surely bad before perhaps bad: one error of one says less than nine of ten."""
    labels = ["11"] * 10 + ["23"] + ["45"] * 50
    right_N = np.array([False] * 9 + [True, False] + [True] * 50)

    found = find_slices(labels, right_N, {})

    assert (found[0].correct, found[0].n) == (1, 10)
    assert [part.ci95[1] for part in found] == sorted(part.ci95[1] for part in found)


def test_the_lift_compares_with_all_other_samples() -> None:
    """2 of 3 wrong here, none of 3 there; without any error there is nothing to compare."""
    assert by_name(find_slices(LABELS, RIGHT_N, {}))["neighbours", "two equal"].lift == math.inf
    assert by_name(find_slices(LABELS, RIGHT_N, FACTS))["source", "mail"].lift == pytest.approx(1.0)
    assert math.isnan(find_slices(LABELS, np.ones(6, dtype=bool), {})[0].lift)
