"""Random image variants for training. Only this module imports albumentations (2.0.8, the last MIT release).

The training loop and the Augment page use the same Augmenter on the same resized image. Each transform has its own
random stream, keyed by (seed, index, position of the transform). So a variant depends on nothing else, and changing one
transform leaves the others unchanged. We do not use A.Compose: its set_random_seed costs 13 us per transform and gives
all transforms the same stream, so they would fire together.
"""

import os

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # otherwise the import checks for updates online

import random
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

# ruff: noqa: E402 - this has to come before albumentations
# Albumentations loads torch for conversions we do not use: the first variant would take 4 s instead of 0.9.
sys.modules.setdefault("albumentations.pytorch", ModuleType("albumentations.pytorch"))

import albumentations as A  # noqa: N812
import cv2
import numpy as np
from numpy.typing import NDArray

from core.images.augment_settings import TRANSFORMS, check_augment

cv2.setNumThreads(0)  # threads slow down images this small, and torch needs the cores

Image = NDArray[np.uint8]
"""RGB, HxWx3."""


class LineNoise(A.ImageOnlyTransform):  # type: ignore[misc]
    """Curved lines across the image, half of them in the ink color, as portals draw them."""

    def __init__(self, count: tuple[int, int], thickness: tuple[float, float], p: float = 1.0) -> None:
        super().__init__(p=p)
        self.count = count
        self.thickness = thickness

    def apply(self, img: Image, **_params: Any) -> Image:
        height, width = img.shape[:2]
        rng = self.random_generator
        pixels = img.reshape(-1, 3)[rng.integers(0, height * width, 64)].astype(np.int16)
        # The median color is the background; the ink is the color farthest from it.
        ink = pixels[np.abs(pixels - np.median(pixels, axis=0)).sum(axis=1).argmax()]
        drawn = img.copy()
        t = np.linspace(0, 1, 17)[:, None]
        for _ in range(rng.integers(self.count[0], self.count[1] + 1)):
            # A quadratic curve from left to right, in fractions of the image.
            start, bend, end = rng.uniform([[-0.1, 0], [0.2, -0.5], [0.6, 0]], [[0.4, 1], [0.8, 1.5], [1.1, 1]])
            points = ((1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end) * (width, height)
            color = ink if rng.random() < 0.5 else rng.integers(0, 256, 3)
            thick = max(1, round(rng.uniform(*self.thickness) * height))
            cv2.polylines(drawn, [points.round().astype(np.int32)], False, color.tolist(), thick, cv2.LINE_AA)
        return drawn


Builder = Callable[[Any], A.BasicTransform]

# One albumentations transform per entry of TRANSFORMS. p = 1, because the Augmenter decides when to apply it.
# Borders are replicated: a black wedge would tell the network how the image was rotated.
_BUILD: dict[str, Builder] = {
    "lines": lambda v: LineNoise(tuple(v["count"]), tuple(v["thickness"])),
    "affine": lambda v: A.Affine(
        scale=tuple(v["zoom"]),
        translate_percent={"x": tuple(v["shift_x"]), "y": tuple(v["shift_y"])},
        rotate=tuple(v["rotate"]),
        shear={"x": tuple(v["slant"]), "y": (0.0, 0.0)},
        border_mode=cv2.BORDER_REPLICATE,
        p=1,
    ),
    "perspective": lambda v: A.Perspective(scale=tuple(v["strength"]), border_mode=cv2.BORDER_REPLICATE, p=1),
    "stretch": lambda v: A.GridDistortion(
        num_steps=5, distort_limit=tuple(v["strength"]), normalized=True, border_mode=cv2.BORDER_REPLICATE, p=1
    ),
    "elastic": lambda v: A.ElasticTransform(alpha=v["strength"], sigma=5, border_mode=cv2.BORDER_REPLICATE, p=1),
    "brightness": lambda v: A.RandomBrightnessContrast(
        tuple(v["brightness"]), tuple(v["contrast"]), brightness_by_max=False, p=1
    ),
    "gamma": lambda v: A.RandomGamma(tuple(100 * gamma for gamma in v["gamma"]), p=1),
    "color": lambda v: A.HueSaturationValue(tuple(v["hue"]), tuple(v["saturation"]), (0, 0), p=1),
    "invert": lambda _: A.InvertImg(p=1),
    "holes": lambda v: A.CoarseDropout(
        num_holes_range=tuple(v["count"]),
        hole_height_range=tuple(v["height"]),
        hole_width_range=tuple(v["width"]),
        fill="random",
        p=1,
    ),
    "blur": lambda v: A.GaussianBlur(blur_limit=0, sigma_limit=tuple(v["sigma"]), p=1),
    "downscale": lambda v: A.Downscale(
        scale_range=tuple(v["scale"]),
        # The default (nearest) drops whole strokes instead of thinning them.
        interpolation_pair={"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR},
        p=1,
    ),
    "noise": lambda v: A.GaussNoise(std_range=tuple(v["strength"]), per_channel=True, p=1),
    "speckle": lambda v: A.SaltAndPepper(amount=tuple(v["amount"]), p=1),
    "compression": lambda v: A.ImageCompression(quality_range=tuple(v["quality"]), p=1),
}


class Augmenter:
    """A function from (image, index) to a variant of the image.

    The same settings, seed and index give the same pixels, in any order of calls. Not thread-safe.
    """

    def __init__(self, settings: Mapping[str, Any], seed: int) -> None:
        """Check the settings (raises OptionError). The seed is 0 to 2**64 - 1."""
        checked = check_augment(settings)
        # Rewinding one Philox, keyed by (seed, index), takes 1.1 us; a new generator takes 7 us.
        self._philox = np.random.Philox(key=np.array([seed, 0], np.uint64))
        self._state: Any = self._philox.state
        self._generator = np.random.Generator(self._philox)
        self._random = random.Random()
        self._steps: list[tuple[int, float, A.BasicTransform]] = []
        for place, info in enumerate(TRANSFORMS):
            if info.key in checked:
                transform = _BUILD[info.key](checked[info.key])
                transform.set_random_state(self._generator, self._random)
                self._steps.append((place, float(checked[info.key]["p"]), transform))  # type: ignore[arg-type]

    def __call__(self, image: Image, index: int) -> Image:
        """Return a new uint8 array of the shape of `image`. The index is 0 to 2**64 - 1."""
        self._rewind(index, 0)
        draws = self._generator.random(len(TRANSFORMS))
        variant = image
        for place, p, transform in self._steps:
            if draws[place] < p:
                self._rewind(index, place + 1)
                self._random.seed(self._philox.random_raw())
                variant = transform(image=variant)["image"]
        return variant.copy() if variant is image else variant

    def _rewind(self, index: int, stream: int) -> None:
        inner = self._state["state"]
        inner["key"][1] = index
        inner["counter"][:] = (0, 0, 0, stream)
        self._philox.state = self._state


def variants(image: Image, settings: Mapping[str, Any], n: int, seed: int) -> list[Image]:
    """Return the variants of `image` with indices 0 to n - 1."""
    augment = Augmenter(settings, seed)
    return [augment(image, index) for index in range(n)]
