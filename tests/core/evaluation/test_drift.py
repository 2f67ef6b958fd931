"""The rule for drift: its ranks, its rate of false alarms, and what it notices."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kstest

from core.evaluation.drift import (
    BLOCK,
    CHARTS,
    ENOUGH,
    FALSE_ALARM,
    LIMIT,
    chart,
    filled,
    limit,
    look,
    ranks,
    usual_after,
)

Floats = NDArray[np.float64]
EMPTY: Floats = np.zeros(0)


def numbers(seed: int, count: int, mean: float = 0.0) -> Floats:
    return np.random.default_rng(seed).normal(mean, 1, count)


def test_the_limit_is_exceeded_at_the_stated_rate() -> None:
    """The run length of a chart of normal numbers is what the limit was made for, within the noise of 500 runs."""
    lengths = []
    for seed in range(500):
        above = np.flatnonzero(chart(numbers(seed, 6000)) > limit(500))
        lengths.append(above[0] + 1 if len(above) else 6000)

    assert 430 < np.mean(lengths) < 570
    assert pytest.approx(limit(len(CHARTS) / FALSE_ALARM)) == LIMIT


def test_a_rank_counts_the_scores_before_it() -> None:
    """Blocks give the ranks that a loop gives, apart from the lot among equal scores."""
    scores = np.random.default_rng(0).integers(0, 50, BLOCK + 300).astype(np.float64)
    before = np.arange(20.0)

    found = ranks(scores, before)

    for place in (0, 1, 7, BLOCK - 1, BLOCK, BLOCK + 299):
        past = np.concatenate([before, scores[:place]])
        lower, upper = (past < scores[place]).sum(), (past <= scores[place]).sum() + 1
        assert lower <= found[place] * (len(past) + 1) <= upper


@pytest.mark.parametrize("known", [0, 40])
@pytest.mark.parametrize("kind", ["heavy tails", "ties", "rare"])
def test_ranks_of_unchanged_scores_are_even(kind: str, known: int) -> None:
    """Neither the distribution nor a small baseline matters."""
    rng = np.random.default_rng(1)
    scores = {
        "heavy tails": rng.standard_cauchy(5000),
        "ties": rng.integers(0, 3, 5000).astype(np.float64),
        "rare": (rng.random(5000) < 0.01).astype(np.float64),
    }[kind]

    assert kstest(ranks(scores[known:], scores[:known]), "uniform").pvalue > 0.01


def test_unchanged_streams_give_few_alarms() -> None:
    """100,000 images of two scores with a baseline of 30: the rate allows one alarm on average."""
    alarms = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        scores = {"distance": rng.standard_cauchy(5030), "confidence": rng.beta(20, 1, 5030)}
        before = {name: scores_N[:30] for name, scores_N in scores.items()}
        found = look({name: scores_N[30:] for name, scores_N in scores.items()}, before)
        alarms += found.alarm is not None

    assert alarms <= 4


@pytest.mark.parametrize(("name", "sign"), CHARTS)
def test_every_chart_notices_its_change(name: str, sign: int) -> None:
    """The change is noticed within 50 images, and its first image is known almost exactly."""
    scores = {other: numbers(20 + number, 300) for number, (other, _) in enumerate(CHARTS)}
    scores[name] = np.concatenate([scores[name][:200], numbers(7, 100, 2.0 * sign)])

    found = look(scores, {other: numbers(9, 60) for other in scores})

    assert found.alarm is not None
    assert (found.alarm.score, found.alarm.rises) == (name, sign > 0)
    assert 190 <= found.alarm.onset <= 205
    assert 200 < found.alarm.noticed < 250
    assert (found.alarm.rank > 0.9) if sign > 0 else (found.alarm.rank < 0.1)
    assert found.heights_N[found.alarm.noticed] > 1 > found.heights_N[:200].max()


def test_more_confidence_gives_no_alarm() -> None:
    """Only a change to the worse matters there."""
    scores = {"confidence": np.concatenate([numbers(0, 100), numbers(1, 200, 3.0)])}

    assert look(scores, {}).alarm is None


def test_a_change_at_the_start_needs_a_baseline() -> None:
    """Without one, the new style is all that the stream has."""
    scores = {"distance": numbers(0, 100, 3.0)}

    assert look(scores, {"distance": numbers(1, 30)}).alarm is not None
    assert look(scores, {}).alarm is None


def test_images_without_a_score_change_nothing() -> None:
    """Verdicts come for some images only. Places are those of the whole stream."""
    rejected = np.full(400, np.nan)
    rejected[::2] = np.concatenate([np.zeros(150), np.ones(50)])

    found = look({"rejected": rejected}, {})

    assert found.alarm is not None
    assert 298 <= found.alarm.onset <= 302
    assert found.alarm.noticed % 2 == 0
    assert found.heights_N[found.alarm.noticed + 1] == found.heights_N[found.alarm.noticed]
    assert look({"rejected": np.full(5, np.nan)}, {}).alarm is None


def test_a_dismissed_change_is_as_usual() -> None:
    """The images since the change are the baseline then. Without a change, all of them are."""
    before = {"distance": numbers(0, 60)}
    changed = {"distance": np.concatenate([numbers(1, 100), numbers(2, 100, 3.0)])}

    usual = usual_after(changed, before)

    assert 95 <= len(usual["distance"]) <= 105
    assert look({"distance": numbers(3, 200, 3.0)}, before).alarm is not None
    assert look({"distance": numbers(3, 200, 3.0)}, usual).alarm is None
    assert len(usual_after({"distance": numbers(4, 50)}, before)["distance"]) == 110


def test_a_stream_that_starts_changed_is_noticed_after_few_labels() -> None:
    """Six validation images alone say too little, so the expected looks help. With enough, they do not count."""
    names = ("distance", "surprise", "unfamiliar", "confidence")
    before = {name: numbers(0, 6) if name == "distance" else np.zeros(6) for name in names}
    expected = ((0.0, 1.0), (0.0, 1.0))
    stream = {"distance": numbers(1, 60, 4.0)}

    usual = filled(before, expected)

    assert look(stream, before).alarm is None
    assert look(stream, usual).alarm is not None
    assert look({"distance": numbers(1, 60)}, usual).alarm is None
    assert {name: len(usual[name]) for name in names} == dict(zip(names, (ENOUGH, ENOUGH, ENOUGH, 6), strict=True))
    assert filled(before, None) is before
    assert filled(usual, expected) is usual


def test_an_empty_stream_has_no_alarm() -> None:
    """Also without any score."""
    assert look({}, {}).alarm is None
    assert look({"distance": EMPTY}, {"distance": EMPTY}).alarm is None
