"""The look of a run's images, learned and stored."""

import io
from pathlib import Path

import numpy as np
import pytest

from core.bundle.reader import FAMILIAR, Familiar, style
from core.errors import StorageError
from core.evaluation.familiarity import Learner, load, save
from core.images.pixels import Pixels, decode
from tests.helpers import toy


def learned(train: list[Pixels], val: list[Pixels]) -> Familiar | None:
    learner = Learner()
    for image in train:
        learner.train(image)
    for image in val:
        learner.val(image)
    return learner.familiar()


def images(count: int, seed: int) -> list[Pixels]:
    return [decode(data) for *_, data in toy.rows(count, seed=seed)]


def cut(image: Pixels, width: int) -> Pixels:
    return image[:, :width]


@pytest.mark.parametrize(("train", "val"), [(0, 60), (20, 9)])
def test_few_images_set_no_limits(train: int, val: int) -> None:
    assert learned(images(train, 0), images(val, 1)) is None


def test_the_limits_are_of_validation_images() -> None:
    """Training images are nearer to their own mean."""
    train, val = images(60, 0), images(50, 1)

    familiar = learned(train, val)

    assert familiar is not None
    distances, surprises = zip(*map(familiar.look, val), strict=True)
    assert np.mean([familiar.look(image)[0] for image in train]) < np.mean(distances)
    # The 0.99995 quantile of t with 49 degrees of freedom is 4.22, and one more image adds 1%.
    assert familiar.style_limit == pytest.approx(np.mean(distances) + 4.27 * np.std(distances, ddof=1), rel=1e-2)
    assert familiar.color_limit == pytest.approx(np.mean(surprises) + 4.27 * np.std(surprises, ddof=1), rel=1e-2)
    assert familiar.expected is not None
    for found, scores in zip(familiar.expected, (distances, surprises), strict=True):
        assert found == pytest.approx((np.mean(scores), np.std(scores, ddof=1)), rel=1e-3)


def test_few_validation_images_set_limits_together_with_training_images() -> None:
    """The limits are about those of many, although the nearness of training images to their mean is left out."""
    train = images(80, 0)

    few, many = learned(train, images(10, 1)), learned(train, images(300, 2))

    assert few is not None
    assert many is not None
    new = images(200, 3)
    assert sum(few.reason(image) is not None for image in new) <= 2
    assert few.style_limit == pytest.approx(many.style_limit, abs=0.25)
    assert few.color_limit == pytest.approx(many.color_limit, rel=0.25)


def test_sizes_are_exact_if_validation_has_no_other() -> None:
    """The frequent ones are named first."""
    train = [cut(image, width) for image in images(30, 0) for width in (60, 64)] + [cut(images(1, 2)[0], 50)]

    familiar = learned(train, [cut(image, 60) for image in images(10, 1)])

    assert familiar is not None
    reason = familiar.reason(cut(images(1, 3)[0], 62))
    assert reason == "The image has 62 x 32 pixels; training had only 60 x 32 or 64 x 32 or 50 x 32."
    assert "pixels" not in (familiar.reason(cut(images(1, 3)[0], 50)) or "")


def test_sizes_between_those_of_training_are_familiar_where_sizes_vary() -> None:
    """Validation has a size that training lacks. The limits of the sizes hold with a tolerance of 5%."""
    train = [cut(image, 40 + index % 20) for index, image in enumerate(images(60, 0))]

    familiar = learned(train, [cut(image, 62) for image in images(10, 1)])

    assert familiar is not None
    for width, is_size in ((37, False), (39, True), (61, True), (64, True)):
        reason = familiar.reason(cut(images(1, 3)[0], width)) or ""
        assert (" pixels; training had widths of 40 to 62 and heights of 32 to 32." not in reason) == is_size, width
    assert "36 x 22 pixels" in (familiar.reason(images(1, 3)[0][:22, :36]) or "")


def test_many_sizes_are_counted() -> None:
    """A reason stays one short sentence."""
    train = [cut(image, 40 + index % 20) for index, image in enumerate(images(60, 0))]

    familiar = learned(train, [cut(image, 45) for image in images(10, 1)])

    assert familiar is not None
    assert familiar.reason(images(1, 3)[0]) == (
        "The image has 64 x 32 pixels; training had 40 x 32 or 41 x 32 or 42 x 32 or 17 other sizes."
    )


def test_it_is_stored_and_read(tmp_path: Path) -> None:
    """A run of an earlier version has none."""
    familiar = learned(images(30, 0), images(10, 1))
    assert familiar is not None
    assert load(tmp_path) is None
    assert load(None) is None

    save(familiar, tmp_path)

    stored = load(tmp_path)
    assert stored is not None
    for name, value in vars(familiar).items():
        assert np.array_equal(vars(stored)[name], value), name
    assert stored.expected == familiar.expected
    assert (tmp_path / FAMILIAR).stat().st_size < 20_000


def test_a_file_of_an_earlier_version_does_not_say_what_to_expect(tmp_path: Path) -> None:
    """Its limits hold, and it is written as it was."""
    familiar = learned(images(30, 0), images(10, 1))
    assert familiar is not None
    earlier = {name: value for name, value in vars(familiar).items() if name != "expected"}
    (tmp_path / FAMILIAR).write_bytes(_with(earlier))

    stored = load(tmp_path)

    assert stored is not None
    assert stored.expected is None
    assert stored.style_limit == familiar.style_limit
    with np.load(io.BytesIO(stored.to_bytes()), allow_pickle=False) as arrays:
        assert set(arrays) == set(earlier)


def _with(arrays: dict[str, object], *, compressed: bool = False) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """Also one of other shapes, with a part missing, or compressed, which could expand to any size."""
    familiar = learned(images(30, 0), images(10, 1))
    assert familiar is not None
    arrays = vars(familiar)
    bad = [
        b"", b"PK", familiar.to_bytes()[:-100], _with(arrays | {"surprise_K": np.zeros(7)}),
        _with({name: value for name, value in arrays.items() if name != "center_F"}), _with(arrays, compressed=True),
        _with(arrays | {"expected": np.zeros(3)}),
    ]  # fmt: skip

    for data in bad:
        (tmp_path / FAMILIAR).write_bytes(data)
        with pytest.raises(StorageError, match=rf"^{FAMILIAR} of this run is damaged\. "):
            load(tmp_path)


def test_the_style_of_an_image_is_pinned() -> None:
    """Limits of stored runs hold only for these figures."""
    figures_F = style(np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8))

    assert figures_F[[0, 1, 4, 6, 8, 15, 20, 43]] == pytest.approx(PINNED, abs=1e-5)


PINNED = [4.652682, 1.974974, 0.948497, 0.46, 0.924991, 0.963135, -1.759923, 0.835417]
