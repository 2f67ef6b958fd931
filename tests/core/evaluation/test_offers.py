"""Offers: which readings one click may make a label."""

import pytest

from core.evaluation.offers import MIN_CONFIDENCE, deserves_trust, is_offered


@pytest.mark.parametrize(
    ("temperature", "correct", "n", "trusted"),
    [(0.8, 101, 151, True), (None, 101, 151, False), (0.8, 75, 151, False), (0.8, 76, 151, True), (0.8, 0, 0, False)],
)
def test_a_run_deserves_trust_if_it_is_calibrated_and_reads_most_images_right(
    temperature: float | None, correct: int, n: int, *, trusted: bool
) -> None:
    """Without a temperature a confidence means nothing. Half of the images are not most of them."""
    assert deserves_trust(temperature, correct, n) is trusted


@pytest.mark.parametrize(
    ("split", "confidence", "trusted", "offered"),
    [
        ("train", MIN_CONFIDENCE, True, True),
        ("train", MIN_CONFIDENCE - 0.001, True, False),
        ("train", 1.0, False, False),
        ("val", 1.0, True, False),
        ("test", 1.0, True, False),
    ],
)
def test_only_sure_readings_of_training_images_are_offered(
    split: str, confidence: float, *, trusted: bool, offered: bool
) -> None:
    """The labels of validation and test images prove what a run is worth, so people type them."""
    assert is_offered(split, confidence, trusted=trusted) is offered
