"""The accuracy that n images prove, checked with the binomial distribution."""

import pytest
from scipy.stats import binom, binomtest

from core.evaluation.evidence import GOALS, Evidence


@pytest.mark.parametrize(("wrong", "n"), [(0, 610), (20, 610), (1, 1), (0, 1), (3, 40), (61, 610)])
def test_the_bound_is_the_share_at_which_so_few_errors_are_a_chance_of_one_in_twenty(wrong: int, n: int) -> None:
    """The bound is one-sided, the interval two-sided; both are compared with scipy."""
    evidence = Evidence(n=n, wrong=wrong)
    one_sided = binomtest(n - wrong, n, alternative="greater").proportion_ci(0.95, "exact")
    two_sided = binomtest(n - wrong, n).proportion_ci(0.95, "exact")

    assert evidence.at_least == pytest.approx(one_sided.low, abs=1e-9)
    assert evidence.interval == pytest.approx((two_sided.low, two_sided.high), abs=1e-9)
    if wrong < n:
        assert binom.cdf(wrong, n, 1 - evidence.at_least) == pytest.approx(0.05)


@pytest.mark.parametrize("wrong", [0, 1, 7])
@pytest.mark.parametrize("goal", [0.95, 0.99, 0.999])
def test_so_many_more_show_it_and_one_less_does_not(wrong: int, goal: float) -> None:
    """This assumes no further errors."""
    more = Evidence(n=50, wrong=wrong).more_for(goal)

    assert Evidence(n=50 + more, wrong=wrong).at_least >= goal
    assert Evidence(n=50 + more - 1, wrong=wrong).at_least < goal
    assert Evidence(n=10**6, wrong=wrong).more_for(goal) == 0


def test_the_evidence_is_one_sentence() -> None:
    """610 without an error: 0.05 ** (1 / 610) and 0.025 ** (1 / 610). 2,995 in total show 99.9%."""
    sentence = Evidence(n=610, wrong=0).sentence

    assert "With 0 wrong of 610, at least 99.51% are right at 95% confidence" in sentence
    assert "two-sided interval is 99.39% to 100%" in sentence
    assert "2,385 for 99.9%" in sentence
    assert "To show more" not in Evidence(n=10**6, wrong=0).sentence
    assert Evidence(n=10, wrong=9).next_goals[0][0] == GOALS[0]
