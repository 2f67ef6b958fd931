"""Names for the background and ink colors of images. N images, H rows, W columns; sRGB."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
SAMPLE_PIXELS = 3000
"""Pixels per image that are sampled. The median of more pixels is the same."""
EDGE = 2
"""Pixels ignored at each edge, because many portals draw a frame there."""

# The basic color terms of English, each with its shades. The list is fixed, unlike clusters derived from the data. So
# an image has the same color name in every split, and two runs can be compared.
TERMS = {
    "black": [(0, 0, 0), (40, 40, 40)],
    "gray": [(90, 90, 90), (130, 130, 130), (175, 175, 175), (205, 205, 205)],
    "white": [(240, 240, 240), (255, 255, 255)],
    "red": [(225, 40, 35), (170, 20, 25), (110, 10, 15)],
    "orange": [(245, 145, 25)],
    "brown": [(115, 65, 25), (165, 110, 60), (215, 180, 135)],
    "yellow": [(245, 225, 50), (225, 205, 110)],
    "green": [(20, 90, 25), (45, 150, 55), (130, 205, 110)],
    "turquoise": [(10, 110, 110), (40, 180, 180), (130, 220, 215)],
    "blue": [(10, 15, 90), (30, 60, 200), (60, 120, 220), (140, 180, 235)],
    "purple": [(70, 20, 100), (125, 50, 170), (180, 130, 215)],
    "pink": [(225, 60, 140), (245, 150, 185), (255, 195, 205)],
}
NAMES = tuple(TERMS)


def background_and_ink(pixels_HW3: Bytes) -> Bytes:
    """Return two colors, (2, 3): the median along the border, and the median of the pixels farthest from it.

    A pixel counts as ink if its distance exceeds half the 99th percentile. This ignores stray pixels and the blurred
    edges of strokes. An image of one color has that color as its ink. Sides must be at least 8 pixels, as
    core.images.pixels.decode ensures.
    """
    inner = pixels_HW3[EDGE:-EDGE, EDGE:-EDGE]
    border_K3 = np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]])
    background_3 = _median(border_K3.T)
    step = max(1, int((inner.shape[0] * inner.shape[1] / SAMPLE_PIXELS) ** 0.5))
    # One row per channel, because numpy is slow along an axis of length three.
    sampled_3K = np.ascontiguousarray(inner[::step, ::step].reshape(-1, 3).T)
    ground_31 = background_3[:, None]
    # Maximum minus minimum, because bytes are unsigned.
    red_K, green_K, blue_K = np.maximum(sampled_3K, ground_31) - np.minimum(sampled_3K, ground_31)
    apart_K = red_K.astype(np.uint16) + green_K + blue_K
    most = len(apart_K) - 1 - len(apart_K) // 100
    far_K = apart_K > np.partition(apart_K, most)[most] // 2
    ink_3 = _median(sampled_3K.compress(far_K, axis=1)) if far_K.any() else background_3
    return np.stack([background_3, ink_3])


def name_colors(colors_N23: Bytes) -> list[str]:
    """Return names such as "blue on white". Each color gets the basic term with the nearest shade."""
    lookup = _terms_of_cells()
    red_N2, green_N2, blue_N2 = np.moveaxis(colors_N23 >> 3, -1, 0).astype(np.int64)
    term_N2 = lookup[red_N2 << 10 | green_N2 << 5 | blue_N2]
    pairs = np.array([f"{ink} on {background}" for background in NAMES for ink in NAMES], dtype=object)
    named: list[str] = pairs[term_N2[:, 0] * len(NAMES) + term_N2[:, 1]].tolist()
    return named


def _median(colors_3K: Bytes) -> Bytes:
    middle = colors_3K.shape[1] // 2
    median_3: Bytes = np.partition(colors_3K, middle, axis=1)[:, middle]
    return median_3


@cache
def _terms_of_cells() -> NDArray[np.int64]:
    """Return the index in NAMES for each of 32 x 32 x 32 colors. This lookup table makes naming 100,000 images fast."""
    shades = [(NAMES.index(name), shade) for name, several in TERMS.items() for shade in several]
    level = np.arange(32) * 8 + 4
    cells_K3 = np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1).reshape(-1, 3)
    lab_K3, shades_S3 = _oklab(cells_K3), _oklab(np.array([shade for _, shade in shades]))
    apart_KS = np.square(lab_K3[:, None] - shades_S3).sum(axis=2)
    terms_K: NDArray[np.int64] = np.array([term for term, _ in shades])[apart_KS.argmin(axis=1)]
    return terms_K


def _oklab(colors_K3: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return Oklab coordinates, where distance matches perception (https://bottosson.github.io/posts/oklab/)."""
    srgb_K3 = colors_K3 / 255
    linear_K3 = np.where(srgb_K3 <= 0.04045, srgb_K3 / 12.92, ((srgb_K3 + 0.055) / 1.055) ** 2.4)
    to_cones_33 = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    to_lab_33 = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    lab_K3: NDArray[np.float64] = np.cbrt(linear_K3 @ to_cones_33.T) @ to_lab_33.T
    return lab_K3
