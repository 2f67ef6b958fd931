"""A plain CRNN (Shi et al., 2015) of the size of our network, and how its frames become a text.

Shapes: B images, T frames from left to right, S symbols: blank first, then the charset in its order.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bench.accuracy.untrained import best_symbols
from core.charset import TextSpec
from core.model.config import TrainConfig
from core.model.network import autocast, read_batch, to_input
from core.readers.decoder import Folding, decode
from core.training.engine import Run

BLOCKS: tuple[tuple[int, tuple[int, int]], ...] = (
    (32, (2, 2)),
    (64, (2, 2)),
    (96, (1, 1)),
    (96, (2, 1)),
    (128, (1, 1)),
    (128, (2, 1)),
)
"""Channels of each convolution, and its pooling over height and width. A frame is four pixels wide."""
HIDDEN = 96
"""Units of the recurrent layers in each direction. With BLOCKS, the network has as many parameters as ours."""
BLANK = 0


class Crnn(nn.Module):
    """Convolutions, two bidirectional LSTM layers and one linear layer: images B x 3 x H x W to logits B x T x S."""

    def __init__(self, symbols: int, height: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for channels, pooling in BLOCKS:
            layers += [nn.Conv2d(before, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
            if pooling != (1, 1):
                layers.append(nn.MaxPool2d(pooling))
            before = channels
        rows = height // int(np.prod([pooling[0] for _, pooling in BLOCKS]))
        layers += [nn.Conv2d(before, before, (rows, 1), bias=False), nn.BatchNorm2d(before), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.recurrent = nn.LSTM(before, HIDDEN, num_layers=2, bidirectional=True, batch_first=True)
        self.symbols = nn.Linear(2 * HIDDEN, symbols)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        map_BC1T: Tensor = self.convolutions((images_B3HW - 0.5) / 0.25)
        frames_BTC = map_BC1T.squeeze(2).transpose(1, 2).float()
        with torch.autocast(images_B3HW.device.type, enabled=False):  # torch has no LSTM in bfloat16 on every CPU
            logits_BTS: Tensor = self.symbols(self.recurrent(frames_BTC)[0])
        return logits_BTS


def build_crnn(_: TrainConfig, spec: TextSpec, choices: dict[str, Any], *, weights: None = None) -> Crnn:  # noqa: ARG001
    """Build the peer's network for the choices of a run, as core.model.network.build_model builds ours."""
    return Crnn(spec.num_classes + 1, choices["image_size"][0])


def ctc_loss(logits_BTS: Tensor, targets_BP: Tensor) -> Tensor:
    """Return the mean CTC loss per character."""
    batch, frames, _ = logits_BTS.shape
    log_probs_TBS = logits_BTS.float().log_softmax(dim=2).transpose(0, 1)
    lengths_B = torch.full((batch,), targets_BP.shape[1], dtype=torch.long)
    frames_B = torch.full((batch,), frames, dtype=torch.long)
    return functional.ctc_loss(log_probs_TBS, targets_BP + 1, frames_B, lengths_B, blank=BLANK)


def greedy(probabilities_TS: NDArray[np.floating], spec: TextSpec) -> str:
    """Return the best symbol of each frame, repeats merged and blanks dropped. It may have any length."""
    return best_symbols(probabilities_TS, ["", *spec.charset])


def exactly(probabilities_NTS: NDArray[np.floating], spec: TextSpec) -> list[str]:
    """Return the text of the most probable path with exactly as many characters as `spec` has, for each image."""
    folding = Folding(["", *spec.charset], BLANK, spec)
    readings = decode([folding.apply(probabilities_TS) for probabilities_TS in probabilities_NTS], spec)
    return [reading.text or "" for reading in readings]


@torch.inference_mode()
def probabilities(
    model: nn.Module, images_NHW3: NDArray[np.uint8], device: torch.device, layout: torch.memory_format
) -> NDArray[np.float32]:
    """Return probabilities N x T x S of images at the input size."""
    model.eval()
    size = read_batch(device)
    parts = [
        model(to_input(images_NHW3[start : start + size], device, layout)).softmax(dim=2).cpu().numpy()
        for start in range(0, len(images_NHW3), size)
    ]
    out: NDArray[np.float32] = np.concatenate(parts)
    return out


class CrnnRun(Run):
    """The training of a CRNN. Images, schedule, optimizer, averaging, selection and checkpoints are those of ours."""

    def build(self, *, starts: bool) -> nn.Module:  # noqa: ARG002 - it always starts from noise
        return build_crnn(self.config, self.spec, self.choices)

    def losses_of(
        self, images_B3HW: Tensor, targets_BP: Tensor, weights_B: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return the loss of a batch twice, and the fraction of texts that the best symbols of the frames give."""
        assert weights_B is None  # the labels of these cells are all of people
        with autocast(self.choices):
            logits = self.model(images_B3HW).float()
        texts = [greedy(logits_TS, self.spec) for logits_TS in logits.detach().cpu().numpy()]
        right = [text == self.spec.decode(row) for text, row in zip(texts, targets_BP.cpu().numpy(), strict=True)]
        loss = ctc_loss(logits, targets_BP)
        return loss, loss, torch.tensor(right).float().mean()

    def read_val(self) -> dict[str, Any]:
        """Return the figures on the validation images. Readings have exactly as many characters as the labels."""
        shares_NTS = probabilities(self.ema, self.feed.val_images_NHW3, self.device, self.format)
        labels = [self.spec.decode(row) for row in self.feed.val_targets_NP]
        texts, n = exactly(shares_NTS, self.spec), len(labels)
        logits_NTS = torch.from_numpy(np.log(np.maximum(shares_NTS, 1e-30)))
        rows, greedy_texts = list(zip(texts, labels, strict=True)), [greedy(each, self.spec) for each in shares_NTS]
        correct = sum(text == label for text, label in rows)
        loss = ctc_loss(logits_NTS, torch.from_numpy(self.feed.val_targets_NP)).item()
        return {
            "loss": loss if math.isfinite(loss) else None,
            "correct": correct,
            "n": n,
            "exact": correct / n,
            "per_position": [
                sum(text[place : place + 1] == label[place] for text, label in rows) / n
                for place in range(self.spec.length)
            ],
            "greedy": sum(text == label for text, label in zip(greedy_texts, labels, strict=True)),
        }

    def exported(self) -> dict[str, Any]:
        """Return the averaged weights."""
        return self.ema.state_dict()
