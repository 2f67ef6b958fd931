"""Offers: readings that one click may make a label.

A wrong offer that is taken is a wrong label, and on validation and test images it would flatter the run that read it.
"""

MIN_CONFIDENCE = 0.95
"""Lowest calibrated confidence of a reading that is offered."""


def deserves_trust(temperature: float | None, correct: int, n: int) -> bool:
    """Return whether the readings of a run may be offered at all.

    `temperature`: the one that fits its readings of validation images; None if unknown. `correct` of these `n` readings
    are right according to people.
    """
    return temperature is not None and 2 * correct > n


def is_offered(split: str, confidence: float, *, trusted: bool) -> bool:
    """Return whether the reading of an image of this split is offered. Labels of val and test are always typed.

    `trusted`: the reader deserves trust, see `deserves_trust`. `confidence` is the calibrated one.
    """
    return split == "train" and trusted and confidence >= MIN_CONFIDENCE
