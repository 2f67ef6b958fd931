"""Copies of images of the toy portal that training never had."""

import cv2
import numpy as np

from core.images.pixels import Pixels, decode
from core.images.renderer import samples


def larger_canvas(image: Pixels) -> Pixels:
    """Return the same text on a larger canvas."""
    return np.pad(image, ((6, 6), (10, 10), (0, 0)), mode="edge")


def inverted(image: Pixels) -> Pixels:
    return 255 - image


def blurred(image: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5), dtype=np.uint8)


def lined(image: Pixels) -> Pixels:
    """Return the image with lines in the color of its ink."""
    dark = image.reshape(-1, 3)[image.sum(axis=2).argmin()].tolist()
    copy = image.copy()
    for y in range(3, 32, 6):
        cv2.line(copy, (0, y), (63, y), dark, 1)
    return copy


def other_portal(image: Pixels) -> Pixels:
    """Return an image of another portal."""
    return decode(next(samples(1, int(image.sum()) % 1000))[2])


def other_portal_in_disguise(image: Pixels) -> Pixels:
    """Return an image of another portal at this size, with the same values of each channel."""
    other = cv2.resize(other_portal(image), image.shape[1::-1])
    disguised = np.empty_like(image)
    for channel in range(3):
        order_N = other[..., channel].ravel().argsort(kind="stable")
        disguised[..., channel].reshape(-1)[order_N] = np.sort(image[..., channel], axis=None)
    return disguised
