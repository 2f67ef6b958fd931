"""A toy portal that a tiny network learns in seconds: two symbols side by side, in any colors."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from core.charset import TextSpec
from core.images.pixels import Pixels, encode_png, pixel_hash
from core.model.config import TrainConfig
from core.training import engine
from core.training.snapshot import Row, Snapshot, load_snapshot, write_snapshot
from tests.helpers.pictures import write_files

SPEC = TextSpec(2, "|-x")
CONFIG = TrainConfig(
    device="cpu",
    backbone="test_resnet",
    stride=16,
    width=32,
    image_size=(32, 64),
    pretrained="none",
    layout="channels_last",
    precision="float32",
    batch_size=16,
    augment={},
)
"""The smallest configuration with every part of a real run."""
LEARNED = replace(CONFIG, max_steps=80)
"""Enough steps to read nearly everything."""


@dataclass(frozen=True)
class Trained:
    """Result of `train`: its folder and its lines."""

    folder: Path
    best: dict[str, Any]
    steps: list[dict[str, Any]]
    vals: list[dict[str, Any]]


def draw(text: str, rng: np.random.Generator) -> Pixels:
    """Return a 32 x 64 image of `text`."""
    paper, ink = rng.integers(150, 256, 3), rng.integers(0, 100, 3)
    image = np.full((32, 64, 3), paper, dtype=np.uint8)
    for place, char in enumerate(text):
        x, y = 16 + 32 * place + int(rng.integers(-3, 4)), 16 + int(rng.integers(-3, 4))
        strokes = {
            "|": [((0, -9), (0, 9))],
            "-": [((-9, 0), (9, 0))],
            "x": [((-8, -8), (8, 8)), ((-8, 8), (8, -8))],
        }
        for (x0, y0), (x1, y1) in strokes[char]:
            cv2.line(image, (x + x0, y + y0), (x + x1, y + y1), ink.tolist(), 3)
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def write_images(folder: Path, count: int) -> Path:
    """Write images of one text, each drawn differently: 00.png, 01.png ..."""
    rng = np.random.default_rng(8)
    return write_files(folder, {f"{index:02}.png": encode_png(draw("x|", rng)) for index in range(count)})


def rows(count: int, *, val: int = 18, seed: int = 0) -> list[Row]:
    """Return samples of all nine texts in turn. The last `val` are validation images."""
    rng = np.random.default_rng(seed)
    samples = []
    for index in range(count):
        text = SPEC.charset[index % 3] + SPEC.charset[index // 3 % 3]
        pixels = draw(text, rng)
        split = "val" if index >= count - val else "train"
        samples.append((pixel_hash(pixels), split, text, f"{index}.png", encode_png(pixels)))
    return samples


def snapshot(folder: Path, count: int = 90) -> Snapshot:
    write_snapshot(folder / "dataset.npz", rows(count))
    return load_snapshot(folder / "dataset.npz")


def train(folder: Path) -> None:
    """Train LEARNED like the worker of a run in `folder`. `trained` reads the result."""
    data, steps, vals = snapshot(folder), [], []
    choices = engine.choose(data, LEARNED, SPEC, say=lambda _: None) | {"threads": 1}
    outcome = engine.fit(
        data, LEARNED, SPEC, choices, folder / "checkpoints",
        on_step=steps.append, on_val=vals.append, should_stop=lambda: False, say=lambda _: None,
    )  # fmt: skip
    (folder / "lines.json").write_text(json.dumps({"best": outcome.best, "steps": steps, "vals": vals}))


def trained(folder: Path) -> Trained:
    return Trained(folder, **json.loads((folder / "lines.json").read_text()))
