"""Training settings, each declared once as an option of `--set` and the Train page; and the presets."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from core.errors import OptionError
from core.images.augment_settings import check_augment

MAX_STEPS = 10_000_000
WARM_STEPS = 1 / 3
"""Fewest steps from initial weights, as a fraction of those from new ones."""
WARM_EPOCHS = 2 / 3
"""Fewest passes from initial weights, likewise.

With 3,600 images of the hard style and one view, 9,925 of 10,000 others are right after ten passes, and 9,949 after
twenty: cells passes-* of bench.accuracy.
"""
MANY_IMAGES = 1000
"""Training images from which a run learns at the full rate. From weights, few images at that rate make it forget."""
MAX_TEXT = 4096
"""Characters of a setting: the longest path of Linux."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """Description and checks of one setting. Name, type and default come from its field."""

    name: str
    type: type
    default: Any
    optional: bool
    """True if the value may be None, written `auto` or `none`."""
    help: str
    title: str
    """Label on the Train page. Defaults to the name in words."""
    choices: tuple[int | str, ...] = ()
    allows_path: bool = False
    """True if an absolute path is allowed too. The worker runs in another directory, so relative ones fail."""
    low: float = 0
    high: float = 0
    """Bounds of a number. Every number has them."""
    multiple: int | None = None
    """Required divisor of an integer."""
    none_text: str = "auto"
    """Text for None in the form."""

    @property
    def titled(self) -> "Option":
        """The option under its title, so that messages on a page name its field."""
        return replace(self, name=self.title)

    def parse(self, text: str) -> Any:
        """Return the value of `text`. Raises OptionError with the name, the value and what is allowed."""
        text = text.strip()
        if self.optional and text.lower() in ("auto", "none", ""):
            return None
        return _read_choice(self, text) if self.choices else _READERS[self.type](self, text)

    def check(self, value: Any) -> None:
        """Raise OptionError if a value from a file has the wrong type or is not allowed."""
        if value is None and self.optional:
            return
        items = value if self.type is tuple and type(value) in (list, tuple) and len(value) == 2 else [value]
        types: tuple[type, ...] = {float: (int, float), tuple: (int,)}.get(self.type, (self.type,))
        if not all(type(item) in types for item in items) or (isinstance(value, str) and len(value) > MAX_TEXT):
            raise OptionError(f"{self.name} has a value of the wrong type or length.")
        if self.type is int:  # an earlier version may have allowed smaller ones
            most = max(self.choices, default=self.high)
            if not min(self.low, 1) <= value <= most:
                raise OptionError(f"{self.name} must be between {min(self.low, 1):g} and {most:,g}.")
            return
        try:
            if self.type is not dict:  # transforms are checked when they are used
                self.parse(self.text(tuple(items) if self.type is tuple else value))
        except (ValueError, OverflowError):  # an integer of thousands of digits
            raise OptionError(f"{self.name} is too large.") from None

    def text(self, value: Any) -> str:
        """Return text that `parse` turns into `value`."""
        if value is None:
            return self.none_text
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, tuple):
            return "x".join(map(str, value))
        return f"{value:g}" if isinstance(value, float) else str(value)

    @property
    def allowed(self) -> str:
        """Return the choices or bounds as text, empty if the help states them."""
        if self.choices:
            return ", ".join(map(str, self.choices))
        if self.type is bool:
            return "true, false"
        return f"{self.low:,.10g} to {self.high:,.10g}" if self.high else ""


def option(default: Any, help: str, **rules: Any) -> Any:  # noqa: A002 - the word that click and argparse use
    """Declare a setting as an option; `rules` are fields of Option."""
    return field(default=default, metadata={"help": help, **rules})


def _read_number(option: Option, text: str) -> float:
    try:
        number: float = option.type(text)
    except ValueError:
        wanted = "a whole number" if option.type is int else "a number"
        raise OptionError(f"{option.name} must be {wanted}, got {text!r}.") from None
    if not option.low <= number <= option.high:
        raise OptionError(f"{option.name} must be between {option.low:g} and {option.high:g}, got {text}.")
    if option.multiple and number % option.multiple:
        raise OptionError(f"{option.name} must be a multiple of {option.multiple}, got {text}.")
    return number


def _read_bool(option: Option, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise OptionError(f"{option.name} must be true or false, got {text!r}.")
    return text.lower() == "true"


def _read_text(option: Option, text: str) -> str:
    if not text and option.default:
        raise OptionError(f"{option.name} must not be empty.")
    return text


def _read_choice(option: Option, text: str) -> int | str:
    by_text = {str(choice): choice for choice in option.choices}
    if text in by_text:
        return by_text[text]
    if option.allows_path and Path(text).is_absolute():
        return text
    names = ", ".join(by_text)
    wanted = f"{names} or the absolute path of a file" if option.allows_path else f"one of {names}"
    raise OptionError(f"{option.name} must be {wanted}, got {text!r}.")


def _read_size(option: Option, text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and 16 <= int(side) <= 1024 for side in sides):
        raise OptionError(f"{option.name} must be HEIGHTxWIDTH, each 16 to 1024, for example 48x192; got {text!r}.")
    return int(sides[0]), int(sides[1])


def _read_augment(option: Option, text: str) -> dict[str, dict[str, Any]]:
    try:
        settings = json.loads(text)
    except json.JSONDecodeError as error:
        raise OptionError(f"{option.name} is not valid JSON: {error}.") from None
    if not isinstance(settings, dict):
        raise OptionError(f"{option.name} must be a JSON object of transforms ({{}} for none), got {text}.")
    return check_augment(settings)


_READERS: dict[type, Callable[[Option, str], Any]] = {
    int: _read_number,
    float: _read_number,
    bool: _read_bool,
    str: _read_text,
    tuple: _read_size,
    dict: _read_augment,
}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """All settings of one run. `None` means chosen, and recorded, when the run starts."""

    seed: int = option(
        0,
        "Random seed. On a CPU, equal seed, layout, precision and threads (OMP_NUM_THREADS) give equal results.",
        low=0,
        high=2**31 - 1,
    )
    device: str = option("auto", "Where to train; auto uses a GPU if available.", choices=("auto", "cpu", "cuda"))
    backbone: str = option("resnet10t", "Name of a timm model.")
    stride: int = option(8, "Pixels per cell of the feature map; 32 uses the whole backbone.", choices=(8, 16, 32))
    head: str = option(
        "query",
        "How each position reads the feature map: attention, one dense layer, or the average.",
        choices=("query", "flatten", "pool"),
    )
    tied_heads: bool = option(True, "The heads share part of their weights. Otherwise they are independent.")
    width: int = option(256, "Channels between feature map and heads, a multiple of 4.", low=16, high=2048, multiple=4)
    ink: bool = option(False, "Remove background color and polarity from the images.", title="Ink only")
    crop: bool = option(
        True, "Crop to the text if it is in the same place in the training images.", title="Crop to the text"
    )
    image_size: tuple[int, int] | None = option(
        None, "Input size as HEIGHTxWIDTH, for example 48x192; auto chooses from the images."
    )
    init: str = option(
        "auto",
        "Weights to start from: auto, rendered (trained on rendered text), scratch, a run, or an absolute path.",
        title="Initial weights",
    )
    pretrained: str = option(
        "auto",
        "ImageNet weights: auto, hub, none, or an absolute path. On the command line the path may be relative.",
        choices=("auto", "hub", "none"),
        allows_path=True,
    )
    layout: str = option(
        "auto",
        "Memory layout of image batches; auto measures which is faster.",
        choices=("auto", "channels_last", "contiguous"),
    )
    precision: str = option(
        "auto",
        "Number format of a training step; auto measures whether bfloat16 is faster, if the device has it.",
        choices=("auto", "float32", "bfloat16"),
    )
    batch_size: int = option(32, "Images per step.", low=2, high=4096)
    lr: float | None = option(
        None,
        "Peak learning rate; auto is the preset's, and lower from initial weights.",
        title="Learning rate",
        low=1e-6,
        high=1,
    )
    auto_lr: float = 2e-3
    """Peak learning rate if `lr` is unset."""
    weight_decay: float = option(0.02, "Weight decay; gains, biases, norms and embeddings are exempt.", low=0, high=1)
    steps: int | None = option(
        None, "Optimizer steps to train; auto depends on the number of images and on the start.", low=1, high=MAX_STEPS
    )
    auto_steps: int = 1500
    """At least so many steps if `steps` and `epochs` are unset, from new weights."""
    auto_epochs: int = 30
    """At least so many passes over a large set, likewise."""
    epochs: int | None = option(None, "Passes over the training images, instead of steps.", low=1, high=100_000)
    max_steps: int | None = option(
        None,
        "Limit of the steps, however they are chosen; the schedule is scaled to fit.",
        low=1,
        high=MAX_STEPS,
        none_text="none",
    )
    max_minutes: float | None = option(
        None, "Stop after this many minutes; the schedule is scaled to fit.", low=0.01, high=100_000, none_text="none"
    )
    column_loss: float | None = option(
        None,
        "Weight of a second loss in training, CTC over the columns of the feature map; 0 turns it off. auto is 1 "
        "from new weights and 0 from initial ones.",
        low=0,
        high=10,
    )
    drop_seen_strings: bool = option(False, "Exclude training images whose text also occurs in val or test.")
    reading_weight: float = option(
        0.5,
        "Weight in the loss of labels that are readings and that nobody checked; 0 leaves them out.",
        low=0,
        high=1,
    )
    hold_out_source: str = option(
        "",
        "Name of a source whose images the run never sees, to measure on them later; empty for none.",
        title="Hold out a source",
    )
    # None is DEFAULT_AUGMENT of core.images.augment_settings. An empty dict turns augmentation off.
    augment: dict[str, dict[str, Any]] | None = option(  # noqa: RUF009 - it is frozen, and None
        None, "Augmentation settings as the JSON from the Augment page; auto uses the defaults."
    )
    # None: the settings have no name in core.runs.recipes, or the name is not looked up yet.
    recipe: str | None = option(None, "Augmentation recipe as NAME or NAME@VERSION; auto uses the project's default.")

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serializable dict."""
        values = asdict(self) | {"image_size": list(self.image_size) if self.image_size else None}
        if self.recipe is None:
            del values["recipe"]  # runs older than recipes then compare equal
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """Build from `to_dict`. Raises OptionError for an unknown key or a value that is not allowed.

        Runs of earlier versions have no `init`: they started from scratch. Their default rate was a number. They have
        no `column_loss` either, and trained without one, as runs from initial weights still do.
        """
        if not isinstance(values, Mapping):
            raise OptionError("The settings of the run are missing or damaged.")
        known = {field.name for field in fields(cls)}
        if unknown := sorted(f"{key!s:.40}" for key in set(values) - known):
            names = ", ".join(unknown[:10])
            raise OptionError(f"The run has settings that this version does not know: {names}.")
        for name, value in values.items():
            if name in OPTIONS:
                OPTIONS[name].check(value)
            elif name == "auto_lr":
                OPTIONS["lr"].check(value)
            elif type(value) is not int or not 1 <= value <= MAX_STEPS:  # auto_steps, auto_epochs
                raise OptionError(f"{name} must be a whole number between 1 and {MAX_STEPS:,}.")
        size = values.get("image_size")
        former = {"lr": None} if "auto_lr" not in values and values.get("lr") == cls.auto_lr else {}
        warm = values.get("init", "scratch") not in ("auto", "scratch")
        earlier: dict[str, Any] = {"init": "scratch", "column_loss": None if warm else 0.0}
        return cls(**(earlier | dict(values) | former | {"image_size": tuple(size) if size else None}))

    def planned_rate(self, train_images: int, *, starts_warm: bool) -> float:
        """Return the peak learning rate."""
        share = min(1.0, math.sqrt(train_images / MANY_IMAGES)) if starts_warm else 1.0
        return self.lr or self.auto_lr * share

    def planned_column_loss(self, length: int, *, starts_warm: bool) -> float:
        """Return the weight of the loss over the columns. A text of one character has no order to learn."""
        auto = 0.0 if starts_warm or length == 1 else 1.0
        return auto if self.column_loss is None else self.column_loss

    def rate_of(self, choices: Mapping[str, Any]) -> float:
        """Return the peak learning rate that a run chose. Runs of earlier versions chose none."""
        return choices.get("lr") or self.lr or self.auto_lr

    def planned_steps(self, train_images: int, *, starts_warm: bool) -> tuple[int, int]:
        """Return steps in total and per epoch. Small batches harm batch norm, so a partial last batch is dropped."""
        per_epoch = max(1, train_images // self.batch_size)
        least, passes = (WARM_STEPS, WARM_EPOCHS) if starts_warm else (1, 1)
        auto = math.ceil(max(self.auto_steps * least, self.auto_epochs * passes * per_epoch))
        total = self.epochs * per_epoch if self.epochs else self.steps or auto
        return min(total, self.max_steps or total), per_epoch


PRESETS: dict[str, TrainConfig] = {
    # Touching characters need a finer map, so stride 8: of 1,000 hard images, 946 are right after 700 steps, and 897
    # after 1,200 steps at stride 16.
    "fast": TrainConfig(),
    "article": TrainConfig(backbone="eca_nfnet_l0", stride=32, auto_lr=1e-3, auto_steps=4000, column_loss=0.0),
    "article-cut": TrainConfig(backbone="eca_nfnet_l0", stride=16, auto_lr=1e-3, auto_steps=4000, column_loss=0.0),
}


def preset(name: str) -> TrainConfig:
    if name not in PRESETS:
        raise OptionError(f"There is no preset {name!r}. Choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]


def _options() -> dict[str, Option]:
    hints, options = get_type_hints(TrainConfig), {}
    for setting in fields(TrainConfig):
        if setting.metadata:
            hint = hints[setting.name]
            optional = NoneType in get_args(hint)
            kind = get_args(hint)[0] if optional else hint
            title = setting.name.replace("_", " ").capitalize()
            options[setting.name] = Option(
                name=setting.name, type=get_origin(kind) or kind, default=setting.default, optional=optional,
                **{"title": title, **setting.metadata},
            )  # fmt: skip
    return options


OPTIONS = _options()
"""Every key of `--set`, in display order."""


NAMED = re.compile(r"`(\w+)(?:=([^`]*))?`")
"""An option, perhaps with a value, as every sentence names it, also one that is stored."""
TITLED = {name: option.titled for name, option in OPTIONS.items()}
"""The options of the Train page."""


def with_titles(text: str) -> str:
    """Return a text for a page: options between backticks become the titles of their fields."""

    def titled(match: re.Match[str]) -> str:
        if match[1] not in OPTIONS:
            return match[0]
        value = {"true": " on", "false": " off", None: ""}.get(match[2], f" {match[2]}")
        return f"{OPTIONS[match[1]].title}{value}"

    return NAMED.sub(titled, text)


def with_options(
    config: TrainConfig, options: Mapping[str, str], among: Mapping[str, Option] = OPTIONS
) -> TrainConfig:  # fmt: skip
    """Return `config` with text values parsed and applied. Raises OptionError, which names options as `among` does."""
    for name in options:
        if name not in among:
            raise OptionError(f"There is no option {name!r}. Valid options: {', '.join(among)}.")
    return replace(config, **{name: among[name].parse(text) for name, text in options.items()})
