"""A project with many labeled validation images and two runs with generated predictions.

It has all files that pages read from a run, but nothing is trained. The weights are random. The log-probabilities are
drawn so that about 99% of the images are read right and TTA fixes a few more.
"""

import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.ui.million import CHARSET, DAYS, LENGTH, MADE, SOURCES, add_project
from core.charset import TextSpec
from core.errors import OptionError
from core.evaluation.metrics import evaluate_views
from core.evaluation.predictions import Predictions
from core.home import Home
from core.jobs.jobdir import JobDir
from core.model.config import preset, with_options
from core.training.snapshot import write_snapshot
from db import jobs, runs
from db.connection import opened, write
from db.records import Project, now

PROJECT = "readings"
TRAIN_SHARE = 0.05
"""Labeled training images per validation image: enough for every page."""
RUNS = {1: 9.0, 2: 9.8}
"""Mean lead of the true characters in nats, by run number. The newer run reads better."""
VIEWS = ("as it is", "left", "right", "up", "down", "smaller", "larger", "turned left", "turned right")
STEPS = 3000
OPTIONS = {"backbone": "test_resnet", "width": "32", "image_size": "32x96", "pretrained": "none", "device": "cpu"}
SPEC = TextSpec(LENGTH, CHARSET)


@dataclass(frozen=True)
class Val:
    """Validation images sorted by hash, as in a snapshot."""

    sha256: list[str]
    labels: list[str]

    @property
    def targets_NP(self) -> NDArray[np.int64]:
        return np.array([list(label) for label in self.labels]).astype(np.int64)


def make(home: Home, n: int) -> dict[str, Any]:
    """Create a folder with `n` validation images and two runs, or reuse it. Returns the record of its creation.

    Raises OptionError if the folder has other contents.
    """
    home.create()
    made_path = home.root / MADE
    if made_path.exists():
        made: dict[str, Any] = json.loads(made_path.read_text(encoding="utf-8"))
        if made["predictions"] != n:
            raise OptionError(f"{home.root} has {made['predictions']:,} predictions, not {n:,}. Choose another folder.")
        return made
    if home.db.exists():
        raise OptionError(f"{home.root} has an unfinished or foreign database. Remove it first.")
    began = time.monotonic()
    train = max(20, int(TRAIN_SHARE * n))
    with opened(home.db, create=True) as db:
        project, truth = add_project(
            db, PROJECT, n + train, labeled=1.0, sources=SOURCES, days=DAYS, val=n
        )  # fmt: skip
        texts = list(truth.items())
        val = Val(*map(list, zip(*sorted(texts[:n]), strict=True)))
        for number, lead in RUNS.items():
            job = f"{number:04}-fast"
            result = add_files(home, project, job, val, [text for _, text in texts[n:]], lead, seed=number)
            with write(db):
                row = jobs.insert_job(
                    db, id=job, number=number, kind="train", project_id=project.id, request_id=f"bench {number}"
                )
                jobs.set_state(db, row, "finished", result=json.dumps(result), final=True)
                runs.insert_run(
                    db, job_id=job, preset="fast", config=json.dumps(config().to_dict()), dataset_sha256="generated",
                    train_n=train, val_n=n,
                )  # fmt: skip
                runs.set_val_correct(db, job, result["val"]["correct"])
    made = {"predictions": n, "seconds": round(time.monotonic() - began, 1), "bytes": home.db.stat().st_size}
    made_path.write_text(json.dumps(made), encoding="utf-8")  # last, as it marks the folder complete
    return made


def config() -> Any:
    return with_options(preset("fast"), OPTIONS)


