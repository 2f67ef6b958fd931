"""Metrics of readings."""

import json

import numpy as np
import pytest
from scipy import special

from core.bundle.reader import aggregate, log_softmax
from core.errors import TrainingError
from core.evaluation.metrics import (
    confusion_PCC,
    evaluate,
    evaluate_views,
    interval95,
    soft_confusion_PCC,
    support_PC,
    worst_margin_PC,
)


def log_probs(texts: list[list[int]], probability: float = 0.9, classes: int = 4) -> np.ndarray:
    """Return log-probabilities of the readings `texts`, with this probability for each character."""
    probs_NPC = np.full((len(texts), len(texts[0]), classes), (1 - probability) / (classes - 1))
    for sample, text in enumerate(texts):
        for position, char in enumerate(text):
            probs_NPC[sample, position, char] = probability
    return np.log(probs_NPC)


def test_the_interval_is_exact() -> None:
    """Compare with known Clopper-Pearson values."""
    assert interval95(0, 400) == pytest.approx((0, 0.00918), abs=1e-5)
    assert interval95(400, 400) == pytest.approx((0.99082, 1), abs=1e-5)
    assert interval95(190, 200) == pytest.approx((0.91000, 0.97577), abs=1e-4)
    with pytest.raises(ValueError, match="not a proportion"):
        interval95(1, 0)


def test_exact_match_needs_every_position() -> None:
    """One wrong character makes the text wrong and lowers only its position."""
    targets_NP = np.array([[0, 1, 2], [3, 2, 1], [1, 1, 1], [2, 0, 3]])
    said = [[0, 1, 2], [3, 2, 0], [1, 1, 1], [2, 0, 0]]

    result = evaluate(log_probs(said), targets_NP)

    assert (result.n, result.correct, result.exact_match) == (4, 2, 0.5)
    assert result.ci95 == interval95(2, 4)
    assert result.per_position == [1.0, 1.0, 0.5]
    assert result.per_position_correct == [4, 4, 2]
    assert result.nll == pytest.approx(-(10 * np.log(0.9) + 2 * np.log(0.1 / 3)) / 12)


def test_nothing_has_no_accuracy() -> None:
    """0 of 0 is an error, not 0% or 100%."""
    with pytest.raises(TrainingError, match="no labeled images"):
        evaluate(np.zeros((0, 2, 4)), np.zeros((0, 2), dtype=np.int64))


def test_a_dissenting_view_lowers_the_confidence() -> None:
    """The aggregate is a distribution."""
    views_VNPC = np.stack([log_probs([[1, 2]]), log_probs([[1, 2]]), log_probs([[1, 3]])])

    probs_PC = np.exp(aggregate(views_VNPC))[0]

    assert probs_PC.sum(axis=1) == pytest.approx([1, 1])
    assert probs_PC.argmax(axis=1).tolist() == [1, 2]
    assert probs_PC[0, 1] == pytest.approx(0.9)
    assert probs_PC[1, 2] < 0.9


def test_scores_of_any_height_become_log_probabilities() -> None:
    """The result matches scipy's log_softmax, and the scores are unchanged."""
    scores_NPC = np.random.default_rng(0).normal(0, 300, (30, 2, 5))
    before_NPC = scores_NPC.copy()

    np.testing.assert_array_equal(log_softmax(scores_NPC), special.log_softmax(scores_NPC, axis=2))
    np.testing.assert_array_equal(scores_NPC, before_NPC)


def test_a_report_has_slices_and_the_effect_of_tta() -> None:
    """Samples that TTA fixes and breaks are counted separately, and the result is JSON."""
    targets_NP = np.array([[0, 0], [1, 1], [2, 2]])
    plain = log_probs([[0, 1], [1, 1], [2, 2]], probability=0.5)
    others = log_probs([[0, 0], [1, 0], [2, 2]], probability=0.9)
    views_VNPC = np.stack([plain, others])
    seen_N = np.array([True, False, False])

    with_views = evaluate_views(views_VNPC, targets_NP, tta=True, seen_N=seen_N)
    without = evaluate_views(views_VNPC[:1], targets_NP, tta=False, seen_N=seen_N)

    assert (with_views["correct"], without["correct"]) == (2, 2)
    assert with_views["tta_flips"] == {"fixed": 1, "broken": 1, "without_tta": 2}
    assert with_views["string_seen"] == {"n": 1, "correct": 1}
    assert without["string_not_seen"] == {"n": 2, "correct": 2}
    assert json.loads(json.dumps(with_views))["ci95"] == list(interval95(2, 3))


def test_a_confusion_matrix_has_true_rows() -> None:
    """There is one matrix per position with all samples."""
    targets_NP, predicted_NP = np.array([[0, 1], [0, 1], [2, 1]]), np.array([[0, 1], [2, 1], [2, 0]])

    counts_PCC = confusion_PCC(targets_NP, predicted_NP, 3)

    assert counts_PCC[0].tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 1]]
    assert counts_PCC[1].tolist() == [[0, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert counts_PCC.sum(axis=(1, 2)).tolist() == [3, 3]


def test_the_soft_confusion_is_the_mean_probability_beside_each_true_character() -> None:
    """Recompute each cell, support and smallest margin. A character that never occurs is nan."""
    rng = np.random.default_rng(0)
    log_probs_NPC = log_softmax(rng.normal(0, 2, (40, 2, 4)))
    targets_NP = rng.integers(0, 3, (40, 2))

    mass_PCC = soft_confusion_PCC(log_probs_NPC, targets_NP)
    support = support_PC(targets_NP, 4)
    worst_PC = worst_margin_PC(log_probs_NPC, targets_NP)

    for position in range(2):
        for true in range(3):
            members = log_probs_NPC[targets_NP[:, position] == true, position]
            np.testing.assert_allclose(mass_PCC[position, true], np.exp(members).mean(axis=0))
            assert support[position, true] == len(members)
            assert worst_PC[position, true] == pytest.approx(
                min(row[true] - np.delete(row, true).max() for row in members)
            )
    assert np.isnan(mass_PCC[:, 3]).all()
    assert np.isnan(worst_PC[:, 3]).all()
    wrong_PC = confusion_PCC(targets_NP, log_probs_NPC.argmax(axis=2), 4)
    for position in range(2):
        for true in range(3):
            missed = wrong_PC[position, true].sum() - wrong_PC[position, true, true]
            assert (missed > 0) == (worst_PC[position, true] < 0)
