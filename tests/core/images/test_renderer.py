"""The demo portal: reproducible, uniform, no clipped characters."""

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from core.errors import OptionError
from core.images.renderer import DEMO, HARD, HEIGHT, WIDTH, Style, distinct_texts, layout, rasterize, render, samples

ALPHANUMERIC = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_same_seed_gives_the_same_files() -> None:
    """Two demos are equal, byte for byte."""
    assert list(samples(5, seed=3)) == list(samples(5, seed=3))


def test_a_larger_set_continues_the_smaller_one() -> None:
    """A larger set starts with the smaller one."""
    assert list(samples(12, seed=3))[:5] == list(samples(5, seed=3))


def test_another_seed_gives_other_texts_and_other_pixels() -> None:
    """Seeds share no images, and each generator draws the same text differently."""
    assert not {text for _, text, _ in samples(50, seed=1)} & {text for _, text, _ in samples(50, seed=2)}
    first, second = (render("012345", np.random.default_rng(seed)) for seed in (1, 2))
    assert np.abs(first.astype(int) - second).mean() > 5


def test_drawing_leaves_global_randomness_alone() -> None:
    """All randomness comes from the generator passed in."""
    np.random.seed(0)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    first = render("012345", np.random.default_rng(1))
    assert np.random.random() == expected  # noqa: NPY002
    assert (render("012345", np.random.default_rng(1)) == first).all()


def test_files_are_pngs_of_one_size_named_by_their_text() -> None:
    """The name is the label, and every image is RGB of the same size."""
    for name, text, png in samples(20, seed=5):
        assert name == f"{text}.png"
        image = Image.open(io.BytesIO(png))
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (WIDTH, HEIGHT))


def test_texts_are_distinct_and_uniform_at_every_position() -> None:
    """No text occurs twice, and no position favors a digit."""
    texts = list(distinct_texts(600, seed=0))
    assert texts[:3] == [text for _, text, _ in samples(3, seed=0)]
    assert len(set(texts)) == 600
    for position in range(6):
        counts = Counter(text[position] for text in texts)
        chi_square = sum((counts[digit] - 60) ** 2 / 60 for digit in "0123456789")
        assert chi_square < 27.9, f"position {position}: {counts}"  # 99.9% of a chi-square with 9 degrees of freedom


def test_all_texts_there_are_can_be_drawn_but_no_more() -> None:
    """A small charset can be exhausted; asking for one more raises an error."""
    assert sorted(text for _, text, _ in samples(4, seed=0, length=2, charset="01")) == ["00", "01", "10", "11"]
    with pytest.raises(OptionError, match="Only 4 texts"):
        next(samples(5, seed=0, length=2, charset="01"))


def test_characters_the_fonts_lack_are_refused() -> None:
    """A box in place of a character would make the label wrong."""
    with pytest.raises(OptionError, match="0-9, A-Z and a-z"):
        next(samples(1, seed=0, charset="01é"))


@pytest.mark.parametrize("style", [DEMO, HARD])
@pytest.mark.parametrize(("length", "charset"), [(1, "W7"), (6, "0123456789"), (6, "WM"), (14, ALPHANUMERIC)])
def test_no_character_is_clipped(length: int, charset: str, style: Style) -> None:
    """Every rotated glyph keeps all of its ink inside the image, for short, long, narrow and wide text."""
    rng = np.random.default_rng(8)
    for _ in range(40):
        text = "".join(charset[index] for index in rng.integers(len(charset), size=length))
        for glyph in layout(text, rng, style):
            mask, (left, top) = rasterize(glyph)
            assert left >= 0
            assert top >= 0
            assert left + mask.width <= 2 * WIDTH
            assert top + mask.height <= 2 * HEIGHT
            ink = np.asarray(mask, dtype=float).sum()
            expected = np.asarray(glyph.mask, dtype=float).sum() * abs(np.linalg.det(glyph.matrix))
            assert ink == pytest.approx(expected, rel=0.05)


def test_text_stands_out_wherever_it_is() -> None:
    """Ink is darker than paper in every image, and the position of the text varies."""
    centers = []
    for seed in range(60):
        rgb = render("482913", np.random.default_rng(seed)).astype(float).mean(axis=2)
        dark = rgb < np.median(rgb) - 50
        assert 0.04 < dark.mean() < 0.35
        centers.append(np.nonzero(dark)[1].mean() / WIDTH)
    assert np.std(centers) > 0.05


def test_the_hard_style_pushes_characters_into_each_other() -> None:
    """Neighbors overlap more than in the demo."""
    spans = dict.fromkeys((DEMO, HARD), 0.0)
    for style in spans:
        for seed in range(40):
            glyphs = layout("482913", np.random.default_rng(seed), style)
            spans[style] += glyphs[-1].center[0] - glyphs[0].center[0]
    assert spans[HARD] < 0.95 * spans[DEMO]


def test_text_moves_and_changes_its_width() -> None:
    """The same text varies in position and width."""
    spans = []
    for seed in range(40):
        boxes = [
            (rasterize(glyph)[1][0], rasterize(glyph)[0].width)
            for glyph in layout("482913", np.random.default_rng(seed))
        ]
        spans.append((min(left for left, _ in boxes), max(left + width for left, width in boxes)))
    left, right = np.array(spans).T
    assert np.std(left) > 10
    assert np.std(right - left) > 5
