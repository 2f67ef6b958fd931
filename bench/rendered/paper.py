"""Colors, and the paper under the text."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Image = NDArray[Any]
"""Height x width x 3, uint8."""
Color = NDArray[np.float32]
"""Red, green and blue, 0 to 255."""
CONTRAST = 55.0
"""Least distance of ink and paper in luminance. A person needs about 30 to read a thin stroke."""


def any_color(rng: Rng) -> Color:
    """Return a color. One in three is gray, because most paper and ink is."""
    if rng.random() < 0.35:
        return np.full(3, rng.integers(256), np.float32)
    return rng.integers(0, 256, 3).astype(np.float32)


def colors(rng: Rng) -> tuple[Color, Color]:
    """Return ink and paper with enough contrast, in both polarities. Half of the papers are light."""
    while True:
        ink, paper = any_color(rng), any_color(rng)
        if rng.random() < 0.3:
            paper = 255 - paper * 0.25
        if _differ(ink, paper) >= CONTRAST:
            return ink, paper


def another_ink(ink: Color, paper: Color, rng: Rng) -> Color:
    """Return a second ink for the same paper."""
    for _ in range(5):
        other = any_color(rng)
        if _differ(other, paper) >= CONTRAST:
            return other
    return ink


def sheet(paper: Color, ink: Color, size: tuple[int, int], rng: Rng) -> Image:
    """Return paper of height x width: plain, gradient, blotched, tiled, hatched, or two of these.

    Its tones stay nearer to the paper than to the ink, so the text keeps at least 60% of its contrast.
    """
    shades = [shade for shade, share in ((_gradient, 0.35), (_blotches, 0.25), (_hatch, 0.2)) if rng.random() < share]
    if not shades:
        return np.full((*size, 3), np.clip(paper, 0, 255), np.uint8)
    out = np.broadcast_to(paper, (*size, 3)).astype(np.float32, order="C")
    reach = 0.4 * _differ(ink, paper)
    for shade in shades:
        out += shade(size, rng) * _tone(reach, rng)
    return np.clip(out, 0, 255).astype(np.uint8)


def _differ(color: Color, other: Color) -> float:
    """Return the difference in luminance (ITU-R BT.601)."""
    red, green, blue = (float(value) for value in color - other)
    return abs(0.299 * red + 0.587 * green + 0.114 * blue)


def _tone(reach: float, rng: Rng) -> Color:
    """Return the largest change of a paper's color, of at most `reach` in luminance."""
    return rng.uniform(-1, 1, 3).astype(np.float32) * min(reach, 90.0)


def _gradient(size: tuple[int, int], rng: Rng) -> NDArray[Any]:
    """Return values -1 to 1 that rise in a direction, H x W x 1."""
    corners = rng.uniform(-1, 1, (2, 2)).astype(np.float32)
    return cv2.resize(corners, size[::-1], interpolation=cv2.INTER_LINEAR)[:, :, None]


def _blotches(size: tuple[int, int], rng: Rng) -> NDArray[Any]:
    """Return blotches or tiles of any size, H x W x 1 or 3."""
    cell = int(rng.integers(3, 24))
    shape = (max(2, size[0] // cell), max(2, size[1] // cell), 3 if rng.random() < 0.5 else 1)
    coarse = rng.uniform(-1, 1, shape).astype(np.float32)
    how = cv2.INTER_NEAREST if rng.random() < 0.25 else cv2.INTER_CUBIC
    return np.atleast_3d(cv2.resize(coarse, size[::-1], interpolation=how))


def _hatch(size: tuple[int, int], rng: Rng) -> NDArray[np.float32]:
    """Return one or two families of parallel lines, H x W x 1."""
    y, x = np.ogrid[: size[0], : size[1]]
    out = np.zeros(size, bool)
    for _ in range(int(rng.integers(1, 3))):
        angle, pitch = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)]), rng.uniform(3, 14)
        across = (x * np.cos(angle) + y * np.sin(angle) + rng.uniform(0, pitch)) % pitch
        out |= across < rng.uniform(0.8, 2.0)
    return out.astype(np.float32)[:, :, None]
