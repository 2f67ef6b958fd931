"""The training loop: settings chosen from the data, then steps with callbacks, checkpoints and clean stops.

It works with arrays, dictionaries and one checkpoint folder. The caller stores the figures.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from core.charset import TextSpec
from core.errors import NonFiniteError
from core.evaluation import metrics
from core.images.augment_settings import DEFAULT_AUGMENT
from core.images.augmenter import Augmenter
from core.images.frame import Frame, choose_frame, subsample
from core.model import checkpoint
from core.model.config import TrainConfig
from core.model.init_choice import choose_init
from core.model.network import (
    Recognizer,
    autocast,
    build_model,
    memory_format,
    parameter_groups,
    pick_device,
    read_batch,
    to_input,
)
from core.model.pretrained import find_weights
from core.model.warm_start import load_initial, start_from
from core.training.columns import Columns
from core.training.guessing import Guessing
from core.training.probe import probe
from core.training.snapshot import READINGS, Snapshot, batch_order
from core.words import plural

SAVE_SECONDS = 60.0
"""Most work that a kill -9 can lose. The first step is saved at once."""
LOADERS = 8
"""Augmentation threads for a GPU. An image takes about 0.5 ms, mostly in OpenCV without the GIL."""
WARMUP = 0.05
"""Fraction of the steps with a rising learning rate."""
FINAL_LR = 0.01
"""Final learning rate, as a fraction of the peak."""
CLIP_NORM = 1.0
EMA_DECAY = 0.998
"""Half-life of 350 steps. The usual 0.9999 would average over more steps than a run has."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Result of `fit`."""

    state: Literal["finished", "stopped"]
    step: int
    steps: int
    best: dict[str, Any] | None
    """Validation line of the selected checkpoint, see `replaces_best`."""
    seconds: float
    """Training time, over all resumes."""


