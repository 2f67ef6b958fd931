"""Text on paper: the place, shape and ink of each character."""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.rendered.fonts import Font
from bench.rendered.paper import Color, Image, Rng, another_ink

Mask = NDArray[Any]
"""Height x width, uint8."""
FILLS = ("filled", "outlined", "hollow", "shadowed", "dotted")
_FILL_BOUNDS = np.cumsum((0.73, 0.06, 0.06, 0.1))
"""Shares of all but the last, added up. The choice function of NumPy takes longer than drawing a character."""


@dataclass(frozen=True, kw_only=True)
class Hand:
    """The way in which the characters of one image are set."""

    fill: str
    turn: float
    """Most degrees of rotation, to either side."""
    slant: float
    """Shear of all characters."""
    vary: float
    """Spread of the size, as a share."""
    jump: float
    """Spread of the baseline, as a share of the height."""
    pitch: float
    """Distance of neighbors, in widths of a character. Below 1 they overlap."""
    weight: int
    """Pixels by which strokes grow or shrink."""
    colored: bool
    """Each character has an ink of its own."""
    rolled: bool
    """Digits are on drums, as in meters, and some stand between two."""
    frame: float
    """Share of the image's width that the text fills."""
    tall: float
    """Share of the image's height that it fills at most."""


def any_hand(rng: Rng) -> Hand:
    """Draw a hand. Four in ten are upright and even. The others vary in everything."""
    calm = rng.random() < 0.4
    overlapping = rng.random() < 0.5
    return Hand(
        fill=FILLS[np.searchsorted(_FILL_BOUNDS, rng.random())],
        turn=0.0 if calm else rng.uniform(0, 32),
        slant=rng.normal(0, 0.08 if calm else 0.2),
        vary=0.0 if calm else rng.uniform(0, 0.2),
        jump=0.0 if calm else rng.uniform(0, 0.14),
        pitch=rng.uniform(0.52, 0.95) if overlapping else rng.uniform(0.95, 1.7),
        weight=(-1, 0, 0, 0, 1)[rng.integers(5)],
        colored=rng.random() < 0.2,
        rolled=rng.random() < 0.03,
        frame=rng.uniform(0.6, 0.97) if rng.random() < 0.85 else rng.uniform(0.35, 0.6),
        tall=rng.uniform(0.55, 0.97),
    )


def draw_text(canvas: Image, text: str, fonts: list[Font], hand: Hand, ink: Color, paper: Color, rng: Rng) -> None:
    """Draw a text on the canvas, one font for each character."""
    height, width = canvas.shape[:2]
    masks = [font.glyphs[char].mask_HW for font, char in zip(fonts, text, strict=True)]
    if hand.rolled and text.isdecimal():
        masks = [roll(font, char, rng) for font, char in zip(fonts, text, strict=True)]
    tops = [font.glyphs[char].top for font, char in zip(fonts, text, strict=True)]
    # Characters keep their relative heights and baselines within a font.
    line = float(np.median([font.height for font in fonts]))
    widths = np.array([mask.shape[1] for mask in masks], float)
    middle = float(widths.mean())
    advances = (
        (0.5 * (widths[:-1] + widths[1:]) + 0.12 * middle)
        * hand.pitch
        * rng.uniform(1 - hand.vary, 1 + hand.vary, len(masks) - 1)
    )
    places = np.concatenate([[0.0], np.cumsum(advances)])
    extent = places[-1] + 0.5 * (widths[0] + widths[-1])
    # A turned or jumping character needs more room.
    room = line * (1 + hand.vary + math.sin(math.radians(hand.turn)) * 0.7)
    scale = min(hand.frame * width / extent, hand.tall * height * (1 - hand.jump) / room)
    left = rng.uniform(0, max(1e-6, width - extent * scale))
    base = height / 2 + rng.uniform(-0.5, 0.5) * max(0.0, height * (1 - 2 * hand.jump) - room * scale)
    bottoms = np.array([top + mask.shape[0] for mask, top in zip(masks, tops, strict=True)], float)
    level = float(np.median(bottoms))
    order = rng.permutation(len(masks)) if rng.random() < 0.3 else np.arange(len(masks))
    for place in order:
        mask = masks[place]
        size = scale * (1 + rng.uniform(-hand.vary, hand.vary))
        center = (
            left + (places[place] + 0.5 * widths[0]) * scale,
            base
            + (bottoms[place] - level - mask.shape[0] / 2 + line / 2) * scale
            + rng.uniform(-hand.jump, hand.jump) * height,
        )
        own = another_ink(ink, paper, rng) if hand.colored else ink
        _stamp(canvas, mask, center, size, hand, own, paper, rng)


