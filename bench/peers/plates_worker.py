"""The worker of a cell of CCT-XS: `python -m bench.peers.plates_worker JOB_DIR`. It starts the tool's environment.

    tool/images/*.png              crops at the size that the network sees
    tool/train.csv, tool/val.csv   image_path and plate_text
    tool/model.yaml, plate.yaml    the network, and its alphabet and size (JSON, which is YAML)
    tool/read.json                 images of val and test, without labels
    tool/timing/, tool/out/        the tool's folders of two timed epochs and of the training

readings.json has the texts of each split, as that of the CRNN has.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.cells import CellError
from bench.peers.plates import INSTALL, tool
from core.charset import TextSpec
from core.images.frame import Frame, choose_frame, subsample
from core.images.pixels import encode_png
from core.jobs.jobdir import JobDir
from core.jobs.work import Work, run_worker
from core.model.config import TrainConfig
from core.training.snapshot import Snapshot, load_snapshot

SCRIPT = Path(__file__).with_name("plates_tool.py")
PADS = "_-*"
"""Characters for an empty place, of which the first outside the charset is taken. No label has an empty place."""
BATCH = 64
"""The tool's default."""
TIMED = 2
"""Epochs of the timing. The first compiles."""
TICK_SECONDS = 0.1
BACKEND = "torch"
"""The fastest backend here: on one thread, a step takes 2.3 s of CPU time, against 5.9 s with JAX, compiled."""
KEYS = ("device", "init", "lr", "max_minutes", "seed")
"""Settings that the tool gets, or that are true of it."""


def _convolution(filters: int) -> dict[str, Any]:
    common = {"kernel_size": 3, "strides": 1, "padding": "valid", "activation": "relu", "use_bias": True}
    return {"layer": "Conv2D", "filters": filters} | common


_POOLING = {"layer": "MaxBlurPooling2D", "pool_size": 2, "filter_size": 3}
MODEL: dict[str, Any] = {
    "model": "cct",
    "rescaling": {"scale": 1 / 255, "offset": 0.0},
    "tokenizer": {
        "blocks": [
            _convolution(32),
            _POOLING,
            *(_convolution(filters) for filters in (48, 64)),
            _POOLING,
            *(_convolution(filters) for filters in (80, 96)),
        ],
        "patch_size": 2,
        "patch_mlp": {"layer": "MLP", "hidden_units": [64], "activation": "gelu", "dropout_rate": 0.05},
        "positional_emb": True,
    },
    "transformer_encoder": {
        "layers": 4,
        "heads": 1,
        "projection_dim": 64,
        "units": [64, 64],
        "activation": "gelu",
        "stochastic_depth": 0.05,
        "attention_dropout": 0.05,
        "mlp_dropout": 0.1,
        "head_mlp_dropout": 0.05,
        "token_reducer_heads": 4,
        "normalization": "dyt",
    },
}
"""The facts of models/cct_xs_v1.yaml of github.com/ankandrew/fast-plate-ocr at ba92187."""


