"""Ink normalization for display. A test compares it with core.model.network."""

import numpy as np

from core.bundle.reader import ink, to_input
from core.images.pixels import Pixels


def ink_pixels(image: Pixels) -> Pixels:
    """Return each pixel's distance from the border color, scaled to 255, as H x W x 3.

    Values are rounded to 8 bits for display. The network gets them unrounded.
    """
    ink_3HW = ink(to_input(image[None]))[0]
    return np.ascontiguousarray((ink_3HW * 255).round().astype(np.uint8).transpose(1, 2, 0))