def roll(font: Font, char: str, rng: Rng) -> Mask:
    """Return a digit with a part of the digit before or after it. The digit itself shows more than the other."""
    drum = [font.glyphs[str((int(char) + step) % 10)].mask_HW for step in (-1, 0, 1)]
    height, width = max(mask.shape[0] for mask in drum), max(mask.shape[1] for mask in drum)
    pitch = round(height * 1.25)
    strip = np.zeros((3 * pitch, width), np.uint8)
    for row, mask in enumerate(drum):
        left = (width - mask.shape[1]) // 2
        strip[row * pitch : row * pitch + mask.shape[0], left : left + mask.shape[1]] = mask
    start = pitch + round(rng.uniform(-0.36, 0.36) * pitch) if rng.random() < 0.4 else pitch
    return strip[start : start + height]


def _stamp(
    canvas: Image, mask: Mask, center: tuple[float, float], size: float, hand: Hand, ink: Color, paper: Color, rng: Rng
) -> None:
    """Draw one character around its center."""
    turn = math.radians(rng.uniform(-hand.turn, hand.turn))
    cos, sin = math.cos(turn) * size, math.sin(turn) * size
    xx, xy, yx, yy = cos, -cos * hand.slant - sin, sin, cos - sin * hand.slant
    high, wide = mask.shape[0] / 2, mask.shape[1] / 2
    half_x = abs(xx) * (wide + 2) + abs(xy) * (high + 2) + 2
    half_y = abs(yx) * (wide + 2) + abs(yy) * (high + 2) + 2
    x0, y0 = math.floor(center[0] - half_x), math.floor(center[1] - half_y)
    x1, y1 = math.ceil(center[0] + half_x), math.ceil(center[1] + half_y)
    matrix = np.array(
        [[xx, xy, center[0] - x0 - xx * wide - xy * high], [yx, yy, center[1] - y0 - yx * wide - yy * high]]
    )
    if size < 0.5:  # bilinear sampling would skip strokes
        mask = cv2.blur(mask, (2, 2)) if size > 0.35 else cv2.blur(mask, (3, 3))
    drawn = cv2.warpAffine(mask, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    if hand.fill == "shadowed":
        _cast(canvas, drawn, x0, y0, ink, paper, rng)
    for coverage, color in _layers(drawn, hand, ink, paper, rng):
        _blend(canvas, coverage, color, x0, y0)


def _cast(canvas: Image, drawn: Mask, x: int, y: int, ink: Color, paper: Color, rng: Rng) -> None:
    """Draw the shadow of a character: hard or soft, up to a tenth of the image's height away."""
    reach = max(2, round(0.1 * canvas.shape[0]))
    right, down = (int(shift) for shift in rng.integers(-reach, reach + 1, 2))
    if rng.random() < 0.5:
        edge = math.ceil(0.06 * canvas.shape[0])
        drawn = cv2.blur(cv2.copyMakeBorder(drawn, edge, edge, edge, edge, cv2.BORDER_CONSTANT), (edge, edge))
        right, down = right - edge, down - edge
    _blend(canvas, drawn, 0.5 * ink + 0.5 * paper, x + right, y + down)


def _layers(drawn: Mask, hand: Hand, ink: Color, paper: Color, rng: Rng) -> list[tuple[Mask, Color]]:
    """Return what is laid over the paper for one character: coverage and color."""
    cross = np.ones((3, 3), np.uint8)
    if hand.weight:
        changed = cv2.dilate(drawn, cross) if hand.weight > 0 else cv2.erode(drawn, np.ones((2, 2), np.uint8))
        if changed.sum() > 0.6 * drawn.sum():  # a hairline would vanish
            drawn = changed
    if hand.fill == "hollow":
        edge = cv2.morphologyEx(drawn, cv2.MORPH_GRADIENT, cross)
        return [(edge, ink)]
    if hand.fill == "outlined":
        return [(cv2.dilate(drawn, cross), ink), (drawn, 0.75 * paper + 0.25 * (255 - ink))]
    if hand.fill == "dotted":
        return [(drawn * _raster(drawn.shape, rng), ink)]
    return [(drawn, ink)]


def _raster(shape: tuple[int, ...], rng: Rng) -> Mask:
    """Return 1 where a coarse raster prints, else 0."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    pitch = int(rng.integers(3, 5))
    return (((x % pitch) > 0) & ((y % pitch) > 0)).astype(np.uint8)


def _blend(canvas: Image, coverage: Mask, color: Color, x: int, y: int) -> None:
    """Lay a color over a part of the canvas. What is outside of it is cut off."""
    height, width = canvas.shape[:2]
    left, top = max(0, -x), max(0, -y)
    right, bottom = min(coverage.shape[1], width - x), min(coverage.shape[0], height - y)
    if right <= left or bottom <= top:
        return
    share = coverage[top:bottom, left:right, None] * np.float32(1 / 255)
    part = canvas[y + top : y + bottom, x + left : x + right]
    part[:] = part + share * (color - part)
