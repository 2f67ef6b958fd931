"""Test-time augmentation of a batch: apply a view of core.evaluation.views to images."""

import math

from torch import Tensor
from torch.nn import functional

from core.evaluation.views import View


def apply_view(images_B3HW: Tensor, view: View) -> Tensor:
    """Return the images under one view. Areas outside the image repeat the border."""
    if view.is_original:
        return images_B3HW
    batch, _, height, width = images_B3HW.shape
    angle = math.radians(view.degrees)
    cos, sin = math.cos(angle) / view.zoom, math.sin(angle) / view.zoom
    # affine_grid maps output pixels to input pixels, in units of half the image on each axis.
    matrix_23 = images_B3HW.new_tensor(
        [
            [cos, sin * height / width, -2 * view.shift_x],
            [-sin * width / height, cos, -2 * view.shift_y],
        ]
    )
    grid = functional.affine_grid(matrix_23.expand(batch, 2, 3), list(images_B3HW.shape), align_corners=False)
    return functional.grid_sample(images_B3HW, grid, padding_mode="border", align_corners=False)
