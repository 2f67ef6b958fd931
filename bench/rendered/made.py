"""Fonts that are drawn here: seven segments and dot matrices."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from bench.rendered.fonts import SETS, SIZE, Font, Glyph
from bench.rendered.paper import Rng

SEGMENTS = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg")
"""Lit segments of 0 to 9: a is the top, b to f follow clockwise, g is the middle."""
VARIANTS = {6: "fgedc", 7: "fabc", 9: "abcfg"}
"""Other forms in use: 6 and 9 without their tails, 7 with a hook."""
ROWS = 7
"""Rows of a dot matrix."""
FAMILIES = 8
"""Families of each kind, because all families are drawn equally often."""


def made_fonts(fonts: Sequence[Font], rng: Rng, count: int = 24) -> list[Font]:
    """Return `count` seven-segment fonts, and as many dot matrices with the shapes of other fonts."""
    full = [font for font in fonts if font.has("".join(SETS[:2]))]
    segments = [_seven_segments(number, rng) for number in range(count)]
    return segments + [_dot_matrix(full[rng.integers(len(full))], number, rng) for number in range(count)]


def _seven_segments(number: int, rng: Rng) -> Font:
    """Return the ten digits as a display shows them, with strokes, gaps and proportions of its own."""
    height = SIZE * 0.75
    width, stroke, gap = height * rng.uniform(0.42, 0.7), height * rng.uniform(0.08, 0.2), height * rng.uniform(0, 0.04)
    x0, x1, y0, y1, y2 = stroke / 2, width - stroke / 2, stroke / 2, height / 2, height - stroke / 2
    lines = {
        "a": (x0, y0, x1, y0), "b": (x1, y0, x1, y1), "c": (x1, y1, x1, y2), "d": (x0, y2, x1, y2),
        "e": (x0, y1, x0, y2), "f": (x0, y0, x0, y1), "g": (x0, y1, x1, y1),
    }  # fmt: skip
    square = rng.random() < 0.5
    glyphs = {}
    for digit, lit in enumerate(SEGMENTS):
        mask = np.zeros((round(height) + 1, round(width) + 1), np.uint8)
        chosen = VARIANTS[digit] if digit in VARIANTS and rng.random() < 0.3 else lit
        for name in chosen:
            ax, ay, bx, by = lines[name]
            along = np.sign([bx - ax, by - ay])
            start, end = (
                np.array([ax, ay]) + along * (gap + stroke / 2),
                np.array([bx, by]) - along * (gap + stroke / 2),
            )
            if square:
                across = along[::-1] * stroke / 2
                corners = np.array([start - across, start + across, end + across, end - across])
                tips = np.array([start - along * stroke / 2, end + along * stroke / 2])
                shape = np.array([corners[0], tips[0], corners[1], corners[2], tips[1], corners[3]])
                cv2.fillPoly(mask, [(shape * 16).round().astype(np.int32)], 255, cv2.LINE_AA, 4)
            else:
                ends = [tuple(int(value) for value in (point * 16).round()) for point in (start, end)]
                cv2.line(mask, ends[0], ends[1], 255, max(1, round(stroke * 0.8)), cv2.LINE_AA, 4)
        glyphs[str(digit)] = Glyph(mask, 0)
    return Font(Path(f"seven-segments-{number}"), f"seven segments {number % FAMILIES}", glyphs)


def _dot_matrix(font: Font, number: int, rng: Rng) -> Font:
    """Return the characters of a font as lit lamps or printed dots."""
    pitch, share = 6, rng.uniform(0.3, 0.5)
    glyphs = {}
    for char, glyph in font.glyphs.items():
        columns = max(1, round(glyph.mask_HW.shape[1] / glyph.mask_HW.shape[0] * ROWS))
        coarse = cv2.resize(glyph.mask_HW, (columns, ROWS), interpolation=cv2.INTER_AREA)
        mask = np.zeros((ROWS * pitch, columns * pitch), np.uint8)
        for row, column in np.argwhere(coarse > 0.45 * coarse.max()):
            center = int((column + 0.5) * pitch * 16), int((row + 0.5) * pitch * 16)
            cv2.circle(mask, center, int(share * pitch * 16), 255, -1, cv2.LINE_AA, 4)
        glyphs[char] = Glyph(mask, 0)
    shapes = {(glyph.mask_HW.shape, glyph.mask_HW.tobytes()) for char, glyph in glyphs.items() if char in SETS[0]}
    digits = {char: glyph for char, glyph in glyphs.items() if char in SETS[0]}
    return Font(
        Path(f"dot-matrix-{number}"),
        f"dot matrix {number % FAMILIES}",
        digits if len(shapes) == len(SETS[0]) else font.glyphs,
    )