def choose(
    snapshot: Snapshot, config: TrainConfig, spec: TextSpec, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Choose what `config` leaves open, from data and machine. Store the result with the run, for resumes.

    Raises TrainingError, OptionError or CheckpointError if the run cannot start.
    """
    device = pick_device(config.device)
    train, val = snapshot.choose(drop_seen_strings=config.drop_seen_strings)
    snapshot.targets_NP(train + val, spec)  # fail here, not after a minute, if a label does not fit
    frame, centers, sigma, why = choose_frame(
        [snapshot.pixels(index) for index in subsample(train)],
        spec.length,
        size=config.image_size,
        crop=config.crop,
        stride=config.stride,
    )
    init, reason = choose_init(config, spec.length)
    initial = None if init == "scratch" else load_initial(config, spec, init, frame.size)
    weights, source = find_weights(config.backbone, config.pretrained) if initial is None else (None, "not used")
    steps, per_epoch = config.planned_steps(len(train), starts_warm=initial is not None)
    choices = {
        "device": device,
        **frame.to_dict(),
        "box_reason": why,
        "centers": centers,
        "sigma": sigma,
        "init": init,
        "pretrained": source,
        "weights": weights,
        "steps": steps,
        "steps_per_epoch": per_epoch,
        "epochs": math.ceil(steps / per_epoch),
        "lr": config.planned_rate(len(train), starts_warm=initial is not None),
        "column_loss": config.planned_column_loss(spec.length, starts_warm=initial is not None),
        "guessing": Guessing.of_labels([snapshot.labels[index] or "" for index in train]).to_dict(),
    }
    if initial:
        choices["init_sha256"] = initial.sha256
    choices |= probe(config, spec, choices)
    say(
        f"{len(train):,} training and {plural(len(val), 'validation image')}, {plural(steps, 'step')} of "
        f"{config.batch_size} on {device}."
    )
    if readings := sum(snapshot.kinds[index] in READINGS for index in train):
        say(f"{readings} training labels are readings, with weight {config.reading_weight:g}.")
    say(f"Input size {frame.size[0]} x {frame.size[1]} pixels: {why}.")
    if initial:
        say(f"Initial weights: {initial.title}, SHA-256 {initial.sha256}.")
    else:
        if reason:
            say(f"Initial weights: not those of rendered text, because {reason}.")
        say(f"Backbone {config.backbone}: {source}.")
    if choices["column_loss"]:
        say(f"CTC over the columns trains the map too, with weight {choices['column_loss']:g}.")
    measured = "fastest here" if choices["probe_ms"] else "as set"
    say(f"Memory layout {choices['layout']}, {choices['precision']}, threads {choices['threads']}: {measured}.")
    return choices


def fit(
    snapshot: Snapshot,
    config: TrainConfig,
    spec: TextSpec,
    choices: dict[str, Any],
    folder: Path,
    *,
    on_step: Callable[[dict[str, Any]], None],
    on_val: Callable[[dict[str, Any]], None],
    should_stop: Callable[[], bool],
    on_damage: Callable[[str], None] = print,
    say: Callable[[str], None] = print,
    kind: "type[Run] | None" = None,
) -> Outcome:
    """Train, or resume from the newest checkpoint in `folder`, until done or asked to stop.

    On a CPU without max_minutes, a resumed run ends with the same weights bit for bit as an uninterrupted one. Raises
    NonFiniteError if the loss is not finite; the last finite checkpoint stays. `on_damage` gets a sentence if
    checkpoints were damaged. Raises CheckpointError if none of them can be read. `kind` trains another network.
    """
    torch.set_num_threads(choices["threads"])
    run = (kind or Run)(snapshot, config, spec, choices, folder)
    damaged = run.resume()
    if damaged:
        on_damage(f"{' and '.join(damaged)} cannot be read and was set aside. The run continues from step {run.step}.")
    if run.step:
        say(f"Resuming from step {run.step}.")
    for batch in run.batches():
        run.train_step(*batch)
        if run.should_log():
            on_step(run.step_line())
        if run.should_evaluate():
            on_val(run.evaluate())
        if should_stop() and not run.is_done():
            run.save()
            return run.outcome("stopped")
        run.save_if_due()
    if run.validated_step < run.step:  # max_minutes ran out between two evaluations
        on_val(run.evaluate())
    run.save()
    return run.outcome("finished")


Batch = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32] | None]
"""Images B x H x W x 3, targets B x P, and weights B of the labels; no weights if all are equal."""


class _Feed:
    """Images of a run and their augmented batches."""

    def __init__(self, snapshot: Snapshot, config: TrainConfig, spec: TextSpec, choices: dict[str, Any]) -> None:
        frame = Frame.from_dict(choices)
        train, val = snapshot.choose(drop_seen_strings=config.drop_seen_strings)
        self.images_NHW3 = frame.stack(snapshot.pixels(index) for index in train)
        self.targets_NP = snapshot.targets_NP(train, spec)
        self.weights_N = snapshot.weights_N(train, config.reading_weight)
        self.val_images_NHW3 = frame.stack(snapshot.pixels(index) for index in val)
        self.val_targets_NP = snapshot.targets_NP(val, spec)
        self.seed, self.batch_size, self.per_epoch = config.seed, config.batch_size, choices["steps_per_epoch"]
        self.augment_settings = DEFAULT_AUGMENT if config.augment is None else config.augment
        self.local = threading.local()  # an Augmenter must not be shared between threads
        # Threads prepare batches for a GPU. On a CPU they would only take cores from the network.
        self.loaders = min(LOADERS, choices["threads"]) if choices["device"] == "cuda" else 0

    def batches(self, step: int, is_done: Callable[[], bool]) -> Iterator[Batch]:
        """Yield batches from `step` until the run is done."""
        with ThreadPoolExecutor(max(1, self.loaders)) as pool:
            ahead = deque(pool.submit(self.batch, step + index) for index in range(2 * self.loaders))
            while not is_done():
                if ahead:
                    ahead.append(pool.submit(self.batch, step + len(ahead)))
                    yield ahead.popleft().result()
                else:
                    yield self.batch(step)
                step += 1
            pool.shutdown(cancel_futures=True)

    def batch(self, step: int) -> Batch:
        """Return the batch of one step. It depends only on seed and step, not on the thread."""
        if not hasattr(self.local, "augment"):
            self.local.augment = Augmenter(self.augment_settings, self.seed)
        count, size = len(self.images_NHW3), min(self.batch_size, len(self.images_NHW3))
        epoch, place = divmod(step, self.per_epoch)
        order = batch_order(count, seed=self.seed, epoch=epoch)
        chosen = order[place * size : (place + 1) * size]
        variants = [self.local.augment(self.images_NHW3[index], epoch * count + int(index)) for index in chosen]
        weights_B = None if self.weights_N is None else self.weights_N[chosen]
        return np.stack(variants), self.targets_NP[chosen], weights_B


class Run:
    """Full state of one training at one step. Benches override the network and what depends on it."""

    ema_decay = EMA_DECAY

    def __init__(
        self, snapshot: Snapshot, config: TrainConfig, spec: TextSpec, choices: dict[str, Any], folder: Path
    ) -> None:
        self.config, self.spec, self.choices, self.folder = config, spec, choices, folder
        self.device = torch.device(choices["device"])
        self.format = memory_format(choices)
        self.steps: int = choices["steps"]
        self.per_epoch: int = choices["steps_per_epoch"]
        self.step, self.earlier_seconds = 0, 0.0
        self.best: dict[str, Any] | None = None
        # Of the last step; reading them would wait for a GPU. `total` has the loss over the columns too.
        self.total = self.loss = self.accuracy = torch.zeros(())
        self.last_save = float("-inf")
        self.validated_step = 0

        self.feed = _Feed(snapshot, config, spec, choices)
        val_n = len(self.feed.val_targets_NP)
        self.evaluate_every = evaluation_interval(self.steps, self.per_epoch, config.batch_size, val_n)

        torch.manual_seed(config.seed)
        self.model = self.build(starts=not self.has_checkpoint())
        self.model.to(self.device).to(memory_format=self.format)
        self.ema = self.build(starts=False)
        self.ema.to(self.device).to(memory_format=self.format)
        self.ema.load_state_dict(self.model.state_dict())
        self.ema.eval()
        self.columns = self.build_columns()
        groups = parameter_groups(self.model, lr=config.rate_of(choices), weight_decay=config.weight_decay)
        if self.columns is not None:
            groups.append({"params": [*self.columns.parameters()], "lr": config.rate_of(choices), "weight_decay": 0.0})
        self.peak_lrs = [group["lr"] for group in groups]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99))
        self.start = time.monotonic()  # set last, because max_minutes limits training only

    # Network

    def build(self, *, starts: bool) -> nn.Module:
        """Return the network, with its initial weights if the run starts."""
        model = build_model(self.config, self.spec, self.choices, weights=self.choices["weights"] if starts else None)
        if starts:
            start_from(model, self.config, self.spec, self.choices)
        return model

    def build_columns(self) -> Columns | None:
        """Return the layer of the loss over the columns; None if the run has no such loss."""
        if not self.choices.get("column_loss"):  # runs of earlier versions have none
            return None
        assert isinstance(self.model, Recognizer)
        return Columns(self.model, self.spec.num_classes).to(self.device)

    def losses_of(
        self, images_B3HW: Tensor, targets_BP: Tensor, weights_B: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return the loss that trains, the part of it from the heads, and the fraction of characters right."""
        assert isinstance(self.model, Recognizer)
        with autocast(self.choices):
            tokens_BLD = self.model.tokens(images_B3HW)
            logits_BPC = self.model.read(tokens_BLD).float()
        total = loss = _loss(logits_BPC, targets_BP, weights_B)
        if self.columns is not None:
            by_columns = _weighted(self.columns(tokens_BLD, targets_BP), weights_B)
            total = loss + self.choices["column_loss"] * by_columns
        return total, loss, (logits_BPC.detach().argmax(dim=2) == targets_BP).float().mean()

    def read_val(self) -> dict[str, Any]:
        """Return the figures of the averaged weights on the validation images."""
        log_probs_NPC = log_probs(self.ema, self.feed.val_images_NHW3, self.device, self.format)
        result = metrics.evaluate(log_probs_NPC, self.feed.val_targets_NP)
        answers_NP = log_probs_NPC.argmax(axis=2)
        return {
            "loss": result.nll if math.isfinite(result.nll) else None,
            "correct": result.correct,
            "n": result.n,
            "exact": result.exact_match,
            "per_position": result.per_position,
            "answers": len(np.unique(answers_NP, axis=0)),  # distinct readings
            "answers_per_position": [len(np.unique(answers_N)) for answers_N in answers_NP.T],
        }

    def exported(self) -> dict[str, Any]:
        """Return the averaged weights as they read images."""
        model = deepcopy(self.ema)
        assert isinstance(model, Recognizer)
        model.heads.fold()
        return model.state_dict()

    # Time

    def seconds(self) -> float:
        return self.earlier_seconds + time.monotonic() - self.start

    def progress(self) -> float:
        """Return progress 0 to 1, by steps or by max_minutes, whichever is further."""
        by_steps = self.step / self.steps
        limit = self.config.max_minutes
        return min(1.0, by_steps if limit is None else max(by_steps, self.seconds() / (60 * limit)))

    def is_done(self) -> bool:
        return self.step > 0 and self.progress() >= 1.0

    # Steps

    def batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Yield augmented batches on the device, from the current step to the end."""
        for images_BHW3, targets_BP, weights_B in self.feed.batches(self.step, self.is_done):
            images_B3HW = to_input(images_BHW3, self.device, self.format)
            weights = None if weights_B is None else torch.from_numpy(weights_B).to(self.device)
            yield images_B3HW, torch.from_numpy(targets_BP).to(self.device), weights

    def train_step(self, images_B3HW: Tensor, targets_BP: Tensor, weights_B: Tensor | None) -> None:
        """Do one step and set `loss` and `accuracy`, the fraction of characters right."""
        for group, peak in zip(self.optimizer.param_groups, self.peak_lrs, strict=True):
            group["lr"] = peak * learning_rate_factor(self.progress())
        self.model.train()
        total, loss, accuracy = self.losses_of(images_B3HW, targets_BP, weights_B)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self.optimizer.step()
        self.step += 1
        average(self.ema, self.model, self.step, self.ema_decay)
        self.total, self.loss, self.accuracy = total.detach(), loss.detach(), accuracy

    def finite_loss(self) -> float:
        """Return the heads' loss of the last step. Raises NonFiniteError, so nothing non-finite is shown or saved."""
        if not math.isfinite(value := self.total.item()):
            raise NonFiniteError(
                f"The loss became {value} by step {self.step}. The last good checkpoint is kept. "
                "Try a lower `lr`, or check for damaged images."
            )
        return self.loss.item()

    # Numbers

    def should_log(self) -> bool:
        return self.steps <= 100 or self.step % 5 == 0 or self.is_done()

    def should_evaluate(self) -> bool:
        return self.step % self.evaluate_every == 0 or self.is_done()

    @property
    def epoch(self) -> int:
        """Return the 1-based epoch of the last step."""
        return math.ceil(self.step / self.per_epoch)

    def step_line(self) -> dict[str, Any]:
        return {
            "kind": "step",
            "step": self.step,
            "epoch": self.epoch,
            "loss": self.finite_loss(),
            "accuracy": self.accuracy.item(),
            "lr": self.optimizer.param_groups[0]["lr"],
            "seconds": round(self.seconds(), 2),
        }

    def evaluate(self) -> dict[str, Any]:
        """Read the validation images with the averaged weights. Save these unless they are clearly worse."""
        self.finite_loss()
        self.validated_step = self.step
        line: dict[str, Any] = {"kind": "val", "step": self.step, "epoch": self.epoch} | self.read_val()
        line["seconds"] = round(self.seconds(), 2)
        # Runs of earlier versions have no "most": their best is the highest count.
        most = max(line["correct"], self.best.get("most", self.best["correct"]) if self.best else 0)
        line["kept"] = line["loss"] is not None and replaces_best(line["correct"], most, line["n"])
        if line["kept"]:
            self.best = line | {"most": most}
            checkpoint.save(self.folder, "best", self.step, self.metadata() | {"model": self.exported()}, line)
        return line

    # Checkpoints

    def has_checkpoint(self) -> bool:
        return checkpoint.exists(self.folder, "step")

    def metadata(self) -> dict[str, Any]:
        """Return the metadata that makes a checkpoint usable without the run's other files."""
        return {
            "format": checkpoint.FORMAT,
            "config": self.config.to_dict(),
            "length": self.spec.length,
            "charset": self.spec.charset,
            "choices": self.choices,
            "step": self.step,
            "best": self.best,
        }

    def save(self) -> None:
        self.finite_loss()
        state = self.metadata() | {
            "model": self.ema.state_dict(),
            "training_model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "validated": self.validated_step,
            "seconds": self.seconds(),
            "random": torch.get_rng_state(),
        }
        if self.columns is not None:
            state["columns"] = self.columns.state_dict()
        checkpoint.save(self.folder, "step", self.step, state, {"best": self.best})
        self.last_save = time.monotonic()

    def save_if_due(self) -> None:
        if time.monotonic() - self.last_save >= SAVE_SECONDS:
            self.save()

    def resume(self) -> list[str]:
        """Continue from the newest intact checkpoint, if there is one. Return the names of damaged files."""
        state, damaged = checkpoint.load_for_resume(self.folder)
        if state is None:
            return []
        checkpoint.check_format(state)
        with checkpoint.fitting():
            self.model.load_state_dict(state["training_model"])
            self.ema.load_state_dict(state["model"])
            if self.columns is not None:
                self.columns.load_state_dict(state["columns"])
            self.optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["random"])
            self.step, self.best, self.earlier_seconds = state["step"], state["best"], state["seconds"]
            self.validated_step = state.get("validated", self.step)  # missing in earlier versions
        if self.best and not checkpoint.exists(self.folder, "best"):
            self.best, self.validated_step = None, -1  # the next evaluation selects again, at the latest the last step
        self.start = self.last_save = time.monotonic()
        return damaged

    def outcome(self, state: Literal["finished", "stopped"]) -> Outcome:
        return Outcome(state=state, step=self.step, steps=self.steps, best=self.best, seconds=self.seconds())


