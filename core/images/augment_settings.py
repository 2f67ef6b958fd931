"""The augmentation settings: which transforms exist, their safe ranges, the defaults, and the check of a settings dict.

Settings are a JSON dict `{transform: {"p": probability, parameter: [low, high] or number}}`. A transform that is absent
or has p = 0 is off; a parameter that is absent takes its default. `core.images.augmenter` turns settings into pixels;
this module imports nothing heavy, because it is read where no image is touched (albumentations costs a second).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from core.errors import OptionError

Value: TypeAlias = float | list[float]
Settings: TypeAlias = dict[str, dict[str, Value]]


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class TransformInfo:
    """One switch with its ranges, as the Augment page shows it."""

    key: str
    title: str
    p: float
    """Default probability that an image gets this transform; 0 is off."""
    help: str
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
    TransformInfo("lines", "Lines", 0.2,
        "Draws curved lines across the image, in the color of the ink or another, as portals do.", (
        Param("count", "Number of lines", 1, 5, (1, 3), 1),
        Param("thickness", "Thickness", 0.01, 0.06, (0.02, 0.05), 0.01, "of the height"),
    )),
    TransformInfo("affine", "Move, turn and stretch", 0.8,
        "Moves, scales, turns and slants the whole image a little.", (
        Param("zoom", "Zoom", 0.8, 1.15, (0.92, 1.08), 0.01, "times"),
        Param("shift_x", "Shift sideways", -0.06, 0.06, (-0.03, 0.03), 0.01, "of the width"),
        Param("shift_y", "Shift up and down", -0.12, 0.12, (-0.06, 0.06), 0.01, "of the height"),
        Param("rotate", "Turn", -6, 6, (-4, 4), 0.5, "degrees"),
        Param("slant", "Slant", -15, 15, (-8, 8), 0.5, "degrees"),
    )),
    TransformInfo("perspective", "Perspective", 0.1,
        "Moves the four corners, as if the image were seen from the side.", (
        Param("strength", "Corner shift", 0.01, 0.06, (0.01, 0.04), 0.01, "of the size"),
    )),
    TransformInfo("stretch", "Uneven stretch", 0.15,
        "Squeezes some parts of the image and widens others, so the distance between characters varies.", (
        Param("strength", "Stretch", -0.3, 0.3, (-0.15, 0.15), 0.01),
    )),
    TransformInfo("elastic", "Elastic wobble", 0.1, "Bends strokes smoothly, by about a pixel at strength 30.", (
        Param("strength", "Strength", 5, 50, 25, 1),
    )),
    TransformInfo("brightness", "Brightness and contrast", 0.5,
        "Makes the image lighter or darker, and its contrast higher or lower.", (
        Param("brightness", "Brightness", -0.3, 0.3, (-0.15, 0.15), 0.01),
        Param("contrast", "Contrast", -0.3, 0.3, (-0.2, 0.2), 0.01),
    )),
    TransformInfo("gamma", "Gamma", 0.2,
        "Lifts or lowers the middle tones and leaves black and white where they are.", (
        Param("gamma", "Gamma", 0.6, 1.6, (0.8, 1.25), 0.01),
    )),
    TransformInfo("color", "Hue and saturation", 0.2,
        "Shifts the hue and the strength of colors; without effect on a gray image.", (
        Param("hue", "Hue", -90, 90, (-15, 15), 1, "of 180"),
        Param("saturation", "Saturation", -100, 100, (-30, 30), 1, "of 255"),
    )),
    TransformInfo("invert", "Invert", 0.0,
        "Turns dark text on light into light text on dark; for portals that use both."),
    TransformInfo("holes", "Holes", 0.15,
        "Covers small rectangles with random pixels, so that no single detail decides.", (
        Param("count", "Number of holes", 1, 8, (1, 4), 1),
        Param("height", "Height", 0.04, 0.3, (0.05, 0.15), 0.01, "of the height"),
        Param("width", "Width", 0.01, 0.06, (0.01, 0.03), 0.01, "of the width"),
    )),
    TransformInfo("blur", "Blur", 0.15, "Softens the image.", (
        Param("sigma", "Radius", 0.2, 1.5, (0.3, 0.8), 0.1, "pixels"),
    )),
    TransformInfo("downscale", "Low resolution", 0.1,
        "Shrinks the image and enlarges it again, so that detail is lost.", (
        Param("scale", "Scale", 0.5, 0.95, (0.6, 0.9), 0.05, "times"),
    )),
    TransformInfo("noise", "Noise", 0.2, "Adds a random value to every pixel.", (
        Param("strength", "Strength", 0.01, 0.15, (0.02, 0.08), 0.01),
    )),
    TransformInfo("speckle", "Speckles", 0.1, "Turns single pixels black or white.", (
        Param("amount", "Amount", 0.005, 0.06, (0.005, 0.02), 0.005, "of all pixels"),
    )),
    TransformInfo("compression", "JPEG compression", 0.15,
        "Saves the image as a JPEG of this quality and reads it back.", (
        Param("quality", "Quality", 25, 100, (50, 95), 1),
    )),
)  # fmt: skip

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
