"""The worker for out-of-fold readings: `python -m core.runs.fold_worker JOB_DIR`.

    fold-1/       checkpoints of a fold, until it is done
    fold-1.npz    its readings

A fold that is done is not repeated when the job is resumed. Another one continues from its checkpoint.
"""

import shutil
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from core.charset import TextSpec
from core.errors import OptionError
from core.evaluation.views import ORIGINAL
from core.jobs.work import Work, run_worker
from core.model.config import TrainConfig
from core.model.predictor import Predictor
from core.runs.folds import FOLDS, OutOfFold, fold_file
from core.training import engine
from core.training.snapshot import Snapshot, load_snapshot

CHUNK = 256
"""Images per chunk; the worker can stop between chunks."""


def run_folds(work: Work) -> dict[str, Any] | None:
    """Train and read each fold that is not done yet. Return how many labels the networks read alike."""
    path, spec = work.job.path, TextSpec.from_dict(work.spec["project"])
    snapshot = load_snapshot(path / "dataset.npz")
    for number in range(1, FOLDS + 1):
        if fold_file(path, number).exists():
            continue
        out_of_fold = _run_fold(work, fold_of(snapshot, number), spec, number)
        if out_of_fold is None:
            return None
        out_of_fold.save(fold_file(path, number))
        shutil.rmtree(path / f"fold-{number}", ignore_errors=True)
    log_probs_NPC = OutOfFold.of_job(path).of(snapshot.sha256)
    right_N = (log_probs_NPC.argmax(axis=2) == snapshot.targets_NP(range(len(snapshot)), spec)).all(axis=1)
    return {"n": len(snapshot), "correct": int(right_N.sum())}


def fold_of(snapshot: Snapshot, number: int) -> Snapshot:
    """Return the images with those of one fold as validation images and all others as training images.

    The images are in the order of their hashes, so a fold is a random part. Its images select the checkpoint that reads
    them, but train no weight of it.
    """
    splits = ["val" if place % FOLDS == number - 1 else "train" for place in range(len(snapshot))]
    return replace(snapshot, splits=splits)


def _run_fold(work: Work, fold: Snapshot, spec: TextSpec, number: int) -> OutOfFold | None:
    """Train a fold from its last checkpoint and read its images. Return None if the job should stop."""
    work.say(f"Fold {number} of {FOLDS}: preparing the network")
    folder, config = work.job.path / f"fold-{number}", TrainConfig.from_dict(work.spec["config"])
    choices = _choices(work, fold, config, spec)

    def on_step(line: dict[str, Any]) -> None:
        step, steps = line["step"], choices["steps"]
        work.say(
            f"Fold {number} of {FOLDS}: step {step:,} of {steps:,}, its loss {line['loss']:.3f}",
            step=(number - 1) * steps + step,
            steps=FOLDS * steps,
        )

    outcome = engine.fit(
        fold,
        config,
        spec,
        choices,
        folder / "checkpoints",
        on_step=on_step,
        on_val=lambda _: None,
        should_stop=work.should_stop,
    )
    if outcome.state == "stopped":
        return None
    predictor, indices, parts = Predictor.load(folder, device=choices["device"]), fold.labeled("val"), []
    for start in range(0, len(indices), CHUNK):
        if work.should_stop():
            return None
        log_probs_VNPC, _ = predictor.read([fold.pixels(index) for index in indices[start : start + CHUNK]], [ORIGINAL])
        parts.append(log_probs_VNPC[0])
    return OutOfFold([fold.sha256[index] for index in indices], np.concatenate(parts))


def _choices(work: Work, fold: Snapshot, config: TrainConfig, spec: TextSpec) -> dict[str, Any]:
    """Return the choices of the job's first start, with the steps of this fold."""
    if "choices" not in work.spec:
        work.spec["choices"] = engine.choose(fold, config, spec)
        work.job.write("run.json", work.spec)
    choices: dict[str, Any] = work.spec["choices"]
    if choices["device"] == "cuda" and not torch.cuda.is_available():
        raise OptionError("This job started on a GPU, but torch finds none. Start a new one.")
    train, _ = fold.choose(drop_seen_strings=False)
    steps, per_epoch = config.planned_steps(len(train), starts_warm=choices.get("init", "scratch") != "scratch")
    return choices | {"steps": steps, "steps_per_epoch": per_epoch}


if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1], run_folds))
