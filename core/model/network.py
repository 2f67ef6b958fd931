"""The recognizer: one shared backbone, one learnable embedding and one linear head per position."""

import math
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from core.charset import TextSpec
from core.errors import OptionError
from core.model.config import TrainConfig


def ink_normalize(images_B3HW: Tensor) -> Tensor:
    """Distance of each pixel to the image's border color, scaled to 0..1 and repeated on three channels.

    Background color and polarity vanish: light on dark equals dark on light. An option, not the default: a network
    that sees colors learns polarity by itself and can tell a line from a stroke by it, and the border is no background
    where there is a frame or a gradient. Unseen images of two real portals, 1,600 and 600 steps: 936 of 951 right with
    colors and 925 without, mean loss 0.036 and 0.043; 108 and 107 of 113, 0.038 and 0.050. On the rendered hard
    style, 700 steps, 948 and 958 of 1,000, 0.024 and 0.022.
    """
    border_B3N = torch.cat(
        [images_B3HW[:, :, 0], images_B3HW[:, :, -1], images_B3HW[:, :, :, 0], images_B3HW[:, :, :, -1]], dim=2
    )
    background_B311 = border_B3N.median(dim=2).values[:, :, None, None]
    ink_B1HW = (images_B3HW - background_B311).abs().amax(dim=1, keepdim=True)
    return (ink_B1HW / ink_B1HW.amax(dim=(2, 3), keepdim=True).clamp_min(1e-3)).expand_as(images_B3HW)


