"""Waves, blur, rescaling, noise, JPEG and gray: everything that changes a whole image."""

import cv2
import numpy as np

from bench.rendered.paper import Image, Rng

_NOISE = np.random.default_rng(0).normal(0, 1, 1 << 20).astype(np.float32)
"""Noise that every image takes a part of. Drawing it fresh would take most of an image's time."""


def finish(image: Image, rng: Rng) -> Image:
    """Return the image after a random part of these steps, in the order in which portals and cameras apply them."""
    height = image.shape[0]
    if rng.random() < 0.25:
        image = _wave(image, rng)
    if rng.random() < 0.25:
        image = _rescaled(image, rng)
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.3) * height / 56)
    if rng.random() < 0.4:
        image = _noisy(image, rng)
    if rng.random() < 0.15:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.3:
        quality = int(rng.integers(15, 95))
        decoded = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
        assert decoded is not None
        image = decoded
    return image


def _wave(image: Image, rng: Rng) -> Image:
    """Shift rows and columns by sines."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    up = rng.uniform(0, 0.09) * height * np.sin(x * rng.uniform(1, 9) / width * 2 + rng.uniform(0, 6.3))
    along = rng.uniform(0, 0.07) * height * np.sin(y * rng.uniform(1, 5) / height * 2 + rng.uniform(0, 6.3))
    return cv2.remap(
        image, (x + along).astype(np.float32), (y + up).astype(np.float32), cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE
    )


def _rescaled(image: Image, rng: Rng) -> Image:
    """Return the image after it was small, as a screenshot or a thumbnail is."""
    height, width = image.shape[:2]
    scale = rng.uniform(0.35, 0.9)
    how = cv2.INTER_AREA if rng.random() < 0.6 else cv2.INTER_NEAREST
    small = cv2.resize(image, (max(8, round(width * scale)), max(8, round(height * scale))), interpolation=how)
    back = cv2.INTER_LINEAR if rng.random() < 0.8 else cv2.INTER_NEAREST
    return cv2.resize(small, (width, height), interpolation=back)


def _noisy(image: Image, rng: Rng) -> Image:
    """Add noise to each channel, or the same noise to all, or set single pixels."""
    height, width = image.shape[:2]
    channels = 3 if rng.random() < 0.5 else 1
    count = height * width * channels
    start = int(rng.integers(len(_NOISE) - count))
    noise = _NOISE[start : start + count].reshape(height, width, channels)
    if rng.random() < 0.3:
        out = image.copy()
        out[noise[:, :, 0] > rng.uniform(1.6, 3)] = rng.integers(0, 256, 3)
        return out
    changed: Image = np.clip(image + noise * rng.gamma(2, 6), 0, 255).astype(np.uint8)
    return changed
