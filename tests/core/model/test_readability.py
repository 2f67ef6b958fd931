"""Readability of a recipe's variants, counted by hand with a reader of known errors."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import TrainingError
from core.images.augment_settings import Settings
from core.images.augmenter import variants
from core.model.readability import RECIPE, Misread, VariantReading, check

Image = NDArray[np.uint8]
INVERT: Settings = {"invert": {"p": 1.0}}


def gray(value: int) -> Image:
    return np.full((16, 32, 3), value, dtype=np.uint8)


def read_dark(images: Sequence[Image]) -> list[str]:
    """Read dark images as 1 and all others as 2."""
    return ["1" if image.mean() < 128 else "2" for image in images]


def reading(n: int, lost: int, gained: int = 0) -> VariantReading:
    return VariantReading(key=RECIPE, n=n, right=n - lost, lost=lost, gained=gained, misread=[])


def test_losses_and_gains_are_counted_by_pairs() -> None:
    """Two of three dark images are labeled 1. Inverted, they are lost and the third is gained."""
    images = [gray(10), gray(20), gray(30)]

    result = check(read_dark, images, ["1", "1", "2"], INVERT, seed=0)

    assert (result.n, result.right) == (3, 2)
    assert [one.key for one in result.readings] == [RECIPE, "invert"]
    whole = result.readings[0]
    assert (whole.right, whole.lost, whole.gained) == (1, 2, 1)
    assert [(one.label, one.text, int(one.variant.mean())) for one in whole.misread] == [
        ("1", "2", 245),
        ("1", "2", 235),
    ]
    assert whole.drop == pytest.approx(1 / 3)


def test_a_transform_alone_is_applied_to_every_image() -> None:
    """Inverting a tenth of the images costs the recipe little. Inverting all costs everything."""
    images = [gray(10) for _ in range(60)]

    result = check(read_dark, images, ["1"] * 60, {"invert": {"p": 0.1}}, seed=3)

    expected = sum(
        variants(image, {"invert": {"p": 0.1}}, place + 1, 3)[place].mean() > 128 for place, image in enumerate(images)
    )
    assert result.readings[0].lost == expected
    assert 0 < expected < 20
    assert result.readings[1].lost == 60
    assert not result.readings[0].worrying or expected > 6
    assert result.readings[1].worrying


@pytest.mark.parametrize(
    ("n", "lost", "gained", "worrying"),
    [
        (200, 21, 0, True),
        (200, 20, 0, False),
        (200, 40, 25, False),
        (10, 2, 0, False),
        (10, 9, 0, True),
        (200, 0, 30, False),
    ],
)
def test_a_warning_needs_a_large_significant_drop(n: int, lost: int, gained: int, worrying: bool) -> None:
    """It needs a drop of over 10 points and an interval above 0. Two of ten images prove nothing."""
    assert reading(n, lost, gained).worrying is worrying


def test_the_interval_of_a_drop_by_hand() -> None:
    """By Bonett and Price, 12 lost and 3 gained of 200 give 13/202 and 4/202."""
    low, high = reading(200, 12, 3).drop95

    middle = 9 / 202
    half = 1.959964 * ((17 / 202 - middle**2) / 202) ** 0.5
    assert (low, high) == pytest.approx((middle - half, middle + half))


@pytest.mark.parametrize(("p_lost", "p_gained"), [(0.05, 0.02), (0.12, 0.0), (0.3, 0.05)])
def test_the_interval_holds_the_true_drop_as_often_as_it_says(p_lost: float, p_gained: float) -> None:
    """About 95% of the intervals of 2,000 samples of 200 pairs contain the true drop."""
    drawn = np.random.default_rng(0).multinomial(200, [p_lost, p_gained, 1 - p_lost - p_gained], size=2000)
    intervals = [reading(200, int(lost), int(gained)).drop95 for lost, gained, _ in drawn]

    held = np.mean([low <= p_lost - p_gained <= high for low, high in intervals])

    assert 0.93 <= held <= 0.985


def test_a_model_at_chance_cannot_judge_readability() -> None:
    """At chance, nothing can get worse."""
    images = [gray(10), gray(20), gray(30)]

    assert not check(read_dark, images, ["1", "2", "2"], INVERT, seed=0).can_judge
    assert check(read_dark, images, ["1", "1", "2"], INVERT, seed=0).can_judge


def test_all_off_is_read_as_it_is() -> None:
    """The whole recipe then equals the plain image."""
    result = check(read_dark, [gray(10)], ["1"], {}, seed=0)

    assert [(one.key, one.right, one.misread) for one in result.readings] == [(RECIPE, 1, [])]


def test_no_more_than_a_few_misread_images_are_kept() -> None:
    """A few examples are enough."""
    result = check(read_dark, [gray(value) for value in range(20)], ["1"] * 20, INVERT, seed=0)

    assert len(result.readings[0].misread) == 6
    assert isinstance(result.readings[0].misread[0], Misread)


def test_progress_is_reported_and_an_empty_check_is_refused() -> None:
    """Progress covers all readings. Without images the check raises an error."""
    fractions: list[float] = []
    check(read_dark, [gray(10)], ["1"], INVERT | {"gamma": {"p": 1.0}}, seed=0, on_progress=fractions.append)

    assert fractions == pytest.approx([0.25, 0.5, 0.75])
    with pytest.raises(TrainingError, match="no labeled training images"):
        check(read_dark, [], [], INVERT, seed=0)
