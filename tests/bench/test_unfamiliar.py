"""The bench of unfamiliar images: its copies, and a whole cell."""

import random
from pathlib import Path

import numpy as np
import pytest

from bench import unfamiliar
from bench.cells import Bench
from core.images.pixels import decode
from core.images.renderer import samples

IMAGE, OTHER = (decode(data) for *_, data in samples(2, 7))


@pytest.mark.parametrize("kind", sorted(unfamiliar.CHANGED))
def test_every_copy_differs_and_keeps_what_its_kind_keeps(kind: str) -> None:
    """Only a larger canvas has another size."""
    copy = unfamiliar.CHANGED[kind](IMAGE, random.Random(0))

    assert copy.dtype == np.uint8
    assert (copy.shape == IMAGE.shape) == (kind != "larger canvas")
    assert not np.array_equal(copy, IMAGE)


def test_a_disguised_image_has_the_colors_of_another() -> None:
    """Each channel has the same values."""
    made = unfamiliar.disguised(OTHER, IMAGE)

    assert np.array_equal(np.sort(made, axis=None), np.sort(IMAGE, axis=None))
    assert not np.array_equal(made, IMAGE)


def test_a_cell_counts_every_image(tmp_path: Path) -> None:
    """The sum of the reasons is the number of flagged images."""
    bench = Bench(kind="unfamiliar", work=tmp_path, results=tmp_path)

    result = unfamiliar.measure(unfamiliar.QUICK, bench)

    counts = [result["familiar"], *result["kinds"].values()]
    assert {each["n"] for each in counts} == {20}
    assert all(sum(each["reasons"].values()) == each["k"] <= 20 for each in counts)
    assert result["kinds"]["larger canvas"]["reasons"] == {"size": 20}
    assert result["n"] == {"train": 54, "val": 6}
