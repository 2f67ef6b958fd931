"""The crop and size of the images the network sees, derived from the training images.

A portal may print its text anywhere. On one real portal, six digits fill the left half of the image. A network that
expects them across the whole width reaches 10% exact match; on the cropped text it reaches 90%.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from core.bundle.reader import crop, resize
from core.errors import OptionError
from core.images.pixels import Pixels

Item = TypeVar("Item")
Box = tuple[float, float, float, float]
"""Left, top, right, bottom as fractions of the image's width and height."""
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
Resize = Literal["bilinear", "opencv"]
"""The filter: Pillow's, which core.bundle.reader repeats bit for bit, or that of the runs of earlier versions."""

MAX_SIDE, MAX_AREA = 2048, 1024 * 1024
"""Bounds of the network's input in pixels. The longest text, 32 characters, chooses 64 x 2048."""


def _numbers(values: Any, *types: type) -> list[Any]:
    """Return a list of numbers of these types; empty for anything else."""
    return list(values) if isinstance(values, list | tuple) and all(type(value) in types for value in values) else []


def input_size(values: Mapping[str, Any]) -> tuple[int, int]:
    """Read `image_size` of a run's choices, height and width. Raises OptionError."""
    size = _numbers(values.get("image_size"), int)
    if len(size) != 2 or min(size) < 16 or max(size) > MAX_SIDE or math.prod(size) > MAX_AREA:
        raise OptionError(
            f"The run's input size is damaged: image_size must be height and width, each 16 to {MAX_SIDE:,}, "
            f"with at most {MAX_AREA:,} pixels."
        )
    return size[0], size[1]


