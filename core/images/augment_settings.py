"""Augmentation settings: transforms, safe ranges, defaults and validation.

Settings are a JSON dict `{transform: {"p": probability, parameter: [low, high] or number}}`. A transform that is absent
or has p = 0 is off. An absent parameter takes its default. `core.images.augmenter` applies the settings. This module
has no heavy imports, because callers that touch no image use it too (albumentations takes a second to import).
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
    """One slider: a range the transform samples from (the default is a pair) or a fixed strength (a number)."""

    key: str
    title: str
    low: float
    high: float
    """Beyond low and high a digit may become unreadable, look like another digit or leave the image."""
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
    """One transform with its parameters, as the Augment page shows it."""

    key: str
    title: str
    p: float
    """Default probability of applying this transform; 0 is off."""
    help: str
    params: tuple[Param, ...] = ()

    def defaults(self) -> dict[str, Value]:
        """Return the default settings of this transform: p and every parameter."""
        values: dict[str, Value] = {"p": self.p}
        for param in self.params:
            values[param.key] = list(param.default) if isinstance(param.default, tuple) else param.default
        return values


# In order of application: what a portal draws, then what a scanner or a screen does to it. New ones come last.
# The index keys the random stream, so inserting a transform changes the pixels of all later ones for the same seed.
# No flips, rotations beyond 6 degrees, erosion or large holes: they would turn 6 into 9, 1 into 7 or 3 into 8.
TRANSFORMS: tuple[TransformInfo, ...] = (
    TransformInfo("lines", "Lines", 0.2,
        "Draws curved lines across the image, in the ink color or another color, as portals do.", (
        Param("count", "Number of lines", 1, 5, (1, 3), 1),
        Param("thickness", "Thickness", 0.01, 0.06, (0.02, 0.05), 0.01, "of the height"),
    )),
    TransformInfo("affine", "Move, turn and stretch", 0.8,
        "Moves, scales, turns and slants the whole image slightly.", (
        Param("zoom", "Zoom", 0.8, 1.15, (0.92, 1.08), 0.01, "times"),
        Param("shift_x", "Horizontal shift", -0.06, 0.06, (-0.03, 0.03), 0.01, "of the width"),
        Param("shift_y", "Vertical shift", -0.12, 0.12, (-0.06, 0.06), 0.01, "of the height"),
        Param("rotate", "Turn", -6, 6, (-4, 4), 0.5, "degrees"),
        Param("slant", "Slant", -15, 15, (-8, 8), 0.5, "degrees"),
    )),
    TransformInfo("perspective", "Perspective", 0.1,
        "Moves the four corners, as if seen from the side.", (
        Param("strength", "Corner shift", 0.01, 0.06, (0.01, 0.04), 0.01, "of the size"),
    )),
    TransformInfo("stretch", "Uneven stretch", 0.15,
        "Squeezes some parts of the image and stretches others, so the spacing of characters varies.", (
        Param("strength", "Stretch", -0.3, 0.3, (-0.15, 0.15), 0.01),
    )),
    TransformInfo("elastic", "Elastic wobble", 0.1, "Bends strokes smoothly, by about one pixel at strength 30.", (
        Param("strength", "Strength", 5, 50, 25, 1),
    )),
    TransformInfo("brightness", "Brightness and contrast", 0.5,
        "Changes the brightness and contrast of the image.", (
        Param("brightness", "Brightness", -0.3, 0.3, (-0.15, 0.15), 0.01),
        Param("contrast", "Contrast", -0.3, 0.3, (-0.2, 0.2), 0.01),
    )),
    TransformInfo("gamma", "Gamma", 0.2,
        "Lightens or darkens the midtones; black and white stay the same.", (
        Param("gamma", "Gamma", 0.6, 1.6, (0.8, 1.25), 0.01),
    )),
    TransformInfo("color", "Hue and saturation", 0.2,
        "Shifts the hue and saturation of colors; has no effect on gray images.", (
        Param("hue", "Hue", -90, 90, (-15, 15), 1, "of 180"),
        Param("saturation", "Saturation", -100, 100, (-30, 30), 1, "of 255"),
    )),
    TransformInfo("invert", "Invert", 0.0,
        "Turns dark text on light into light text on dark; for portals that use both."),
    TransformInfo("holes", "Holes", 0.15,
        "Covers small rectangles with random pixels, so the model cannot rely on a single detail.", (
        Param("count", "Number of holes", 1, 8, (1, 4), 1),
        Param("height", "Height", 0.04, 0.3, (0.05, 0.15), 0.01, "of the height"),
        Param("width", "Width", 0.01, 0.06, (0.01, 0.03), 0.01, "of the width"),
    )),
    TransformInfo("blur", "Blur", 0.15, "Softens the image.", (
        Param("sigma", "Radius", 0.2, 1.5, (0.3, 0.8), 0.1, "pixels"),
    )),
    TransformInfo("downscale", "Low resolution", 0.1,
        "Shrinks the image and enlarges it again, which loses detail.", (
        Param("scale", "Scale", 0.5, 0.95, (0.6, 0.9), 0.05, "times"),
    )),
    TransformInfo("noise", "Noise", 0.2, "Adds a random value to every pixel.", (
        Param("strength", "Strength", 0.01, 0.15, (0.02, 0.08), 0.01),
    )),
    TransformInfo("speckle", "Speckles", 0.1, "Makes individual pixels black or white.", (
        Param("amount", "Amount", 0.005, 0.06, (0.005, 0.02), 0.005, "of all pixels"),
    )),
    TransformInfo("compression", "JPEG compression", 0.15,
        "Saves the image as a JPEG of this quality and reads it back.", (
        Param("quality", "Quality", 25, 100, (50, 95), 1),
    )),
)  # fmt: skip

DEFAULT_AUGMENT: Settings = {info.key: info.defaults() for info in TRANSFORMS if info.p > 0}
"""For digits on images about 48 pixels high. Transforms with probability 0 are off."""


def check_augment(settings: Mapping[str, Any]) -> Settings:
    """Return complete settings in order of application, without the transforms that are off.

    Idempotent. Raises OptionError for an unknown name or a value out of range.
    """
    infos = {info.key: info for info in TRANSFORMS}
    for key in settings:
        if key not in infos:
            raise OptionError(f"There is no transform {key!r}; choose from {', '.join(infos)}.")
    checked: Settings = {}
    for key, info in infos.items():
        if key not in settings:
            continue
        entry = settings[key]
        if not isinstance(entry, Mapping):
            raise OptionError(f"The settings of transform {key!r} must be an object with p, got {entry!r}.")
        names = {"p", *(param.key for param in info.params)}
        for name in entry:
            if name not in names:
                raise OptionError(f"Transform {key!r} has no parameter {name!r}; it has {', '.join(sorted(names))}.")
        values = info.defaults()
        values["p"] = _number(f"{key}.p", entry.get("p", info.p), 0.0, 1.0)
        for param in info.params:
            if param.key in entry:
                values[param.key] = _param_value(f"{key}.{param.key}", entry[param.key], param)
        if values["p"] != 0:
            checked[key] = values
    return checked


def _param_value(name: str, value: Any, param: Param) -> Value:
    if not param.is_range:
        return _number(name, value, param.low, param.high, whole=param.is_whole)
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise OptionError(f"{name} must be a pair [low, high], got {value!r}.")
    low, high = (_number(name, end, param.low, param.high, whole=param.is_whole) for end in value)
    if low > high:
        raise OptionError(f"{name} must be [low, high] with low <= high, got [{low:g}, {high:g}].")
    return [low, high]


def _number(name: str, value: Any, low: float, high: float, whole: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise OptionError(f"{name} must be a number, got {value!r}.")
    if not low <= value <= high:
        raise OptionError(f"{name} must be between {low:g} and {high:g}, got {value:g}.")
    if whole and not float(value).is_integer():
        raise OptionError(f"{name} must be a whole number, got {value:g}.")
    return int(value) if whole else value
