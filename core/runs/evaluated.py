"""An evaluation: the readings of a run on a split, and the results derived from them."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.charset import TextSpec, spec_of
from core.errors import OptionError, SlotlabError
from core.evaluation.predictions import Predictions, Reading, step_of
from core.evaluation.reference import Reference
from core.evaluation.shift import WORDS, Shift
from core.evaluation.slices import Bools
from core.evaluation.unreadable import Unreadable
from core.evaluation.views import choice_of, fingerprint
from core.home import Home
from core.runs import unseen
from core.training.snapshot import training_strings
from db.evaluations import list_evaluations
from db.projects import get_project
from db.records import HELD_OUT, MEASURED, NEXT, Project, Run
from db.samples import count_samples, hashes_of_source
from db.sqlite import Database


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The readings and results of a run, with or without TTA, for the Evaluate page and the report.

    They are of the images of a split, or of a source that the run had not seen.
    """

    project: Project
    spec: TextSpec
    run: Run
    split: str
    source: str
    """Name of the source; empty for val and test."""
    tta: bool
    predictions: Predictions
    reading: Reading
    result: dict[str, Any]
    """Result of core.evaluation.metrics.evaluate_views."""
    seen_N: Bools
    """True where the text also occurs in the training images."""
    unreadable: Unreadable
    """Unreadable images of the split or source, as of now."""

    @property
    def images(self) -> str:
        """The images in words."""
        return f"images of source {self.source}" if self.source else f"{WORDS[self.split]} images"

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
    source: str = "",
    tta: bool | None = None,
    predictions: Predictions | None = None,
    strings: Collection[str] | None = None,
) -> Evaluated:
    """Load the readings of a run on a split. The default of `tta` is the run's own setting.

    Split `next` needs the name of the `source`. Pass `predictions` and `strings` (the labels of the training images) to
    avoid reading them from disk. Raises OptionError if there is no such evaluation, StorageError if its files are
    damaged.
    """
    predictions = predictions or newest_predictions(db, home, run, split, source)
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
        source=source,
        tta=tta,
        predictions=predictions,
        reading=predictions.reading(spec, tta=tta),
        result=result,
        seen_N=seen_N,
        unreadable=Unreadable(
            split=split,
            source=source,
            count=count_unreadable(db, run, split, source),
            correct=result["correct"],
            n=result["n"],
            reference=predictions.reference,
        ),
    )


def count_unreadable(db: Database, run: Run, split: str, source: str = "") -> int:
    """Return the number of images that were skipped as unreadable, of those that an evaluation would read."""
    project = get_project(db, run.job.project_id)
    if split == NEXT:
        return count_samples(db, project.id, source_id=unseen.find_source(db, project, source).id, flag="unreadable")
    count = count_samples(db, project.id, split=split, flag="unreadable")
    if split == "val" and (without := unseen.source_held_out_of(db, run)):
        count -= count_samples(db, project.id, split=split, source_id=without.id, flag="unreadable")
    return count


def shift_of(
    db: Database, home: Home, later: Evaluated, find: Callable[[str], Predictions | None] | None = None
) -> Shift | None:
    """Compare the result on a later source with that on test, else on val, read in the same way.

    Images of that source do not count there, and agreement with readers neither. `find` returns the predictions of a
    split, for a caller that keeps them. None if there is no such result.
    """
    source = unseen.find_source(db, later.project, later.source)
    for split in reversed(HELD_OUT):
        try:
            predictions = find(split) if find else newest_predictions(db, home, later.run, split)
        except SlotlabError:  # there is none, or it is damaged
            continue
        if predictions is None or not _reads_alike(predictions, later) or predictions.reference != "people":
            continue
        inside = hashes_of_source(db, source.id)
        right_N = predictions.reading(later.spec, tta=later.tta).right_N
        pairs = zip(predictions.sha256, right_N.tolist(), strict=True)
        others = [is_right for sha256, is_right in pairs if sha256 not in inside]
        if others:
            return Shift(
                source=source.name, later=(later.result["correct"], later.result["n"]), split=split,
                others=(sum(others), len(others)),
            )  # fmt: skip
    return None


def _reads_alike(predictions: Predictions, later: Evaluated) -> bool:
    """Return True if these predictions are of the same checkpoint and can be read with the same views."""
    if predictions.step != later.predictions.step:
        return False
    views, others = predictions.view_set, later.predictions.view_set
    return not later.tta or (bool(views and others) and fingerprint(views or ()) == fingerprint(others or ()))


def newest_predictions(db: Database, home: Home, run: Run, split: str, source: str = "") -> Predictions:
    """Load the file at `predictions_path`. Raises OptionError if there is none, StorageError if it is damaged."""
    if split not in MEASURED:
        raise OptionError(f"There is no split {split!r}; choose val or test.")
    if path := predictions_path(db, home, run, split, source):
        return Predictions.load(path)
    what = f"source {source!r}" if split == NEXT else split
    raise OptionError(f"Run {run.job.id} has not been evaluated on {what} yet; run `slotlab evaluate` first.")


def predictions_path(db: Database, home: Home, run: Run, split: str, source: str = "") -> Path | None:
    """Return the predictions file of the latest checkpoint: from the newest evaluation, or from the run itself.

    The run's own file may be of a later checkpoint, if the evaluation ran during training or before a resume.
    """
    job_ids = [each.job_id for each in list_evaluations(db, run.job.id, split) if each.source == source]
    paths = (home.run(job_id) / f"predictions-{split}.npz" for job_id in job_ids)
    newest = next((path for path in paths if path.exists()), None)
    own = home.run(run.job.id) / f"predictions-{split}.npz"
    if own.exists() and (newest is None or 0 <= step_of(newest) < step_of(own)):
        return own
    return newest
