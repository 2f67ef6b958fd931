"""Decoding of image bytes to normalized pixels, and the hash that identifies an image.

Import, training and prediction all use `decode`, so they see the same pixels.
"""

import base64
import hashlib
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from core.errors import ImageError

Pixels = NDArray[np.uint8]
"""Height x width x 3, RGB, 8 bit."""

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
"""Only these are opened. Other Pillow readers are not needed, and some are risky (EPS starts Ghostscript)."""
MAX_BYTES = 4 * 1024 * 1024
MAX_PIXELS = 4_000_000
"""Checked in the header before decoding: a 12,000 x 12,000 PNG is 400 kB on disk and 432 MB in memory."""
MIN_SIDE = 8
"""Pixels. No character is legible below this."""

ImageFile.LOAD_TRUNCATED_IMAGES = False


def decode(data: bytes) -> Pixels:
    """Return the normalized pixels (H, W, 3) of an encoded image.

    Applies EXIF rotation. Composites alpha over white (dropping it would make black text on a transparent background a
    black rectangle). Scales 16-bit gray (Pillow's conversion clips it to white). Converts CMYK and palettes.
    Raises ImageError with the reason.
    """
    if not data:
        raise ImageError("The file is empty.")
    if len(data) > MAX_BYTES:
        raise ImageError(f"The file has {len(data):,} bytes; the limit is {MAX_BYTES:,}.")
    try:
        return _normalize(_load(data))
    except ImageError:
        raise
    except Exception as error:  # Pillow raises OSError, ValueError, SyntaxError, struct.error ... on damaged files
        raise ImageError(f"The image cannot be decoded ({type(error).__name__}: {error}).") from error


def _load(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ImageError(f"This is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image.") from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"The image has {width} x {height} pixels; the limit is {MAX_PIXELS:,} in total.")
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"The image has {width} x {height} pixels; each side needs at least {MIN_SIDE}.")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise ImageError(f"The image is an animation of {frames} frames; only still images can be read.")
    # verify() alone accepts a truncated JPEG, and load() alone a PNG without its end, so we call both.
    Image.open(io.BytesIO(data), formats=FORMATS).verify()
    image.load()
    return image


def _normalize(image: Image.Image) -> Pixels:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16-bit gray: "I;16" and its byte orders, or "I" from older Pillow
        gray = np.array(image, dtype=np.int64)
        if (transparent := image.info.get("transparency")) is not None:
            gray[gray == transparent] = 65535
        if gray.min() < 0 or gray.max() > 65535:
            raise ImageError("The image has more than 16 bits per pixel.")
        return np.repeat((gray // 257).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise ImageError("Images with floating-point pixels are not supported.")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.ascontiguousarray(np.asarray(image.convert("RGB"), dtype=np.uint8))


def pixel_hash(pixels: Pixels) -> str:
    """Return the SHA-256 of the decoded pixels. It identifies an image in any file format.

    Perceptual hashes do not work: on a real six-digit portal, a 64-bit pHash at distance 8 declares 93% of 640
    distinct images duplicates.
    """
    height, width, _ = pixels.shape
    return hashlib.sha256(b"RGB%dx%d:" % (width, height) + pixels.tobytes()).hexdigest()


def split_of(sha256: str) -> str:
    """Return train, val or test (80/10/10). Only the pixel hash decides, so a sample never changes its split."""
    tenth = int(sha256[:8], 16) % 10
    return {0: "val", 1: "test"}.get(tenth, "train")


def encode_png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def image_format(data: bytes) -> str:
    """Return png, jpeg, gif, webp or bmp from the bytes, because a file name can be wrong."""
    kinds = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp"}
    return next((kind for magic, kind in kinds.items() if data.startswith(magic)), "png")


def data_url(data: bytes) -> str:
    """Return the image as a data URL."""
    return f"data:image/{image_format(data)};base64,{base64.b64encode(data).decode('ascii')}"
