"""Start trainings and evaluations of a project, and compare a run's data with the current labels."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.data.proposals import agreed_texts
from core.errors import JobError, StorageError, TrainingError
from core.evaluation.predictions import Predictions
from core.evaluation.reference import Reference
from core.evaluation.views import ORIGINAL, View, check_views, choice_of, to_dicts
from core.home import Home
from core.jobs import control
from core.jobs.jobdir import JobDir
from core.model.config import TrainConfig
from core.runs import initial, recipes, unseen
from core.training.snapshot import Row, choose_samples, snapshot_columns, write_snapshot
from db import evaluations, jobs, labels, runs, samples
from db.projects import get_project
from db.records import KINDS, MACHINES, MEASURED, NEXT, PEOPLE, Job, Project, Run, Sample, Source
from db.sqlite import Database

IMAGES_AT_ONCE = 500
ACCEPT = "To train on agreed readings, run `slotlab accept --agreed`."
PROPOSE = "Or let general readers read the images: run `slotlab propose`."


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

    With few labels of people in val, the run validates against the readers, see `held_out`. A repeated `request_id`
    returns the existing run. Raises TrainingError if there are too few labels, OptionError if the project does not have
    the augmentation recipe or the source to hold out, or the initial weights do not fit, CheckpointError if those are
    damaged.
    """
    job = jobs.find_by_request(db, request_id) if request_id else None
    if job is None:
        config, _ = initial.resolve(db, home, project, recipes.resolve(db, project, config))
        if without := unseen.held_out_source(db, project, config):
            config = replace(config, hold_out_source=without.name)  # the newest one is another one later
            unseen.check_initial(db, home, config, without)
        train, val, reference = training_samples(db, project, config)
        dataset: dict[str, Any] = {"train": len(train), "val": len(val)}
        if kinds := Counter(_kinds(train).values()):
            dataset["kinds"] = dict(sorted(kinds.items()))

        def fill(directory: Path) -> dict[str, Any]:
            dataset["sha256"] = write_dataset(db, directory, train + val)
            return {"dataset": dataset}

        def record(job: Job) -> None:
            runs.insert_run(
                db, job_id=job.id, preset=preset, config=json.dumps(config.to_dict()),
                dataset_sha256=dataset["sha256"], train_n=len(train), val_n=len(val), reference=reference,
            )  # fmt: skip

        spec = {
            "preset": preset, "config": config.to_dict(), "operator": operator, "reference": reference,
            "newest_sample": samples.newest_id(db, project.id),  # later images are new to the run, by any clock
        }  # fmt: skip
        job = control.start_job(
            db, home, project, "train", spec, name=preset, request_id=request_id, fill=fill, record=record
        )
    run = runs.find_run(db, job.id)
    assert run is not None
    return run


def training_samples(
    db: Database, project: Project, config: TrainConfig
) -> tuple[list[Sample], list[Sample], Reference]:
    """Return the training and validation samples of a new run, and its reference.

    Raises TrainingError if there are too few, OptionError if the source to hold out does not exist.
    """
    train, test = (samples.select_samples(db, project.id, state="labeled", split=split) for split in ("train", "test"))
    without = unseen.held_out_source(db, project, config)
    train = _other(train, without)
    if config.reading_weight == 0:
        train = [sample for sample in train if sample.checked or sample.kind not in MACHINES]
    val, reference = held_out(db, project, "val", without)
    if without and not train and not val:
        raise TrainingError(f"Without source {without.name!r}, which is held out, no labeled image is left.")
    labeled = [*train, *val, *test]
    try:
        chosen = choose_samples(
            ((sample.split, sample.label) for sample in labeled), drop_seen_strings=config.drop_seen_strings
        )
    except TrainingError as error:
        if val and reference == "people":
            raise
        raise TrainingError(f"{error} {ACCEPT if val else PROPOSE}") from None
    return [labeled[index] for index in chosen[0]], [labeled[index] for index in chosen[1]], reference


FEW = 30
"""Labels of people in val below which a score says little: 30 of 30 are at least 88% at 95% confidence."""


def held_out(
    db: Database, project: Project, split: str, without: Source | None = None
) -> tuple[list[Sample], Reference]:
    """Return the samples of val or test to measure on, except those of a source, and their reference.

    While people have labeled few images of val, these are the unlabeled images on which the readers agree, with that
    text as their label. They are in no row of the database, because readings are never labels of val.
    """
    if split == "val" and (texts := _measuring_texts(db, project, without)):
        unlabeled = samples.select_samples(db, project.id, state="unlabeled", split=split)
        return [
            replace(sample, state="labeled", label=texts[sample.id], kind="readers")
            for sample in unlabeled
            if sample.id in texts
        ], "readers"
    return _other(samples.select_samples(db, project.id, state="labeled", split=split), without), "people"


def _other(chosen: list[Sample], without: Source | None) -> list[Sample]:
    """Return the samples of other sources."""
    return [sample for sample in chosen if without is None or sample.source_id != without.id]


def count_training(db: Database, project: Project, without: Source | None = None) -> int:
    """Return the number of labeled training images that are not of this source."""
    return _count(db, project, without, state="labeled", split="train")


def count_validation(db: Database, project: Project, without: Source | None = None) -> tuple[int, Reference]:
    """Return the number of validation images of a new run, and its reference, see `held_out`."""
    if texts := _measuring_texts(db, project, without):
        return len(texts), "readers"
    return _count(db, project, without, state="labeled", split="val"), "people"


def _count(db: Database, project: Project, without: Source | None, **where: Any) -> int:
    """Count the samples of other sources."""
    inside = samples.count_samples(db, project.id, source_id=without.id, **where) if without else 0
    return samples.count_samples(db, project.id, **where) - inside


