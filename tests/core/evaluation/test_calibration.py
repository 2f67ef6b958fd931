"""Confidence and thresholds, each number recomputed in another way."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import log_softmax, softmax

from core.evaluation import calibration
from core.evaluation.calibration import Threshold

RNG = np.random.default_rng(0)


def made(n: int, temperature: float, positions: int = 4, spread: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Return log-probabilities that are calibrated at this temperature, and which samples are right."""
    logits_NPC = RNG.normal(0, spread, (n, positions, 10))
    probs_NPC = softmax(logits_NPC / temperature, axis=2)
    drawn_NP = (probs_NPC.cumsum(axis=2) > RNG.random((n, positions, 1))).argmax(axis=2)
    right_N = (drawn_NP == logits_NPC.argmax(axis=2)).all(axis=1)
    return log_softmax(logits_NPC, axis=2), right_N


def test_the_confidence_is_the_product_of_the_best() -> None:
    """It matches scipy's softmax at any temperature."""
    log_probs_NPC, _ = made(50, 1.0)

    for temperature in (0.5, 1.0, 3.0):
        by_scipy = softmax(log_probs_NPC / temperature, axis=2).max(axis=2).prod(axis=1)
        np.testing.assert_allclose(calibration.confidence(log_probs_NPC, temperature), by_scipy, rtol=1e-9)


