"""What views are worth, counted again by hand and by SciPy."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from core.charset import TextSpec
from core.evaluation.predictions import Predictions
from core.evaluation.views_worth import ViewsWorth, ViewWorth, mcnemar, weigh_views

SPEC = TextSpec(3, "0123")
NAMES = ["as it is", "left", "larger", "turned"]


@pytest.fixture(scope="module")
def found() -> Predictions:
    """200 images under four views that err on their own and hit together."""
    rng = np.random.default_rng(3)
    targets_NP = rng.integers(0, 4, (200, 3))
    scores_VNPC = rng.normal(0, 1, (4, 200, 3, 4)) + 2.2 * np.eye(4)[targets_NP]
    log_probs_VNPC = scores_VNPC - np.log(np.exp(scores_VNPC).sum(axis=3, keepdims=True))
    return Predictions(
        sha256=[f"{index}" for index in range(200)],
        labels=[SPEC.decode(row) for row in targets_NP],
        views=NAMES,
        log_probs_VNPC=log_probs_VNPC.astype(np.float32),
        seconds_V=np.array([2.0, 1.0, 1.5, 1.5]),
    )


def right(log_probs_NPC: np.ndarray, labels: list[str]) -> list[bool]:
    """Image by image, through the text."""
    return [SPEC.decode(row.argmax(axis=1)) == label for row, label in zip(log_probs_NPC, labels, strict=True)]


def test_every_number_is_that_of_a_count_by_hand(found: Predictions) -> None:
    """Right, mended, broken, interval, p, time, and what is lost without the view."""
    worth = found.views_worth(SPEC)
    plain = right(found.log_probs_VNPC[0], found.labels)
    together = right(found.log_probs_VNPC.mean(axis=0), found.labels)
    assert 20 < sum(plain) < sum(together)

    rows = [(right(one, found.labels), entry) for one, entry in zip(found.log_probs_VNPC, worth.views, strict=True)]
    for hits, entry in [*rows, (together, worth.together)]:
        fixed = sum(now and not before for now, before in zip(hits, plain, strict=True))
        broken = sum(before and not now for now, before in zip(hits, plain, strict=True))
        assert (entry.correct, entry.fixed, entry.broken) == (sum(hits), fixed, broken)
        interval = binomtest(sum(hits), 200).proportion_ci(0.95, method="exact")
        assert entry.ci95 == pytest.approx((interval.low, interval.high))
        assert entry.p == pytest.approx(min(1.0, 2 * binom.cdf(min(fixed, broken), fixed + broken, 0.5)))
    for view, entry in enumerate(worth.views):
        others = right(np.delete(found.log_probs_VNPC, view, axis=0).mean(axis=0), found.labels)
        assert entry.lost == sum(together) - sum(others)
    assert [entry.times for entry in worth.views] == [1.0, 0.5, 0.75, 0.75]
    assert worth.together.times == pytest.approx(3.0)
    assert [entry.name for entry in worth.views] == NAMES
    assert worth.n == 200


@pytest.mark.parametrize(("fixed", "broken"), [(0, 0), (1, 0), (6, 1), (6, 0), (3, 3), (31, 13), (0, 9)])
def test_mcnemar_is_the_binomial_test_of_what_changed(fixed: int, broken: int) -> None:
    """Summed up here term by term; symmetric, and 1 where nothing or nothing on balance changed."""
    from math import comb

    n, least = fixed + broken, min(fixed, broken)
    tail = sum(comb(n, k) for k in range(least + 1)) / 2**n
    assert mcnemar(fixed, broken) == mcnemar(broken, fixed) == pytest.approx(min(1.0, 2 * tail))


def worth_of(fixed: int, broken: int, n: int = 610, times: float | None = 8.7) -> ViewsWorth:
    def entry(name: str, times: float | None) -> ViewWorth:
        return ViewWorth(
            name=name, correct=n, ci95=(0, 1), fixed=fixed, broken=broken, p=mcnemar(fixed, broken), times=times
        )

    return ViewsWorth(n=n, views=[entry(name, 1.0) for name in NAMES], together=entry("all together", times))


@pytest.mark.parametrize(
    ("fixed", "broken", "wins", "verdict"),
    [
        (6, 1, False, "mend 6 and break 1 of 610: p = 0.12, 8.7 times the time. That may be chance: without them."),
        (6, 0, True, "mend 6 and break 0 of 610: p = 0.031, 8.7 times the time. With them."),
        (5, 0, False, "mend 5 and break 0 of 610: p = 0.062, 8.7 times the time. That may be chance: without them."),
        (31, 13, True, "mend 31 and break 13 of 610: p = 0.0096, 8.7 times the time. With them."),
        (0, 9, False, "mend 0 and break 9 of 610: p = 0.0039, 8.7 times the time. Without them."),
        (3, 3, False, "mend 3 and break 3 of 610: p = 1, 8.7 times the time. Without them."),
        (70, 17, True, "mend 70 and break 17 of 610: p < 0.0001, 8.7 times the time. With them."),
        (0, 0, False, "mend none and break none of 610, for 8.7 times the time. Without them."),
    ],
)
def test_a_run_reads_with_its_views_only_where_they_win(fixed: int, broken: int, wins: bool, verdict: str) -> None:
    """Their cost is sure, so their gain has to be more than chance; said in words."""
    worth = worth_of(fixed, broken)

    assert worth.wins is wins
    assert worth.verdict == f"All 4 views together {verdict}"


def test_where_no_time_was_measured_none_is_told(found: Predictions) -> None:
    """As in files of earlier versions."""
    assert "time" not in worth_of(6, 1, times=None).verdict
    without = weigh_views(
        NAMES, found.predicted_VNP, found.without_VNP, found.together_NP, found.targets_NP(SPEC), None
    )  # fmt: skip
    assert [entry.times for entry in [*without.views, without.together]] == [None] * 5


def test_one_view_alone_is_compared_with_nothing(found: Predictions) -> None:
    """And nothing divides by what is left without it."""
    worth = weigh_views(
        NAMES[:1], found.predicted_VNP[:1], found.without_VNP[:1], found.predicted_VNP[0], found.targets_NP(SPEC), None
    )

    assert worth.views[0].lost is None
    assert not worth.wins
    assert worth.verdict.endswith("there is nothing to compare.")
