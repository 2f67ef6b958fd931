"""Rounding of shares."""

from scipy.stats import binomtest

from core.evaluation.percent import at_least, counted, percent, rate, share, share_and_interval


def test_a_share_has_its_exact_interval() -> None:
    """Compare with SciPy."""
    exact = binomtest(58, 60).proportion_ci(0.95, "exact")

    assert share(58, 60) == f"96.7% ({exact.low:.1%} to {exact.high:.1%})"
    assert share_and_interval(1_058, 1_060)[0] == "99.8%"
    assert counted(1_058, 1_060).startswith("1,058/1,060 = 99.8% (")


def test_nearly_all_is_not_rounded_to_all() -> None:
    """Neither the share nor the lower end of its interval is rounded up to 100%."""
    assert share(600, 600) == "100.0% (99.4% to 100.0%)"
    assert share(9_999, 10_000) == "99.99% (99.94% to 100.00%)"
    assert share(100_000, 100_000) == "100.000% (99.996% to 100.000%)"


def test_nothing_is_all_or_none_by_rounding() -> None:
    """A model is never certain, so only exact values show as 0% or 100%."""
    values = [1.0, 2_999 / 3_000, 0.99, 0.5, 1 / 3_000, 0.0]

    assert [percent(value) for value in values] == ["100.0%", ">99.9%", "99.0%", "50.0%", "<0.1%", "0.0%"]
    assert [percent(value, 0) for value in values] == ["100%", ">99%", "99%", "50%", "<1%", "0%"]


def test_a_lower_bound_is_rounded_down() -> None:
    """There are no trailing zeros."""
    values = (0.99999, 1.0, 0.29, 0.955, 0.0)

    assert [at_least(value) for value in values] == ["99.99%", "100%", "29%", "95.5%", "0%"]


def test_an_error_rate_has_no_zeros_at_its_end() -> None:
    """A rate above zero never reads as none."""
    values = (0.01, 0.1, 1 / 300, 0.02996, 1e-6, 0)

    assert [rate(value) for value in values] == ["1%", "10%", "0.333%", "2.996%", "<0.001%", "0%"]
