"""Which part of an image the network sees, and at what size: found from the training images, never assumed.

A portal may print its text anywhere. On one real portal six digits fill the left half of the image; a network told
to expect them spread over the whole width stays at 10% exact match, the same network on the cropped text reaches 90%.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.images.pixels import Pixels

Box = tuple[float, float, float, float]
"""Left, top, right, bottom as fractions of the image's width and height."""
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Frame:
    """The crop and the size of what the network sees."""

    box: Box
    size: tuple[int, int]
    """Height, width in pixels."""

    def pixels(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the crop in an image of that size, at least one pixel of it."""
        left, top, right, bottom = self.box
        x0, y0 = round(left * width), round(top * height)
        return x0, y0, max(round(right * width), x0 + 1), max(round(bottom * height), y0 + 1)

    def apply(self, image: Pixels) -> Pixels:
        """Crop and resize one H x W x 3 image."""
        import cv2  # not needed by those who only start or list runs

        height, width, _ = image.shape
        x0, y0, x1, y1 = self.pixels(height, width)
        part = np.ascontiguousarray(image[y0:y1, x0:x1])
        shrinks = part.shape[0] > self.size[0] or part.shape[1] > self.size[1]
        resized = cv2.resize(part, self.size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return np.asarray(resized, dtype=np.uint8)

    def stack(self, images: Iterable[Pixels]) -> NDArray[np.uint8]:
        """Put images one after the other into one contiguous N x H x W x 3 array."""
        return np.fromiter(map(self.apply, images), dtype=np.dtype((np.uint8, (*self.size, 3))))


SAMPLE = 500
"""Images looked at; the profile hardly changes beyond."""
THRESHOLD = 0.15
"""Fraction of the profile's range above its floor that counts as text. Distractor lines reach 0.1 on a real portal."""
MARGIN = 0.05
"""Fraction of the image's side left around the text on each side."""
WORTH = 0.75
"""A box that keeps more than this fraction of a side is not used: a cropped digit costs more than a blank border."""
FEWEST = 30
"""Images; what differs between fewer says little about where the text is."""
SMOOTH = 9
"""Places of a profile whose median counts: a line that always ends in the same column is no text."""


def sampled(indices: Sequence[int]) -> Sequence[int]:
    """Return about SAMPLE of these, evenly spread: enough to choose a frame by."""
    return indices[:: max(1, len(indices) // SAMPLE)]


def find_text(images: Sequence[Pixels], positions: int) -> tuple[Box, list[float]]:
    """Where the text of these images is: a box around all of it, and the center of each position inside the box.

    Text is where the images differ from each other in fine detail: frames and gradients are the same on all and
    vanish, noise is everywhere and raises only the floor. Centers are fractions of the box's width that share the
    text's mass evenly.
    """
    detail_HW = _detail(images)
    if len(images) < FEWEST or detail_HW.mean() < 0.1:  # near 1 where images differ, 0 where all are the same
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
    """How much horizontal contrast differs between the images, at each pixel of a common 48 x 192 canvas."""
    canvas_NHW = Frame(WHOLE, (48, 192)).stack(images).mean(axis=3, dtype=np.float32)
    contrast_NHW = np.diff(canvas_NHW, axis=2)
    contrast_NHW -= contrast_NHW.mean(axis=0)
    # Each image counts alike, whatever its contrast.
    contrast_NHW /= np.abs(contrast_NHW).mean(axis=(1, 2), keepdims=True) + 1.0
    return np.asarray(np.abs(contrast_NHW).mean(axis=0), dtype=np.float32)


def _smooth(profile: NDArray[np.float32]) -> NDArray[np.float32]:
    padded = np.pad(profile, SMOOTH // 2, mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, SMOOTH), axis=1), dtype=np.float32)


def _level(profile: NDArray[np.float32]) -> float:
    return float(profile.min() + THRESHOLD * np.ptp(profile))


def _extent(profile: NDArray[np.float32]) -> tuple[float, float]:
    """First and last place of a profile that count as text, as fractions, with the margin; or all of it."""
    above = np.flatnonzero(profile > _level(profile))
    if len(above) == 0:  # a flat profile: all images alike
        return 0.0, 1.0
    first = max(0.0, float(above[0]) / len(profile) - MARGIN)
    last = min(1.0, float(above[-1] + 1) / len(profile) + MARGIN)
    return (round(first, 4), round(last, 4)) if last - first <= WORTH else (0.0, 1.0)


def choose_frame(
    images: Sequence[Pixels], positions: int, *, size: tuple[int, int] | None, crop: bool, stride: int
) -> tuple[Frame, list[float], float, str]:
    """The frame for images like these (`sampled`), the column prior (centers, sigma as fractions of the crop), why."""
    box, centers = find_text(images, positions) if crop else (WHOLE, _even(positions))
    height, width = np.median([image.shape[:2] for image in images], axis=0)
    left, top, right, bottom = box
    aspect = float((right - left) * width / ((bottom - top) * height))
    why = f"text box {left:.0%}-{right:.0%} across, {top:.0%}-{bottom:.0%} down" if box != WHOLE else "the whole image"
    return Frame(box, size or image_size(aspect, positions, stride)), centers, 0.6 / positions, why


def image_size(aspect: float, positions: int, stride: int) -> tuple[int, int]:
    """Height and width in multiples of 16: 48 high, and two columns of the map for each position, three for wide text.

    At stride 32 that would take 96 pixels of height; 64 and one and a half columns are what a CPU can bear.
    """
    height, least, most = (48, 32, 48) if stride <= 16 else (64, 48, 64)
    width = min(max(height * aspect, least * positions), most * positions)
    return height, math.ceil(width / 16) * 16
