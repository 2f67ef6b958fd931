"""Render images in a style that the training renderer never draws: ink and paper change places along a border.

    python -m bench.rendered.kept_out --out DIR

The border is straight or wavy and cuts the image in two. A character on it is dark on one side and light on the other.
This module and the training renderer share no code. The fonts are not kept out. tests/kept_out has these images.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

FONTS = Path(__file__).parents[2] / "core" / "images" / "fonts"
COUNT, SEED, LENGTH = 50, 0, 6
HEIGHT, WIDTH = 64, 208
SCALE = 3
"""Images are drawn at three times their size and averaged down, which gives soft edges."""
CONTRAST = 110.0
"""Least difference of the two colors in luminance, 0 to 255."""
SHADES = 16
"""Colors of a PNG: the two, and tones between them."""

Rng = np.random.Generator
Mask = NDArray[np.bool_]
"""Height x width of the image, times SCALE."""


def texts() -> Iterator[str]:
    """Yield distinct texts, always the same."""
    rng, used = np.random.default_rng(SEED), set[str]()
    while len(used) < COUNT:
        text = "".join(str(digit) for digit in rng.integers(10, size=LENGTH))
        if text not in used:
            used.add(text)
            yield text


def draw(text: str, rng: Rng) -> Image.Image:
    """Return an image of the text, in a palette of SHADES colors."""
    light, dark = _colors(rng)
    swapped = _letters(text, rng) ^ _side(rng)
    shares = swapped.reshape(HEIGHT, SCALE, WIDTH, SCALE).mean(axis=(1, 3))[:, :, None]
    pixels = light + (dark - light) * shares
    return Image.fromarray(pixels.round().astype(np.uint8)).quantize(SHADES, dither=Image.Dither.NONE)


def _letters(text: str, rng: Rng) -> Mask:
    """Return True where the characters are: one font, nearly upright, from edge to edge."""
    paths = sorted(path for path in FONTS.iterdir() if path.suffix in (".otf", ".ttf"))
    path = paths[rng.integers(len(paths))]
    high, wide = HEIGHT * SCALE, WIDTH * SCALE
    # BASIC layout gives the same pixels with and without libraqm.
    face = ImageFont.truetype(path, round(high * rng.uniform(0.7, 0.95)), layout_engine=ImageFont.Layout.BASIC)
    canvas = Image.new("L", (wide, high))
    pitch = wide * rng.uniform(0.145, 0.16)
    left = (wide - pitch * (len(text) - 1)) / 2
    for place, char in enumerate(text):
        glyph = Image.new("L", (2 * high, 2 * high))
        ImageDraw.Draw(glyph).text((high, high), char, fill=255, font=face, anchor="mm")
        turned = glyph.rotate(rng.uniform(-6, 6), Image.Resampling.BILINEAR)
        corner = round(left + place * pitch - high), round(high / 2 + high * rng.uniform(-0.06, 0.06) - high)
        canvas.paste(255, corner, turned)
    return np.asarray(canvas) > 127


def _side(rng: Rng) -> Mask:
    """Return True on one side of a border through the image. Two in three borders are waves."""
    y, x = np.mgrid[: HEIGHT * SCALE, : WIDTH * SCALE] / (HEIGHT * SCALE)
    ratio = WIDTH / HEIGHT
    turn = rng.uniform(-1.3, 1.3)  # 0 is an upright border, pi / 2 would be a level one
    across = (x - ratio * rng.uniform(0.3, 0.7)) * np.cos(turn) + (y - rng.uniform(0.4, 0.6)) * np.sin(turn)
    along = (y - 0.5) * np.cos(turn) - (x - ratio / 2) * np.sin(turn)
    swing = rng.uniform(0.06, 0.2) if rng.random() < 2 / 3 else 0.0
    side: Mask = across + swing * np.sin(along * rng.uniform(4, 12) + rng.uniform(0, 2 * np.pi)) > 0
    return side ^ (rng.random() < 0.5)


def _colors(rng: Rng) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a light and a dark color that a person tells apart at a glance."""
    while True:
        light, dark = rng.uniform(0, 255, (2, 3))
        if (light - dark) @ (0.299, 0.587, 0.114) >= CONTRAST:
            return light, dark


def main() -> int:
    """Write the images, each named by its text. Return the exit code."""
    parser = argparse.ArgumentParser(description="Render images in a style that is kept out of training.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the PNG files")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(texts()):
        draw(text, np.random.default_rng([SEED, number])).save(out / f"{text}.png", optimize=True)
    print(f"{out}: {COUNT} images.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
