"""Start trainings and evaluations of a project, and compare a run's data with the current labels."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from core.errors import JobError, StorageError
from core.evaluation.predictions import Predictions
from core.evaluation.views import ORIGINAL, View, check_views, choice_of, to_dicts
from core.home import Home
from core.jobs import control
from core.jobs.jobdir import JobDir
from core.model.config import TrainConfig
from core.runs import recipes
from core.training.snapshot import Row, choose_samples, snapshot_columns, write_snapshot
from db import evaluations, jobs, labels, runs, samples
from db.projects import get_project
from db.records import Job, Project, Run, Sample

IMAGES_AT_ONCE = 500


def start_training(
    db: Database,
    home: Home,
    project: Project,
    config: TrainConfig,
    *,
    preset: str,
    operator: str,
    request_id: str | None = None,
) -> Run:
    """Take a snapshot of the labeled training and validation images, and train on it in the background.

    A repeated `request_id` returns the existing run. Raises TrainingError if there are too few labels, OptionError if
    the project does not have the augmentation recipe.
    """
    job = jobs.find_by_request(db, request_id) if request_id else None
    if job is None:
        config = recipes.resolve(db, project, config)
        train, val = training_samples(db, project, config)
        dataset: dict[str, Any] = {"train": len(train), "val": len(val)}

        def fill(directory: Path) -> dict[str, Any]:
            dataset["sha256"] = write_snapshot(directory / "dataset.npz", _rows(db, train + val))
            return {"dataset": dataset}

        def record(job: Job) -> None:
            runs.insert_run(
                db, job_id=job.id, preset=preset, config=json.dumps(config.to_dict()),
                dataset_sha256=dataset["sha256"], train_n=len(train), val_n=len(val),
            )  # fmt: skip

        spec = {"preset": preset, "config": config.to_dict(), "operator": operator}
        job = control.start_job(
            db, home, project, "train", spec, name=preset, request_id=request_id, fill=fill, record=record
        )
    run = runs.find_run(db, job.id)
    assert run is not None
    return run


def training_samples(db: Database, project: Project, config: TrainConfig) -> tuple[list[Sample], list[Sample]]:
    """Return the training and validation samples of a new run. Raises TrainingError if there are too few."""
    labeled = [
        sample
        for split in ("train", "val", "test")
        for sample in samples.select_samples(db, project.id, state="labeled", split=split)
    ]
    train, val = choose_samples(
        ((sample.split, sample.label) for sample in labeled), drop_seen_strings=config.drop_seen_strings
    )
    return [labeled[index] for index in train], [labeled[index] for index in val]


def changed_labels(db: Database, home: Home, run: Run) -> tuple[int, Counter[str]]:
    """Return how many images of a run have another label now, and how many per split have no label now.

    Fast if nobody has labeled since. Raises StorageError if the run's data cannot be read.
    """
    current = labels.labels_since(db, run.job.project_id, run.job.created_at)
    changed, unlabeled = 0, Counter[str]()
    if not current:
        return changed, unlabeled
    columns = snapshot_columns(home.run(run.job.id) / "dataset.npz", "sha256", "splits", "labels")
    for sha256, split, label in zip(*(column.tolist() for column in columns), strict=True):
        if (now_label := current.get(sha256, label)) is None:
            unlabeled[split] += 1
        elif now_label != label:
            changed += 1
    return changed, unlabeled


def start_evaluation(
    db: Database,
    home: Home,
    run: Run,
    split: str,
    *,
    tta: bool | None = None,
    views: Sequence[View] | None = None,
    operator: str,
    request_id: str | None = None,
) -> Job:
    """Evaluate a run on `val` or `test` in the background. A use of the test set is recorded before it starts.

    On val, return the newest evaluation if checkpoint, views, images and labels have not changed since. `views` and
    `tta` default to the run's own choice. Raises OptionError for invalid views, StorageError if the run's choice is
    damaged.
    """
    if tta is False:
        views = (ORIGINAL,) if views is None else views
    elif views is None or tta is None:
        choice = choice_of(home.run(run.job.id))
        views, tta = choice.views if views is None else views, choice.use if tta is None else tta
    views = check_views(views)
    if split not in ("val", "test"):
        raise JobError(f"A run can be evaluated on val or test, not on {split!r}.")
    project = get_project(db, run.job.project_id)

    def record(job: Job) -> None:
        if split == "test":
            evaluations.insert_test_use(db, project_id=project.id, job_id=job.id, operator=operator)

    def fill(directory: Path) -> dict[str, Any]:
        chosen = samples.select_samples(db, project.id, state="labeled", split=split)
        write_snapshot(directory / "dataset.npz", _rows(db, chosen))
        return {}

    if not samples.count_samples(db, project.id, state="labeled", split=split):
        raise JobError(f"There are no labeled {split} images to evaluate on; label more images.")
    if not (home.run(run.job.id) / "checkpoints").is_dir():
        raise JobError(f"Run {run.job.id} has no checkpoint yet.")
    spec = {"run": run.job.id, "split": split, "tta": tta, "views": to_dicts(views), "operator": operator}
    if split == "val" and (same := _same_evaluation(db, home, project, run, spec)):
        return same
    return control.start_job(db, home, project, "evaluate", spec, request_id=request_id, record=record, fill=fill)


def _same_evaluation(db: Database, home: Home, project: Project, run: Run, spec: dict[str, Any]) -> Job | None:
    """Return the newest evaluation on val if repeating it would give the same result."""
    newest = next(iter(evaluations.list_evaluations(db, run.job.id, "val")), None)
    if newest is None:
        return None
    path, spec_path = (home.run(newest.job_id) / name for name in ("predictions-val.npz", "run.json"))
    previous = control.spec(home, newest.job_id)
    if previous.get("tta") != spec["tta"] or (spec["tta"] and previous.get("views") != spec["views"]):
        return None
    # A running run may have replaced its checkpoint after the evaluation read it.
    if not path.exists() or spec_path.stat().st_mtime <= JobDir(home.run(run.job.id)).weights_at():
        return None
    current = samples.select_samples(db, project.id, state="labeled", split="val")
    with suppress(StorageError):  # damaged: evaluate again
        predictions = Predictions.load(path)
        evaluated = dict(zip(predictions.sha256, predictions.labels, strict=True))
        if evaluated == {sample.sha256: sample.label for sample in current}:
            return jobs.find_job(db, newest.job_id)
    return None


def _rows(db: Database, chosen: list[Sample]) -> Iterator[Row]:
    for start in range(0, len(chosen), IMAGES_AT_ONCE):
        part = chosen[start : start + IMAGES_AT_ONCE]
        images = samples.image_bytes(db, [sample.id for sample in part])
        for sample in part:
            yield sample.sha256, sample.split, sample.label, sample.name, images[sample.id]