@torch.no_grad()
def average(averaged_model: nn.Module, model: nn.Module, step: int, most: float) -> None:
    """Move the averaged weights toward those of the model. The decay rises with the steps, up to `most`."""
    decay = min(most, (1 + step) / (10 + step))
    averaged, current = averaged_model.state_dict(), model.state_dict()
    floats = [name for name, value in current.items() if value.is_floating_point()]
    torch._foreach_lerp_([averaged[name] for name in floats], [current[name] for name in floats], 1 - decay)
    for name in current.keys() - set(floats):  # batch counters
        averaged[name].copy_(current[name])


def _loss(logits_BPC: Tensor, targets_BP: Tensor, weights_B: Tensor | None) -> Tensor:
    """Return the mean cross-entropy per character, weighted by image."""
    logits, targets = logits_BPC.flatten(0, 1), targets_BP.flatten()
    if weights_B is None:
        return functional.cross_entropy(logits, targets)
    losses_BP = functional.cross_entropy(logits, targets, reduction="none").view_as(targets_BP)
    return _weighted(losses_BP.mean(dim=1), weights_B)


def _weighted(losses_B: Tensor, weights_B: Tensor | None) -> Tensor:
    """Return the mean, weighted by image."""
    return losses_B.mean() if weights_B is None else (losses_B * weights_B).sum() / weights_B.sum()


