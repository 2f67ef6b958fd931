"""Image bytes to normalized pixels, and the pixels' identity.

Every image that enters Slotlab, at import, in training and at prediction, passes through `decode`, so all of
them see the same pixels.
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
"""Only these are opened: Pillow's other readers (EPS starts Ghostscript, TIFF, PDF ...) are not needed."""
MAX_BYTES = 4 * 1024 * 1024
MAX_PIXELS = 4_000_000
"""Read from the header before decoding: a 12,000 x 12,000 PNG is 400 kB on disk and 432 MB in memory."""
MIN_SIDE = 8
"""Pixels. Below this no character is legible."""

ImageFile.LOAD_TRUNCATED_IMAGES = False


def decode(data: bytes) -> Pixels:
    """Return the normalized pixels (H, W, 3) of an encoded image.

    EXIF rotation is applied, alpha is laid over white (dropping it turns black text on transparent ground into a
    black rectangle), 16-bit gray is scaled (Pillow's own conversion clips it to white), CMYK and palettes are
    converted. Raises ImageError with the reason otherwise.
    """
    if not data:
        raise ImageError("The file is empty.")
    if len(data) > MAX_BYTES:
        raise ImageError(f"The file has {len(data):,} bytes; at most {MAX_BYTES:,} are read.")
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
        raise ImageError(f"The image has {width} x {height} pixels; at most {MAX_PIXELS:,} in all are read.")
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"The image has {width} x {height} pixels; each side needs at least {MIN_SIDE}.")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise ImageError(f"The image is an animation of {frames} frames; only still images are read.")
    # verify() alone passes a truncated JPEG, load() alone a PNG without its end; both together catch either.
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
        raise ImageError("Images of floating-point pixels are not read.")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.ascontiguousarray(np.asarray(image.convert("RGB"), dtype=np.uint8))


def pixel_hash(pixels: Pixels) -> str:
    """SHA-256 of the decoded pixels, the identity of an image whatever its file format.

    Perceptual hashes are no use here: on one real six-digit portal a 64-bit pHash at distance 8 takes 93% of 640
    distinct images for duplicates of each other.
    """
    height, width, _ = pixels.shape
    return hashlib.sha256(b"RGB%dx%d:" % (width, height) + pixels.tobytes()).hexdigest()


def split_of(sha256: str) -> str:
    """Train, val or test (80/10/10), from the pixel hash alone: no label, order or later import moves a sample."""
    tenth = int(sha256[:8], 16) % 10
    return {0: "val", 1: "test"}.get(tenth, "train")


def encode_png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def image_format(data: bytes) -> str:
    """png, jpeg, gif, webp or bmp, by the bytes: a file's name proves nothing."""
    kinds = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp"}
    return next((kind for magic, kind in kinds.items() if data.startswith(magic)), "png")


def data_url(data: bytes) -> str:
    """The image as a URL a browser shows without asking the server again."""
    return f"data:image/{image_format(data)};base64,{base64.b64encode(data).decode('ascii')}"
