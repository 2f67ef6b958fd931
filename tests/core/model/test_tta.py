"""The views of test-time augmentation."""

import numpy as np
import pytest
import torch

from core.evaluation.views import DEFAULT, View, move_image
from core.model.tta import apply_view


@pytest.fixture
def image() -> torch.Tensor:
    """A bright dot on gray, left of and above the middle."""
    image_13HW = torch.full((1, 3, 40, 120), 0.5)
    image_13HW[:, :, 9:12, 29:32] = 1.0
    return image_13HW


def center(image_13HW: torch.Tensor) -> tuple[float, float]:
    """Row and column of the dot."""
    ink_HW = (image_13HW[0, 0] - 0.5).clamp_min(0)
    rows, columns = torch.arange(40.0), torch.arange(120.0)
    return float((ink_HW.sum(1) @ rows) / ink_HW.sum()), float((ink_HW.sum(0) @ columns) / ink_HW.sum())


def test_the_first_view_is_the_image_itself(image: torch.Tensor) -> None:
    """It is not even resampled."""
    assert apply_view(image, DEFAULT[0]) is image


def test_views_move_as_their_names_say(image: torch.Tensor) -> None:
    """Check shifts in fractions of the sides, and zoom from the center."""
    row, column = center(image)

    assert center(apply_view(image, View("", shift_x=0.05))) == pytest.approx((row, column + 6), abs=0.1)
    assert center(apply_view(image, View("", shift_y=-0.1))) == pytest.approx((row - 4, column), abs=0.1)
    nearer = center(apply_view(image, View("", zoom=0.9)))
    assert nearer == pytest.approx((19.5 + 0.9 * (row - 19.5), 59.5 + 0.9 * (column - 59.5)), abs=0.2)


def test_a_turn_keeps_distances(image: torch.Tensor) -> None:
    """Distances in pixels stay, although the image is wider than high. Positive angles turn right."""
    turned = center(apply_view(image, View("", degrees=5)))

    def squared(place: tuple[float, float]) -> float:
        return (place[0] - 19.5) ** 2 + (place[1] - 59.5) ** 2

    assert squared(turned) == pytest.approx(squared(center(image)), rel=0.02)
    assert turned[0] < center(image)[0]


def test_every_image_of_a_batch_is_moved_alike(image: torch.Tensor) -> None:
    """The shape stays B x 3 x H x W."""
    batch = torch.cat([image, 1 - image])

    for view in DEFAULT:
        moved = apply_view(batch, view)
        assert moved.shape == batch.shape
        assert torch.allclose(moved[:1], apply_view(image, view), atol=1e-6)


@pytest.mark.parametrize("view", [*DEFAULT, View("all", 0.07, -0.1, 0.8, 10), View("other", -0.1, 0.03, 1.25, -9)])
def test_a_shown_view_matches_the_network_input(view: View) -> None:
    """They agree within one gray level on noise of an odd size, where an offset of half a pixel would show."""
    pixels_HW3 = np.random.default_rng(0).integers(0, 256, (31, 96, 3), dtype=np.uint8)
    image_13HW = torch.from_numpy(pixels_HW3).permute(2, 0, 1)[None].float() / 255

    network_HW3 = (apply_view(image_13HW, view)[0].permute(1, 2, 0) * 255).numpy()

    assert np.abs(move_image(pixels_HW3, view) - network_HW3).max() <= 1