def train(work: Work) -> dict[str, Any] | None:
    """Time, train and read. Return the counts of the run, or None if the worker should stop."""
    config, spec = TrainConfig.from_dict(work.spec["config"]), TextSpec.from_dict(work.spec["project"])
    assert config.max_minutes is not None
    folder = work.job.path / "tool"
    shutil.rmtree(folder, ignore_errors=True)  # the tool cannot resume
    work.job.remove("metrics.jsonl")
    work.say("Writing the images")
    snapshot = load_snapshot(work.job.path / "dataset.npz")
    frame = write_files(snapshot, spec, config, folder)
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    work.spec["choices"] = {"device": "cpu", "threads": threads, **frame.to_dict(), "weights": None, "pretrained": ""}
    work.job.write("run.json", work.spec)
    counts = {split: len(snapshot.labeled(split)) for split in ("train", "val")}
    per_epoch = -(-counts["train"] // BATCH)

    work.say("Timing an epoch")
    ends: list[float] = []
    if not run(work, training(folder, "timing", TIMED, config), lambda at: collect(folder / "timing", ends, at)):
        return None
    epoch_seconds = ends[1] - ends[0]
    epochs = epochs_in(config.max_minutes, epoch_seconds)

    def on_tick(seconds: float) -> None:
        before = len(ends)
        for row in collect(folder / "out", ends, seconds)[before:]:
            step = (int(row["epoch"]) + 1) * per_epoch
            # The tool's mean over batches gives a small last batch too much weight, so the count is near, not exact.
            correct = {"correct": round(float(row["val_acc"]) * counts["val"]), "n": counts["val"]}
            line = {"kind": "val", "step": step, "seconds": round(seconds, 1), "loss": float(row["val_loss"])}
            work.job.append_metrics(line | correct | {"per_position": []})
        work.say(f"Epoch {len(ends):,} of {epochs:,}", step=len(ends) * per_epoch, steps=epochs * per_epoch)

    ends.clear()
    if not run(work, training(folder, "out", epochs, config), on_tick):
        return None
    work.say("Reading")
    if not run(work, ["read", str(folder)]):
        return None
    written = JobDir(folder).read("readings.json") or {}
    work.job.write("readings.json", readings_of(snapshot, written["texts"]))
    rows = rows_of(folder / "out")
    best = max(rows, key=lambda row: float(row["val_acc"]))  # the first of the best, as the tool takes it
    return {
        "step": len(rows) * per_epoch,
        "best_step": (int(best["epoch"]) + 1) * per_epoch,
        "val_loss": float(best["val_loss"]),
        "seconds": round(ends[-1], 1),
        "epochs": len(rows),
        "epoch_seconds": round(epoch_seconds, 2),
        "parameters": {"plates": written["parameters"]},
        "read_ms": {"plates": written["read_ms"]},
        "step_ms": {},
        "tool": written["versions"],
        "recipe": recipe(folder / "out"),
        "config": {key: work.spec["config"][key] for key in KEYS},
    }


def epochs_in(minutes: float, epoch_seconds: float) -> int:
    """Return how many epochs come closest to these minutes, at least one. Compiling does not count."""
    return max(1, round(60 * minutes / epoch_seconds))


def write_files(snapshot: Snapshot, spec: TextSpec, config: TrainConfig, folder: Path) -> Frame:
    """Write what the tool needs and return the frame of our network, in which the images are. Labels of test stay."""
    train_places = snapshot.labeled("train")
    frame = choose_frame(
        [snapshot.pixels(place) for place in subsample(train_places)],
        spec.length,
        size=config.image_size,
        crop=config.crop,
        stride=config.stride,
    )[0]
    (folder / "images").mkdir(parents=True)
    names: dict[str, list[str]] = {}
    for split in ("train", "val", "test"):
        places = snapshot.labeled(split)
        names[split] = [f"images/{place}.png" for place in places]
        for name, place in zip(names[split], places, strict=True):
            (folder / name).write_bytes(encode_png(frame.apply(snapshot.pixels(place))))
        if split != "test":
            with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
                rows = csv.writer(file)
                rows.writerow(["image_path", "plate_text"])
                rows.writerows(zip(names[split], (snapshot.labels[place] for place in places), strict=True))
    pad = next(mark for mark in PADS if mark not in spec.charset)
    plate = {
        "max_plate_slots": spec.length,
        "alphabet": spec.charset + pad,
        "pad_char": pad,
        "img_height": frame.size[0],
        "img_width": frame.size[1],
        "image_color_mode": "rgb",
    }
    to_read = {split: names[split] for split in ("val", "test") if names[split]}
    for name, value in (("model.yaml", MODEL), ("plate.yaml", plate), ("read.json", to_read)):
        (folder / name).write_text(json.dumps(value), encoding="utf-8")
    return frame


def training(folder: Path, out: str, epochs: int, config: TrainConfig) -> list[str]:
    """Return the arguments of the tool for a training into the folder `out`."""
    options = {
        "model-config-file": folder / "model.yaml",
        "plate-config-file": folder / "plate.yaml",
        "annotations": folder / "train.csv",
        "val-annotations": folder / "val.csv",
        "output-dir": folder / out,
        "epochs": epochs,
        "early-stopping-patience": epochs,
        "batch-size": BATCH,
        "lr": config.lr,
        "seed": config.seed,
    }
    return ["train", *(str(part) for name, value in options.items() for part in (f"--{name}", value))]


def run(work: Work, arguments: Sequence[str], on_tick: Callable[[float], object] = lambda _: None) -> bool:
    """Run the tool and return True, or False if the worker should stop. Raises CellError with the tool's exit code.

    `on_tick` gets the seconds since the start, also once at the end.
    """
    python = tool()
    if python is None:
        raise CellError(f"There is no fast-plate-ocr. Install it: {INSTALL}")
    log, began = work.job.path / "tool.txt", time.monotonic()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [python, "-I", SCRIPT, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            close_fds=False,  # it holds the job's lock as long as it lives
            env=os.environ | {"KERAS_BACKEND": BACKEND},
        )
        try:
            while process.poll() is None:
                if work.should_stop():
                    return False
                on_tick(time.monotonic() - began)
                time.sleep(TICK_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
    on_tick(time.monotonic() - began)
    if process.returncode != 0:
        raise CellError(f"fast-plate-ocr exited with code {process.returncode}. See {log}.")
    return True


def rows_of(out: Path) -> list[dict[str, str]]:
    """Return the complete lines of the tool's log of epochs, one an epoch; empty before the first."""
    for path in out.glob("*/training_log.csv"):
        whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
        return list(csv.DictReader(whole.splitlines()))
    return []


def collect(out: Path, ends: list[float], seconds: float) -> list[dict[str, str]]:
    """Append this time to `ends` for each new epoch, and return the lines of all."""
    rows = rows_of(out)
    ends += [seconds] * (len(rows) - len(ends))
    return rows


def recipe(out: Path) -> dict[str, Any]:
    """Return the settings that the tool recorded, without paths."""
    recorded = next(out.glob("*/hyper_params.json"))
    values: dict[str, Any] = json.loads(recorded.read_text(encoding="utf-8"))
    return {key: value for key, value in values.items() if not (isinstance(value, str) and "/" in value)}


def readings_of(snapshot: Snapshot, texts: dict[str, dict[str, list[str]]]) -> dict[str, Any]:
    """Return the readings of each split in the form of the CRNN's."""
    return {split: {"places": snapshot.labeled(split), "texts": ways} for split, ways in texts.items()}


if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1], train))
