"""Locating the text in the images of a portal."""

import cv2
import numpy as np
import pytest

from core.errors import OptionError
from core.images.frame import WHOLE, Frame, choose_frame, image_size
from core.images.pixels import Pixels


def portal(
    count: int, *, x: int, pitch: int, jitter: int = 0, length: int = 6, decorated: bool = False, lines: bool = False
) -> list[Pixels]:
    """Return 250 x 50 images with `length` digits, `pitch` apart, starting at column `x`."""
    rng = np.random.default_rng(0)
    images, targets = [], rng.integers(0, 10, (count, length))
    ramp = np.linspace(120, 240, 250).astype(np.uint8)
    for target in targets:
        image = np.repeat(np.repeat(ramp[None, :, None], 50, axis=0), 3, axis=2).copy()
        if decorated:  # the same on every image, and darker than the text
            cv2.rectangle(image, (190, 5), (240, 45), (0, 0, 0), 3)
        if lines:
            cv2.line(image, (0, int(rng.integers(50))), (249, int(rng.integers(50))), (40, 40, 40), 1)
        start = x + int(rng.integers(-jitter, jitter + 1))
        for place, digit in enumerate(target):
            cv2.putText(image, str(digit), (start + place * pitch, 35), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (30, 30, 30), 2)
        images.append(np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8))
    return images


@pytest.mark.parametrize("decorated", [False, True])
def test_text_in_the_left_half_is_found(decorated: bool) -> None:
    """A gradient and a frame on every image are not text."""
    images = portal(60, x=15, pitch=18, decorated=decorated)

    frame, centers, _, _ = choose_frame(images, 6, size=None, crop=True, stride=16)

    left, _, right, _ = frame.box
    assert left <= 15 / 250
    assert 123 / 250 <= right <= 0.7
    assert centers == sorted(centers)
    found = [250 * (left + (right - left) * center) for center in centers]
    assert found == pytest.approx([15 + 8 + 18 * place for place in range(6)], abs=12)


@pytest.mark.parametrize(("x", "pitch", "jitter"), [(10, 38, 0), (60, 18, 55)])
def test_text_all_over_the_image_is_not_cropped(x: int, pitch: int, jitter: int) -> None:
    """The crop keeps all digits of wide text and of text that moves."""
    images = portal(60, x=x, pitch=pitch, jitter=jitter)

    frame, _, _, _ = choose_frame(images, 6, size=None, crop=True, stride=16)

    assert frame.box[0] <= max(0, x - jitter) / 250
    assert frame.box[2] >= min(250, x + jitter + 5 * pitch + 16) / 250


def test_lines_over_the_whole_image_hide_no_digit() -> None:
    """The box may be too large, but never too small."""
    images = portal(60, x=15, pitch=18, lines=True)

    frame, _, _, _ = choose_frame(images, 6, size=None, crop=True, stride=16)

    assert frame.box[0] <= 15 / 250
    assert frame.box[2] >= 121 / 250


def test_identical_images_and_a_single_one_are_framed_whole() -> None:
    """Equal images do not show where the text is."""
    images = portal(1, x=15, pitch=18)

    frame, centers, _, _ = choose_frame(images * 40, 6, size=(48, 96), crop=True, stride=16)

    assert frame == Frame(WHOLE, (48, 96))
    assert len(centers) == 6


def test_cropping_can_be_turned_off() -> None:
    """The column prior is then even."""
    images = portal(20, x=15, pitch=18)

    frame, centers, _, _ = choose_frame(images, 6, size=None, crop=False, stride=16)

    assert frame.box == WHOLE
    assert centers == pytest.approx([(place + 0.5) / 6 for place in range(6)])


def test_a_frame_crops_and_scales_images_of_any_size() -> None:
    """The box is in fractions, so a portal may use several image sizes."""
    image = np.zeros((50, 200, 3), dtype=np.uint8)
    image[:, :100, 0] = 255

    for scale in (0.5, 1, 3):
        seen = Frame((0.25, 0.0, 0.75, 1.0), (32, 64)).apply(cv2.resize(image, None, fx=scale, fy=scale))
        assert seen.shape == (32, 64, 3)
        assert seen[:, :28, 0].min() > 200
        assert seen[:, 36:, 0].max() < 50


@pytest.mark.parametrize(("aspect", "positions"), [(0.5, 6), (2, 4), (5, 6), (20, 8), (3, 1)])
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_every_position_gets_columns_of_the_map(aspect: float, positions: int, stride: int) -> None:
    """Each position gets two columns at stride 16 and 1.5 at 32, whatever the image shape."""
    height, width = image_size(aspect, positions, stride)

    assert width / stride >= (1.5 if stride == 32 else 2) * positions
    assert height % 16 == width % 16 == 0


@pytest.mark.parametrize("size", [(24, 60), (48, 192), (64, 100)])
def test_a_run_without_a_named_resize_keeps_that_of_its_version(size: tuple[int, int]) -> None:
    """Earlier versions resized with OpenCV: by area if a side shrinks, else linearly."""
    image = np.random.default_rng(0).integers(0, 256, (50, 200, 3), dtype=np.uint8)
    choices = {"box": [0.1, 0.0, 0.6, 1.0], "image_size": list(size)}
    area = size[0] < 50 or size[1] < 100
    part = np.ascontiguousarray(image[:, 20:120])
    expected = cv2.resize(part, size[::-1], interpolation=cv2.INTER_AREA if area else cv2.INTER_LINEAR)

    old, new = Frame.from_dict(choices), Frame((0.1, 0.0, 0.6, 1.0), size)

    assert np.array_equal(old.apply(image), expected)
    assert not np.array_equal(new.apply(image), expected)
    assert Frame.from_dict(old.to_dict()) == old
    assert Frame.from_dict(new.to_dict()) == new


def test_an_unknown_resize_is_refused() -> None:
    """A later version may add one."""
    with pytest.raises(OptionError, match="resize 'lanczos' is unknown"):
        Frame.from_dict({"box": [0, 0, 1, 1], "image_size": [32, 64], "resize": "lanczos"})
