"""The threshold of a run: the least confidence of an accepted answer, chosen on val and kept in the run's directory.

It is chosen with core.evaluation.calibration, and core.model.predictor applies it.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from core.errors import StorageError
from core.evaluation.views import DEFAULT, View, fingerprint
from core.files import atomic_write

FILE = "acceptance.json"


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """A threshold, and what it was on the images it was chosen on."""

    step: int
    """Of the weights whose readings these were; other weights have other confidences."""
    tta: bool
    """Whether with views; the confidence without them is another."""
    views: str = fingerprint(DEFAULT)
    """Fingerprint of the views (core.evaluation.views), where it is with views; earlier versions had one set only."""
    temperature: float
    threshold: float
    """Least confidence, at this temperature, of an answer that is used."""
    max_risk: float
    """Share of wrong answers that was to be allowed."""
    tries: int = 3
    """Wrong answers in a row after which the portal locks out, as far as it was told."""
    n: int
    """Val images."""
    used: int
    wrong: int
    risk_bound: float

    def save(self, run_dir: Path) -> None:
        """Write the file whole or not at all. Raises StorageError."""
        try:
            with atomic_write(run_dir / FILE) as file:
                file.write(json.dumps(asdict(self), indent=1).encode() + b"\n")
        except OSError as error:
            raise StorageError(f"The threshold could not be written ({error.strerror}).") from error

    @classmethod
    def load(cls, run_dir: Path) -> "Acceptance | None":
        """None where nobody has chosen one. Raises StorageError when the file is damaged."""
        try:
            values = json.loads((run_dir / FILE).read_text(encoding="utf-8"))
            acceptance = cls(**values)
            numbers = [value for name, value in asdict(acceptance).items() if name not in ("tta", "views")]
            sound = (
                all(math.isfinite(number) for number in numbers)
                and acceptance.temperature > 0
                and isinstance(acceptance.tries, int)
                and acceptance.tries > 0
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise StorageError(f"{FILE} of this run is damaged; choose a threshold again.") from error
        if not sound:
            raise StorageError(f"{FILE} of this run is damaged; choose a threshold again.")
        return acceptance

    def holds_for(self, step: int, *, tta: bool, views: Sequence[View] | None) -> bool:
        """Whether it says anything about readings by the weights of that step, with these views or without."""
        if (self.step, self.tta) != (step, tta):
            return False
        return not tta or (views is not None and self.views == fingerprint(views))
