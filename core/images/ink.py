"""Ink normalization without torch, as a network with `ink` sees it. A test compares it with core.model.network."""

import numpy as np

from core.images.pixels import Pixels


def ink_pixels(image: Pixels) -> Pixels:
    """Return each pixel's distance from the border color, scaled to 255, as H x W x 3.

    Values are rounded to 8 bits for display. The network gets them unrounded.
    """
    scaled_HW3 = image.astype(np.float32) / 255
    border_N3 = np.concatenate([scaled_HW3[0], scaled_HW3[-1], scaled_HW3[:, 0], scaled_HW3[:, -1]])
    background_3 = np.sort(border_N3, axis=0)[(len(border_N3) - 1) // 2]  # the lower median, as in torch
    ink_HW = np.abs(scaled_HW3 - background_3).max(axis=2)
    ink_HW /= max(ink_HW.max(), np.float32(1e-3))
    return np.repeat((ink_HW * 255).round().astype(np.uint8)[:, :, None], 3, axis=2)
