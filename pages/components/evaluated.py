"""What the sections of the Evaluate page are about."""

from dataclasses import dataclass
from typing import Any

from core.evaluation.predictions import Predictions, Reading
from core.evaluation.slices import Bools
from db.records import Run
from pages.components.layout import Page


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """What a run read on a split, with its test-time augmentation or without."""

    page: Page
    run: Run
    split: str
    found: Predictions
    tta: bool
    reading: Reading
    result: dict[str, Any]
    """As core.evaluation.metrics.evaluate_views gives it."""
    seen_N: Bools
    """Whose text also occurs in the training images."""
