"""Render images of kinds on which nothing was ever tuned. Each kind has a style that no other renderer here draws.

This module and the other renderers share no code but the font files. Photographs come from the package scikit-image,
which is not loaded: only its files are read. Those behind test images are behind no training image.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONTS = Path(__file__).parents[2] / "core" / "images" / "fonts"
DIGITS = "0123456789"
BLANK = "_"
"""The character of a label that stands for an empty cell of a display."""
SCALE = 3
"""Images are drawn at three times their size and averaged down, which gives soft edges."""

TRAIN_PHOTOS = ("astronaut.png", "brick.png", "camera.png", "chelsea.png", "grass.png", "rocket.jpg", "ihc.png")
TEST_PHOTOS = ("coffee.png", "gravel.png", "motorcycle_left.png", "hubble_deep_field.jpg")

MATRIX = {
    "0": "0e11131519110e", "1": "040c040404040e", "2": "0e11010204081f", "3": "1f02040201110e", "4": "02060a121f0202",
    "5": "1f101e0101110e", "6": "0608101e11110e", "7": "1f010204080808", "8": "0e11110e11110e", "9": "0e11110f01020c",
    BLANK: "00000000000000",
}  # fmt: skip
"""Seven rows of five dots, two hexadecimal digits a row. These are the usual shapes of character displays."""

Rng = np.random.Generator
Color = NDArray[Any]
"""Red, green and blue, 0 to 255."""


@dataclass(frozen=True)
class Kind:
    """A portal with images of its own style."""

    length: int
    charset: str
    draw: Callable[[str, Rng, bool], Image.Image]
    """Return an image of a text. The last argument is True for test images."""
    spell: Callable[[Rng], str]
    """Return a random text."""


def samples(name: str, splits: Sequence[str], seed: int) -> Iterator[tuple[str, str, bytes]]:
    """Yield file name, text and PNG for each split. All texts differ. Image i depends only on seed, i and split."""
    kind, rng, used = KINDS[name], np.random.default_rng((seed, 0)), set[str]()
    for number, split in enumerate(splits, start=1):
        while (text := kind.spell(rng)) in used:
            pass
        used.add(text)
        buffer = io.BytesIO()
        kind.draw(text, np.random.default_rng((seed, number)), split == "test").save(buffer, "PNG", compress_level=3)
        yield f"{number:05d}.png", text, buffer.getvalue()


def of_charset(length: int, charset: str) -> Callable[[Rng], str]:
    return lambda rng: "".join(charset[place] for place in rng.integers(len(charset), size=length))


# Characters in colors of their own, among disks and strokes in any color


def draw_colors(text: str, rng: Rng, is_test: bool) -> Image.Image:  # noqa: ARG001 - test images have the same style
    """Draw each character in a color of its own, over and under translucent disks."""
    wide, high = 150 * SCALE, 48 * SCALE
    paper = rng.integers(225, 256, 3)
    image = Image.new("RGB", (wide, high), tuple(paper.tolist()))
    _disks(image, rng, count=12, alpha=70)
    pitch = wide / (len(text) + 0.8)
    for place, char in enumerate(text):
        glyph = _glyph(char, round(high * rng.uniform(0.58, 0.78)), rng, turn=18)
        x = pitch * (place + 0.9) + rng.uniform(-0.08, 0.08) * pitch
        y = high / 2 + rng.uniform(-0.12, 0.12) * high
        image.paste(_dark(rng), (round(x - glyph.width / 2), round(y - glyph.height / 2)), glyph)
    _disks(image, rng, count=3, alpha=60)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 5))):
        ends = [(int(rng.integers(wide)), int(rng.integers(high))) for _ in range(2)]
        draw.line(ends, fill=_dark(rng), width=SCALE)
    return image.reduce(SCALE)


def _disks(image: Image.Image, rng: Rng, *, count: int, alpha: int) -> None:
    layer = Image.new("RGBA", image.size)
    draw = ImageDraw.Draw(layer)
    for _ in range(count):
        x, y, radius = rng.uniform(0, image.width), rng.uniform(0, image.height), rng.uniform(3, 14) * SCALE
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*_any_color(rng), alpha))
    image.paste(layer, (0, 0), layer)


def _any_color(rng: Rng) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return red, green, blue


def _dark(rng: Rng) -> tuple[int, int, int]:
    """Return a color that a person sees on light paper."""
    while True:
        color = _any_color(rng)
        if np.dot(color, (0.299, 0.587, 0.114)) < 135:
            return color


# Light text on photographs


def draw_photos(text: str, rng: Rng, is_test: bool) -> Image.Image:
    """Draw light characters with a faint shadow on a part of a photograph."""
    wide, high = 160 * SCALE, 56 * SCALE
    pictures = photos(TEST_PHOTOS if is_test else TRAIN_PHOTOS)
    picture = pictures[rng.integers(len(pictures))]
    share = rng.uniform(0.3, 0.9)
    size = round(picture.width * share), round(picture.width * share * high / wide)
    left, top = (int(rng.integers(whole - part + 1)) for whole, part in zip(picture.size, size, strict=True))
    image = picture.crop((left, top, left + size[0], top + size[1])).resize((wide, high), Image.Resampling.BILINEAR)
    image = Image.eval(image, lambda value: round(value * 0.75))
    ink = tuple(int(value) for value in rng.integers(220, 256, 3))
    pitch = wide / (len(text) + 0.6)
    x = rng.uniform(0.5, 1.1) * pitch
    font = int(rng.integers(len(_fonts())))
    height = round(high * rng.uniform(0.55, 0.75))
    for char in text:
        glyph = _glyph(char, height, rng, turn=8, font=font)
        corner = round(x - glyph.width / 2), round(high / 2 + rng.uniform(-0.1, 0.1) * high - glyph.height / 2)
        shadow = Image.eval(glyph, lambda value: value // 3).filter(ImageFilter.BoxBlur(SCALE))
        image.paste((0, 0, 0), (corner[0] + SCALE, corner[1] + SCALE), shadow)
        image.paste(ink, corner, glyph)
        x += pitch * rng.uniform(0.88, 0.98)
    return image.reduce(SCALE)


@cache
def photos(names: tuple[str, ...]) -> tuple[Image.Image, ...]:
    """Return photographs of the package, in color. Those without an area as wide as an image's are too small."""
    folder = photo_folder()
    assert folder is not None
    return tuple(Image.open(folder / name).convert("RGB") for name in names)