def add_files(
    home: Home, project: Project, job: str, val: Val, train: list[str], lead: float, *, seed: int
) -> dict[str, Any]:
    """Create the run's directory and return its result."""
    directory = JobDir(home.run(job))
    directory.path.mkdir()
    rows = [(sha256, "val", label, sha256[:8], b"") for sha256, label in zip(val.sha256, val.labels, strict=True)]
    rows += [(f"{index:064x}", "train", label, f"{index}", b"") for index, label in enumerate(train)]
    dataset = write_snapshot(directory.path / "dataset.npz", rows)
    choices = save_weights(directory, seed)
    log_probs_VNPC = generated(val.targets_NP, len(VIEWS), lead, seed=seed)
    Predictions(
        sha256=val.sha256, labels=val.labels, views=list(VIEWS), log_probs_VNPC=log_probs_VNPC,
        step=STEPS,
    ).save(directory.path / "predictions-val.npz")  # fmt: skip
    seen_N = np.isin(val.labels, train)
    plain, views = (evaluate_views(log_probs_VNPC, val.targets_NP, tta=tta, seen_N=seen_N) for tta in (False, True))
    result = {
        "val": plain, "val_tta": views, "step": STEPS, "best_step": STEPS, "seconds": 600.0,
    }  # fmt: skip
    directory.write(
        "run.json",
        {"format": 1, "kind": "train", "run": job, "preset": "fast", "config": config().to_dict(), "operator": "Ann"}
        | {"dataset": {"sha256": dataset, "train": len(train), "val": len(val.labels)}, "choices": choices}
        | {"project": {"name": project.name, "length": LENGTH, "charset": CHARSET}}
        | {"created_at": now(), "versions": {}},
    )
    directory.write("status.json", {"state": "running", "message": "", "step": STEPS, "steps": STEPS, "beat": 1})
    directory.write("result.json", result)
    directory.write("exit.json", {"code": 0, "signal": None, "at": now()})
    add_metrics(directory, plain)
    return result


def save_weights(directory: JobDir, seed: int) -> dict[str, Any]:
    """Save random weights of a tiny network as the selected checkpoint, and return the run's choices."""
    import torch

    from core.model import checkpoint
    from core.model.network import build_model

    choices: dict[str, Any] = {
        "device": "cpu", "threads": 1, "layout": "contiguous", "box": [0, 0, 1, 1], "image_size": [32, 96],
        "centers": [(position + 0.5) / LENGTH for position in range(LENGTH)], "sigma": 0.1, "weights": None,
        "steps": STEPS, "steps_per_epoch": 100, "epochs": STEPS // 100,
    }  # fmt: skip
    torch.manual_seed(seed)
    model = build_model(config(), SPEC, choices, weights=None)
    state = {"format": checkpoint.FORMAT, "length": LENGTH, "charset": CHARSET, "config": config().to_dict()}
    state |= {"choices": choices, "step": STEPS, "model": model.state_dict()}
    checkpoint.save(directory.path / "checkpoints", "best", STEPS, state, {})
    return choices


def add_metrics(directory: JobDir, val: dict[str, Any]) -> None:
    """Write a curve with as many lines as a real run."""
    for step in range(5, STEPS + 1, 5):
        left = np.exp(-step / 500)
        directory.append_metrics(
            {"kind": "step", "step": step, "epoch": 1 + step // 100, "loss": 2.3 * left, "accuracy": 1 - 0.9 * left}
            | {"lr": 0.002, "seconds": step / 5}
        )
        if step % 100 == 0:
            correct = int(val["correct"] * (1 - left))
            share = correct / val["n"]
            directory.append_metrics(
                val | {"kind": "val", "step": step, "epoch": step // 100, "correct": correct, "exact_match": share}
                | {"seconds": step / 5}
            )  # fmt: skip


def generated(targets_NP: NDArray[np.int64], views: int, lead: float, *, seed: int) -> NDArray[np.float32]:
    """Return log-probabilities V x N x P x C where true characters usually lead and views differ a little."""
    n, positions = targets_NP.shape
    rng = np.random.default_rng(seed)
    shared_NPC = rng.standard_normal((n, positions, len(CHARSET)), dtype=np.float32)
    # Some images are harder than others, and each digit is confused most often with the one five further.
    lead_NP = lead + 1.2 * rng.standard_normal((n, 1)) + 1.8 * rng.standard_normal((n, positions))
    np.put_along_axis(shared_NPC, targets_NP[:, :, None], lead_NP[:, :, None].astype(np.float32), axis=2)
    next_NP1 = ((targets_NP + 5) % len(CHARSET))[:, :, None]
    np.put_along_axis(shared_NPC, next_NP1, np.take_along_axis(shared_NPC, next_NP1, axis=2) + 1, axis=2)
    out_VNPC = np.empty((views, *shared_NPC.shape), dtype=np.float32)
    for view in range(views):
        scores_NPC = shared_NPC + (0.8 + 0.1 * view) * rng.standard_normal(shared_NPC.shape, dtype=np.float32)
        scores_NPC -= scores_NPC.max(axis=2, keepdims=True)
        out_VNPC[view] = scores_NPC - np.log(np.exp(scores_NPC).sum(axis=2, keepdims=True))
    return out_VNPC
