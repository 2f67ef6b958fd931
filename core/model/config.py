"""What a training run is told: the presets, and the options that `--set` and the Train page offer."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from core.errors import OptionError
from core.images.augment import check_augment

Kind = Literal["int", "float", "bool", "choice", "text", "weights", "size", "json"]


@dataclass(frozen=True, kw_only=True)
class Option:
    """How one field of TrainConfig is asked for and checked."""

    help: str
    kind: Kind
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    multiple: int | None = None
    """What a whole number must be divisible by."""
    optional: bool = False
    """Whether `auto` (or, for limits, `none`) may stand for "not set"."""


OPTIONS: dict[str, Option] = {
    "seed": Option(
        help="Same seed, layout and threads (OMP_NUM_THREADS), same numbers on a CPU.",
        kind="int",
        low=0,
        high=2**31 - 1,
    ),
    "device": Option(
        help="Where to train; auto takes a GPU when there is one.", kind="choice", choices=("auto", "cpu", "cuda")
    ),
    "backbone": Option(help="Name of a timm model.", kind="text"),
    "stride": Option(
        help="Pixels per cell of the map that is read; 32 is the whole backbone.",
        kind="choice",
        choices=("8", "16", "32"),
    ),
    "head": Option(
        help="How each position looks at the map: attention, a flat layer, or its average.",
        kind="choice",
        choices=("query", "flatten", "pool"),
    ),
    "tied_heads": Option(help="Heads share a part beside their own; false: they share nothing.", kind="bool"),
    "width": Option(
        help="Channels between the map and the heads, a multiple of 4.", kind="int", low=16, high=2048, multiple=4
    ),
    "ink": Option(help="Remove background colour and polarity before the backbone.", kind="bool"),
    "crop": Option(help="Crop to the text, where the training images agree on where it is.", kind="bool"),
    "image_size": Option(
        help="Height x width the network sees, as 48x192; auto chooses from the images.", kind="size", optional=True
    ),
    "pretrained": Option(
        help="ImageNet weights: auto, hub, none, or the whole path of a file; a terminal takes a relative one too.",
        kind="weights",
    ),
    "layout": Option(
        help="Order of an image batch in memory; auto measures which is faster.",
        kind="choice",
        choices=("auto", "channels_last", "contiguous"),
    ),
    "batch_size": Option(help="Images per step.", kind="int", low=2, high=4096),
    "lr": Option(help="Highest learning rate.", kind="float", low=1e-6, high=1.0),
    "weight_decay": Option(
        help="Decay of weights; never of gains, biases, norms and embeddings.", kind="float", low=0.0, high=1.0
    ),
    "steps": Option(
        help="Optimiser steps of a full run; auto follows from the number of images.",
        kind="int",
        low=1,
        high=10_000_000,
        optional=True,
    ),
    "epochs": Option(
        help="Passes over the training images, instead of steps.", kind="int", low=1, high=100_000, optional=True
    ),
    "max_steps": Option(
        help="Stop after so many steps; the schedule is fitted to it.",
        kind="int",
        low=1,
        high=10_000_000,
        optional=True,
    ),
    "max_minutes": Option(
        help="Stop after so many minutes; the schedule is fitted to it.",
        kind="float",
        low=0.01,
        high=100_000,
        optional=True,
    ),
    "drop_seen_strings": Option(help="Leave out training images whose text also occurs in val or test.", kind="bool"),
    "augment": Option(
        help="Augmentation settings as JSON, as the Augment page shows them; auto is the default.",
        kind="json",
        optional=True,
    ),
    "recipe": Option(
        help="Augmentation recipe of the project, as NAME or NAME@VERSION; auto is the project's default.",
        kind="text",
        optional=True,
    ),
}
"""Every key of `--set`, in the order in which they are listed."""

WEIGHTS = ("auto", "hub", "none")
"""What `pretrained` may be beside a path."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """All settings of one run. `None` means: chosen at the start of the run, and recorded there."""

    seed: int = 0
    device: str = "auto"
    backbone: str = "resnet10t"
    stride: int = 8
    head: str = "query"
    tied_heads: bool = True
    width: int = 256
    ink: bool = False
    crop: bool = True
    image_size: tuple[int, int] | None = None
    """Height, width in pixels."""
    pretrained: str = "auto"
    layout: str = "auto"
    batch_size: int = 32
    lr: float = 2e-3
    weight_decay: float = 0.02
    steps: int | None = None
    auto_steps: int = 1500
    """Without `steps` and `epochs`: so many steps, but at least `auto_epochs` passes over a large set."""
    auto_epochs: int = 30
    epochs: int | None = None
    max_steps: int | None = None
    max_minutes: float | None = None
    drop_seen_strings: bool = False
    augment: dict[str, dict[str, Any]] | None = None
    """Settings of core.images.augment; None is its DEFAULT_AUGMENT, an empty dict is no augmentation."""
    recipe: str | None = None
    """Name of these settings in core.runs.recipes; None: they have none, or they are yet to be looked up."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        values = asdict(self) | {"image_size": list(self.image_size) if self.image_size else None}
        if self.recipe is None:
            del values["recipe"]  # the settings of runs from before there were recipes stay equal to themselves
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """Read `to_dict` back. Raises OptionError on a key that this version does not know."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise OptionError(f"The run's settings hold {', '.join(unknown)}, which this version does not know.")
        size = values.get("image_size")
        return cls(**(dict(values) | {"image_size": tuple(size) if size else None}))

    def planned_steps(self, train_images: int) -> tuple[int, int]:
        """Steps in all and per epoch. The last, incomplete batch of an epoch is left out: batch norm dislikes it."""
        per_epoch = max(1, train_images // self.batch_size)
        auto = max(self.auto_steps, self.auto_epochs * per_epoch)
        total = self.epochs * per_epoch if self.epochs else self.steps or auto
        return min(total, self.max_steps or total), per_epoch


PRESETS: dict[str, TrainConfig] = {
    # Stride 8, because characters that push into each other need a finer map, and the stage it leaves out is paid for:
    # of 1,000 unseen images of a draft of the hard style, with more lines, 946 are right after 700 steps, at stride 16
    # 897 after 1,200.
    "fast": TrainConfig(),
    "article": TrainConfig(backbone="eca_nfnet_l0", stride=32, lr=1e-3, auto_steps=4000),
    "article-cut": TrainConfig(backbone="eca_nfnet_l0", stride=16, lr=1e-3, auto_steps=4000),
}


def preset(name: str) -> TrainConfig:
    if name not in PRESETS:
        raise OptionError(f"There is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]


def with_options(config: TrainConfig, options: Mapping[str, str]) -> TrainConfig:
    """Return `config` with text values, as from `--set key=value`, parsed and checked. Raises OptionError."""
    changes: dict[str, Any] = {}
    for key, text in options.items():
        if key not in OPTIONS:
            raise OptionError(f"There is no option {key!r}; valid ones are {', '.join(OPTIONS)}.")
        changes[key] = parse_option(key, text)
    return replace(config, **changes)


def parse_option(key: str, text: str) -> Any:
    """The value that `text` stands for. Raises OptionError with the key, the value and what would be right."""
    option, text = OPTIONS[key], text.strip()
    if option.optional and text.lower() in ("auto", "none", ""):
        return None
    match option.kind:
        case "int" | "float":
            try:
                number = int(text) if option.kind == "int" else float(text)
            except ValueError:
                wanted = "a whole number" if option.kind == "int" else "a number"
                raise OptionError(f"{key} must be {wanted}, got {text!r}.") from None
            if not (option.low is None or option.low <= number) or not (option.high is None or number <= option.high):
                raise OptionError(f"{key} must be between {option.low:g} and {option.high:g}, got {text}.")
            if option.multiple and number % option.multiple:
                raise OptionError(f"{key} must be a multiple of {option.multiple}, got {text}.")
            return number
        case "bool":
            if text.lower() not in ("true", "false"):
                raise OptionError(f"{key} must be true or false, got {text!r}.")
            return text.lower() == "true"
        case "choice":
            if text not in option.choices:
                raise OptionError(f"{key} must be one of {', '.join(option.choices)}, got {text!r}.")
            return int(text) if text.isdigit() else text
        case "size":
            sides = text.lower().split("x")
            if len(sides) != 2 or not all(side.isdecimal() and 16 <= int(side) <= 1024 for side in sides):
                raise OptionError(f"{key} must be HEIGHTxWIDTH with sides from 16 to 1024, as 48x192; got {text!r}.")
            return int(sides[0]), int(sides[1])
        case "json":
            try:
                settings = json.loads(text)
            except json.JSONDecodeError as error:
                raise OptionError(f"{key} is not valid JSON: {error}.") from None
            if not isinstance(settings, dict):
                raise OptionError(f"{key} must be a JSON object of transforms, as {{}} for none, got {text}.")
            return check_augment(settings)
        case "weights":
            # A worker would look for a relative path where it stands itself, which nobody knows.
            if text not in WEIGHTS and not Path(text).is_absolute():
                raise OptionError(f"{key} must be {', '.join(WEIGHTS)} or the whole path of a file, got {text!r}.")
            return text
        case "text":
            if not text:
                raise OptionError(f"{key} must not be empty.")
            return text