def photo_folder() -> Path | None:
    """Return the folder of the photographs, or None if the package is not installed."""
    spec = find_spec("skimage")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "data"


# A display of characters, each a matrix of dots


def draw_matrix(text: str, rng: Rng, is_test: bool) -> Image.Image:  # noqa: ARG001 - test images have the same style
    """Draw a photographed display. Dots that are off show faintly too, and a blank is a cell of them."""
    pitch, gap = 6 * SCALE, round(rng.uniform(0.7, 1.3) * 6) * SCALE
    cell = 5 * pitch + gap
    wide, high = len(text) * cell + gap, 7 * pitch + 2 * gap
    glass = rng.integers(0, 256, 3)
    light = bool(rng.random() < 0.5)
    lit = np.clip(glass + (150 if light else -150), 0, 255)
    while abs(float((lit - glass) @ (0.299, 0.587, 0.114))) < 70:
        glass = rng.integers(0, 256, 3)
        lit = np.clip(glass + (150 if light else -150), 0, 255)
    ghost = glass + (lit - glass) * rng.uniform(0.05, 0.2)
    image = Image.new("RGB", (wide, high), _whole(glass))
    draw = ImageDraw.Draw(image)
    inset = rng.uniform(0.05, 0.15) * pitch
    for place, char in enumerate(text):
        rows = bytes.fromhex(MATRIX[char])
        for row, bits in enumerate(rows):
            for column in range(5):
                left, top = gap + place * cell + column * pitch, gap + row * pitch
                color = lit if bits >> (4 - column) & 1 else ghost
                draw.rectangle(
                    (left + inset, top + inset, left + pitch - inset, top + pitch - inset), fill=_whole(color)
                )
    image = image.rotate(rng.uniform(-2.5, 2.5), Image.Resampling.BILINEAR, fillcolor=_whole(glass))
    size = round(44 * wide / high), 44
    image = image.resize(size, Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8)))
    left, right = rng.uniform(-35, 35, 2)
    glare = np.linspace(left, right, size[0])[None, :, None]
    noisy = np.asarray(image) + glare + rng.normal(0, rng.uniform(0, 8), (size[1], size[0], 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).resize((200, 44), Image.Resampling.BILINEAR)


def spell_display(rng: Rng) -> str:
    """Return a number at the right, or two numbers with a blank between. The other cells are blank."""
    count = int(rng.integers(3, 9))
    text = "".join(DIGITS[place] for place in rng.integers(10, size=count)).rjust(8, BLANK)
    if count > 4 and rng.random() < 0.5:
        at = 8 - int(rng.integers(2, count - 1))
        text = text[: at - 1] + BLANK + text[at:]
    return text


def _whole(color: Color) -> tuple[int, ...]:
    return tuple(int(value) for value in color)


# Characters


@cache
def _fonts() -> tuple[Path, ...]:
    return tuple(sorted(path for path in FONTS.iterdir() if path.suffix in (".otf", ".ttf")))


def _glyph(char: str, height: int, rng: Rng, *, turn: float, font: int | None = None) -> Image.Image:
    """Return the coverage of a turned character in a square. Without `font`, any font is taken."""
    path = _fonts()[rng.integers(len(_fonts())) if font is None else font]
    # BASIC layout gives the same pixels with and without libraqm.
    face = ImageFont.truetype(path, height, layout_engine=ImageFont.Layout.BASIC)
    side = 2 * height
    glyph = Image.new("L", (side, side))
    ImageDraw.Draw(glyph).text((height, height), char, fill=255, font=face, anchor="mm")
    return glyph.rotate(rng.uniform(-turn, turn), Image.Resampling.BILINEAR)


ALL = DIGITS + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
KINDS = {
    "colors36": Kind(5, ALL, draw_colors, of_charset(5, ALL)),
    "photos6": Kind(6, DIGITS, draw_photos, of_charset(6, DIGITS)),
    "matrix8": Kind(8, DIGITS + BLANK, draw_matrix, spell_display),
}