@dataclass(frozen=True)
class Frame:
    """The crop and size of the network's input."""

    box: Box
    size: tuple[int, int]
    """Height, width in pixels."""
    resize: Resize = "bilinear"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Frame":
        """Read `box`, `image_size` and `resize` of a run's choices. Raises OptionError.

        Runs of earlier versions named no filter.
        """
        box = _numbers(values.get("box"), int, float)
        if len(box) != 4 or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
            raise OptionError("The run's crop is damaged: box must be left, top, right, bottom as fractions.")
        if (name := values.get("resize", "opencv")) not in get_args(Resize):
            raise OptionError(f"The run's resize {str(name)[:20]!r} is unknown. Use {' or '.join(get_args(Resize))}.")
        return cls((box[0], box[1], box[2], box[3]), input_size(values), name)

    def to_dict(self) -> dict[str, Any]:
        """Return the part of a run's choices that `from_dict` reads."""
        return {"box": list(self.box), "image_size": list(self.size), "resize": self.resize}

    def apply(self, image: Pixels) -> Pixels:
        """Crop and resize one H x W x 3 image."""
        part = crop(image, self.box)
        return resize(part, self.size) if self.resize == "bilinear" else self._by_opencv(part)

    def _by_opencv(self, part: Pixels) -> Pixels:
        import cv2  # slow to import, and not needed to start or list runs

        part = np.ascontiguousarray(part)
        shrinks = part.shape[0] > self.size[0] or part.shape[1] > self.size[1]
        resized = cv2.resize(part, self.size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return np.asarray(resized, dtype=np.uint8)

    def stack(self, images: Iterable[Pixels]) -> NDArray[np.uint8]:
        """Apply the frame to each image and return one contiguous N x H x W x 3 array."""
        return np.fromiter(map(self.apply, images), dtype=np.dtype((np.uint8, (*self.size, 3))))


SAMPLE_SIZE = 500
"""Images to sample. The profile hardly changes with more."""
THRESHOLD = 0.15
"""Fraction of the profile's range above which it counts as text. Distractor lines reach 0.1 on a real portal."""
MARGIN = 0.05
"""Margin on each side of the text, as a fraction of the image's side."""
MAX_CROP = 0.75
"""Crop only if the box is at most this fraction of a side: a cropped digit costs more than a blank border."""
MIN_IMAGES = 30
"""Fewer images do not show reliably where the text is."""
WINDOW = 9
"""Width of the median filter. It removes lines that always end in the same column."""


def subsample(items: Sequence[Item]) -> Sequence[Item]:
    """Return about SAMPLE_SIZE of the items, evenly spaced."""
    return items[:: max(1, len(items) // SAMPLE_SIZE)]


def find_text(images: Sequence[Pixels], positions: int) -> tuple[Box, list[float]]:
    """Return a box around the text of these images, and the center of each position inside the box.

    Text is where fine detail differs between images. Frames and gradients are equal in all images and cancel out;
    noise raises only the floor. The centers are fractions of the box's width that divide the text's mass evenly.
    """
    detail_HW = _detail(images)
    if len(images) < MIN_IMAGES or detail_HW.mean() < 0.1:  # near 1 where images differ, 0 where they are equal
        return WHOLE, _even(positions)
    profile = _smooth(detail_HW.mean(axis=0))
    left, right = _extent(profile)
    top, bottom = _extent(_smooth(detail_HW.mean(axis=1)))
    inside = profile[round(left * len(profile)) : round(right * len(profile))]
    mass = np.cumsum(np.maximum(inside - _level(profile), 0) + 1e-9)
    shares = (np.arange(positions) + 0.5) / positions * mass[-1]
    centers = (np.searchsorted(mass, shares) + 0.5) / len(inside)
    return (left, top, right, bottom), [round(float(center), 4) for center in centers]


def _even(positions: int) -> list[float]:
    return [(index + 0.5) / positions for index in range(positions)]


def _detail(images: Sequence[Pixels]) -> NDArray[np.float32]:
    """Return how much horizontal contrast varies between images, at each pixel of a 48 x 192 canvas."""
    canvas_NHW = Frame(WHOLE, (48, 192)).stack(images).mean(axis=3, dtype=np.float32)
    contrast_NHW = np.diff(canvas_NHW, axis=2)
    contrast_NHW -= contrast_NHW.mean(axis=0)
    # Normalize, so each image counts equally whatever its contrast.
    contrast_NHW /= np.abs(contrast_NHW).mean(axis=(1, 2), keepdims=True) + 1.0
    return np.asarray(np.abs(contrast_NHW).mean(axis=0), dtype=np.float32)


def _smooth(profile: NDArray[np.float32]) -> NDArray[np.float32]:
    padded = np.pad(profile, WINDOW // 2, mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, WINDOW), axis=1), dtype=np.float32)


def _level(profile: NDArray[np.float32]) -> float:
    return float(profile.min() + THRESHOLD * np.ptp(profile))


def _extent(profile: NDArray[np.float32]) -> tuple[float, float]:
    """Return the start and end of the text in a profile, as fractions with margin; or the whole profile."""
    above = np.flatnonzero(profile > _level(profile))
    if len(above) == 0:  # a flat profile: all images are equal
        return 0.0, 1.0
    first = max(0.0, float(above[0]) / len(profile) - MARGIN)
    last = min(1.0, float(above[-1] + 1) / len(profile) + MARGIN)
    return (round(first, 4), round(last, 4)) if last - first <= MAX_CROP else (0.0, 1.0)


def choose_frame(
    images: Sequence[Pixels], positions: int, *, size: tuple[int, int] | None, crop: bool, stride: int
) -> tuple[Frame, list[float], float, str]:
    """Return the frame for sampled images, the column prior (centers and sigma as fractions of the crop), a reason."""
    box, centers = find_text(images, positions) if crop else (WHOLE, _even(positions))
    height, width = np.median([image.shape[:2] for image in images], axis=0)
    left, top, right, bottom = box
    aspect = float((right - left) * width / ((bottom - top) * height))
    reason = (
        f"text box {left:.0%}-{right:.0%} across, {top:.0%}-{bottom:.0%} down" if box != WHOLE else "the whole image"
    )
    return Frame(box, size or image_size(aspect, positions, stride)), centers, 0.6 / positions, reason


def frame_of(images: Sequence[Pixels], length: int, stride: int) -> Frame:
    """Return the frame for images of one portal. Without any, the whole of a wide image."""
    if not images:
        return Frame(WHOLE, image_size(length, length, stride))
    return choose_frame(images, length, size=None, crop=True, stride=stride)[0]


def image_size(aspect: float, positions: int, stride: int) -> tuple[int, int]:
    """Return height and width in multiples of 16: 48 high, with two to three feature columns per position.

    At stride 32 that would need a height of 96. A CPU can afford 64 and 1.5 to two columns.
    """
    height, least, most = (48, 32, 48) if stride <= 16 else (64, 48, 64)
    width = min(max(height * aspect, least * positions), most * positions)
    return height, math.ceil(width / 16) * 16
