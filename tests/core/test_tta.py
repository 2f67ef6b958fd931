"""The views of test-time augmentation."""

import pytest
import torch

from core.tta import VIEWS, View, apply_view, views


@pytest.fixture
def image() -> torch.Tensor:
    """A bright dot on grey, left of and above the middle."""
    image_13HW = torch.full((1, 3, 40, 120), 0.5)
    image_13HW[:, :, 9:12, 29:32] = 1.0
    return image_13HW


def center(image_13HW: torch.Tensor) -> tuple[float, float]:
    """Row and column of the dot."""
    ink_HW = (image_13HW[0, 0] - 0.5).clamp_min(0)
    rows, columns = torch.arange(40.0), torch.arange(120.0)
    return float((ink_HW.sum(1) @ rows) / ink_HW.sum()), float((ink_HW.sum(0) @ columns) / ink_HW.sum())


def test_the_first_view_is_the_image_itself(image: torch.Tensor) -> None:
    """Not even resampled."""
    assert torch.equal(views(image)[0], image)


def test_all_views_have_the_shape_and_names_of_their_own(image: torch.Tensor) -> None:
    """V x B x 3 x H x W."""
    batch = torch.cat([image, 1 - image])

    assert views(batch).shape == (len(VIEWS), 2, 3, 40, 120)
    assert len({view.name for view in VIEWS}) == len(VIEWS)


def test_views_move_as_their_names_say(image: torch.Tensor) -> None:
    """Shifts in fractions of the sides, zoom from the middle, turns by small angles."""
    row, column = center(image)

    assert center(apply_view(image, View("", shift_x=0.05))) == pytest.approx((row, column + 6), abs=0.1)
    assert center(apply_view(image, View("", shift_y=-0.1))) == pytest.approx((row - 4, column), abs=0.1)
    nearer = center(apply_view(image, View("", zoom=0.9)))
    assert nearer == pytest.approx((19.5 + 0.9 * (row - 19.5), 59.5 + 0.9 * (column - 59.5)), abs=0.2)


def test_a_turn_keeps_distances(image: torch.Tensor) -> None:
    """In pixels, although the image is wider than high; a positive angle turns to the right."""
    turned = center(apply_view(image, View("", degrees=5)))

    def squared(place: tuple[float, float]) -> float:
        return (place[0] - 19.5) ** 2 + (place[1] - 59.5) ** 2

    assert squared(turned) == pytest.approx(squared(center(image)), rel=0.02)
    assert turned[0] < center(image)[0]


def test_no_view_can_turn_a_6_into_a_9() -> None:
    """Small moves only, no flips."""
    for view in VIEWS:
        assert abs(view.shift_x) <= 0.03
        assert abs(view.shift_y) <= 0.06
        assert 0.9 <= view.zoom <= 1.1
        assert abs(view.degrees) <= 5
