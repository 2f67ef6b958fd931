"""The threshold of a run: the minimum confidence of an accepted reading.

core.runs.thresholds chooses it, the run's directory stores it, and core.model.predictor applies it.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from core.errors import StorageError
from core.evaluation.reference import Reference
from core.evaluation.views import DEFAULT, View, fingerprint
from core.files import atomic_write, read_small

FILE = "acceptance.json"
Judge = Reference | Literal["portal"]
"""Giver of the right texts: labels of people, agreed readings of readers, or verdicts of the portal."""
JUDGES = ("people", "readers", "portal")
BY_READERS = "This threshold was calibrated against readers, not against labels of people."


def images_of(judge: Judge) -> str:
    """Return the kind of images whose right texts this judge knows, as a noun."""
    return "submitted image" if judge == "portal" else "validation image"


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """A threshold, and its results on the images that chose it."""

    step: int
    """Step of the checkpoint. Another checkpoint has other confidences."""
    tta: bool
    """True if chosen with TTA. Confidences without TTA differ."""
    views: str = fingerprint(DEFAULT)
    """Fingerprint of the views (core.evaluation.views) with TTA. Earlier versions had only the default views."""
    temperature: float
    threshold: float
    """Minimum confidence, at this temperature, of an accepted reading."""
    max_risk: float
    """Error rate allowed among accepted readings."""
    tries: int = 3
    """Consecutive wrong readings after which the portal locks the login, as entered by the operator."""
    reference: Judge = "people"
    """Giver of the right texts. Earlier versions had only labels of people."""
    n: int
    """Images whose right text was known."""
    used: int
    """Accepted readings."""
    wrong: int
    """Wrong readings among the accepted ones."""
    risk_bound: float
    """Upper bound of the error rate; see core.evaluation.calibration.Threshold."""

    def save(self, run_dir: Path) -> None:
        """Write the file completely or not at all. Raises StorageError."""
        try:
            with atomic_write(run_dir / FILE) as file:
                file.write(json.dumps(asdict(self), indent=1).encode() + b"\n")
        except OSError as error:
            raise StorageError(f"The threshold could not be saved ({error.strerror}).") from error

    @classmethod
    def load(cls, run_dir: Path) -> "Acceptance | None":
        """Return the threshold of a run, or None. Raises StorageError if the file is damaged."""
        try:
            values = json.loads(read_small(run_dir / FILE))
            acceptance = cls(**values)
            texts = ("tta", "views", "reference")
            numbers = [value for name, value in asdict(acceptance).items() if name not in texts]
            sound = (
                all(math.isfinite(number) for number in numbers)
                and acceptance.temperature > 0
                and isinstance(acceptance.tries, int)
                and isinstance(acceptance.views, str)
                and acceptance.reference in JUDGES
                and acceptance.tries > 0
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise StorageError(f"{FILE} of this run is damaged. Set a threshold again.") from error
        if not sound:
            raise StorageError(f"{FILE} of this run is damaged. Set a threshold again.")
        return acceptance

    @property
    def caution(self) -> str:
        """A sentence if readings of general readers chose the threshold, or an empty text."""
        return BY_READERS if self.reference == "readers" else ""

    @property
    def images(self) -> str:
        """The kind of images that chose it, as a noun."""
        return images_of(self.reference)

    def applies_to(self, step: int, *, tta: bool, views: Sequence[View] | None) -> bool:
        """Return True if the threshold was chosen for this checkpoint and these views."""
        if (self.step, self.tta) != (step, tta):
            return False
        return not tta or (views is not None and self.views == fingerprint(views))
