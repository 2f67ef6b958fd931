"""What a rounded share may claim."""

from scipy.stats import binomtest

from core.shares import counted, percent, probability, share, share_and_interval


def test_a_share_stands_with_its_exact_interval() -> None:
    """Computed by SciPy a second time."""
    exact = binomtest(58, 60).proportion_ci(0.95, "exact")

    assert share(58, 60) == f"96.7% ({exact.low:.1%} to {exact.high:.1%})"
    assert share_and_interval(1_058, 1_060)[0] == "99.8%"
    assert counted(1_058, 1_060).startswith("1,058/1,060 = 99.8% (")


def test_what_is_nearly_all_is_not_said_to_be_all() -> None:
    """Neither the share nor the lower end of its interval is rounded up to 100%."""
    assert share(600, 600) == "100.0% (99.4% to 100.0%)"
    assert share(9_999, 10_000) == "99.99% (99.94% to 100.00%)"
    assert share(100_000, 100_000) == "100.000% (99.996% to 100.000%)"


def test_a_whole_percentage_is_neither_all_nor_none_by_rounding() -> None:
    """All and none themselves are said as such."""
    shares = [1.0, 2_999 / 3_000, 0.99, 0.5, 1 / 3_000, 0.0]

    assert [percent(value) for value in shares] == ["100%", ">99%", "99%", "50%", "<1%", "0%"]


def test_only_certainty_is_a_hundred_percent() -> None:
    """A network is never certain, and hardly ever without a doubt."""
    assert [probability(value) for value in (1.0, 0.9996, 0.967, 0.0004, 0.0)] == [
        "100%",
        ">99.9%",
        "96.7%",
        "<0.1%",
        "<0.1%",
    ]
