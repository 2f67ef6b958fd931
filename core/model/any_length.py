"""The recognizer for every length: position embeddings and prior centers for each, and heads over 62 classes.

It is trained on rendered text (bench.rendered). A run of one length and charset takes its part of the tables.
"""

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from core.model.config import TrainConfig
from core.model.network import QueryPool, Recognizer
from core.readers.builtin import CHARS, LENGTHS

GRID = (8, 32)
"""Rows and columns of the stored map positions. They are interpolated to the map of each image size."""


class AnyLength(nn.Module):
    """Network from images B x 3 x H x W with values 0..1 and a length P to logits B x P x 62."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.config = config
        self.stride = config.stride
        rows, columns = GRID
        self.recognizer = Recognizer(
            positions=1,
            classes=len(CHARS),
            image_size=(rows * config.stride, columns * config.stride),
            backbone=config.backbone,
            stride=config.stride,
            head="query",
            width=config.width,
            ink=False,
            centers=[0.5],
            sigma=0.5,
        )
        width = config.width
        self.pos = nn.ParameterList(nn.Parameter(torch.randn(length, width) * 0.02) for length in LENGTHS)
        self.centers = nn.ParameterList(nn.Parameter((torch.arange(length) + 0.5) / length) for length in LENGTHS)
        self.log_sigmas = nn.ParameterList(
            nn.Parameter(torch.full((length,), math.log(0.5 / length))) for length in LENGTHS
        )

    @property
    def pool(self) -> QueryPool:
        pool = self.recognizer.pool
        assert isinstance(pool, QueryPool)
        return pool

    def forward(self, images_B3HW: Tensor, length: int) -> Tensor:
        tokens_BLD = self.recognizer.tokens(images_B3HW)
        self.pool.rows, self.pool.columns = self.map_size((images_B3HW.shape[2], images_B3HW.shape[3]))
        slots_BPD = functional_call(
            self.pool, self.positions(length, (self.pool.rows, self.pool.columns)), (tokens_BLD,)
        )
        logits_BPC: Tensor = self.recognizer.heads.shared(slots_BPD)
        return logits_BPC

    def map_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return rows and columns of the map of an image of height x width."""
        return math.ceil(size[0] / self.stride), math.ceil(size[1] / self.stride)

    def positions(self, length: int, grid: tuple[int, int]) -> dict[str, Tensor]:
        """Return the parameters of the pool that depend on the length and on the map's rows and columns."""
        place = length - LENGTHS[0]
        map_1DHW = self.pool.map_pos.T.reshape(1, -1, *GRID)
        if grid != GRID:
            map_1DHW = functional.interpolate(map_1DHW, grid, mode="bilinear", align_corners=False)
        return {
            "pos": self.pos[place],
            "map_pos": map_1DHW.flatten(2)[0].T,
            "prior_center": self.centers[place],
            "prior_log_sigma": self.log_sigmas[place],
        }

    def for_length(self, length: int, charset: str, size: tuple[int, int]) -> Recognizer:
        """Return a network for one length, charset and image size of height x width, with its part of the weights."""
        with torch.random.fork_rng(devices=[]):  # the randomness of a run must not depend on what it has loaded
            network = Recognizer(
                positions=length, classes=len(charset), image_size=size, backbone=self.config.backbone,
                stride=self.stride, head="query", width=self.config.width, ink=False,
                centers=[0.5] * length, sigma=0.5,
            )  # fmt: skip
        network.load_state_dict(self.part(length, charset, size))
        return network

    def part(self, length: int, charset: str, size: tuple[int, int]) -> dict[str, Tensor]:
        """Return the weights of a Recognizer for one length, charset and image size of height x width.

        Raises KeyError for characters outside of CHARS.
        """
        places = {char: place for place, char in enumerate(CHARS)}
        classes = [places[char] for char in charset]
        shared = self.recognizer.heads.shared
        state = {name: value for name, value in self.recognizer.state_dict().items() if not name.startswith("heads.")}
        state |= {f"pool.{name}": value for name, value in self.positions(length, self.map_size(size)).items()}
        state |= {"heads.shared.weight": shared.weight[classes], "heads.shared.bias": shared.bias[classes]}
        state["heads.own"] = torch.zeros(length, len(classes), shared.in_features)
        state["heads.own_bias"] = torch.zeros(length, len(classes))
        return {name: value.detach().clone() for name, value in state.items()}
