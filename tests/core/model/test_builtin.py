"""The built-in reader: any length and charset that it can read, and a sentence for those that it cannot."""

import numpy as np
import pytest

from core.charset import TextSpec
from core.errors import OptionError
from core.evaluation.views import ORIGINAL, ViewChoice
from core.images import renderer
from core.images.frame import WHOLE, frame_of
from core.images.pixels import decode
from core.model.builtin import Builtin, version_of
from core.readers.builtin import STRIDE, can_read, caution
from tests.helpers.pictures import KEPT_OUT

DIGITS = "0123456789"
FLOOR = 46
"""Least number of images in KEPT_OUT that the reader must read. Weights trained on 1,000,000 images read 49."""


@pytest.fixture(scope="module")
def builtin() -> Builtin:
    return Builtin()


def renders(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [renderer.render("".join(rng.choice(list(DIGITS), 6)), rng) for _ in range(count)]


def test_a_style_kept_out_of_training_is_read(builtin: Builtin) -> None:
    """The shipped weights read most images of a style that the training renderer does not draw."""
    paths = sorted(KEPT_OUT.glob("*.png"))

    readings = builtin.read([decode(path.read_bytes()) for path in paths], TextSpec(6, DIGITS))

    right = sum(reading.text == path.stem for reading, path in zip(readings, paths, strict=True))
    assert len(paths) == 50
    assert right >= FLOOR, f"{right} of {len(paths)} are right"


def test_a_reading_depends_on_no_other_image(builtin: Builtin) -> None:
    """Images of several sizes are read in order, each as if it were alone."""
    images = [image for pair in zip(renders(4), (each[:, 40:] for each in renders(4)), strict=True) for image in pair]
    spec = TextSpec(6, DIGITS)

    together = builtin.read(images, spec)

    alone = [builtin.read([image], spec)[0] for image in images]
    assert [each.text for each in together] == [each.text for each in alone]
    for each, other in zip(together, alone, strict=True):
        assert len(each.positions) == 6
        assert each.confidence == pytest.approx(np.prod(each.positions))
        assert each.positions == pytest.approx(other.positions, abs=1e-4)
    assert builtin.read([], spec) == []


@pytest.mark.parametrize("length", [1, 10])
def test_characters_that_it_does_not_know_are_never_read(builtin: Builtin, length: int) -> None:
    """It names them, and reads the others of the charset."""
    spec = TextSpec(length, "é01漢")

    readings = builtin.read(renders(3), spec)

    assert builtin.missing(spec) == "é漢"
    assert caution(spec) == (
        "The built-in reader does not know the characters é 漢, so it misreads images that have them."
    )
    assert caution(TextSpec(length, DIGITS)) == ""
    assert all(len(reading.text or "") == length and set(reading.text or "") <= {"0", "1"} for reading in readings)


@pytest.mark.parametrize(("length", "charset"), [(11, DIGITS), (4, "漢字"), (4, "é0")])
def test_what_it_cannot_read_is_refused(builtin: Builtin, length: int, charset: str) -> None:
    spec = TextSpec(length, charset)

    assert not can_read(spec)
    with pytest.raises(OptionError, match="The built-in reader"):
        builtin.read(renders(1), spec)


def test_other_weights_size_or_views_are_another_version(builtin: Builtin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored readings of a former version are read again."""
    assert version_of(builtin.sha256) == builtin.version
    assert version_of("0" * 64) != builtin.version

    monkeypatch.setattr("core.model.builtin.HEIGHT", 48)
    smaller = version_of(builtin.sha256)
    monkeypatch.setattr("core.model.builtin.WITHOUT_RUN", ViewChoice(views=(ORIGINAL,)))

    assert len({builtin.version, smaller, version_of(builtin.sha256)}) == 3


def test_the_text_box_is_found_without_labels() -> None:
    """The whole image is read if there are too few."""
    wide = [np.pad(image, ((0, 0), (0, 300), (0, 0)), constant_values=255) for image in renders(60)]

    assert 0.35 < frame_of(wide, 6, STRIDE).box[2] < 0.6
    assert frame_of(wide[:5], 6, STRIDE).box == WHOLE
    assert frame_of([], 6, STRIDE).box == WHOLE
