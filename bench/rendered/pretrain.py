"""Train the network for every length on rendered text only.

    python -m bench.rendered.pretrain --work DIR [--data DIR] [--images 4000000] [--hours 12] [--published]

It takes one core at the lowest priority, saves each minute, and continues where it stopped. With --published a new DIR
continues from the weights in the repository: their images and hours count, the schedule starts over. `DIR/curve.jsonl`
gets a line every 50,000 images. With --data, the folder of bench.accuracy, a line has the exact match on the validation
images of real sets. They train nothing and choose nothing.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bench.accuracy.data import SETS as IMAGE_SETS
from bench.accuracy.data import freeze
from bench.accuracy.scores import audited, load_audit
from bench.rendered.fonts import Font, load_fonts
from bench.rendered.licenses import usable
from bench.rendered.made import made_fonts
from bench.rendered.render import VERSION, Renderer, any_size
from core.files import atomic_write
from core.images.frame import choose_frame, subsample
from core.jobs.priority import lower
from core.model.any_length import AnyLength
from core.model.config import preset
from core.model.network import autocast, parameter_groups, to_input
from core.model.warm_start import load_rendered, rendered_card
from core.readers.builtin import CHARS, LENGTHS
from core.training.engine import CLIP_NORM, average, learning_rate_factor
from core.training.snapshot import load_snapshot

BATCH = 64
SEED = 0
IMAGES = 4_000_000
SAVE_SECONDS = 60.0
EVERY = 50_000
"""Images between two lines of the curve."""
EMA_DECAY = 0.999
LENGTH_SHARES = (0.06, 0.05, 0.08, 0.2, 0.16, 0.2, 0.09, 0.08, 0.04, 0.04)
CHARSETS = (CHARS[:10], CHARS[:36], CHARS[:10] + CHARS[36:], CHARS[10:36], CHARS[36:], CHARS)
CHARSET_SHARES = (0.55, 0.16, 0.09, 0.05, 0.05, 0.1)
REAL = ("digits4", "henan4", "portal6-fold0")


@dataclass(frozen=True)
class Batch:
    """Rendered images of one length, charset and size."""

    images_BHW3: NDArray[np.uint8]
    targets_BP: NDArray[np.int64]
    """Places in the charset."""
    classes: list[int]
    """Place in CHARS of each character of the charset."""


def batch(renderer: Renderer, step: int, size: int) -> Batch:
    """Return the batch of one step. It depends on seed and step only."""
    rng = np.random.default_rng([SEED, step])
    length = int(rng.choice(LENGTHS, p=LENGTH_SHARES))
    charset = CHARSETS[rng.choice(len(CHARSETS), p=CHARSET_SHARES)]
    height_width = any_size(length, rng)
    texts = [renderer.text(length, rng, charset) for _ in range(size)]
    images = np.stack([renderer.draw(text, height_width, rng) for text in texts])
    targets = np.array([[charset.index(char) for char in text] for text in texts])
    return Batch(images, targets, [CHARS.index(char) for char in charset])


class Pretraining:
    """The state of the training at one step, and its file."""

    def __init__(self, folder: Path, fonts: Sequence[Font], images: int, size: int = BATCH) -> None:
        config = preset("fast")
        self.path, self.curve, self.size, self.steps = folder / "state.pt", folder / "curve.jsonl", size, images // size
        self.renderer = Renderer(fonts)
        self.choices = {"device": "cpu", "precision": "bfloat16"}
        torch.manual_seed(SEED)
        self.model = AnyLength(config).to(memory_format=torch.channels_last)
        self.ema = deepcopy(self.model).eval()
        tables = [*self.model.pos, *self.model.centers, *self.model.log_sigmas]
        groups = parameter_groups(self.model.recognizer, lr=config.auto_lr, weight_decay=config.weight_decay)
        groups.append({"params": tables, "lr": config.auto_lr, "weight_decay": 0.0})
        self.peaks = [group["lr"] for group in groups]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99))
        self.begin, self.step, self.seconds = 0, 0, 0.0
        if self.path.exists():
            state = torch.load(self.path, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.ema.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds, self.begin = state["step"], state["seconds"], state.get("begin", 0)

    def continue_from(self, weights: AnyLength, card: dict[str, Any]) -> None:
        """Take over published weights, and from their card the curve and what they cost."""
        self.model.load_state_dict(weights.state_dict())
        self.ema.load_state_dict(weights.state_dict())
        self.begin = self.step = card["images"] // self.size
        self.seconds = 3600 * card["cpu_hours"]
        lines = [json.dumps({"renderer": card["renderer"]} | line) for line in card["curve"]]
        self.curve.write_text("".join(line + "\n" for line in lines))

    @property
    def images(self) -> int:
        """Return the number of images that trained it."""
        return self.step * self.size

    def train_step(self) -> float:
        """Do one step and return its loss."""
        began = time.process_time()
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * learning_rate_factor((self.step - self.begin) / (self.steps - self.begin))
        drawn = batch(self.renderer, self.step, self.size)
        images_B3HW = to_input(drawn.images_BHW3, torch.device("cpu"), torch.channels_last)
        self.model.train()
        with autocast(self.choices):
            logits_BPC = self.model(images_B3HW, drawn.targets_BP.shape[1]).float()
        logits_BPC = logits_BPC[:, :, drawn.classes]
        loss = functional.cross_entropy(logits_BPC.flatten(0, 1), torch.from_numpy(drawn.targets_BP).flatten())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self.optimizer.step()
        self.step += 1
        average(self.ema, self.model, self.step, EMA_DECAY)
        self.seconds += time.process_time() - began
        return loss.item()

    def save(self) -> None:
        state = {
            "model": self.model.state_dict(), "ema": self.ema.state_dict(), "optimizer": self.optimizer.state_dict(),
            "step": self.step, "seconds": self.seconds, "begin": self.begin,
        }  # fmt: skip
        with atomic_write(self.path) as file:
            torch.save(state, file)

    def note(self, loss: float, real: dict[str, Any]) -> dict[str, Any]:
        """Add a line to the curve and return it."""
        line = {
            "images": self.images, "cpu_hours": round(self.seconds / 3600, 3), "loss": round(loss, 4),
            "renderer": VERSION, "real": real,
        }  # fmt: skip
        with self.curve.open("a") as file:
            file.write(json.dumps(line) + "\n")
        return line


def read_real(model: AnyLength, work: Path, data: Path) -> dict[str, Any]:
    """Return the exact match on the validation images of the real sets, by audited labels."""
    counts: dict[str, Any] = {}
    for name in REAL:
        pairs = read_set(model, name, work, data)
        counts[name] = [sum(text == label for text, label in pairs), len(pairs)]
    return counts


@torch.inference_mode()
def read_set(model: AnyLength, name: str, work: Path, data: Path) -> list[tuple[str, str]]:
    """Return reading and audited label of each validation image of a real set."""
    images = IMAGE_SETS[name]
    snapshot = load_snapshot(freeze(images, work, data).path)
    val = snapshot.labeled("val")
    pixels = [snapshot.pixels(index) for index in val]
    frame, *_ = choose_frame(
        [pixels[place] for place in subsample(range(len(val)))],
        images.length,
        size=None,
        crop=True,
        stride=model.stride,
    )
    given = [snapshot.labels[index] or "" for index in val]
    right = audited([snapshot.sha256[index] for index in val], given, load_audit(images.folder))
    classes = [CHARS.index(char) for char in images.charset]
    texts: list[str] = []
    for start in range(0, len(val), 128):
        stacked = frame.stack(pixels[start : start + 128])
        logits = model(to_input(stacked, torch.device("cpu"), torch.channels_last), images.length)
        read_BP = logits[:, :, classes].argmax(dim=2).numpy()
        texts += ["".join(images.charset[place] for place in row) for row in read_BP]
    return list(zip(texts, right, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument(
        "--images", type=int, default=IMAGES, help="images of the whole training; the schedule depends on it"
    )
    parser.add_argument("--hours", type=float, default=12.0, help="most CPU hours, over all stretches")
    parser.add_argument("--published", action="store_true", help="begin with the weights in the repository")
    options = parser.parse_args()
    lower()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stopped.append(received))
    fonts = usable(load_fonts())
    fonts += made_fonts(fonts, np.random.default_rng(SEED))
    print(f"{len(fonts):,} fonts of {len({font.family for font in fonts}):,} families", flush=True)
    training = Pretraining(options.work, fonts, options.images)
    if options.published and training.step == 0:
        training.continue_from(load_rendered(), rendered_card())
    saved, loss = time.monotonic(), float("nan")
    while training.step < training.steps and training.seconds < 3600 * options.hours and not stopped:
        loss = training.train_step()
        if training.images % EVERY < training.size or training.step == training.steps:
            real = read_real(training.ema, options.work, options.data) if options.data else {}
            print(json.dumps(training.note(loss, real)), flush=True)
        if time.monotonic() - saved > SAVE_SECONDS:
            training.save()
            saved = time.monotonic()
    training.save()
    return 0


if __name__ == "__main__":
    sys.exit(main())
