"""The recognizer: one shared backbone, and one learnable embedding and one linear head per position."""

import math
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from core.charset import TextSpec
from core.errors import CheckpointError, OptionError
from core.images.frame import input_size
from core.model.config import TrainConfig


def ink_normalize(images_B3HW: Tensor) -> Tensor:
    """Return each pixel's distance to the border color, scaled to 0..1, on three equal channels.

    This removes background color and polarity: light on dark equals dark on light. It is off by default. With colors
    a network learns polarity anyway and can tell lines from strokes. With a frame or a gradient, the border is not the
    background. On unseen images of two real portals, 936 of 951 and 108 of 113 are right with colors, and 925 and 107
    without. In the rendered hard style it is 948 and 958 of 1,000.
    """
    border_B3N = torch.cat(
        [images_B3HW[:, :, 0], images_B3HW[:, :, -1], images_B3HW[:, :, :, 0], images_B3HW[:, :, :, -1]], dim=2
    )
    background_B311 = border_B3N.median(dim=2).values[:, :, None, None]
    ink_B1HW = (images_B3HW - background_B311).abs().amax(dim=1, keepdim=True)
    return (ink_B1HW / ink_B1HW.amax(dim=(2, 3), keepdim=True).clamp_min(1e-3)).expand_as(images_B3HW)


