"""Decoding of image bytes to normalized pixels, and the hash that identifies an image.

Import, training and prediction all use `decode`, so they see the same pixels.
"""

import base64
import io
import warnings

from PIL import Image, ImageFile

from core.bundle import reader
from core.bundle.reader import MAX_BYTES, MAX_PIXELS, Pixels, pixel_hash
from core.errors import ImageError

__all__ = ["MAX_BYTES", "MAX_PIXELS", "Pixels", "pixel_hash"]

ImageFile.LOAD_TRUNCATED_IMAGES = False
# Pillow prints it for large images, which the reader refuses.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def decode(data: bytes) -> Pixels:
    """Return the normalized pixels (H, W, 3) of an encoded image, as readers see them. Raises ImageError."""
    try:
        return reader.decode(data)
    except reader.UnreadableImageError as error:
        raise ImageError(str(error)) from error


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
