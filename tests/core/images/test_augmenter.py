"""Augmentation: transforms at their bounds, reproducible pixels, independent transforms, validated settings."""

import json
import os
import subprocess
import sys
import warnings
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import OptionError
from core.images.augment_settings import DEFAULT_AUGMENT, TRANSFORMS, TransformInfo, check_augment
from core.images.augmenter import Augmenter, variants

GEOMETRY = ("affine", "perspective", "stretch", "elastic")
SIZES = [(32, 96), (64, 256)]


def picture(height: int = 48, width: int = 192) -> NDArray[np.uint8]:
    """Return dark digits on light paper, with margins of a tenth of the width and a fifth of the height."""
    canvas = np.full((96, 384, 3), (225, 230, 238), np.uint8)
    cv2.putText(canvas, "482913", (44, 68), cv2.FONT_HERSHEY_DUPLEX, 2.4, (40, 50, 110), 6, cv2.LINE_AA)
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)


def at_bound(info: TransformInfo, bound: str) -> dict[str, dict[str, Any]]:
    """Return settings with this transform always on and every parameter at its low or high end."""
    values: dict[str, Any] = {"p": 1.0}
    for param in info.params:
        value = getattr(param, bound)
        values[param.key] = [value, value] if param.is_range else value
    return {info.key: values}


def ink(image: NDArray[np.uint8]) -> float:
    """Return the sum of darkness relative to the paper; nearly white pixels do not count."""
    return float((228.0 - 40.0 - image.mean(axis=2)).clip(0, None).sum())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bound", ["low", "high"])
@pytest.mark.parametrize("info", TRANSFORMS, ids=lambda info: info.key)
def test_every_transform_runs_at_its_bounds_without_a_warning(
    info: TransformInfo, bound: str, size: tuple[int, int]
) -> None:
    """Shape and type stay, the image changes, and dark still differs from light."""
    image = picture(*size)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        changed = variants(image, at_bound(info, bound), 6, seed=1)
    for variant in changed:
        assert variant.shape == image.shape
        assert variant.dtype == np.uint8
        assert variant.flags.c_contiguous
    if info.key in GEOMETRY:
        return  # moved pixels differ everywhere; the next tests cover geometry
    kept = [abs(np.corrcoef(image.mean(axis=2).ravel(), variant.mean(axis=2).ravel())[0, 1]) for variant in changed]
    assert np.mean(kept) > 0.6, kept
    if info.key != "invert":
        assert np.mean([np.abs(image.astype(int) - variant).mean() for variant in changed]) < 120


def test_the_picture_is_changed_by_every_transform() -> None:
    """Every transform has an effect at its defaults."""
    image = picture()
    for info in TRANSFORMS:
        settings = {info.key: {**info.defaults(), "p": 1.0}}
        assert any((variant != image).any() for variant in variants(image, settings, 4, seed=2)), info.key


@pytest.mark.parametrize("key", GEOMETRY)
@pytest.mark.parametrize("size", SIZES)
def test_no_parameter_alone_pushes_text_out_of_the_image(key: str, size: tuple[int, int]) -> None:
    """At least 90% of the ink stays with one geometric parameter at its limit and the others neutral."""
    info = next(info for info in TRANSFORMS if info.key == key)
    neutral: dict[str, Any] = {"zoom": [1, 1], "shift_x": [0, 0], "shift_y": [0, 0], "rotate": [0, 0], "slant": [0, 0]}
    image = picture(*size)
    for param in info.params:
        for value in (param.low, param.high):
            others = neutral if key == "affine" else {}
            end = [value, value] if param.is_range else value
            settings = {key: {"p": 1.0, **others, param.key: end}}
            area = value**2 if param.key == "zoom" else 1.0
            for variant in variants(image, settings, 6, seed=3):
                assert ink(variant) > 0.9 * area * ink(image), (param.key, value)


def test_the_default_geometry_keeps_the_text_in_the_image() -> None:
    """All geometric transforms at their defaults keep 90% of the ink, apart from zoom."""
    image = picture()
    settings = {key: {**DEFAULT_AUGMENT[key], "p": 1.0} for key in GEOMETRY}
    shares = [ink(variant) / ink(image) for variant in variants(image, settings, 200, seed=4)]
    assert min(shares) > 0.9 * 0.92**2


def test_an_image_depends_on_settings_seed_and_index_only() -> None:
    """The order of calls, other images in between and a second Augmenter do not change the pixels."""
    image, other = picture(), 255 - picture(40, 128)
    expected = variants(image, DEFAULT_AUGMENT, 40, seed=7)
    augment = Augmenter(DEFAULT_AUGMENT, seed=7)
    for index in reversed(range(40)):
        augment(other, index + 100)
        assert (augment(image, index) == expected[index]).all()


def test_seeds_and_indices_give_different_variants() -> None:
    """The first hundred variants of two seeds differ."""
    image = picture()
    seen = {variant.tobytes() for seed in (0, 1) for variant in variants(image, DEFAULT_AUGMENT, 50, seed=seed)}
    assert len(seen) >= 95  # some images get no transform


def test_indices_may_have_64_bits() -> None:
    """A training loop can number samples over all epochs without wrapping."""
    augment = Augmenter(DEFAULT_AUGMENT, seed=2**64 - 1)
    assert augment(picture(), 2**64 - 1).shape == (48, 192, 3)
    assert augment(picture(), np.int64(5)).tobytes() == augment(picture(), 5).tobytes()


