"""An evaluation: the readings of a run on a split, and the results derived from them."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.charset import TextSpec, spec_of
from core.errors import OptionError
from core.evaluation.predictions import Predictions, Reading, step_of
from core.evaluation.reference import Reference
from core.evaluation.slices import Bools
from core.evaluation.unreadable import Unreadable
from core.evaluation.views import choice_of
from core.home import Home
from core.training.snapshot import training_strings
from db.evaluations import list_evaluations
from db.projects import get_project
from db.records import Project, Run
from db.samples import count_samples
from db.sqlite import Database

SPLITS = ("val", "test")


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The readings and results of a run on a split, with or without TTA, for the Evaluate page and the report."""

    project: Project
    spec: TextSpec
    run: Run
    split: str
    tta: bool
    predictions: Predictions
    reading: Reading
    result: dict[str, Any]
    """Result of core.evaluation.metrics.evaluate_views."""
    seen_N: Bools
    """True where the text also occurs in the training images."""
    unreadable: Unreadable
    """Unreadable images of the split, as of now."""

    @property
    def reference(self) -> Reference:
        """Giver of the labels that the readings are compared with."""
        return self.predictions.reference


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
    """Load the readings of a run on a split. The default of `tta` is the run's own setting.

    Pass `predictions` and `strings` (the labels of the training images) to avoid reading them from disk. Raises
    OptionError if there is no such evaluation, StorageError if its files are damaged.
    """
    predictions = predictions or newest_predictions(db, home, run, split)
    if tta is None:
        tta = len(predictions.views) > 1 and choice_of(home.run(run.job.id)).use
    if tta and len(predictions.views) < 2:
        raise OptionError("This evaluation has no TTA; evaluate the run with --tta first.")
    project = get_project(db, run.job.project_id)
    spec = spec_of(project)
    seen_N = predictions.seen_N(training_strings(home.run(run.job.id) / "dataset.npz") if strings is None else strings)
    result = predictions.result(spec, tta=tta, seen_N=seen_N)
    return Evaluated(
        project=project,
        spec=spec,
        run=run,
        split=split,
        tta=tta,
        predictions=predictions,
        reading=predictions.reading(spec, tta=tta),
        result=result,
        seen_N=seen_N,
        unreadable=Unreadable(
            split=split,
            count=count_samples(db, project.id, split=split, flag="unreadable"),
            correct=result["correct"],
            n=result["n"],
            reference=predictions.reference,
        ),
    )


def newest_predictions(db: Database, home: Home, run: Run, split: str) -> Predictions:
    """Load the file at `predictions_path`. Raises OptionError if there is none, StorageError if it is damaged."""
    if split not in SPLITS:
        raise OptionError(f"There is no split {split!r}; choose val or test.")
    if path := predictions_path(db, home, run, split):
        return Predictions.load(path)
    raise OptionError(f"Run {run.job.id} has not been evaluated on {split} yet; run `slotlab evaluate` first.")


def predictions_path(db: Database, home: Home, run: Run, split: str) -> Path | None:
    """Return the predictions file of the latest checkpoint: from the newest evaluation, or from the run itself.

    The run's own file may be of a later checkpoint, if the evaluation ran during training or before a resume.
    """
    job_ids = [evaluation.job_id for evaluation in list_evaluations(db, run.job.id, split)]
    paths = (home.run(job_id) / f"predictions-{split}.npz" for job_id in job_ids)
    newest = next((path for path in paths if path.exists()), None)
    own = home.run(run.job.id) / f"predictions-{split}.npz"
    if own.exists() and (newest is None or 0 <= step_of(newest) < step_of(own)):
        return own
    return newest
