"""Seeded, labeled images of a fictional portal, for the demo project and the tests.

Each image has one ink color on pale gradient paper with a hatch. The characters have mixed fonts, are turned, slanted
and overlapping, and sit anywhere under lines, arcs and specks. People read them easily; general readers do not, even
when they know charset and length: the best of three reads 531 of 562 (94.5%, `untrained-*-demo` in docs/benchmarks.md).
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from core.errors import OptionError

WIDTH, HEIGHT = 200, 60
"""Size of every demo image, in pixels."""

_FONTS = (
    "Cantarell-Bold.otf",
    "DejaVuSerif-Bold.ttf",
    "LiberationSans-Bold.ttf",
    "LiberationSerif-Bold.ttf",
    "OpenSans-Semibold.ttf",
    "Roboto-Medium.ttf",
)
_SCALE = 2
"""Images are drawn at twice their size and averaged down, which gives soft edges."""
_W, _H = WIDTH * _SCALE, HEIGHT * _SCALE
_MARGIN = 5 * _SCALE
"""Minimum distance of glyphs from the border."""
_CURVE_LOW = np.array([[0.0, 0.0], [0.3, -0.3], [0.65, 0.0]])
_CURVE_HIGH = np.array([[0.3, 1.0], [0.7, 1.3], [1.0, 1.0]])
"""Bounds for the start, bend and end of a curve, as fractions of the image."""
_INKS = ((38, 58, 120), (20, 92, 96), (110, 38, 58), (74, 44, 116), (56, 62, 72), (24, 84, 48))

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Style:
    """The difficulty of a portal's images."""

    advance: tuple[float, float] = (0.68, 0.9)
    """Distance between neighboring centers, in mean character widths; characters overlap below 1."""
    turn: float = 14.0
    """Maximum rotation in degrees, to either side."""
    curves: tuple[int, int] = (1, 3)
    """Minimum and maximum number of lines over the text. One more is under it."""
    thickness: tuple[int, int] = (3, 5)
    """Minimum and maximum thickness of lines, in half pixels."""


DEMO = Style()
HARD = Style(advance=(0.6, 0.8), turn=16.0)


@dataclass(frozen=True, kw_only=True)
class Glyph:
    """One character on the double-size canvas."""

    mask: Image.Image
    """Coverage of its tight box, as drawn by the font, 0 to 255."""
    matrix: NDArray[np.float64]
    """2x2, from mask coordinates relative to its center to canvas coordinates."""
    center: Point


def render(text: str, rng: np.random.Generator, style: Style = DEMO) -> NDArray[np.uint8]:
    """Draw one image, HxWx3 RGB. The same `rng` state and Pillow release give the same pixels."""
    ink = np.array(_INKS[rng.integers(len(_INKS))]) + rng.integers(-14, 15, 3)
    canvas = _paper(ink, rng)
    draw = ImageDraw.Draw(canvas)
    _curves(draw, ink, rng, style, count=1)
    for glyph in layout(text, rng, style):
        tone = tuple((ink + rng.integers(-24, 25)).clip(0, 255).tolist())
        mask, corner = rasterize(glyph)
        canvas.paste(tone, corner, mask)
    _curves(draw, ink, rng, style, count=int(rng.integers(style.curves[0], style.curves[1] + 1)))
    _specks(draw, ink, rng)
    return np.array(canvas.reduce(_SCALE))


def samples(
    n: int, seed: int, length: int = 6, charset: str = "0123456789", style: Style = DEMO
) -> Iterator[tuple[str, str, bytes]]:
    """Yield n tuples (file name, text, PNG bytes) with distinct, uniformly drawn texts.

    Sample i depends only on (seed, length, charset, style, i), so a larger n continues the same list.
    Raises OptionError if n distinct texts do not exist, or for a character that the fonts lack.
    """
    for number, text in enumerate(distinct_texts(n, seed, length, charset), start=1):
        rgb = render(text, np.random.default_rng((seed, number)), style)
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, "PNG", compress_level=3)
        yield f"{text}.png", text, buffer.getvalue()


def distinct_texts(n: int, seed: int, length: int = 6, charset: str = "0123456789") -> Iterator[str]:
    """Yield the texts of `samples`."""
    if not (charset.isascii() and charset.isalnum()):
        raise OptionError(f"Demo images can only contain 0-9, A-Z and a-z; the charset is {charset!r}.")
    if n > len(charset) ** length:
        raise OptionError(f"Only {len(charset) ** length} texts of this length and charset exist, not {n}.")
    rng = np.random.default_rng((seed, 0))
    used: set[str] = set()
    while len(used) < n:
        text = "".join(charset[index] for index in rng.integers(len(charset), size=length))
        if text not in used:
            used.add(text)
            yield text