def learning_rate_factor(progress: float) -> float:
    """Return linear warm-up, then cosine decay to FINAL_LR, for `progress` 0 to 1."""
    if progress < WARMUP:
        return max(progress / WARMUP, 0.02)
    return FINAL_LR + (1 - FINAL_LR) * 0.5 * (1 + math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP)))


def evaluation_interval(steps: int, per_epoch: int, batch_size: int, val_images: int) -> int:
    """Return steps between evaluations: an epoch, or a tenth of a short run, at most a tenth of the time.

    Reading an image costs a third of training on it. The rule uses counts, because timing would make runs with the
    same seed select different weights.
    """
    affordable = math.ceil(val_images / 3 / (0.1 * batch_size))
    return max(1, min(max(affordable, min(per_epoch, steps // 10)), max(1, steps // 3)))


def replaces_best(correct: int, most: int, n: int) -> bool:
    """Return whether new weights with `correct` of n validation images right replace the best, given the highest count.

    They do unless they are worse than `most` by more than about its standard error. The highest count of many
    evaluations is partly luck, and comes before the learning rate has dropped. On 10,000 unseen hard images, two seeds,
    this rule gives 9,934 and 9,926 right, and selecting the highest count gives 9,915 and 9,914.
    """
    # The standard error is about the root of the errors, plus one because zero errors in n do not prove zero. Below two
    # thirds right, most / 2 is smaller. It equals the standard error at n / 2, and never lets zero replace one.
    return most - correct <= math.sqrt(min(n - most + 1, most / 2))


def log_probs(
    model: nn.Module, images_NHW3: NDArray[np.uint8], device: torch.device, layout: torch.memory_format
) -> NDArray[np.float32]:
    """Return log-probabilities N x P x C of images at the input size."""
    model.eval()
    parts, size = [], read_batch(device)
    with torch.inference_mode():
        for start in range(0, len(images_NHW3), size):
            images_B3HW = to_input(images_NHW3[start : start + size], device, layout)
            parts.append(model(images_B3HW).float().log_softmax(dim=2).cpu().numpy())
    out: NDArray[np.float32] = np.concatenate(parts)
    return out
