"""Time the parts of a training step, and how many multiplications a second they do beside a bare convolution.

All parts take turns in one process, so other work on the machine slows them alike. A multiplication with an addition is
one MAC. A step does three times the MACs of its forward pass: forward, gradients of the inputs, and of the weights.
"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.accuracy.cell import Cell, described
from bench.accuracy.data import freeze
from bench.accuracy.reading import parameters
from bench.cells import Bench, environment
from bench.repeat import Tasks, in_turn
from core.model.network import autocast
from core.training import engine
from core.training.snapshot import load_snapshot

ROUNDS = 21
"""Rounds in which all parts take turns, the first untimed."""
BARE = (128, 24, 96)
"""Channels, rows and columns of the bare convolution of 3 x 3. A map of this size is large enough for full speed."""


def measure(cell: Cell, bench: Bench, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return the milliseconds of each part and its GMAC/s."""
    torch.set_num_threads(bench.threads)
    frozen, spec, config = freeze(cell.image_set, bench.work, bench.data), cell.image_set.spec, cell.config()
    snapshot = load_snapshot(frozen.path)
    choices = engine.choose(snapshot, config, spec, say=lambda _: None)
    with tempfile.TemporaryDirectory() as folder:
        run = engine.Run(snapshot, config, spec, choices, Path(folder))
    images_B3HW, targets_BP, _ = next(run.batches())
    size = len(images_B3HW)
    layers = {name: Layer(module, run) for name, module in run.model.named_modules() if _multiplies(module)}
    for layer in layers.values():
        layer.watch()
    with autocast(choices):
        run.model(images_B3HW)
    layers = {name: layer for name, layer in layers.items() if layer.macs}  # the heads multiply with a sum of weights
    bare = bare_layer(run)
    tasks: Tasks = {
        "augment": lambda _: run.feed.batch(0),
        "step": lambda _: run.train_step(images_B3HW, targets_BP, None),
        "bare": bare.work,
        **{name: layer.work for name, layer in layers.items()},
    }
    ms = in_turn(tasks, rounds)
    macs, work = (sum(getattr(layer, name) for layer in layers.values()) for name in ("macs", "work_macs"))
    layers_ms = sum(ms[name] for name in layers)
    parts = [
        {"name": name, "macs": layer.macs // size, "ms": round(ms[name] / size, 4), "gmacs": layer.rate(ms[name])}
        for name, layer in layers.items()
    ]
    return described(cell, frozen) | environment(bench.threads) | {
        "preset": cell.preset,
        "choices": {key: choices[key] for key in ("image_size", "layout", "precision", "threads")},
        "parameters": parameters(run.model)["total"],
        "macs": macs // size,
        "ms": {
            "augment": round(ms["augment"] / size, 3),
            "step": round(ms["step"] / size, 3),
            "layers": round(layers_ms / size, 3),
        },
        "gmacs": {
            "step": round(3 * macs / ms["step"] / 1e6, 1),
            "layers": round(work / layers_ms / 1e6, 1),
            "bare": bare.rate(ms["bare"]),
        },
        "layers": parts,
    }  # fmt: skip


def _multiplies(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d | nn.Linear)


class Layer:
    """One layer with inputs of a training step, to do its share of the step alone."""

    def __init__(self, module: nn.Module, run: engine.Run) -> None:
        self.module, self.run, self.macs = module, run, 0
        self.is_first = False
        self.inputs = self.slopes = torch.zeros(())

    def watch(self) -> None:
        """Keep the input of the next forward pass."""

        def hook(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            handle.remove()
            self.take(*inputs, output)

        handle = self.module.register_forward_hook(hook)

    def take(self, inputs: Tensor, output: Tensor) -> None:
        self.is_first = inputs.ndim == 4 and inputs.shape[1] == 3
        self.inputs = inputs.detach().clone().requires_grad_(not self.is_first)
        self.slopes = torch.ones_like(output)
        weight = self.module.weight
        assert isinstance(weight, Tensor)
        self.macs = output.numel() * weight[0].numel()

    @property
    def work_macs(self) -> int:
        """Return the MACs of `work`. The first layer needs no gradients of the image."""
        return self.macs * (2 if self.is_first else 3)

    def work(self, _: int) -> None:
        """Do the forward and backward pass of the layer."""
        with autocast(self.run.choices):
            output = self.module(self.inputs)
        output.backward(self.slopes)

    def rate(self, ms: float) -> float:
        return round(self.work_macs / ms / 1e6, 1)


def bare_layer(run: engine.Run) -> Layer:
    """Return a convolution of 3 x 3 alone, in the layout and precision of the run."""
    channels, rows, columns = BARE
    module = nn.Conv2d(channels, channels, 3, padding=1).to(memory_format=run.format)
    images = torch.rand(run.config.batch_size, channels, rows, columns).to(memory_format=run.format)
    layer = Layer(module, run)
    with autocast(run.choices):
        layer.take(images.to(torch.bfloat16) if run.choices["precision"] == "bfloat16" else images, module(images))
    return layer
