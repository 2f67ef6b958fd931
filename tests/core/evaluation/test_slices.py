"""Slices of held-out images, counted again by hand."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, fisher_exact

from core.charset import TextSpec
from core.evaluation.metrics import intervals95
from core.evaluation.slices import Categorical, Slice, find_slices, holm, text_columns
from tests.helpers.python_lines import python_lines

DIGITS = "0123456789"
LABELS = ["0123", "1123", "1023", "2222", "0011", "9876"]
RIGHT_N = np.array([True, False, True, False, True, True])
FACTS = {"source": ["mail", "mail", "mail", "post", "post", "post"], "size": ["60 x 20"] * 6}


def columns_of(labels: list[str], facts: dict[str, list[str]], charset: str = DIGITS) -> dict[str, Categorical]:
    spec = TextSpec(len(labels[0]), charset)
    targets_NP = np.array([spec.encode(label) for label in labels])
    return text_columns(targets_NP, charset) | {kind: Categorical.of(values) for kind, values in facts.items()}


def by_name(found: list[Slice]) -> dict[tuple[str, str], Slice]:
    return {(part.kind, part.value): part for part in found}


def test_each_slice_counts_its_own_samples() -> None:
    """Repeats, a leading zero, a character at a position, and database properties."""
    found = by_name(find_slices(columns_of(LABELS, FACTS), RIGHT_N))

    counts = {name: (part.correct, part.n) for name, part in found.items()}
    assert counts["adjacent characters", "two equal"] == (1, 3)
    assert counts["adjacent characters", "all different"] == (3, 3)
    assert counts["three equal in a row", "yes"] == (0, 1)
    assert counts["leading zero", "yes"] == counts["position 1", "0"] == (2, 2)
    assert counts["leading zero", "no"] == (2, 4)
    assert counts["position 2", "1"] == (1, 2)
    assert counts["source", "mail"] == (2, 3)
    assert counts["source", "post"] == (2, 3)
    for part in found.values():
        exact = binomtest(part.correct, part.n).proportion_ci(0.95, "exact")
        assert part.ci95 == pytest.approx((exact.low, exact.high))


def test_letters_have_no_leading_zero() -> None:
    """There is also no slice for three equal characters if no text has them."""
    columns = columns_of(["ab", "ba"], {}, charset="ab0")

    assert set(columns) == {"adjacent characters", "position 1", "position 2"}


def test_a_slice_of_all_samples_is_left_out() -> None:
    """If all images have the same size, the size explains nothing."""
    assert not [part for part in find_slices(columns_of(LABELS, FACTS), RIGHT_N) if part.kind == "size"]
    assert not [part for part in find_slices(columns_of(LABELS, FACTS), RIGHT_N, min_images=4) if part.n < 4]
    assert find_slices({"source": Categorical.of([])}, np.ones(0, dtype=bool)) == []


def test_the_worst_comes_first() -> None:
    """One error of one is weaker evidence than nine of ten."""
    labels = ["11"] * 10 + ["23"] + ["45"] * 50
    right_N = np.array([False] * 9 + [True, False] + [True] * 50)

    found = find_slices(columns_of(labels, {}), right_N)

    assert (found[0].correct, found[0].n) == (1, 10)
    assert [part.ci95[1] for part in found] == sorted(part.ci95[1] for part in found)


def test_the_error_ratio_compares_with_all_other_samples() -> None:
    """2 of 3 wrong against none of 3; nan without any error."""
    columns = columns_of(LABELS, FACTS)
    assert by_name(find_slices(columns, RIGHT_N))["adjacent characters", "two equal"].error_ratio == math.inf
    assert by_name(find_slices(columns, RIGHT_N))["source", "mail"].error_ratio == pytest.approx(1.0)
    assert math.isnan(find_slices(columns, np.ones(6, dtype=bool))[0].error_ratio)


def test_p_is_that_of_fisher_adjusted_for_the_number_of_slices() -> None:
    """Recompute each table with scipy, then apply Holm's correction."""
    rng = np.random.default_rng(1)
    facts = {"source": [str(value) for value in rng.integers(0, 12, 900)]}
    right_N = rng.random(900) > np.where(np.array(facts["source"]) == "7", 0.4, 0.05)

    found = find_slices({"source": Categorical.of(facts["source"])}, right_N)

    wrongs, by_scipy = int((~right_N).sum()), {}
    for part in found:
        wrong = part.n - part.correct
        table = [[wrong, part.correct], [wrongs - wrong, 900 - wrongs - part.correct]]
        by_scipy[part.value] = fisher_exact(table, alternative="greater").pvalue
    worst = 0.0
    for rank, (value, p) in enumerate(sorted(by_scipy.items(), key=lambda item: item[1])):
        worst = max(worst, p * (len(by_scipy) - rank))
        assert by_name(found)["source", value].p == pytest.approx(min(1.0, worst), rel=1e-6)
    assert [part.value for part in found if part.significant] == ["7"]


def test_equally_hard_slices_are_rarely_called_worse() -> None:
    """At most 1 in 20 of 200 splits without any difference, with 30 slices each, has a significant slice."""
    rng = np.random.default_rng(2)
    alarms = 0
    for _ in range(200):
        columns = {kind: Categorical.of(map(str, rng.integers(0, 10, 600))) for kind in "abc"}
        alarms += any(part.significant for part in find_slices(columns, rng.random(600) > 0.1))

    assert alarms <= 16  # 5% of 200, and three standard deviations
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])


def test_many_intervals_are_those_of_one() -> None:
    """Including the ends."""
    correct_S, n_S = np.array([0, 5, 10, 399, 1]), np.array([10, 10, 10, 400, 1])

    for low, high, correct, n in zip(*intervals95(correct_S, n_S), correct_S, n_S, strict=True):
        exact = binomtest(int(correct), int(n)).proportion_ci(0.95, "exact")
        assert (low, high) == pytest.approx((exact.low, exact.high))


def test_a_hundred_thousand_samples_are_counted_by_columns() -> None:
    """Less than a tenth of a line of Python per sample, because NumPy does the rest."""
    rng = np.random.default_rng(3)
    targets_NP, right_N = rng.integers(0, 10, (100_000, 6)), rng.random(100_000) > 0.1
    facts = {"operator": Categorical.of(map(str, rng.integers(0, 20, 100_000)))}
    find_slices(facts, right_N)  # imports scipy

    assert python_lines(lambda: find_slices(text_columns(targets_NP, DIGITS) | facts, right_N)) < 10_000