def layout(text: str, rng: np.random.Generator, style: Style = DEMO) -> list[Glyph]:
    """Place every character so that its rotated box is inside the margins, whatever the text."""
    masks = [_mask(char, int(font)) for char, font in zip(text, rng.integers(len(_FONTS), size=len(text)), strict=True)]
    size = rng.uniform(0.82, 1.0)
    matrices = [_matrix(size * rng.uniform(0.9, 1.1), rng, style) for _ in text]
    boxes = np.array([np.abs(matrix) @ mask.size for matrix, mask in zip(matrices, masks, strict=True)])
    # Neighbors overlap, so no column reliably separates them.
    steps = (boxes[:-1, 0] + boxes[1:, 0]) / 2 * rng.uniform(*style.advance, len(text) - 1)
    span = (boxes[0, 0] + boxes[-1, 0]) / 2 + steps.sum()
    fit = min(1.0, (_W - 2 * _MARGIN) / max(span, boxes[:, 0].max()), (_H - 2 * _MARGIN) / boxes[:, 1].max())
    boxes, steps = boxes * fit, steps * fit
    xs = np.concatenate([[0.0], steps.cumsum()])
    left, right = (xs - boxes[:, 0] / 2).min(), (xs + boxes[:, 0] / 2).max()
    xs += rng.uniform(_MARGIN - left, max(_MARGIN - left, _W - _MARGIN - right))
    room = (_H - 2 * _MARGIN - boxes[:, 1]) / 2
    baseline = rng.uniform(-0.6, 0.6)
    ys = _H / 2 + room * np.clip(baseline + rng.uniform(-0.4, 0.4, len(text)), -1, 1)
    return [
        Glyph(mask=mask, matrix=matrix * fit, center=(x, y))
        for mask, matrix, x, y in zip(masks, matrices, xs.tolist(), ys.tolist(), strict=True)
    ]


def rasterize(glyph: Glyph) -> tuple[Image.Image, tuple[int, int]]:
    """Return the transformed coverage of a glyph and the canvas position of its upper left corner."""
    half = np.abs(glyph.matrix) @ glyph.mask.size / 2
    left, top = (np.floor(np.array(glyph.center) - half)).astype(int).tolist()
    width, height = (np.ceil(2 * half) + 1).astype(int).tolist()
    # Pillow needs the inverse: from a pixel of the result to its source in the mask.
    back = np.linalg.inv(glyph.matrix)
    offset = np.array(glyph.mask.size) / 2 + back @ (np.array([left, top]) - glyph.center)
    affine = (*back[0], offset[0], *back[1], offset[1])
    turned = glyph.mask.transform((width, height), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    return turned, (left, top)


@cache
def _mask(char: str, font: int) -> Image.Image:
    # BASIC layout gives the same pixels with and without libraqm.
    path = Path(__file__).parent / "fonts" / _FONTS[font]
    face = ImageFont.truetype(path, 76, layout_engine=ImageFont.Layout.BASIC)
    left, top, right, bottom = face.getbbox(char)
    mask = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2))
    ImageDraw.Draw(mask).text((1 - left, 1 - top), char, fill=255, font=face)
    return mask


def _matrix(size: float, rng: np.random.Generator, style: Style) -> NDArray[np.float64]:
    """Return a random rotation, slant and stretch. With larger ranges a 7 could look like a 1."""
    turn = np.radians(rng.uniform(-style.turn, style.turn))
    slant = np.tan(np.radians(rng.uniform(-10, 10)))
    stretch = rng.uniform(0.85, 1.05)
    cos, sin = np.cos(turn), np.sin(turn)
    # Rotation times shear times scale, multiplied out.
    return size * np.array([[cos * stretch, -cos * slant - sin], [sin * stretch, -sin * slant + cos]])


def _paper(ink: NDArray[np.int64], rng: np.random.Generator) -> Image.Image:
    """Return a pale gradient in a random direction with a faint hatch, both tinted with the ink."""
    near, far = (255 - (255 - ink) * rng.uniform(low, high) for low, high in ((0.02, 0.10), (0.16, 0.32)))
    angle = rng.uniform(0, 2 * np.pi)
    x = np.linspace(-1, 1, WIDTH)
    y = np.linspace(-1, 1, HEIGHT)[:, None]
    mix = (0.5 + 0.5 * (np.cos(angle) * x + 0.4 * np.sin(angle) * y)).clip(0, 1)
    paper = Image.fromarray((near + (far - near) * mix[:, :, None]).astype(np.uint8))
    canvas = paper.resize((_W, _H), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(canvas)
    pitch, lean = rng.uniform(12, 22), rng.uniform(-60, 60)
    line = tuple((far * 0.93).astype(int).tolist())
    for start in np.arange(-60, _W + 60, pitch):
        draw.line([(start, 0), (start + lean, _H)], fill=line, width=1)
    return canvas


def _curves(
    draw: ImageDraw.ImageDraw, ink: NDArray[np.int64], rng: np.random.Generator, style: Style, *, count: int
) -> None:
    """Draw lines and arcs across the text, in tones of the ink."""
    t = np.linspace(0, 1, 17)[:, None]
    for _ in range(count):
        tone = tuple((ink + rng.integers(-10, 50)).clip(0, 255).tolist())
        width = int(rng.integers(style.thickness[0], style.thickness[1] + 1))
        start, bend, end = rng.uniform(_CURVE_LOW, _CURVE_HIGH)
        points = ((1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end) * (_W, _H)
        draw.line([tuple(point) for point in points.tolist()], fill=tone, width=width, joint="curve")


def _specks(draw: ImageDraw.ImageDraw, ink: NDArray[np.int64], rng: np.random.Generator) -> None:
    count = int(rng.integers(40, 110))
    for x, y, size, light in zip(
        rng.uniform(0, _W, count),
        rng.uniform(0, _H, count),
        rng.uniform(1, 3.5, count),
        rng.uniform(0, 0.6, count),
        strict=True,
    ):
        tone = tuple((ink + (255 - ink) * light).astype(int).tolist())
        draw.ellipse((x, y, x + size, y + size), fill=tone)