def test_float32_gives_the_same_temperature() -> None:
    """Log-probabilities are stored as float32. Extreme confidences stay accurate."""
    log_probs_NPC, right_N = made(5_000, 1.7, spread=8.0)
    single_NPC = log_probs_NPC.astype(np.float32)

    assert calibration.fit_temperature(single_NPC, right_N) == pytest.approx(
        calibration.fit_temperature(log_probs_NPC, right_N), rel=1e-3
    )
    doubt_N = -np.expm1(log_softmax(log_probs_NPC / 0.5, axis=2).max(axis=2).sum(axis=1))
    np.testing.assert_allclose(1 - calibration.confidence(single_NPC, 0.5), doubt_N, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
def test_the_temperature_that_made_the_samples_is_found(temperature: float) -> None:
    """For 20,000 samples, the fitted confidence is calibrated."""
    log_probs_NPC, right_N = made(20_000, temperature)

    fitted = calibration.fit_temperature(log_probs_NPC, right_N)

    assert fitted == pytest.approx(temperature, rel=0.05)
    after = calibration.reliability(calibration.confidence(log_probs_NPC, fitted), right_N)
    before = calibration.reliability(calibration.confidence(log_probs_NPC), right_N)
    assert calibration.calibration_error(after) < 0.015
    if temperature != 1.0:
        assert calibration.calibration_error(after) < calibration.calibration_error(before) / 4


def test_a_run_without_errors_has_bounded_confidence() -> None:
    """400 right readings do not prove that the next is right."""
    log_probs_NPC = log_softmax(RNG.normal(0, 1, (400, 6, 10)) + 9 * np.eye(10)[RNG.integers(0, 10, (400, 6))], axis=2)

    temperature = calibration.fit_temperature(log_probs_NPC, np.ones(400, dtype=bool))

    assert temperature > calibration.TEMPERATURES[0] * 2
    assert calibration.confidence(log_probs_NPC, temperature).mean() == pytest.approx(401 / 402, abs=0.003)


def test_few_samples_never_make_the_confidence_predict_them_worse() -> None:
    """Two pseudo-samples outweigh ten confident right samples. The log loss is recomputed by hand."""
    right_N = np.ones(10, dtype=bool)
    sure_NPC = log_softmax(RNG.normal(0, 0.1, (10, 3, 10)) + 9 * np.eye(10)[RNG.integers(0, 10, (10, 3))], axis=2)
    assert calibration.fit_temperature(sure_NPC, right_N) == 1.0

    by_hand = -np.mean([math.log(each) for each in calibration.confidence(sure_NPC)])
    assert calibration.log_loss(calibration.confidence(sure_NPC), right_N) == pytest.approx(by_hand)
    assert calibration.log_loss(np.array([0.8, 0.3]), np.array([True, False])) == pytest.approx(
        -(math.log(0.8) + math.log(0.7)) / 2
    )
    fitted = set()
    for n in range(1, 60):
        log_probs_NPC, right_N = made(n, 1.3)
        temperature = calibration.fit_temperature(log_probs_NPC, right_N)
        before, after = (
            calibration.log_loss(calibration.confidence(log_probs_NPC, at), right_N) for at in (1.0, temperature)
        )
        assert after <= before
        fitted.add(temperature == 1.0)
    assert fitted == {True, False}


def test_bins_have_equal_sizes_and_their_own_interval() -> None:
    """Each bin is recomputed from the sorted samples."""
    log_probs_NPC, right_N = made(100, 1.0)
    confidence_N = calibration.confidence(log_probs_NPC)

    found = calibration.reliability(confidence_N, right_N, bins=8)

    assert sorted(part.n for part in found) == [12] * 4 + [13] * 4
    order, start = np.argsort(confidence_N), 0
    for part in found:
        members = order[start : start + part.n]
        start += part.n
        exact = stats.binomtest(int(right_N[members].sum()), part.n).proportion_ci(0.95, "exact")
        assert part.correct == right_N[members].sum()
        assert part.confidence == pytest.approx(confidence_N[members].mean())
        assert part.ci95 == pytest.approx((exact.low, exact.high))
    assert calibration.reliability(confidence_N[:3], right_N[:3])[0].n == 1
    assert calibration.brier(confidence_N, right_N) == pytest.approx(np.mean((confidence_N - right_N) ** 2))


def test_the_curve_counts_errors_among_the_most_confident() -> None:
    """Entry k counts the k + 1 most confident."""
    confidence_N = np.array([0.9, 0.2, 0.8, 0.6])
    right_N = np.array([True, False, False, True])

    curve = calibration.risk_coverage(confidence_N, right_N)

    assert curve.threshold_N.tolist() == [0.9, 0.8, 0.6, 0.2]
    assert curve.coverage_N.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.wrong_N.tolist() == [0, 1, 1, 2]
    assert curve.risk_N.tolist() == [0, 0.5, pytest.approx(1 / 3), 0.5]
    assert curve.ends[curve.starts].tolist() == [1, 2, 3, 3, 3, 3, 3, 3]


def test_a_search_starts_where_a_threshold_can_end() -> None:
    """Half of ten are five, and three of those have the same confidence as the sixth and seventh."""
    curve = calibration.risk_coverage(np.array([0.9, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8, 0.3, 0.2, 0.2]), np.ones(10, bool))

    assert curve.ends.tolist() == [1, 6, 7, 9]
    assert curve.ends[curve.starts].tolist() == [6, 6, 7, 9, 9, 9, 9, 9]


def test_a_threshold_holds_its_promise_on_new_samples() -> None:
    """At most 5% of the thresholds chosen on 1,000 samples may have an error rate above 5% on 20,000."""
    log_probs_NPC, right_N = made(20_000, 1.0, positions=1, spread=8.0)
    confidence_N = calibration.confidence(log_probs_NPC)
    broken = chosen = 0
    for _ in range(200):
        some = RNG.integers(0, len(right_N), 1000)
        found = calibration.choose_threshold(confidence_N[some], right_N[some], max_risk=0.05)
        if found:
            chosen += 1
            used_N = confidence_N >= found.threshold
            broken += (~right_N[used_N]).mean() > 0.05

    assert chosen > 100
    assert broken <= 0.05 * 200


def test_a_threshold_is_reported_with_its_counts() -> None:
    """The threshold accepts 500 confident right readings, and few of 100 others that are half wrong."""
    confidence_N = np.concatenate([np.linspace(0.99, 0.999, 500), np.linspace(0.3, 0.6, 100)])
    right_N = np.concatenate([np.ones(500, dtype=bool), np.arange(100) % 2 == 0])

    found = calibration.choose_threshold(confidence_N, right_N, max_risk=0.02)

    assert isinstance(found, Threshold)
    assert 500 <= found.used <= 510
    assert found.wrong == (~right_N[confidence_N >= found.threshold]).sum()
    assert found.used == (confidence_N >= found.threshold).sum()
    assert found.coverage == found.used / 600
    assert found.risk_bound <= 0.02


def test_samples_that_cannot_show_it_give_no_threshold() -> None:
    """100 right readings do not show an error rate of 1 in 1,000."""
    assert calibration.choose_threshold(np.linspace(0.9, 1, 100), np.ones(100, dtype=bool), max_risk=0.001) is None


def test_equal_confidences_are_used_together_or_not_at_all() -> None:
    """A threshold cannot separate equal confidences."""
    confidence_N = np.array([0.9] * 400 + [0.5] * 200)
    right_N = np.array([True] * 600)

    found = calibration.choose_threshold(confidence_N, right_N, max_risk=0.05)

    assert found is not None
    assert found.used in (400, 600)


def test_a_threshold_is_tried_on_other_samples() -> None:
    """Three of four are accepted, one of them wrong. If none is accepted, the bound is 1."""
    confidence_N, right_N = np.array([0.95, 0.9, 0.99, 0.1]), np.array([True, False, True, False])

    tried = calibration.apply_threshold(confidence_N, right_N, 0.9)

    assert (tried.n, tried.used, tried.wrong) == (4, 3, 1)
    assert tried.risk_bound == pytest.approx(stats.beta.ppf(0.95, 2, 2))
    assert calibration.apply_threshold(confidence_N, right_N, 0.999).risk_bound == 1


@pytest.mark.parametrize(("wrong", "risk"), [(0, 0.001), (0, 0.05), (3, 0.01), (10, 0.001)])
def test_the_samples_needed_are_the_fewest_that_show_it(wrong: int, risk: float) -> None:
    """By the binomial distribution, so few errors in n samples have a probability of 5% at this risk."""
    n = calibration.samples_needed(risk, wrong=wrong)

    assert stats.binom.cdf(wrong, n, risk) <= 0.05
    assert stats.binom.cdf(wrong, n - 1, risk) > 0.05


def test_one_in_a_thousand_without_an_error_takes_2995_samples() -> None:
    """The rule of three gives 3,000."""
    assert calibration.samples_needed(0.001) == 2995


def test_logins_follow_from_risk_and_coverage() -> None:
    """Compare with a million simulated logins."""
    risk, coverage, tries = 0.2, 0.7, 3
    wrong_NT = RNG.random((1_000_000, tries)) < risk
    locked_N = wrong_NT.all(axis=1)
    submissions = np.where(locked_N, tries, wrong_NT.argmin(axis=1) + 1).mean()

    found = calibration.logins(risk, coverage, tries)

    assert found.lockout == pytest.approx(locked_N.mean(), rel=0.05)
    assert found.submissions == pytest.approx(submissions, rel=0.01)
    assert found.images == pytest.approx(found.submissions / 0.7)
    assert calibration.risk_for_lockout(found.lockout, tries) == pytest.approx(risk)
    assert math.isclose(calibration.logins(0.0, 1.0, 1).images, 1.0)