def test_one_switch_leaves_the_others_as_they_were() -> None:
    """A transform that does not fire for an image leaves it unchanged."""
    image = picture()
    one = {"brightness": {"p": 0.7}}
    both = {"brightness": {"p": 0.7}, "noise": {"p": 0.4}, "lines": {"p": 0.0}}
    same = [(a == b).all() for a, b in zip(variants(image, one, 300, 5), variants(image, both, 300, 5), strict=True)]
    assert 0.5 < np.mean(same) < 0.7


def test_switches_fire_independently_and_as_often_as_asked() -> None:
    """Two transforms with p = 0.5 coincide on a quarter of the images, not on half."""
    black, index = np.zeros((8, 8, 3), np.uint8), range(2000)
    invert, speckle = (
        Augmenter({"invert": {"p": 0.5}}, 1),
        Augmenter({"speckle": {"p": 0.5, "amount": [0.06, 0.06]}}, 1),
    )
    inverted = np.array([invert(black, i).any() for i in index])
    speckled = np.array([speckle(black, i).any() for i in index])
    assert abs(inverted.mean() - 0.5) < 0.05
    assert abs((inverted & speckled).mean() - inverted.mean() * speckled.mean()) < 0.03


def test_the_input_is_not_written_to() -> None:
    """Training augments from a shared, possibly read-only array. The result is a new array."""
    image = picture()
    image.setflags(write=False)
    before = image.tobytes()
    for settings in ({}, *({info.key: {"p": 1.0}} for info in TRANSFORMS)):
        variant = Augmenter(settings, 0)(image, 0)
        assert not np.shares_memory(variant, image)
        variant[:] = 0
    assert image.tobytes() == before


def test_no_settings_give_the_image_back() -> None:
    """Without transforms the pixels equal the input."""
    assert (Augmenter({}, 3)(picture(), 8) == picture()).all()


def test_lines_are_drawn_in_the_ink_of_the_image_as_well() -> None:
    """Some lines have the text's color, also for light text on dark."""
    for image in (picture(), 255 - picture()):
        dark_on_light = image.mean() > 128
        for_sure = np.abs(image.astype(int).mean(axis=2) - np.median(image.mean(axis=2))) > 60
        gained = 0
        for variant in variants(image, {"lines": {"p": 1.0, "count": [3, 3]}}, 20, seed=1):
            gray = variant.mean(axis=2)
            inked = gray < 90 if dark_on_light else gray > 165
            gained += int((inked & ~for_sure).sum() > 40)
        assert gained >= 8


def test_opencv_starts_no_threads() -> None:
    """Torch needs the cores, and the update check of albumentations stays off."""
    assert cv2.getNumThreads() == 1
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "1"


def test_settings_are_known_without_loading_any_image_library() -> None:
    """Reading or validating settings must not import albumentations and torch, which takes seconds."""
    heavy = {"cv2", "torch", "albumentations", "numpy"}
    code = f"import sys, core.images.augment_settings; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_defaults_lie_inside_their_bounds_and_survive_json() -> None:
    """The defaults are valid and survive a round trip through run.json."""
    assert check_augment(DEFAULT_AUGMENT) == DEFAULT_AUGMENT
    assert check_augment(json.loads(json.dumps(DEFAULT_AUGMENT))) == DEFAULT_AUGMENT
    for info in TRANSFORMS:
        check_augment({info.key: {**info.defaults(), "p": 1.0}})
        assert info.help.endswith(".")
        assert "\n" not in info.help


def test_checking_adds_missing_values_and_drops_disabled_ones() -> None:
    """Handwritten short settings become the full settings that a run records."""
    checked = check_augment({"noise": {"p": 0}, "gamma": {"p": 0.5}, "affine": {"p": 1, "zoom": (0.9, 1)}})
    assert list(checked) == ["affine", "gamma"]
    assert checked["gamma"] == {"p": 0.5, "gamma": [0.8, 1.25]}
    assert checked["affine"]["zoom"] == [0.9, 1]
    assert check_augment(checked) == checked


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"flip": {"p": 1}}, "no transform 'flip'; choose from lines, affine"),
        ({"blur": {"radius": [1, 2]}}, "'blur' has no parameter 'radius'; it has p, sigma"),
        ({"blur": 0.5}, "settings of transform 'blur' must be an object with p"),
        ({"blur": {"p": 1.5}}, "blur.p must be between 0 and 1, got 1.5"),
        ({"blur": {"p": True}}, "blur.p must be a number, got True"),
        ({"blur": {"p": 1, "sigma": 0.5}}, r"blur.sigma must be a pair \[low, high\], got 0.5"),
        ({"blur": {"p": 1, "sigma": [0.5, 9]}}, "blur.sigma must be between 0.2 and 1.5, got 9"),
        ({"blur": {"p": 1, "sigma": [0.8, 0.3]}}, "low <= high"),
        ({"blur": {"p": 1, "sigma": [float("nan"), 1]}}, "blur.sigma must be a number, got nan"),
        ({"lines": {"p": 1, "count": [1, 2.5]}}, "lines.count must be a whole number, got 2.5"),
        ({"elastic": {"p": 1, "strength": [10, 20]}}, "elastic.strength must be a number"),
    ],
)
def test_wrong_settings_get_one_clear_sentence(settings: dict[str, Any], message: str) -> None:
    """The sentence names the transform, the parameter and the valid values."""
    with pytest.raises(OptionError, match=message):
        check_augment(settings)
    with pytest.raises(OptionError, match=message):
        Augmenter(settings, 0)
