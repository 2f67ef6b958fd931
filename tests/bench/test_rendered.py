"""Rendered text: fonts that have their characters, images that show their text, and nothing shared with the demo."""

import ast
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.rendered.fonts import SETS, Font, load_fonts
from bench.rendered.render import CHARS, Renderer, any_size
from core.images import renderer as demo

FONTS = Path(demo.__file__).parent / "fonts"
"""Six font files that are in the repository. The styles come from elsewhere."""
BENCH = Path(__file__).parents[2] / "bench" / "rendered"


@pytest.fixture(scope="module")
def fonts() -> list[Font]:
    return load_fonts(FONTS)


def test_fonts_have_every_character(fonts: list[Font]) -> None:
    assert len(fonts) == len(list(FONTS.glob("*.[ot]tf")))
    assert all(font.has(SETS[0]) for font in fonts)
    assert sum(font.has(CHARS) for font in fonts) >= 4


def test_copies_and_files_that_are_not_fonts_are_left_out(fonts: list[Font], tmp_path: Path) -> None:
    shutil.copytree(FONTS, tmp_path / "fonts")
    for path in list((tmp_path / "fonts").glob("*.[ot]tf")):
        shutil.copy(path, path.with_name(f"copy-{path.name}"))
    (tmp_path / "damaged.ttf").write_bytes(b"no font")

    assert len(load_fonts(tmp_path)) == len(fonts)


@pytest.mark.parametrize("length", [1, 4, 6, 10])
def test_equal_seeds_give_equal_pixels(fonts: list[Font], length: int) -> None:
    def drawn(seed: int) -> list[np.ndarray]:
        rng, renderer = np.random.default_rng(seed), Renderer(fonts)
        return [renderer.draw(renderer.text(length, rng, CHARS), any_size(length, rng), rng) for _ in range(20)]

    first, again, other = drawn(1), drawn(1), drawn(2)
    assert all(np.array_equal(left, right) for left, right in zip(first, again, strict=True))
    assert not all(
        left.shape == right.shape and (left == right).all() for left, right in zip(first, other, strict=True)
    )
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 for image in first)


def test_the_text_changes_what_is_seen(fonts: list[Font]) -> None:
    """Two texts in the same style differ in some pixels by more than the noise."""
    renderer = Renderer(fonts)
    plain = 0
    for seed in range(100):
        pair = [renderer.draw(text, (48, 160), np.random.default_rng(seed)) for text in ("1111", "8888")]
        plain += bool((np.abs(pair[0].astype(int) - pair[1]).max(axis=2) > 30).sum() > 40)
    assert plain >= 90


def test_nothing_is_shared_with_the_demo_style() -> None:
    for path in BENCH.glob("*.py"):
        imported = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        assert all(not (node.module or "").startswith(("core.images", "core.cli")) for node in imported), path