def _measuring_texts(db: Database, project: Project, without: Source | None) -> dict[int, str]:
    """Return the agreed readings that a run validates against, by sample id; none if labels of people do that.

    Labels of people measure once they are FEW, or more than the agreed readings that are left. A single one would
    otherwise select the checkpoint alone.
    """
    people = labels_of_people(db, project, "val", without)
    texts = agreed_texts(db, project, split="val", state="unlabeled") if people < FEW else {}
    if texts and without:
        for sample in samples.select_samples(db, project.id, state="unlabeled", split="val", source_id=without.id):
            texts.pop(sample.id, None)
    return texts if len(texts) > people else {}


def count_kinds(db: Database, project: Project, config: TrainConfig) -> Counter[str]:
    """Return the number of training labels of a new run that people neither gave nor checked, by kind."""
    kinds = [kind for kind in KINDS if kind not in PEOPLE and not (kind in MACHINES and config.reading_weight == 0)]
    without = unseen.held_out_source(db, project, config)
    return Counter({kind: _count(db, project, without, split="train", kind=kind, checked=False) for kind in kinds})


def labels_of_people(db: Database, project: Project, split: str, without: Source | None = None) -> int:
    """Return the number of labels that people gave to images of a split, except those of a source."""
    if without:
        return sum(_count(db, project, without, split=split, kind=kind) for kind in PEOPLE)
    by_kind = samples.label_counts(db, project.id)
    return sum(by_kind.get((split, kind), 0) for kind in PEOPLE)


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
    source: str = "",
    tta: bool | None = None,
    views: Sequence[View] | None = None,
    operator: str,
    request_id: str | None = None,
) -> Job:
    """Evaluate a run in the background on `val`, on `test`, or on a `source` that it has not seen as split `next`.

    A use of the test set is recorded before it starts, also if a source has test images. Images of a source that the
    run held out are not in its val. With few labels of people in val, readings are compared with the readers, see
    `held_out`. On val, return the newest evaluation if checkpoint, views, images, labels and reference have not changed
    since. `views` and `tta` default to the run's own choice. Raises JobError without images to evaluate on, or if the
    run has seen the source, OptionError for invalid views or an unknown source, StorageError if the run's choice is
    damaged.
    """
    if tta is False:
        views = (ORIGINAL,) if views is None else views
    elif views is None or tta is None:
        choice = choice_of(home.run(run.job.id))
        views, tta = choice.views if views is None else views, choice.use if tta is None else tta
    views = check_views(views)
    if split not in MEASURED:
        raise JobError(f"A run can be evaluated on val or test, not on {split!r}.")
    project = get_project(db, run.job.project_id)

    def record(job: Job) -> None:
        if uses_test:
            evaluations.insert_test_use(db, project_id=project.id, job_id=job.id, operator=operator)

    def fill(directory: Path) -> dict[str, Any]:
        write_dataset(db, directory, chosen)
        return {}

    reference: Reference = "people"
    if split == "test" and not labels_of_people(db, project, split):
        raise JobError("There are no labeled test images to evaluate on. A test result needs labels of people.")
    if split == NEXT:
        found = unseen.find_source(db, project, source, labeled=True)
        chosen, source = unseen.unseen_samples(db, home, run, found), found.name
    else:
        chosen, reference = held_out(db, project, split, unseen.source_held_out_of(db, run) if split == "val" else None)
    if not chosen:
        raise JobError(f"There are no labeled {split} images to evaluate on; label more images. {PROPOSE}")
    if not (home.run(run.job.id) / "checkpoints").is_dir():
        raise JobError(f"Run {run.job.id} has no checkpoint yet.")
    uses_test = any(sample.split == "test" for sample in chosen)
    if split == NEXT:
        chosen = [replace(sample, split=NEXT) for sample in chosen]  # the worker reads one split
    spec = {"run": run.job.id, "split": split, "tta": tta, "views": to_dicts(views), "operator": operator}
    spec |= {"reference": reference} | ({"source": source} if split == NEXT else {})
    if split == "val" and (same := _same_evaluation(db, home, run, spec, chosen)):
        return same
    return control.start_job(db, home, project, "evaluate", spec, request_id=request_id, record=record, fill=fill)


def _same_evaluation(db: Database, home: Home, run: Run, spec: dict[str, Any], current: Sequence[Sample]) -> Job | None:
    """Return the newest evaluation on val if repeating it on the `current` samples would give the same result."""
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
    with suppress(StorageError):  # damaged: evaluate again
        predictions = Predictions.load(path)
        evaluated = dict(zip(predictions.sha256, predictions.labels, strict=True))
        is_same = evaluated == {sample.sha256: sample.label for sample in current}
        if is_same and predictions.reference == spec["reference"]:
            return jobs.find_job(db, newest.job_id)
    return None


def write_dataset(db: Database, directory: Path, chosen: list[Sample]) -> str:
    """Write dataset.npz and return its hash."""
    return write_snapshot(directory / "dataset.npz", _rows(db, chosen), _kinds(chosen))


def _kinds(chosen: Sequence[Sample]) -> dict[str, str]:
    """Return the kinds, by hash, of labels that people neither gave nor checked."""
    return {
        sample.sha256: sample.kind
        for sample in chosen
        if sample.kind is not None and sample.kind not in PEOPLE and not sample.checked
    }


def _rows(db: Database, chosen: list[Sample]) -> Iterator[Row]:
    for start in range(0, len(chosen), IMAGES_AT_ONCE):
        part = chosen[start : start + IMAGES_AT_ONCE]
        images = samples.image_bytes(db, [sample.id for sample in part])
        for sample in part:
            yield sample.sha256, sample.split, sample.label, sample.name, images[sample.id]
