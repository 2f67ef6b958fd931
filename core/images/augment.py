"""The augmentation settings: which transforms exist, their safe ranges, the defaults, and the check of a settings dict.

Settings are a JSON dict `{transform: {"p": probability, parameter: [low, high] or number}}`. A transform that is absent
or has p = 0 is off; a parameter that is absent takes its default. `core.images.transforms` turns settings into pixels;
this module imports nothing heavy, because it is read where no image is touched (albumentations costs a second).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from core.errors import OptionError

Value: TypeAlias = float | list[float]
Settings: TypeAlias = dict[str, dict[str, Value]]


@dataclass(frozen=True, kw_only=True)
class Param:
    """One slider: a range the transform draws from (default is a pair) or a fixed strength (default is a number)."""

    key: str
    title: str
    low: float
    high: float
    """Beyond low and high a digit may become another digit, unreadable, or leave the image."""
    default: tuple[float, float] | float
    step: float
    unit: str = ""

    @property
    def is_range(self) -> bool:
        return isinstance(self.default, tuple)

    @property
    def is_whole(self) -> bool:
        return float(self.step).is_integer()


@dataclass(frozen=True, kw_only=True)
class TransformInfo:
    """One switch with its ranges, as the Augment page shows it."""

    key: str
    title: str
    help: str
    p: float
    """Default probability that an image gets this transform; 0 is off."""
    params: tuple[Param, ...] = ()

    def defaults(self) -> dict[str, Value]:
        """Settings of this transform as switched on: p and every parameter."""
        values: dict[str, Value] = {"p": self.p}
        for param in self.params:
            values[param.key] = list(param.default) if isinstance(param.default, tuple) else param.default
        return values


# In the order in which they are applied: what a portal draws, then what a scanner or a screen does to it.
# Adding one in the middle changes the pixels of the same seed for all after it; their places key the random streams.
# No flips, no turns beyond 6 degrees, no erosion and no large holes: 6 and 9, 1 and 7, 3 and 8 differ by that much.
TRANSFORMS: tuple[TransformInfo, ...] = (
    TransformInfo(
        key="lines",
        title="Lines",
        help="Draws curved lines across the image, in the colour of the ink or another, as portals do.",
        p=0.2,
        params=(
            Param(key="count", title="Number of lines", low=1, high=5, default=(1, 3), step=1),
            Param(
                key="thickness",
                title="Thickness",
                low=0.01,
                high=0.06,
                default=(0.02, 0.05),
                step=0.01,
                unit="of the height",
            ),
        ),
    ),
    TransformInfo(
        key="affine",
        title="Move, turn and stretch",
        help="Moves, scales, turns and slants the whole image a little.",
        p=0.8,
        params=(
            Param(key="zoom", title="Zoom", low=0.8, high=1.15, default=(0.92, 1.08), step=0.01, unit="times"),
            Param(
                key="shift_x",
                title="Shift sideways",
                low=-0.06,
                high=0.06,
                default=(-0.03, 0.03),
                step=0.01,
                unit="of the width",
            ),
            Param(
                key="shift_y",
                title="Shift up and down",
                low=-0.12,
                high=0.12,
                default=(-0.06, 0.06),
                step=0.01,
                unit="of the height",
            ),
            Param(key="rotate", title="Turn", low=-6, high=6, default=(-4, 4), step=0.5, unit="degrees"),
            Param(key="slant", title="Slant", low=-15, high=15, default=(-8, 8), step=0.5, unit="degrees"),
        ),
    ),
    TransformInfo(
        key="perspective",
        title="Perspective",
        help="Moves the four corners, as if the image were seen from the side.",
        p=0.1,
        params=(
            Param(
                key="strength",
                title="Corner shift",
                low=0.01,
                high=0.06,
                default=(0.01, 0.04),
                step=0.01,
                unit="of the size",
            ),
        ),
    ),
    TransformInfo(
        key="stretch",
        title="Uneven stretch",
        help="Squeezes some parts of the image and widens others, so the distance between characters varies.",
        p=0.15,
        params=(Param(key="strength", title="Stretch", low=-0.3, high=0.3, default=(-0.15, 0.15), step=0.01),),
    ),
    TransformInfo(
        key="elastic",
        title="Elastic wobble",
        help="Bends strokes smoothly, by about a pixel at strength 30.",
        p=0.1,
        params=(Param(key="strength", title="Strength", low=5, high=50, default=25, step=1),),
    ),
    TransformInfo(
        key="brightness",
        title="Brightness and contrast",
        help="Makes the image lighter or darker, and its contrast higher or lower.",
        p=0.5,
        params=(
            Param(key="brightness", title="Brightness", low=-0.3, high=0.3, default=(-0.15, 0.15), step=0.01),
            Param(key="contrast", title="Contrast", low=-0.3, high=0.3, default=(-0.2, 0.2), step=0.01),
        ),
    ),
    TransformInfo(
        key="gamma",
        title="Gamma",
        help="Lifts or lowers the middle tones and leaves black and white where they are.",
        p=0.2,
        params=(Param(key="gamma", title="Gamma", low=0.6, high=1.6, default=(0.8, 1.25), step=0.01),),
    ),
    TransformInfo(
        key="color",
        title="Hue and saturation",
        help="Shifts the hue and the strength of colours; without effect on a grey image.",
        p=0.2,
        params=(
            Param(key="hue", title="Hue", low=-90, high=90, default=(-15, 15), step=1, unit="of 180"),
            Param(key="saturation", title="Saturation", low=-100, high=100, default=(-30, 30), step=1, unit="of 255"),
        ),
    ),
    TransformInfo(
        key="invert",
        title="Invert",
        help="Turns dark text on light into light text on dark; for portals that use both.",
        p=0.0,
    ),
    TransformInfo(
        key="holes",
        title="Holes",
        help="Covers small rectangles with random pixels, so that no single detail decides.",
        p=0.15,
        params=(
            Param(key="count", title="Number of holes", low=1, high=8, default=(1, 4), step=1),
            Param(
                key="height", title="Height", low=0.04, high=0.3, default=(0.05, 0.15), step=0.01, unit="of the height"
            ),
            Param(
                key="width", title="Width", low=0.01, high=0.06, default=(0.01, 0.03), step=0.01, unit="of the width"
            ),
        ),
    ),
    TransformInfo(
        key="blur",
        title="Blur",
        help="Softens the image.",
        p=0.15,
        params=(Param(key="sigma", title="Radius", low=0.2, high=1.5, default=(0.3, 0.8), step=0.1, unit="pixels"),),
    ),
    TransformInfo(
        key="downscale",
        title="Low resolution",
        help="Shrinks the image and enlarges it again, so that detail is lost.",
        p=0.1,
        params=(Param(key="scale", title="Scale", low=0.5, high=0.95, default=(0.6, 0.9), step=0.05, unit="times"),),
    ),
    TransformInfo(
        key="noise",
        title="Noise",
        help="Adds a random value to every pixel.",
        p=0.2,
        params=(Param(key="strength", title="Strength", low=0.01, high=0.15, default=(0.02, 0.08), step=0.01),),
    ),
    TransformInfo(
        key="speckle",
        title="Speckles",
        help="Turns single pixels black or white.",
        p=0.1,
        params=(
            Param(
                key="amount",
                title="Amount",
                low=0.005,
                high=0.06,
                default=(0.005, 0.02),
                step=0.005,
                unit="of all pixels",
            ),
        ),
    ),
    TransformInfo(
        key="compression",
        title="JPEG compression",
        help="Saves the image as a JPEG of this quality and reads it back.",
        p=0.15,
        params=(Param(key="quality", title="Quality", low=25, high=100, default=(50, 95), step=1),),
    ),
)

DEFAULT_AUGMENT: Settings = {info.key: info.defaults() for info in TRANSFORMS if info.p > 0}
"""Strengths for digits on an image about 48 pixels high: all transforms but `invert` are on."""


def check_augment(settings: Mapping[str, Any]) -> Settings:
    """Return settings in full: in order of application, what is off left out, every parameter present.

    Checking twice changes nothing. Raises OptionError for an unknown name and for a value outside its range.
    """
    infos = {info.key: info for info in TRANSFORMS}
    for key in settings:
        if key not in infos:
            raise OptionError(f"There is no transform {key!r}; there are {', '.join(infos)}.")
    checked: Settings = {}
    for key, info in infos.items():
        if key not in settings:
            continue
        given = settings[key]
        if not isinstance(given, Mapping):
            raise OptionError(f"The settings of transform {key!r} must be a table with p, got {given!r}.")
        names = {"p", *(param.key for param in info.params)}
        for name in given:
            if name not in names:
                raise OptionError(f"Transform {key!r} has no parameter {name!r}; it has {', '.join(sorted(names))}.")
        values = info.defaults()
        values["p"] = _number(f"{key}.p", given.get("p", info.p), 0.0, 1.0)
        for param in info.params:
            if param.key in given:
                values[param.key] = _param_value(f"{key}.{param.key}", given[param.key], param)
        if values["p"] != 0:
            checked[key] = values
    return checked


def _param_value(name: str, given: Any, param: Param) -> Value:
    if not param.is_range:
        return _number(name, given, param.low, param.high, whole=param.is_whole)
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise OptionError(f"{name} must be a pair [low, high], got {given!r}.")
    low, high = (_number(name, value, param.low, param.high, whole=param.is_whole) for value in given)
    if low > high:
        raise OptionError(f"{name} must be [low, high] with low <= high, got [{low:g}, {high:g}].")
    return [low, high]


def _number(name: str, given: Any, low: float, high: float, whole: bool = False) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise OptionError(f"{name} must be a number, got {given!r}.")
    if not low <= given <= high:
        raise OptionError(f"{name} must be between {low:g} and {high:g}, got {given:g}.")
    if whole and not float(given).is_integer():
        raise OptionError(f"{name} must be a whole number, got {given:g}.")
    return int(given) if whole else given
