"""The worker for training and evaluation: `python -m core.runs.worker JOB_DIR`.

It uses only that directory and not the database. An evaluation also reads the directory of its run, and keeps the
temperatures of val there.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from core.charset import TextSpec
from core.errors import CheckpointError, OptionError, StorageError, TrainingError
from core.evaluation import temperatures
from core.evaluation.metrics import evaluate_views
from core.evaluation.predictions import Predictions
from core.evaluation.reference import AGAINST_READERS, named_result, reference_of, score_name
from core.evaluation.views import DEFAULT, View, choice_of, from_dicts
from core.files import atomic_write
from core.images.colors import background_and_ink
from core.images.pixels import Pixels
from core.jobs.work import Work, run_worker
from core.model.config import TrainConfig
from core.model.init_choice import NAMES, located
from core.model.predictor import Predictor
from core.runs.looks import learn_look
from core.training import doctor, engine
from core.training.guessing import Guessing
from core.training.snapshot import Snapshot, load_snapshot, training_strings
from db.records import NEXT

CHUNK = 256
"""Images per chunk; the worker can stop between chunks."""
WARM_UP = 32
"""Images of the warm-up pass."""


def train(work: Work, kind: type[engine.Run] | None = None) -> dict[str, Any] | None:
    """Train, then read the validation images with the selected checkpoint and all views. `kind` is for benches."""
    path, config, spec = work.job.path, TrainConfig.from_dict(work.spec["config"]), text_spec(work)
    reference = reference_of(work.spec)
    work.say("Analyzing the images")
    snapshot = load_snapshot(path / "dataset.npz")
    choices = choices_of(work, snapshot, config, spec)
    guessing = Guessing.from_choices(choices, spec)
    shown = replace(config, lr=config.rate_of(choices))
    val_text, last_key = "", ""

    def on_step(line: dict[str, Any]) -> None:
        work.job.append_metrics(line)
        steps = estimated_steps(line, choices["steps"], config)
        work.say(
            f"Epoch {line['epoch']}, step {line['step']:,} of {steps:,}, its loss {line['loss']:.3f}{val_text}",
            step=line["step"],
            steps=steps,
            epoch=line["epoch"],
            epochs=choices["epochs"],
        )

    def on_val(line: dict[str, Any]) -> None:
        nonlocal val_text, last_key
        work.job.append_metrics(line)
        val_text = f", validation {line['correct']}/{line['n']} {score_name(reference)}"
        steps = estimated_steps(line, choices["steps"], config)
        diagnosis = doctor.diagnose(
            work.job.metrics(), spec=spec, config=shown, steps=steps, guessing=guessing, reference=reference
        )
        if diagnosis.key != last_key:  # for the log only; page and terminal call the doctor themselves
            last_key = diagnosis.key
            print(f"{diagnosis.title}: {diagnosis.text}")

    def on_damage(sentence: str) -> None:
        print(sentence)
        work.job.append_metrics({"kind": "note", "sentences": [sentence]})
        work.say(sentence)

    if reference == "readers":
        print(AGAINST_READERS)
    check_checkpoints(work)
    work.say("Preparing the network")
    outcome = engine.fit(
        snapshot,
        config,
        spec,
        choices,
        path / "checkpoints",
        on_step=on_step,
        on_val=on_val,
        should_stop=work.should_stop,
        on_damage=on_damage,
        kind=kind,
    )
    if outcome.state == "stopped":
        return None
    results = read_split(work, path, snapshot, "val", seen=training_strings(path / "dataset.npz"), views=DEFAULT)
    if results is None:
        return None
    predictions = Predictions.load(path / "predictions-val.npz")
    temperatures.learn(path, predictions, spec)
    choose_views(path, predictions, spec)
    work.say("Learning what the images look like")
    if not learn_look(path, snapshot, work.should_stop):
        return None
    best_step = outcome.best["step"] if outcome.best else None
    val, val_tta = (named_result(result, reference) for result in results)
    return {
        "val": val,
        "val_tta": val_tta,
        "step": outcome.step,
        "best_step": best_step,
        "seconds": round(outcome.seconds, 1),
    }


def check_checkpoints(work: Work) -> None:
    """Raise CheckpointError if a run that was stopped later than its first checkpoint has none."""
    reached = (work.job.read("status.json") or {}).get("step", 0)
    if reached > 1 and not list((work.job.path / "checkpoints").glob("step-*")):
        raise CheckpointError(
            f"This run reached step {reached:,}, but its checkpoints are missing. Restore the run from a backup, or "
            "clone it to train again."
        )


def choices_of(work: Work, snapshot: Snapshot, config: TrainConfig, spec: TextSpec) -> dict[str, Any]:
    """Return the choices of the run's first start. At the first start, make them and write them to run.json."""
    config = located(config, work.job.path.parent)
    choices: dict[str, Any] | None = work.spec.get("choices")
    if choices is None:
        choices = engine.choose(snapshot, config, spec)
        work.spec["choices"] = choices
        work.job.write("run.json", work.spec)
    elif choices["device"] == "cuda" and not torch.cuda.is_available():
        if config.device == "cuda":
            raise OptionError("This run is set to use a GPU, but torch finds none.")
        print("This run started on a GPU, but none is available now. Continuing on the CPU.")
        choices = choices | {"device": "cpu"}
    if config.init not in NAMES:
        choices = choices | {"init": config.init}  # the folder of the runs may have moved since the first start
    return choices


