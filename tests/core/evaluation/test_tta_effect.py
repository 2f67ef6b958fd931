"""The effect of TTA, checked by counting and with SciPy."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from core.charset import TextSpec
from core.evaluation.predictions import Predictions
from core.evaluation.tta_effect import TTAEffect, ViewEffect, mcnemar, measure_tta

SPEC = TextSpec(3, "0123")
NAMES = ["as it is", "left", "larger", "turned"]


@pytest.fixture(scope="module")
def found() -> Predictions:
    """200 images under four views that are better together."""
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
    """Compare decoded texts, image by image."""
    return [SPEC.decode(row.argmax(axis=1)) == label for row, label in zip(log_probs_NPC, labels, strict=True)]


def test_every_number_is_that_of_a_count_by_hand(found: Predictions) -> None:
    """Right, fixed, broken, interval, p, time, and loss if removed."""
    effect = found.tta_effect(SPEC)
    plain = right(found.log_probs_VNPC[0], found.labels)
    together = right(found.log_probs_VNPC.mean(axis=0), found.labels)
    assert 20 < sum(plain) < sum(together)

    rows = [(right(one, found.labels), entry) for one, entry in zip(found.log_probs_VNPC, effect.views, strict=True)]
    for hits, entry in [*rows, (together, effect.together)]:
        fixed = sum(now and not before for now, before in zip(hits, plain, strict=True))
        broken = sum(before and not now for now, before in zip(hits, plain, strict=True))
        assert (entry.correct, entry.fixed, entry.broken) == (sum(hits), fixed, broken)
        interval = binomtest(sum(hits), 200).proportion_ci(0.95, method="exact")
        assert entry.ci95 == pytest.approx((interval.low, interval.high))
        assert entry.p == pytest.approx(min(1.0, 2 * binom.cdf(min(fixed, broken), fixed + broken, 0.5)))
    for view, entry in enumerate(effect.views):
        others = right(np.delete(found.log_probs_VNPC, view, axis=0).mean(axis=0), found.labels)
        assert entry.loss_if_removed == sum(together) - sum(others)
    assert [entry.time_ratio for entry in effect.views] == [1.0, 0.5, 0.75, 0.75]
    assert effect.together.time_ratio == pytest.approx(3.0)
    assert [entry.name for entry in effect.views] == NAMES
    assert effect.n == 200


@pytest.mark.parametrize(("fixed", "broken"), [(0, 0), (1, 0), (6, 1), (6, 0), (3, 3), (31, 13), (0, 9)])
def test_mcnemar_is_the_binomial_test_of_the_changes(fixed: int, broken: int) -> None:
    """Sum the terms here. It is symmetric, and 1 if nothing changed or the changes balance."""
    from math import comb

    n, least = fixed + broken, min(fixed, broken)
    tail = sum(comb(n, k) for k in range(least + 1)) / 2**n
    assert mcnemar(fixed, broken) == mcnemar(broken, fixed) == pytest.approx(min(1.0, 2 * tail))


def effect_of(fixed: int, broken: int, n: int = 610, times: float | None = 8.7) -> TTAEffect:
    def entry(name: str, times: float | None) -> ViewEffect:
        return ViewEffect(
            name=name, correct=n, ci95=(0, 1), fixed=fixed, broken=broken, p=mcnemar(fixed, broken), time_ratio=times
        )

    return TTAEffect(n=n, views=[entry(name, 1.0) for name in NAMES], together=entry("all together", times))


@pytest.mark.parametrize(
    ("fixed", "broken", "wins", "sentence", "advice"),
    [
        (6, 1, False, "fixes 6 and breaks 1 of 610 images (p = 0.12)", "This may be chance. Not recommended."),
        (6, 0, True, "fixes 6 and breaks 0 of 610 images (p = 0.031)", "Recommended."),
        (5, 0, False, "fixes 5 and breaks 0 of 610 images (p = 0.062)", "This may be chance. Not recommended."),
        (31, 13, True, "fixes 31 and breaks 13 of 610 images (p = 0.0096)", "Recommended."),
        (0, 9, False, "fixes 0 and breaks 9 of 610 images (p = 0.0039)", "Not recommended."),
        (3, 3, False, "fixes 3 and breaks 3 of 610 images (p = 1)", "Not recommended."),
        (70, 17, True, "fixes 70 and breaks 17 of 610 images (p < 0.0001)", "Recommended."),
        (0, 0, False, "changes none of 610 images", "Not recommended."),
    ],
)
def test_a_run_reads_with_its_views_only_where_they_win(
    fixed: int, broken: int, wins: bool, sentence: str, advice: str
) -> None:
    """TTA always costs time, so its gain must be significant."""
    effect = effect_of(fixed, broken)

    assert effect.wins is wins
    assert effect.verdict == f"TTA with 4 views {sentence} and takes 8.7x as long. {advice}"


def test_an_unmeasured_time_is_not_reported(found: Predictions) -> None:
    """Files of earlier versions have no times."""
    assert "as long" not in effect_of(6, 1, times=None).verdict
    without = measure_tta(
        NAMES, found.predicted_VNP, found.leave_one_out_VNP, found.together_NP, found.targets_NP(SPEC), None
    )  # fmt: skip
    assert [entry.time_ratio for entry in [*without.views, without.together]] == [None] * 5


def test_one_view_alone_is_compared_with_nothing(found: Predictions) -> None:
    """There is no loss if removed."""
    effect = measure_tta(
        NAMES[:1],
        found.predicted_VNP[:1],
        found.leave_one_out_VNP[:1],
        found.predicted_VNP[0],
        found.targets_NP(SPEC),
        None,
    )

    assert effect.views[0].loss_if_removed is None
    assert not effect.wins
    assert effect.verdict.startswith("Without TTA, ")
