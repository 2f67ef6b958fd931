"""Images that general readers cannot read: their agreement shows it, and nothing is proposed."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from core.charset import TextSpec
from core.evaluation.agreement import measure
from core.images import renderer
from core.images.pixels import Pixels
from core.readers.readers import READERS, load

SPEC = TextSpec(4, "0123456789")
SEGMENTS = {
    "0": "abcdef", "1": "bc", "2": "abged", "3": "abgcd", "4": "fgbc", "5": "afgcd", "6": "afgcde", "7": "abc",
    "8": "abcdefg", "9": "abcdfg",
}  # fmt: skip
LINES = {
    "a": (0, 0, 1, 0), "b": (1, 0, 1, 1), "c": (1, 1, 1, 2), "d": (0, 2, 1, 2), "e": (0, 1, 0, 2), "f": (0, 0, 0, 1),
    "g": (0, 1, 1, 1),
}  # fmt: skip
"""Ends of each segment in units of a digit's width."""


def seven_segments(text: str, rng: np.random.Generator) -> Pixels:
    """Draw digits of a display with gaps between the segments and the unlit ones visible, H x W x 3."""
    image = Image.new("RGB", (34 * len(text) + 16, 64), (24, 26, 24))
    draw = ImageDraw.Draw(image)
    for index, char in enumerate(text):
        left, top = 14 + 34 * index + int(rng.integers(-2, 3)), 12 + int(rng.integers(-2, 3))
        for name, (x0, y0, x1, y1) in LINES.items():
            lit = name in SEGMENTS[char]
            gap_x, gap_y = (4 if x0 != x1 else 0), (4 if y0 != y1 else 0)
            ends = (left + 20 * x0 + gap_x, top + 20 * y0 + gap_y, left + 20 * x1 - gap_x, top + 20 * y1 - gap_y)
            draw.line(ends, fill=(230, 40, 30) if lit else (90, 30, 28), width=4)
    return np.asarray(image)


def read_by_all(images: list[Pixels]) -> list[list[str | None]]:
    return [[reading.text for reading in reader.read(images, SPEC)] for reader in load(list(READERS))]


@pytest.mark.long
def test_readers_stand_aside_on_seven_segment_displays() -> None:
    """Unlit segments are visible, so a general reader sees eights everywhere."""
    rng = np.random.default_rng(3)
    texts = ["".join(rng.choice(list("0123456789"), 4)) for _ in range(40)]

    rows = list(zip(*read_by_all([seven_segments(text, rng) for text in texts]), strict=True))

    assert not measure(rows, SPEC.length, 2).usable


@pytest.mark.long
def test_shuffled_readings_do_not_agree() -> None:
    """The same readings, given to other images, are worthless. The agreement says so."""
    rng = np.random.default_rng(4)
    texts = ["".join(rng.choice(list("0123456789"), 4)) for _ in range(40)]
    first, second = read_by_all([renderer.render(text, rng) for text in texts])

    assert measure(list(zip(first, second, strict=True)), SPEC.length, 2).usable
    assert not measure(list(zip(first, second[1:] + second[:1], strict=True)), SPEC.length, 2).usable