class QueryPool(nn.Module):
    """Attention pooling: the embedding of a position is its query over the map, with a learnable column prior.

    The prior is over text, not columns. A column's place is the share of all text to its left, and the amount of text
    in each cell is learned. So the third character is expected after two characters, not at a fixed column. For six
    digits shifted by up to a quarter of the image, 67% of 301 unseen images are right after three epochs. A prior over
    columns gives 5%, and a transformer layer before it 3%.
    """

    def __init__(self, width: int, rows: int, columns: int, centers: list[float], sigma: float, heads: int = 4) -> None:
        super().__init__()
        self.rows, self.columns, self.heads = rows, columns, heads
        self.pos = nn.Parameter(torch.randn(len(centers), width) * 0.02)
        self.map_pos = nn.Parameter(torch.randn(rows * columns, width))
        self.prior_center = nn.Parameter(torch.tensor(centers))
        self.prior_log_sigma = nn.Parameter(torch.full((len(centers),), math.log(sigma)))
        self.text = nn.Linear(width, 1)
        nn.init.zeros_(self.text.weight)  # initially every cell has equal text, so place equals column
        nn.init.zeros_(self.text.bias)
        self.query = nn.Linear(width, width)
        # With small queries and map positions, all scores are nearly equal. Each head then averages the map and loses
        # the order of its cells, until training breaks the tie. At unit scale each head begins with cells of its own.
        # After 200 steps on digits4 with seed 0, 237 of 351 validation images are right instead of 121.
        nn.init.normal_(self.query.bias)
        self.key_value = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens_BLD: Tensor) -> Tensor:
        batch, _, width = tokens_BLD.shape
        positions = self.pos.shape[0]
        query_HPd, key_BHLd, value_BHLd = self._split(tokens_BLD)
        read_BHPd = functional.scaled_dot_product_attention(
            query_HPd.expand(batch, -1, -1, -1), key_BHLd, value_BHLd, attn_mask=self.prior(tokens_BLD)[:, None]
        )
        slots_BPD: Tensor = read_BHPd.transpose(1, 2).reshape(batch, positions, width) + self.pos
        out: Tensor = slots_BPD + self.mlp(self.norm(slots_BPD))
        return out

    def attention(self, tokens_BLD: Tensor) -> Tensor:
        """Return attention weights averaged over the heads, B x P x L. Each row sums to 1."""
        query_HPd, key_BHLd, _ = self._split(tokens_BLD)
        scores_BHPL = query_HPd @ key_BHLd.transpose(2, 3) / math.sqrt(query_HPd.shape[2])
        return (scores_BHPL + self.prior(tokens_BLD)[:, None]).softmax(dim=3).mean(dim=1)

    def _split(self, tokens_BLD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries H x P x d, and keys and values B x H x L x d."""
        batch, length, _ = tokens_BLD.shape
        key, value = self.key_value(tokens_BLD + self.map_pos).chunk(2, dim=2)
        query_HPd = self.query(self.pos).view(self.pos.shape[0], self.heads, -1).transpose(0, 1)
        key_BHLd = key.view(batch, length, self.heads, -1).transpose(1, 2)
        value_BHLd = value.view(batch, length, self.heads, -1).transpose(1, 2)
        return query_HPd, key_BHLd, value_BHLd

    def prior(self, tokens_BLD: Tensor) -> Tensor:
        """Return the log of a Gaussian around each position's place in the text, B x P x L."""
        text_BW = functional.softplus(self.text(tokens_BLD)).view(-1, self.rows, self.columns).mean(dim=1) + 1e-3
        place_BW = (text_BW.cumsum(dim=1) - 0.5 * text_BW) / text_BW.sum(dim=1, keepdim=True)
        distance_BPW = (place_BW[:, None] - self.prior_center[:, None]) / self.prior_log_sigma.exp()[:, None]
        return -0.5 * distance_BPW.square().repeat(1, 1, self.rows)


class FlattenPool(nn.Module):
    """Dense pooling: one layer over the whole map. It works only where the text was during training."""

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
    """Average pooling. The position embedding goes through an MLP, because a linear head alone would absorb it."""

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
    """One linear layer per position, each the sum of shared weights and its own weights.

    The own weights start at zero, so every label teaches every position at first. Weight decay lets them grow only
    where a position differs. The result is P independent linear layers (`weight_PCD`). With `tied=False` nothing is
    shared: of 1,000 unseen hard images, 956 are right after 700 steps instead of 969.
    """

    def __init__(self, positions: int, classes: int, width: int, *, tied: bool) -> None:
        super().__init__()
        self.shared = nn.Linear(width, classes)
        self.own = nn.Parameter(torch.zeros(positions, classes, width))
        self.own_bias = nn.Parameter(torch.zeros(positions, classes))
        if not tied:
            self.fold()
            nn.init.uniform_(self.own, -(width**-0.5), width**-0.5)  # the initialization of nn.Linear
            self.shared.requires_grad_(False)

    def weight_PCD(self) -> Tensor:
        return self.shared.weight + self.own

    def bias_PC(self) -> Tensor:
        return self.shared.bias + self.own_bias

    def forward(self, slots_BPD: Tensor) -> Tensor:
        return torch.einsum("bpd,pcd->bpc", slots_BPD, self.weight_PCD()) + self.bias_PC()

    @torch.no_grad()
    def fold(self) -> None:
        """Move the shared weights into the own weights for export. The logits stay equal bit for bit."""
        self.own.copy_(self.weight_PCD())
        self.own_bias.copy_(self.bias_PC())
        nn.init.zeros_(self.shared.weight)
        nn.init.zeros_(self.shared.bias)


class Recognizer(nn.Module):
    """Network from images B x 3 x H x W with values 0..1 to logits B x P x C."""

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
        """`centers` and `sigma` initialize the column prior, in fractions of the width; `weights` is a file."""
        super().__init__()
        self.ink = ink
        self.backbone = _backbone(backbone, stride, weights)
        try:
            with torch.no_grad():
                _, channels, rows, columns = self._map(torch.zeros(2, 3, *image_size)).shape
        except Exception as error:  # backbones with a fixed input size raise various errors
            size = "x".join(map(str, image_size))
            raise OptionError(f"The backbone {backbone!r} cannot read images of {size}: {error}") from error
        self.grid, self.width = (rows, columns), width
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
        if getattr(self.backbone, "output_fmt", "NCHW") == "NHWC":  # Swin, MambaOut and similar
            return map_BCHW.permute(0, 3, 1, 2)
        return map_BCHW

    def tokens(self, images_B3HW: Tensor) -> Tensor:
        """Return the cells of the map, row by row, B x L x D."""
        if self.ink:
            images_B3HW = ink_normalize(images_B3HW)
        tokens_BLD: Tensor = self.neck(self._map(images_B3HW).flatten(2).transpose(1, 2))
        return tokens_BLD

    def read(self, tokens_BLD: Tensor) -> Tensor:
        """Return logits B x P x C of the cells of a map."""
        logits_BPC: Tensor = self.heads(self.pool(tokens_BLD))
        return logits_BPC

    def forward(self, images_B3HW: Tensor) -> Tensor:
        return self.read(self.tokens(images_B3HW))


def _backbone(name: str, stride: int, weights: str | None) -> nn.Module:
    """Return a timm backbone cut at `stride`. On small CAPTCHAs, later stages only blur the columns.

    Only names of timm are allowed: it would also download `hf-hub:OWNER/NAME` and load `local-dir:PATH`.
    """
    if not timm.is_model(name):
        raise OptionError(f"The backbone {name!r} is not a model of timm.")
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
    except Exception as error:  # timm raises RuntimeError, ValueError, AttributeError and more
        raise OptionError(f"The backbone {name!r} cannot be built: {error}") from error
    raise OptionError(f"The backbone {name!r} has no map of stride {stride}; it has {', '.join(map(str, strides))}.")


OWN_DECAY = 0.1
"""Weight decay of the heads' own weights."""


def parameter_groups(model: nn.Module, *, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """Return AdamW groups: weight decay for matrices and kernels only, and three times the rate for NFNet gains.

    The own weights of tied heads decay more, see Heads. NFNet gains start at zero and must grow quickly. timm's helper
    would decay them, because they are four-dimensional.
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
        elif parameter.ndim <= 1 or last in embeddings or ".attn" in name:  # .attn: 1-D convolution of ECA
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
    """Build the network of a run from its settings and the choices of core.training.engine.choose.

    Raises OptionError if the choices are damaged.
    """
    centers, sigma = choices.get("centers"), choices.get("sigma")
    numbers = [*centers, sigma] if isinstance(centers, list) else []
    if len(numbers) != spec.length + 1 or not all(type(number) in (int, float) for number in numbers):
        raise OptionError(f"The run's choices are damaged: it needs {spec.length} centers and a sigma.")
    if not all(0 <= number <= 1 for number in numbers) or sigma == 0:
        raise OptionError("The run's choices are damaged: centers and sigma must be fractions.")
    return Recognizer(
        positions=spec.length,
        classes=spec.num_classes,
        image_size=input_size(choices),
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


def load_model(config: TrainConfig, spec: TextSpec, choices: dict[str, Any], weights: Any) -> Recognizer:
    """Build the network of a run with these weights.

    Compares all shapes first, so damaged settings cannot ask for more memory than the weights take. Raises OptionError
    or CheckpointError.
    """
    with torch.device("meta"):
        outline = build_model(config, spec, choices, weights=None).state_dict()
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise CheckpointError("The checkpoint has no weights.")
    storages = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in weights.values()}
    needed = sum(value.nbytes for value in weights.values())
    same = {name: value.shape for name, value in weights.items()} == {name: one.shape for name, one in outline.items()}
    if not same or needed > sum(storages.values()):
        raise CheckpointError("The checkpoint does not match the network in the run's settings.")
    model = build_model(config, spec, choices, weights=None)
    model.load_state_dict(weights)
    return model


def pick_device(wanted: str) -> str:
    """Return cpu or cuda for auto, cpu or cuda. Raises OptionError for cuda without a usable GPU."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise OptionError("`device=cuda` needs a GPU, but torch finds none. Use `device=auto` or `device=cpu`.")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def memory_format(choices: dict[str, Any]) -> torch.memory_format:
    if choices.get("layout") not in ("channels_last", "contiguous"):
        raise OptionError("The run's choices are damaged: layout must be channels_last or contiguous.")
    return torch.channels_last if choices["layout"] == "channels_last" else torch.contiguous_format


def has_bfloat16(device: str) -> bool:
    """Return whether the device has instructions for bfloat16.

    A CPU without them takes seconds where it takes milliseconds in float32 (pytorch issue 183815).
    """
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.6 has no such function
    return device == "cuda" or bool(able.get("amx_bf16") or able.get("avx512_bf16"))


def autocast(choices: dict[str, Any]) -> torch.autocast:
    """Return the context of a forward pass of training: in bfloat16, if it was chosen and the device has it.

    Runs of earlier versions chose no precision. They used bfloat16 on a GPU.
    """
    device = choices["device"]
    wanted = choices.get("precision", "bfloat16" if device == "cuda" else "float32")
    return torch.autocast(device, torch.bfloat16, enabled=wanted == "bfloat16" and has_bfloat16(device))


def read_batch(device: torch.device) -> int:
    """Return how many images a network reads at once. On a CPU, the maps of more images do not fit into the cache.

    16 images instead of 128 take 0.65 times as long with preset article, and 0.75 times with fast.
    """
    return 16 if device.type == "cpu" else 128


def to_input(images_BHW3: NDArray[np.uint8], device: torch.device, layout: torch.memory_format) -> Tensor:
    """Convert uint8 B x H x W x 3 to float B x 3 x H x W with values 0..1."""
    images_B3HW = torch.from_numpy(images_BHW3).to(device).permute(0, 3, 1, 2)
    return images_B3HW.to(torch.float32, memory_format=layout) / 255
