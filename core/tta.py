"""Test-time augmentation: the same image seen slightly shifted, scaled and turned.

No flips and no large turns: a 6 must not become a 9. How the views are combined is core.metrics.aggregate.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class View:
    name: str
    shift_x: float = 0.0
    """Fraction of the width, to the right."""
    shift_y: float = 0.0
    """Fraction of the height, downwards."""
    zoom: float = 1.0
    degrees: float = 0.0


VIEWS = (
    View("as it is"),
    View("left", shift_x=-0.015),
    View("right", shift_x=0.015),
    View("up", shift_y=-0.04),
    View("down", shift_y=0.04),
    View("smaller", zoom=0.96),
    View("larger", zoom=1.04),
    View("turned left", degrees=-2.0),
    View("turned right", degrees=2.0),
)
"""The first is the image itself."""


def apply_view(images_B3HW: Tensor, view: View) -> Tensor:
    """The images under one view; what comes in from outside repeats the border."""
    if view == VIEWS[0]:
        return images_B3HW
    batch, _, height, width = images_B3HW.shape
    angle = math.radians(view.degrees)
    cos, sin = math.cos(angle) / view.zoom, math.sin(angle) / view.zoom
    # affine_grid asks where each output pixel comes from, in units of half the image on each axis.
    matrix_23 = images_B3HW.new_tensor(
        [
            [cos, sin * height / width, -2 * view.shift_x],
            [-sin * width / height, cos, -2 * view.shift_y],
        ]
    )
    grid = functional.affine_grid(matrix_23.expand(batch, 2, 3), list(images_B3HW.shape), align_corners=False)
    return functional.grid_sample(images_B3HW, grid, padding_mode="border", align_corners=False)


def views(images_B3HW: Tensor) -> Tensor:
    """V x B x 3 x H x W, in the order of VIEWS."""
    return torch.stack([apply_view(images_B3HW, view) for view in VIEWS])
