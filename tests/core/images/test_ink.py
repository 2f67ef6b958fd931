"""Ink normalization for display, compared with the network's."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from core.images.ink import ink_pixels
from core.images.pixels import decode
from core.images.renderer import samples
from core.model.network import ink_normalize, to_input


def by_torch(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    images_B3HW = to_input(image[None].copy(), torch.device("cpu"), torch.contiguous_format)
    return (ink_normalize(images_B3HW)[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_normalized_as_the_network_does(seed: int) -> None:
    """The border has an even number of distinct pixels, so both must choose the same median."""
    image = np.random.default_rng(seed).integers(0, 256, (48, 96 + seed, 3), dtype=np.uint8)

    assert np.array_equal(ink_pixels(image), by_torch(image))


def test_rendered_text_is_normalized_as_the_network_does() -> None:
    """The result is the same for dark on light and light on dark."""
    for _, _, data in samples(4, seed=1):
        image = decode(data)

        assert np.array_equal(ink_pixels(image), by_torch(image))
        assert np.abs(ink_pixels(255 - image).astype(int) - ink_pixels(image)).max() <= 1


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_image_of_one_color_has_no_ink(value: int) -> None:
    """There is no division by zero."""
    image = np.full((16, 32, 3), value, dtype=np.uint8)

    assert not ink_pixels(image).any()
    assert np.array_equal(ink_pixels(image), by_torch(image))


def test_ink_by_hand() -> None:
    """On gray, the red dot is farthest from the border color and the blue dot half as far."""
    image = np.full((5, 5, 3), 100, dtype=np.uint8)
    image[2, 2] = 200, 100, 100
    image[1, 1] = 100, 100, 50

    assert ink_pixels(image)[2, 2].tolist() == [255, 255, 255]
    assert ink_pixels(image)[1, 1].tolist() == [128, 128, 128]
    assert ink_pixels(image).sum() == 3 * (255 + 128)
