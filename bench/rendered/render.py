"""One rendered image: paper, clutter, text, clutter, finish.

The styles are drawn from general ranges. No pixel, parameter or font was chosen from a real portal's images. Overlap,
shadows and lines through the text are frequent because validation images of real sets were misread. Nothing is shared
with the demo project's renderer.
"""

from collections import defaultdict
from collections.abc import Sequence

from bench.rendered.clutter import draw_clutter, draw_frame, draw_plate
from bench.rendered.finish import finish
from bench.rendered.fonts import Font
from bench.rendered.paper import Image, Rng, colors, sheet
from bench.rendered.text import any_hand, draw_text

VERSION = 3
"""Changes with any change of the pixels."""


def any_size(length: int, rng: Rng) -> tuple[int, int]:
    """Return a height and width that a text of this length could fill, in multiples of 16 pixels."""
    height = (48, 64)[rng.integers(2)]
    width = height * (length * rng.uniform(0.42, 0.85) + rng.uniform(0.1, 0.6))
    return height, max(32, round(width / 16) * 16)


class Renderer:
    """Renders texts in random styles. The same fonts, seed and OpenCV release give the same pixels."""

    def __init__(self, fonts: Sequence[Font]) -> None:
        families = defaultdict(list)
        for font in fonts:
            families[font.family].append(font)
        self.families = list(families.values())

    def text(self, length: int, rng: Rng, chars: str) -> str:
        return "".join(chars[place] for place in rng.integers(len(chars), size=length))

    def draw(self, text: str, size: tuple[int, int], rng: Rng) -> Image:
        """Return an image of height x width x 3 with the text."""
        ink, paper = colors(rng)
        canvas = sheet(paper, ink, size, rng)
        busy = (0.0, 0.8, 2.4)[rng.integers(3)]
        inner = draw_plate(canvas, ink, rng) if rng.random() < 0.04 else canvas
        draw_clutter(canvas, ink, paper, busy, rng)
        draw_text(inner, text, self._fonts(text, rng), any_hand(rng), ink, paper, rng)
        draw_clutter(canvas, ink, paper, busy, rng)
        if rng.random() < 0.08:
            draw_frame(canvas, ink, rng)
        return finish(canvas, rng)

    def _fonts(self, text: str, rng: Rng) -> list[Font]:
        """Return a font for each character: one for all, or one each. Families count alike, whatever their sizes."""
        if rng.random() < 0.75:
            font = self._font(text, rng)
            return [font] * len(text)
        few = [self._font(text, rng) for _ in range(3)]
        return [few[place] for place in rng.integers(3, size=len(text))]

    def _font(self, text: str, rng: Rng) -> Font:
        while True:
            family = self.families[rng.integers(len(self.families))]
            font = family[rng.integers(len(family))]
            if font.has(text):
                return font