def estimated_steps(line: dict[str, Any], steps: int, config: TrainConfig) -> int:
    """Return the total steps of the run, limited by max_minutes at the current rate."""
    if config.max_minutes is None:
        return steps
    step: int = line["step"]
    seconds: float = line["seconds"]
    by_clock = round(step * 60 * config.max_minutes / max(seconds, 1e-3))
    return max(step, min(steps, by_clock))


def evaluate(work: Work) -> dict[str, Any] | None:
    """Read the images of a split with the selected checkpoint of a run."""
    run = work.job.path.parent / work.spec["run"]
    snapshot = load_snapshot(work.job.path / "dataset.npz")
    seen = training_strings(run / "dataset.npz")
    split, tta = work.spec["split"], work.spec["tta"]
    views = from_dicts(work.spec["views"]) if "views" in work.spec else DEFAULT
    results = read_split(work, run, snapshot, split, seen=seen, views=views if tta else views[:1])
    if results is None:
        return None
    if split == "val":
        temperatures.learn(run, Predictions.load(work.job.path / "predictions-val.npz"), text_spec(work))
    result = named_result(results[-1], reference_of(work.spec))
    source = {"source": work.spec["source"]} if "source" in work.spec else {}
    return {"run": work.spec["run"], "split": split, "tta": tta} | source | result


def read_split(
    work: Work, run: Path, snapshot: Snapshot, split: str, *, seen: frozenset[str], views: Sequence[View]
) -> list[dict[str, Any]] | None:
    """Write predictions-SPLIT.npz. Return the result of the plain view and, if there are more views, of all of them."""
    indices = snapshot.labeled(split)
    if not indices:
        raise TrainingError(f"There are no labeled {split} images to read.")
    predictor = Predictor.load(run)
    spec = predictor.spec
    log_probs_VNPC = np.empty((len(views), len(indices), spec.length, spec.num_classes), dtype=np.float32)
    seconds_V = np.zeros(len(views))
    colors_N23 = np.empty((len(indices), 2, 3), dtype=np.uint8)
    parts = work.job.path / f"{split}-{predictor.step}"
    parts.mkdir(exist_ok=True)
    # The first pass of a process is several times slower, so warm up before timing the views.
    predictor.read([snapshot.pixels(index) for index in indices[:WARM_UP]], views[:1])
    images_read = f"images of source {work.spec['source']}" if split == NEXT else f"{split} images"
    for start in range(0, len(indices), CHUNK):
        work.say(f"Reading {images_read}, {start:,} of {len(indices):,}")
        if work.should_stop():
            return None
        images = [snapshot.pixels(index) for index in indices[start : start + CHUNK]]
        colors_N23[start : start + CHUNK] = [background_and_ink(image) for image in images]
        log_probs_VNPC[:, start : start + CHUNK], seconds = _read_once(parts / f"{start}.npz", predictor, images, views)
        seconds_V += seconds
    predictions = Predictions(
        sha256=[snapshot.sha256[index] for index in indices],
        labels=[snapshot.labels[index] or "" for index in indices],
        views=[view.name for view in views],
        moves_V4=np.array([view.geometry for view in views]),
        log_probs_VNPC=log_probs_VNPC,
        reference=reference_of(work.spec) if split == "val" else "people",
        step=predictor.step,
        seconds_V=seconds_V,
        colors_N23=colors_N23,
    )
    predictions.save(work.job.path / f"predictions-{split}.npz")
    shutil.rmtree(parts, ignore_errors=True)
    targets_NP = snapshot.targets_NP(indices, spec)
    return [
        evaluate_views(log_probs_VNPC, targets_NP, tta=tta, seen_N=predictions.seen_N(seen))
        | {"views": predictions.views if tta else predictions.views[:1]}
        for tta in ([False, True] if len(views) > 1 else [False])
    ]


def _read_once(
    part: Path, predictor: Predictor, images: Sequence[Pixels], views: Sequence[View]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return what `Predictor.read` does, from the file of this part if there is one. Large networks take hours."""
    moves_V4 = np.array([view.geometry for view in views])
    try:
        with np.load(part) as stored:
            if np.array_equal(stored["moves"], moves_V4) and stored["log_probs"].shape[1] == len(images):
                return stored["log_probs"], stored["seconds"]
    except (OSError, EOFError, KeyError, ValueError, BadZipFile):  # not read yet, or damaged
        pass
    log_probs_VNPC, seconds_V = predictor.read(images, views)
    with atomic_write(part, sync=False) as file:
        np.savez(file, log_probs=log_probs_VNPC, seconds=seconds_V, moves=moves_V4)
    return log_probs_VNPC, seconds_V


def choose_views(run: Path, predictions: Predictions, spec: TextSpec) -> None:
    """Decide from the validation images if the run reads with TTA. Keep a choice made by a person."""
    with suppress(StorageError):  # replace a damaged choice
        if choice_of(run).by:
            return
    effect = predictions.tta_effect(spec)
    predictions.choice(effect, use=effect.wins).save(run)
    print(effect.verdict)


def text_spec(work: Work) -> TextSpec:
    return TextSpec.from_dict(work.spec["project"])


def run_job(work: Work) -> dict[str, Any] | None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise TrainingError("This version trains in one process; start it without torchrun.")
    return train(work) if work.spec["kind"] == "train" else evaluate(work)


if __name__ == "__main__":
    if os.environ.get("RANK", "0") != "0":
        sys.exit("Only rank 0 writes to the job's directory.")
    sys.exit(run_worker(sys.argv[1], run_job))
