"""Lines, waves, arcs, frames, plates and dots over and under the text."""

import cv2
import numpy as np

from bench.rendered.paper import Color, Image, Rng, any_color

SHIFT = 4
"""Fractional bits of coordinates for OpenCV."""


def draw_clutter(canvas: Image, ink: Color, paper: Color, amount: float, rng: Rng) -> None:
    """Draw lines and dots on the canvas. `amount` is their mean number of lines."""
    for _ in range(rng.poisson(amount)):
        _line(canvas, _color(ink, paper, rng), rng)
    if rng.random() < 0.15 * min(1.0, amount):
        _dots(canvas, ink, paper, rng)


def draw_frame(canvas: Image, ink: Color, rng: Rng) -> None:
    """Draw a border, as on plates and buttons."""
    height, width = canvas.shape[:2]
    inset, thickness = int(rng.integers(0, 3)), int(rng.integers(1, 4))
    cv2.rectangle(canvas, (inset, inset), (width - 1 - inset, height - 1 - inset), ink.tolist(), thickness)


def draw_plate(canvas: Image, ink: Color, rng: Rng) -> Image:
    """Draw a plate with a rounded border, bolts and mostly a colored band. Return the part of the canvas for text."""
    height, width = canvas.shape[:2]
    thickness, start, end = int(rng.integers(1, 4)), 0, width
    if rng.random() < 0.7:
        band = round(rng.uniform(0.3, 0.7) * height)
        start, end = (band, width) if rng.random() < 0.7 else (0, width - band)
        canvas[:, :start] = canvas[:, end:] = any_color(rng)
    corner, edge = round(rng.uniform(0.08, 0.25) * height), thickness // 2
    low, right = height - 1 - edge, width - 1 - edge
    for x, y, turn in ((edge, edge, 180), (right, edge, 270), (right, low, 0), (edge, low, 90)):
        center = (x + corner if x == edge else x - corner, y + corner if y == edge else y - corner)
        cv2.ellipse(canvas, center, (corner, corner), 0, turn, turn + 90, ink.tolist(), thickness, _edge(rng))
    for begin, finish in (
        ((corner, edge), (width - corner, edge)), ((corner, low), (width - corner, low)),
        ((edge, corner), (edge, height - corner)), ((right, corner), (right, height - corner)),
    ):  # fmt: skip
        cv2.line(canvas, begin, finish, ink.tolist(), thickness)
    if rng.random() < 0.3:
        for x in (round(0.15 * width), round(0.85 * width)):
            cv2.circle(
                canvas, (x, height // 2 if rng.random() < 0.2 else 4), 2, any_color(rng).tolist(), -1, cv2.LINE_AA
            )
    inner: Image = canvas[:, start:end]
    return inner


def _color(ink: Color, paper: Color, rng: Rng) -> list[float]:
    """Return the ink, a tone of the paper, or any color."""
    kind = rng.random()
    if kind < 0.5:
        chosen, spread = ink, 12
    else:
        chosen, spread = (paper, 25) if kind < 0.65 else (any_color(rng), 0)
    return [float(value) for value in (chosen + rng.normal(0, spread, 3)).clip(0, 255)]


def _line(canvas: Image, color: list[float], rng: Rng) -> None:
    """Draw a straight or bent line, a wave or an arc, from a hair to a sixth of the height. Half cross the middle."""
    height, width = canvas.shape[:2]
    thickness = max(1, round(min(rng.exponential(1.4) + 0.6, height / 6) * height / 56))
    x0, x1 = (-2, width + 2) if rng.random() < 0.55 else np.sort(rng.uniform(-0.1, 1.1, 2)) * width
    steps = np.linspace(0, 1, 24)
    start, end = (rng.uniform(0.2, 0.8, 2) if rng.random() < 0.5 else rng.uniform(-0.1, 1.1, 2)) * height
    y = start + (end - start) * steps
    kind = rng.random()
    if kind < 0.35:
        y = y + rng.uniform(0.05, 0.35) * height * np.sin(rng.uniform(2, 18) * steps + rng.uniform(0, 6.3))
    elif kind < 0.45:  # bent
        turns = np.sort(rng.uniform(0, 1, int(rng.integers(1, 4))))
        y = np.interp(steps, [0, *turns, 1], [start, *(rng.uniform(0, height, len(turns))), end])
    elif kind < 0.65:
        y = y + rng.uniform(-0.9, 0.9) * height * 4 * steps * (1 - steps)
    points = np.stack([x0 + (x1 - x0) * steps, y], axis=1)
    if kind > 0.93:  # steep
        points = np.stack([rng.uniform(0, 1, 2), [-0.1, 1.1]], axis=1) * (width, height)
    cv2.polylines(canvas, [(points * 2**SHIFT).astype(np.int32)], False, color, thickness, _edge(rng), SHIFT)


def _edge(rng: Rng) -> int:
    """Return smooth or hard edges. Many portals draw without smoothing."""
    return int(cv2.LINE_AA if rng.random() < 0.7 else cv2.LINE_8)


def _dots(canvas: Image, ink: Color, paper: Color, rng: Rng) -> None:
    height, width = canvas.shape[:2]
    radius, edge = int(rng.integers(0, 3)), _edge(rng)
    one = _color(ink, paper, rng) if rng.random() < 0.6 else None
    for _ in range(int(rng.integers(5, 40 if radius else 120))):
        place = int(rng.integers(width)), int(rng.integers(height))
        cv2.circle(canvas, place, radius, one or _color(ink, paper, rng), -1, edge)
