"""Kinds that nothing was tuned on: sizes, texts, and what test images have that training images lack."""

import io
import subprocess
import sys

import pytest
from PIL import Image

from bench.accuracy.data import SETS
from bench.accuracy.kinds import BLANK, KINDS, TEST_PHOTOS, TRAIN_PHOTOS, photo_folder, samples

needs_photos = pytest.mark.skipif(photo_folder() is None, reason="scikit-image is not installed")
NAMES = [pytest.param(name, marks=needs_photos) if name == "photos6" else name for name in KINDS]


@pytest.mark.parametrize("name", NAMES)
def test_images_of_a_kind(name: str) -> None:
    made = list(samples(name, ["train"] * 6 + ["test"] * 6, seed=1))
    texts = [text for _, text, _ in made]
    assert len(set(texts)) == 12
    assert all(SETS[name].spec.check(text) == text for text in texts)
    assert len({Image.open(io.BytesIO(png)).size for *_, png in made}) == 1


@pytest.mark.parametrize("name", NAMES)
def test_an_image_depends_on_seed_and_place_only(name: str) -> None:
    first, second = (list(samples(name, ["train"] * count, seed=2)) for count in (3, 5))
    assert first == second[:3]
    assert first[0] != next(samples(name, ["train"], seed=3))


def test_photographs_of_test_are_in_no_training_image() -> None:
    assert not set(TRAIN_PHOTOS) & set(TEST_PHOTOS)


def test_displays_have_blanks() -> None:
    texts = [text for _, text, _ in samples("matrix8", ["train"] * 40, seed=0)]
    assert any(BLANK in text.lstrip(BLANK) for text in texts)
    assert any(BLANK not in text for text in texts)


def test_the_kinds_use_no_other_renderer() -> None:
    code = "import sys, bench.accuracy.kinds as k; print([m for m in sys.modules if 'render' in m])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