class QueryPool(nn.Module):
    """Each position reads the map through attention: its embedding is the query, with a learnable column prior.

    The prior does not count columns but text: where on its line a column lies is the share of all text that lies left
    of it, and how much text a cell holds is learned. So the third character is looked for after two characters, not
    after a third of the width. On six digits that move sideways by a quarter of the image, 67% of 301 unseen images
    are right after three epochs; with a prior over plain columns 5%, and with a transformer layer before it 3%.
    """

    def __init__(self, width: int, rows: int, columns: int, centers: list[float], sigma: float, heads: int = 4) -> None:
        super().__init__()
        self.rows, self.columns, self.heads = rows, columns, heads
        self.pos = nn.Parameter(torch.randn(len(centers), width) * 0.02)
        self.map_pos = nn.Parameter(torch.randn(rows * columns, width) * 0.02)
        self.prior_center = nn.Parameter(torch.tensor(centers))
        self.prior_log_sigma = nn.Parameter(torch.full((len(centers),), math.log(sigma)))
        self.text = nn.Linear(width, 1)
        nn.init.zeros_(self.text.weight)  # every cell holds the same text at first: the line is the width
        nn.init.zeros_(self.text.bias)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens_BLD: Tensor) -> Tensor:
        batch, _, width = tokens_BLD.shape
        positions = self.pos.shape[0]
        query_HPd, key_BHLd, value_BHLd = self._split(tokens_BLD)
        read_BHPd = functional.scaled_dot_product_attention(
            query_HPd.expand(batch, -1, -1, -1), key_BHLd, value_BHLd, attn_mask=self._prior(tokens_BLD)[:, None]
        )
        slots_BPD: Tensor = read_BHPd.transpose(1, 2).reshape(batch, positions, width) + self.pos
        out: Tensor = slots_BPD + self.mlp(self.norm(slots_BPD))
        return out

    def attention(self, tokens_BLD: Tensor) -> Tensor:
        """Share of each cell in what each position reads, B x P x L, each row summing to 1: the mean over the heads."""
        query_HPd, key_BHLd, _ = self._split(tokens_BLD)
        scores_BHPL = query_HPd @ key_BHLd.transpose(2, 3) / math.sqrt(query_HPd.shape[2])
        return (scores_BHPL + self._prior(tokens_BLD)[:, None]).softmax(dim=3).mean(dim=1)

    def _split(self, tokens_BLD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries H x P x d, keys and values B x H x L x d."""
        batch, length, _ = tokens_BLD.shape
        key, value = self.key_value(tokens_BLD + self.map_pos).chunk(2, dim=2)
        query_HPd = self.query(self.pos).view(self.pos.shape[0], self.heads, -1).transpose(0, 1)
        key_BHLd = key.view(batch, length, self.heads, -1).transpose(1, 2)
        value_BHLd = value.view(batch, length, self.heads, -1).transpose(1, 2)
        return query_HPd, key_BHLd, value_BHLd

    def _prior(self, tokens_BLD: Tensor) -> Tensor:
        """Logarithm of a Gaussian around each position's place on the line of text, B x P x L."""
        text_BW = functional.softplus(self.text(tokens_BLD)).view(-1, self.rows, self.columns).mean(dim=1) + 1e-3
        place_BW = (text_BW.cumsum(dim=1) - 0.5 * text_BW) / text_BW.sum(dim=1, keepdim=True)
        distance_BPW = (place_BW[:, None] - self.prior_center[:, None]) / self.prior_log_sigma.exp()[:, None]
        return -0.5 * distance_BPW.square().repeat(1, 1, self.rows)


class FlattenPool(nn.Module):
    """Each position sees the whole map through one dense layer; locked to where the text was in training."""

    def __init__(self, width: int, rows: int, columns: int, positions: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(width, width // 4)
        self.mlp = nn.Sequential(nn.Linear(rows * columns * (width // 4), width), nn.GELU())
        self.pos = nn.Parameter(torch.randn(positions, width) * 0.02)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens_BLD: Tensor) -> Tensor:
        slots_BPD: Tensor = self.norm(self.mlp(self.reduce(tokens_BLD).flatten(1))[:, None] + self.pos)
        return slots_BPD


class AveragePool(nn.Module):
    """Each position sees the map's average; the embedding acts through the MLP, else a linear head would absorb it."""

    def __init__(self, width: int, positions: int) -> None:
        super().__init__()
        self.pos = nn.Parameter(torch.randn(positions, width) * 0.02)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens_BLD: Tensor) -> Tensor:
        slots_BPD = tokens_BLD.mean(dim=1, keepdim=True) + self.pos
        out: Tensor = slots_BPD + self.mlp(self.norm(slots_BPD))
        return out


class Heads(nn.Module):
    """One linear layer per position, each the sum of a part that all share and a part of its own.

    The own parts start at zero, so that at first every label teaches every position, and weight decay lets them grow
    only where a position differs. What comes out is N independent linear layers (`weight_PCD`). Of 1,000 unseen images
    of the hard style 969 are right after 700 steps, mean loss 0.018; with layers that share nothing 956, 0.022.
    `tied=False` are layers that share nothing.
    """

    def __init__(self, positions: int, classes: int, width: int, *, tied: bool) -> None:
        super().__init__()
        self.shared = nn.Linear(width, classes)
        self.own = nn.Parameter(torch.zeros(positions, classes, width))
        self.own_bias = nn.Parameter(torch.zeros(positions, classes))
        if not tied:
            self.fold()
            nn.init.uniform_(self.own, -(width**-0.5), width**-0.5)  # as nn.Linear begins
            self.shared.requires_grad_(False)

    def weight_PCD(self) -> Tensor:
        return self.shared.weight + self.own

    def bias_PC(self) -> Tensor:
        return self.shared.bias + self.own_bias

    def forward(self, slots_BPD: Tensor) -> Tensor:
        return torch.einsum("bpd,pcd->bpc", slots_BPD, self.weight_PCD()) + self.bias_PC()

    @torch.no_grad()
    def fold(self) -> None:
        """Put everything into the own parts, to the same logits bit for bit: plain independent layers, as they ship."""
        self.own.copy_(self.weight_PCD())
        self.own_bias.copy_(self.bias_PC())
        nn.init.zeros_(self.shared.weight)
        nn.init.zeros_(self.shared.bias)


class Recognizer(nn.Module):
    """Images B x 3 x H x W with values 0..1 to logits B x P x C."""

    def __init__(
        self,
        *,
        positions: int,
        classes: int,
        image_size: tuple[int, int],
        backbone: str,
        stride: int,
        head: str,
        width: int,
        ink: bool,
        centers: list[float],
        sigma: float,
        tied_heads: bool = True,
        weights: str | None = None,
    ) -> None:
        """`centers` and `sigma` start the column prior, as fractions of the width; `weights` is the backbone's file."""
        super().__init__()
        self.ink = ink
        self.backbone = _backbone(backbone, stride, weights)
        try:
            with torch.no_grad():
                _, channels, rows, columns = self._map(torch.zeros(2, 3, *image_size)).shape
        except Exception as error:  # many backbones take one size only, and each says so in its own way
            size = "x".join(map(str, image_size))
            raise OptionError(f"The backbone {backbone!r} cannot read images of {size}: {error}") from error
        self.grid = (rows, columns)
        self.neck = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width))
        self.pool: nn.Module
        if head == "query":
            self.pool = QueryPool(width, rows, columns, centers, sigma)
        elif head == "flatten":
            self.pool = FlattenPool(width, rows, columns, positions)
        elif head == "pool":
            self.pool = AveragePool(width, positions)
        else:
            raise OptionError(f"head must be one of query, flatten, pool, got {head!r}.")
        self.heads = Heads(positions, classes, width, tied=tied_heads)

    def _map(self, images_B3HW: Tensor) -> Tensor:
        map_BCHW: Tensor = self.backbone((images_B3HW - 0.5) / 0.25)[0]
        if getattr(self.backbone, "output_fmt", "NCHW") == "NHWC":  # Swin, MambaOut and others like them
            return map_BCHW.permute(0, 3, 1, 2)
        return map_BCHW

    def tokens(self, images_B3HW: Tensor) -> Tensor:
        """What the positions read from: the cells of the map row by row, B x L x D."""
        if self.ink:
            images_B3HW = ink_normalize(images_B3HW)
        tokens_BLD: Tensor = self.neck(self._map(images_B3HW).flatten(2).transpose(1, 2))
        return tokens_BLD

    def forward(self, images_B3HW: Tensor) -> Tensor:
        logits_BPC: Tensor = self.heads(self.pool(self.tokens(images_B3HW)))
        return logits_BPC


def _backbone(name: str, stride: int, weights: str | None) -> nn.Module:
    """A timm backbone cut where its map has `stride`; on small captchas the later stages only blur the columns."""
    try:
        with torch.device("meta"):
            stages: Any = timm.create_model(name, features_only=True)
        strides: list[int] = stages.feature_info.reduction()
        if stride in strides:
            return timm.create_model(
                name,
                pretrained=weights is not None,
                pretrained_cfg_overlay={"file": weights} if weights else None,
                features_only=True,
                out_indices=(strides.index(stride),),
            )
    except Exception as error:  # RuntimeError, ValueError, AttributeError ...: timm has many ways to refuse
        raise OptionError(f"The backbone {name!r} cannot be built: {error}") from error
    raise OptionError(f"The backbone {name!r} has no map of stride {stride}; it has {', '.join(map(str, strides))}.")


OWN_DECAY = 0.1
"""Of what a head does not share with the others."""


def parameter_groups(model: nn.Module, *, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """AdamW groups: weight decay for matrices and kernels only, and three times the rate for NFNet gains.

    What tied heads do not share decays more: see Heads. timm's own helper decays the gains, because they are
    four-dimensional; they start at zero and must open quickly.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    gains: list[nn.Parameter] = []
    own: list[nn.Parameter] = []
    embeddings = ("pos", "map_pos", "prior_center", "prior_log_sigma", "own_bias")
    for name, parameter in model.named_parameters():
        last = name.rsplit(".", 1)[-1]
        if not parameter.requires_grad:
            continue
        if last == "gain":
            gains.append(parameter)
        elif last == "own":
            (own if model.get_parameter("heads.shared.weight").requires_grad else decayed).append(parameter)
        elif parameter.ndim <= 1 or last in embeddings or ".attn" in name:  # .attn: the 1-D convolution of ECA
            plain.append(parameter)
        else:
            decayed.append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "lr": lr, "weight_decay": weight_decay},
        {"params": plain, "lr": lr, "weight_decay": 0.0},
        {"params": gains, "lr": 3 * lr, "weight_decay": 0.0},
        {"params": own, "lr": lr, "weight_decay": max(OWN_DECAY, weight_decay)},
    ]
    return [group for group in groups if group["params"]]


def build_model(config: TrainConfig, spec: TextSpec, choices: dict[str, Any], *, weights: str | None) -> Recognizer:
    """The network of a run, from its settings and from what core.training.engine.choose decided."""
    return Recognizer(
        positions=spec.length,
        classes=spec.num_classes,
        image_size=(choices["image_size"][0], choices["image_size"][1]),
        backbone=config.backbone,
        stride=config.stride,
        head=config.head,
        width=config.width,
        ink=config.ink,
        centers=choices["centers"],
        sigma=choices["sigma"],
        tied_heads=config.tied_heads,
        weights=weights,
    )


def pick_device(wanted: str) -> str:
    """What auto, cpu or cuda means on this machine. Raises OptionError when there is no GPU to be had."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise OptionError("device=cuda was asked for, but torch sees no usable GPU here; use device=auto or cpu.")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def memory_format(choices: dict[str, Any]) -> torch.memory_format:
    return torch.channels_last if choices["layout"] == "channels_last" else torch.contiguous_format


def to_input(images_BHW3: NDArray[np.uint8], device: torch.device, layout: torch.memory_format) -> Tensor:
    """uint8 B x H x W x 3 to float B x 3 x H x W, values 0..1."""
    images_B3HW = torch.from_numpy(images_BHW3).to(device).permute(0, 3, 1, 2)
    return images_B3HW.to(torch.float32, memory_format=layout) / 255
