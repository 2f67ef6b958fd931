"""The difference between a later source and the other images, and its interval."""

import numpy as np
import pytest

from core.evaluation.metrics import difference95
from core.evaluation.shift import Shift


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_the_interval_is_that_of_the_paper(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    """These are the examples of Newcombe (1998), table II, method 10."""
    assert difference95(first, second) == pytest.approx((low, high), abs=6e-5)


def test_the_interval_holds_the_true_difference_in_about_95_of_100_cases() -> None:
    """Shares near 1 and sets of different sizes are what a run gives."""
    rng = np.random.default_rng(0)
    later, others = rng.binomial(300, 0.92, 2000), rng.binomial(120, 0.98, 2000)

    ends = [difference95((int(k), 300), (int(m), 120)) for k, m in zip(later, others, strict=True)]

    assert 0.93 < np.mean([low <= -0.06 <= high for low, high in ends]) < 0.98


@pytest.mark.parametrize(
    ("later", "verdict"),
    [
        ((312, 400), "Source june is read 17.0 points worse (95% interval 11.5 to 21.9 points)."),
        ((399, 400), "Source june is read 4.8 points better (95% interval 2.2 to 8.7 points)."),
        ((376, 400), "The difference of -1.0 points can be chance (95% interval -4.6 to +3.4 points)."),
    ],
)
def test_the_sentence_says_worse_better_or_chance(later: tuple[int, int], verdict: str) -> None:
    """Only an interval without zero says worse or better."""
    shift = Shift(source="june", later=later, split="test", others=(190, 200))

    assert shift.sentences == ("Test images of other sources: 190/200 = 95.0% (91.0% to 97.6%).", verdict)
