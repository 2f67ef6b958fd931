"""Rendered text: fonts that have their characters, images that show their text, and nothing shared with the demo."""

import ast
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.rendered.fonts import SETS, SUFFIXES, Font, Glyph, load_fonts
from bench.rendered.made import made_fonts
from bench.rendered.pretrain import Pretraining
from bench.rendered.render import Renderer, any_size
from bench.rendered.text import roll
from core.images import renderer as demo
from core.model.any_length import CHARS, AnyLength
from core.model.config import preset
from core.model.network import Recognizer

FONTS = Path(demo.__file__).parent / "fonts"
"""Six font files that are in the repository. The styles come from elsewhere."""
BENCH = Path(__file__).parents[2] / "bench" / "rendered"


@pytest.fixture(scope="module")
def fonts() -> list[Font]:
    return load_fonts(FONTS)


def test_fonts_have_every_character(fonts: list[Font]) -> None:
    assert "".join(SETS) == CHARS
    assert len(fonts) == len([path for path in FONTS.iterdir() if path.suffix in SUFFIXES])
    assert all(font.has(SETS[0]) for font in fonts)
    assert sum(font.has(CHARS) for font in fonts) >= 4


def test_copies_and_files_that_are_not_fonts_are_left_out(fonts: list[Font], tmp_path: Path) -> None:
    shutil.copytree(FONTS, tmp_path / "fonts")
    for path in [path for path in (tmp_path / "fonts").iterdir() if path.suffix in SUFFIXES]:
        shutil.copy(path, path.with_name(f"copy-{path.name}"))
    (tmp_path / "damaged.ttf").write_bytes(b"no font")

    assert len(load_fonts(tmp_path)) == len(fonts)


def test_made_fonts_draw_each_digit_differently(fonts: list[Font]) -> None:
    made = made_fonts(fonts, np.random.default_rng(0))

    assert len(made) == 48
    for font in made:
        assert font.has(SETS[0])
        assert len({font.glyphs[char].mask_HW.tobytes() for char in SETS[0]}) == 10


def test_a_digit_between_two_shows_mostly_itself() -> None:
    """So its label is right."""
    font = Font(
        Path("shades"), "shades", {char: Glyph(np.full((20, 10), 10 + int(char), np.uint8), 0) for char in SETS[0]}
    )
    rng = np.random.default_rng(0)
    turned = 0
    for number in range(200):
        shades, counts = np.unique(roll(font, str(number % 10), rng), return_counts=True)
        seen = {int(shade) - 10: int(count) for shade, count in zip(shades, counts, strict=True) if shade}
        assert max(seen, key=seen.__getitem__) == number % 10
        turned += len(seen) > 1
    assert 20 <= turned <= 120


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
        assert all(not (node.module or "").startswith(("core.images.renderer", "core.cli")) for node in imported), path


@pytest.mark.parametrize(("length", "charset", "size"), [(4, SETS[0], (48, 160)), (6, CHARS[:36], (64, 256))])
def test_a_run_that_takes_over_its_part_reads_like_the_whole(length: int, charset: str, size: tuple[int, int]) -> None:
    whole = AnyLength(preset("fast")).eval()
    part = Recognizer(
        positions=length, classes=len(charset), image_size=size, backbone="resnet10t", stride=8, head="query",
        width=256, ink=False, centers=[0.5] * length, sigma=0.1,
    ).eval()  # fmt: skip
    part.load_state_dict(whole.part(length, charset, size))
    images_B3HW = torch.rand(3, 3, *size)

    with torch.inference_mode():
        expected_BPC = whole(images_B3HW, length)[:, :, [CHARS.index(char) for char in charset]]
        torch.testing.assert_close(part(images_B3HW), expected_BPC)


def test_a_stopped_training_continues_with_equal_weights(fonts: list[Font], tmp_path: Path) -> None:
    """The whole training and one in two stretches end alike."""

    def train(folder: Path, steps: int) -> Pretraining:
        folder.mkdir(exist_ok=True)
        training = Pretraining(folder, fonts, images=4 * 4, size=4)
        for _ in range(steps):
            training.train_step()
        training.save()
        return training

    whole = train(tmp_path / "whole", 4)
    train(tmp_path / "parts", 2)
    parts = train(tmp_path / "parts", 2)

    assert parts.step == whole.step == 4
    assert all(torch.equal(value, parts.ema.state_dict()[name]) for name, value in whole.ema.state_dict().items())


def test_the_curve_has_a_line_for_each_look(fonts: list[Font], tmp_path: Path) -> None:
    training = Pretraining(tmp_path, fonts, images=8, size=4)
    training.note(training.train_step(), {})
    training.note(training.train_step(), {"quick": [1, 2]})

    lines = [json.loads(line) for line in training.curve.read_text().splitlines()]
    assert [line["images"] for line in lines] == [4, 8]
    assert lines[1]["real"] == {"quick": [1, 2]}
