"""Images unlike those of training, read by a bundle: it says so, and accepts none."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.bundle.reader import FAMILIAR, SUMS, UNLIKE_COLORS, UNLIKE_STYLE, load
from core.images.pixels import Pixels, decode
from tests.helpers import bundling, toy, unlike

COUNT = 40
SIZE = "training had only 64 x 32."


@pytest.fixture(scope="module")
def accepting(toy_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the bundle that accepts every familiar image."""
    folder = shutil.copytree(toy_bundle, tmp_path_factory.mktemp("accepting") / "bundle")
    bundling.change_manifest(folder, threshold=0.0)
    return folder


def new_images(count: int) -> list[Pixels]:
    """Return images of the toy portal that the run never saw."""
    return [decode(data) for *_, data in toy.rows(count, seed=7)]


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        (unlike.larger_canvas, SIZE),
        (unlike.inverted, UNLIKE_COLORS),
        (unlike.blurred, UNLIKE_STYLE),
        (unlike.lined, UNLIKE_STYLE),
        (unlike.other_portal, SIZE),
        (unlike.other_portal_in_disguise, UNLIKE_STYLE),
    ],
)
def test_each_kind_is_said_and_never_accepted(accepting: Path, change: Callable[[Pixels], Pixels], claim: str) -> None:
    """One sentence names what is unlike training."""
    reader = load(accepting)

    readings = [reader.read(Image.fromarray(change(image))) for image in new_images(COUNT)]

    said = [reading for reading in readings if reading.unfamiliar is not None]
    assert len(said) >= 0.95 * COUNT
    assert all(reading.unfamiliar.endswith(claim) for reading in said if reading.unfamiliar)
    assert [reading.accepted for reading in readings] == [reading.unfamiliar is None for reading in readings]


def test_new_images_of_the_portal_are_familiar(accepting: Path) -> None:
    """At most 1 in 200 is flagged, although 18 validation images set the limits."""
    reader = load(accepting)

    readings = [reader.read(Image.fromarray(image)) for image in new_images(400)]

    assert sum(reading.unfamiliar is not None for reading in readings) <= 2


def test_text_and_confidence_are_those_of_a_bundle_without_limits(accepting: Path, tmp_path: Path) -> None:
    """That bundle, of an earlier version, cannot tell and accepts the image."""
    folder = shutil.copytree(accepting, tmp_path / "bundle")
    (folder / FAMILIAR).unlink()
    lines = (folder / SUMS).read_text().splitlines(keepends=True)
    (folder / SUMS).write_text("".join(line for line in lines if FAMILIAR not in line))
    image = Image.fromarray(unlike.inverted(new_images(1)[0]))

    now, before = load(accepting).read(image), load(folder).read(image)

    assert (now.text, now.confidence, now.positions) == (before.text, before.confidence, before.positions)
    assert (now.unfamiliar, now.accepted) == (UNLIKE_COLORS, False)
    assert (before.unfamiliar, before.accepted) == (None, True)


def test_without_a_threshold_nothing_is_decided(toy_bundle: Path) -> None:
    """`accepted` stays None."""
    reading = load(toy_bundle).read(Image.fromarray(unlike.larger_canvas(new_images(1)[0])))

    assert reading.unfamiliar == "The image has 84 x 44 pixels; training had only 64 x 32."
    assert reading.accepted is None


def test_extreme_sizes_have_a_style(toy_bundle: Path) -> None:
    """No size that can be read makes it fail."""
    familiar = load(toy_bundle).familiar
    assert familiar is not None

    for height, width in ((8, 8), (8, 100_000), (100_000, 8), (2000, 2000), (9, 2047)):
        assert np.isfinite(familiar.look(np.zeros((height, width, 3), dtype=np.uint8))).all()
