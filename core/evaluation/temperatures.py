"""The temperatures that fit a run's readings of validation images, for a run without a threshold.

A file in the run's directory has one for each set of views. A threshold has its own, see core.evaluation.acceptance.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from core.charset import TextSpec
from core.errors import StorageError
from core.evaluation.predictions import Predictions
from core.evaluation.views import View, fingerprint
from core.files import atomic_write, read_small

FILE = "temperatures.json"


def learn(run_dir: Path, predictions: Predictions, spec: TextSpec) -> None:
    """Write the temperatures of these readings, with and without TTA. Keep those of other views of the checkpoint.

    Raises StorageError.
    """
    try:
        kept = _read(run_dir, predictions.step)
    except StorageError:  # replace a damaged file
        kept = {}
    if predictions.view_set is None:
        return
    for views in {predictions.view_set[:1], predictions.view_set}:
        kept[fingerprint(views)] = predictions.reading(spec, tta=len(views) > 1).temperature
    try:
        with atomic_write(run_dir / FILE) as file:
            file.write(json.dumps({"step": predictions.step, "temperatures": kept}, indent=1).encode() + b"\n")
    except OSError as error:
        raise StorageError(f"The temperatures could not be saved ({error.strerror}).") from error


def learn_missing(run_dir: Path, step: int, spec: TextSpec) -> None:
    """Write the temperatures of a run of an earlier version, if its own readings are of this checkpoint.

    Raises StorageError if they cannot be written.
    """
    if (run_dir / FILE).exists():
        return
    try:
        predictions = Predictions.load(run_dir / "predictions-val.npz")
    except StorageError:  # missing or damaged: the temperature is 1 until the run is evaluated
        return
    if predictions.step == step:
        learn(run_dir, predictions, spec)


def temperature_of(run_dir: Path, step: int, views: Sequence[View]) -> float:
    """Return the temperature of a run's readings with these views; 1 if none was fitted to this checkpoint.

    Raises StorageError if the file is damaged.
    """
    fitted = fitted_temperature(run_dir, step, views)
    return 1.0 if fitted is None else fitted


def fitted_temperature(run_dir: Path, step: int, views: Sequence[View]) -> float | None:
    """Return the temperature that was fitted to a run's readings with these views; None without one.

    Raises StorageError if the file is damaged.
    """
    return _read(run_dir, step).get(fingerprint(views))


def _read(run_dir: Path, step: int) -> dict[str, float]:
    """Return the temperatures of a checkpoint by the fingerprint of the views."""
    try:
        values = json.loads(read_small(run_dir / FILE))
        found = {str(key): float(value) for key, value in values["temperatures"].items()}
        if values["step"] != step:
            return {}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise StorageError(f"{FILE} of this run is damaged. Evaluate the run on val again.") from error
    if not all(math.isfinite(value) and value > 0 for value in found.values()):
        raise StorageError(f"{FILE} of this run is damaged. Evaluate the run on val again.")
    return found
