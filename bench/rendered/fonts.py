"""Fonts of the system: which characters each one has, and their shapes.

A font counts for a set of characters if it draws all of them, each one differently. Most of them must look more like
the same character of other fonts than like another one, which leaves out ornaments.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

FOLDER = Path("/usr/share/fonts")
SUFFIXES = (".otf", ".ttf")
SETS = ("0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
"""Digits, capitals and small letters. Many fonts have no small letters, or draw them like capitals."""
SIZE = 48
"""Height of the em square in pixels. An image's characters are rarely larger."""
ABSENT = "\U0010fffd"
"""A private character. Fonts draw it like every character that they do not have."""
LEGIBLE = 0.8
"""Least share of a set's characters that must look most like the same character of other fonts."""
SMALLEST = 0.3
"""Least height of a character, as a fraction of the em square. Smaller ones are ornaments or damaged."""


@dataclass(frozen=True)
class Glyph:
    """The shape of one character."""

    mask_HW: NDArray[np.uint8]
    """Coverage of the tight box, 0 to 255."""
    top: int
    """Distance of the box from the ascender line, in pixels at SIZE."""


@dataclass(frozen=True)
class Font:
    """A font file and the characters that it draws."""

    path: Path
    family: str
    glyphs: dict[str, Glyph]

    @cached_property
    def height(self) -> float:
        """Return the median height of the characters, in pixels at SIZE."""
        return float(np.median([glyph.mask_HW.shape[0] for glyph in self.glyphs.values()]))

    def has(self, chars: str) -> bool:
        return all(char in self.glyphs for char in chars)


def load_fonts(folder: Path = FOLDER) -> list[Font]:
    """Return the fonts below a folder that have at least the digits, in the order of their paths.

    Fonts with equal shapes are loaded once, because packages ship copies of one another's fonts.
    """
    fonts: list[Font] = []
    seen: set[bytes] = set()
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        font = _read(path)
        if font is None:
            continue
        key = b"".join(font.glyphs[char].mask_HW.tobytes() for char in sorted(font.glyphs))
        if key not in seen:
            seen.add(key)
            fonts.append(font)
    return _legible(fonts)


def _read(path: Path) -> Font | None:
    """Return a font with the characters of the sets that it has completely; None without the digits."""
    try:
        # BASIC layout gives the same shapes with and without libraqm.
        face = ImageFont.truetype(path, SIZE, layout_engine=ImageFont.Layout.BASIC)
        absent = _draw(face, ABSENT)
        sets = [_draw_set(face, chars, absent) for chars in SETS]
    except (OSError, ValueError):  # damaged, or a format that FreeType cannot scale
        return None
    if not sets[0]:
        return None
    drawn: dict[str, Glyph] = {}
    for glyphs in sets:
        if _are_different([*drawn.values(), *glyphs.values()]):  # small letters that look like capitals are left out
            drawn |= glyphs
    return Font(path, face.getname()[0] or path.stem, drawn)


def _legible(fonts: Sequence[Font]) -> list[Font]:
    """Leave out the sets of a font whose characters look like other characters of most fonts."""
    kept: list[dict[str, Glyph]] = [{} for _ in fonts]
    for chars in SETS:
        having = [place for place, font in enumerate(fonts) if font.has(chars)]
        if not having:
            continue
        shapes_FCN = np.stack([[_shape(fonts[place].glyphs[char]) for char in chars] for place in having])
        typical_CN = np.median(shapes_FCN, axis=0)
        distances_FCC = np.linalg.norm(shapes_FCN[:, :, None] - typical_CN, axis=3)
        right_F = (distances_FCC.argmin(axis=2) == np.arange(len(chars))).mean(axis=1)
        for place, right in zip(having, right_F, strict=True):
            if right >= LEGIBLE:
                kept[place] |= {char: fonts[place].glyphs[char] for char in chars}
    return [replace(font, glyphs=glyphs) for font, glyphs in zip(fonts, kept, strict=True) if "0" in glyphs]


def _shape(glyph: Glyph) -> NDArray[np.float32]:
    """Return a glyph at a common size, as a vector."""
    small = Image.fromarray(glyph.mask_HW).resize((12, 16), Image.Resampling.BOX)
    return np.asarray(small).ravel().astype(np.float32)


def _draw_set(face: ImageFont.FreeTypeFont, chars: str, absent: Glyph | None) -> dict[str, Glyph]:
    """Return the glyphs of a set, or none if one is missing or equals another."""
    drawn = {char: _draw(face, char) for char in chars}
    glyphs = {
        char: glyph
        for char, glyph in drawn.items()
        if glyph is not None and glyph.mask_HW.shape[0] >= SMALLEST * SIZE and not _are_equal(glyph, absent)
    }
    return glyphs if len(glyphs) == len(chars) and _are_different(list(glyphs.values())) else {}


def _draw(face: ImageFont.FreeTypeFont, char: str) -> Glyph | None:
    canvas = Image.new("L", (4 * SIZE, 4 * SIZE))
    ImageDraw.Draw(canvas).text((SIZE, SIZE), char, fill=255, font=face)
    box = canvas.getbbox()
    if box is None:
        return None
    return Glyph(np.asarray(canvas.crop(box)), box[1] - SIZE)


def _are_different(glyphs: Sequence[Glyph]) -> bool:
    return len({(glyph.mask_HW.shape, glyph.mask_HW.tobytes()) for glyph in glyphs}) == len(glyphs)


def _are_equal(glyph: Glyph, other: Glyph | None) -> bool:
    return other is not None and np.array_equal(glyph.mask_HW, other.mask_HW)
