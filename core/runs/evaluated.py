"""An evaluation: what a run read on a split, and the numbers that follow from it."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from core.charset import TextSpec, spec_of
from core.errors import OptionError
from core.evaluation.predictions import Predictions, Reading, step_of
from core.evaluation.slices import Bools
from core.evaluation.views import choice_of
from core.home import Home
from core.training.snapshot import training_strings
from db.evaluations import list_evaluations
from db.projects import get_project
from db.records import Project, Run

SPLITS = ("val", "test")


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The Evaluate page and the report show this, with test-time augmentation or without."""

    project: Project
    spec: TextSpec
    run: Run
    split: str
    tta: bool
    predictions: Predictions
    reading: Reading
    result: dict[str, Any]
    """As core.evaluation.metrics.evaluate_views gives it."""
    seen_N: Bools
    """Whose text also occurs in the training images."""


def load_evaluated(
    db: Database,
    home: Home,
    run: Run,
    split: str,
    *,
    tta: bool | None = None,
    predictions: Predictions | None = None,
    strings: Collection[str] | None = None,
) -> Evaluated:
    """Load what a run read on a split; without `tta`, with views if the run reads with them.

    A caller that has them already hands in the predictions and the label strings of the training images. Raises
    OptionError where there is no such evaluation, StorageError where its files are damaged.
    """
    predictions = predictions or newest_predictions(db, home, run, split)
    if tta is None:
        tta = len(predictions.views) > 1 and choice_of(home.run(run.job.id)).use
    if tta and len(predictions.views) < 2:
        raise OptionError("These images were read without other views; evaluate the run with --tta first.")
    project = get_project(db, run.job.project_id)
    spec = spec_of(project)
    seen_N = predictions.seen_N(training_strings(home.run(run.job.id) / "dataset.npz") if strings is None else strings)
    return Evaluated(
        project=project,
        spec=spec,
        run=run,
        split=split,
        tta=tta,
        predictions=predictions,
        reading=predictions.reading(spec, tta=tta),
        result=predictions.result(spec, tta=tta, seen_N=seen_N),
        seen_N=seen_N,
    )


def newest_predictions(db: Database, home: Home, run: Run, split: str) -> Predictions:
    """Load the file that `predictions_path` finds. Raises OptionError where there is none, StorageError."""
    if split not in SPLITS:
        raise OptionError(f"There is no split {split!r} to report on; there are val and test.")
    if path := predictions_path(db, home, run, split):
        return Predictions.load(path)
    raise OptionError(f"Run {run.job.id} has not been evaluated on {split} yet; `slotlab evaluate` does it.")


def predictions_path(db: Database, home: Home, run: Run, split: str) -> Path | None:
    """Find the file of the newest evaluation of this run, or the one that the run wrote at its end if that is later.

    Later means by later weights: a run can be evaluated while it trains, or before it is resumed.
    """
    evaluated = [evaluation.job_id for evaluation in list_evaluations(db, run.job.id, split)]
    paths = (home.run(job_id) / f"predictions-{split}.npz" for job_id in evaluated)
    newest = next((path for path in paths if path.exists()), None)
    own = home.run(run.job.id) / f"predictions-{split}.npz"
    if own.exists() and (newest is None or 0 <= step_of(newest) < step_of(own)):
        return own
    return newest
