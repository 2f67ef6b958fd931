"""Decoding of image bytes to normalized pixels, and the hash that identifies an image.

Import, training and prediction all use `decode`, so they see the same pixels.
"""

import base64
import io
import warnings

import numpy as np
from PIL import Image, ImageFile

from core.bundle import reader
from core.bundle.reader import MAX_BYTES, MAX_PIXELS, Pixels, pixel_hash
from core.errors import ImageError, OptionError
from core.files import shortened

__all__ = ["MAX_BYTES", "MAX_PIXELS", "Pixels", "pixel_hash"]

LAST = "last"
"""Name of the last frame of an animation."""
MAX_DRAWN = 100 * MAX_PIXELS
"""Pixels of all frames up to the chosen one, because each is drawn over those before it."""
SHARES = {"train": 8, "val": 1, "test": 1}
"""Proportions of the splits."""
_SPLITS = [split for split in ("val", "test", "train") for _ in range(SHARES[split])]
INVISIBLE = 8
"""Levels of 255. No text is legible with less contrast."""

ImageFile.LOAD_TRUNCATED_IMAGES = False
# Pillow prints it for large images, which the reader refuses.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=reader.EXIF_MODULE)


def decode(data: bytes) -> Pixels:
    """Return the normalized pixels (H, W, 3) of an encoded image, as readers see them. Raises ImageError."""
    try:
        return reader.decode(data)
    except reader.UnreadableImageError as error:
        raise ImageError(str(error)) from error


def decode_new(data: bytes) -> Pixels:
    """Return the pixels (H, W, 3) of an image that a project may not have yet. Raises ImageError.

    Refuses white text on a transparent ground, which is invisible on the white that `decode` puts below it. `decode`
    cannot use another ground: the pixels identify the images that projects already have.
    """
    try:
        pixels = decode(data)
    except ImageError as error:
        if _is_animation(data):
            raise ImageError(f"{error} Choose a frame of animations to import it.") from error
        raise
    if np.ptp(pixels) < INVISIBLE:
        with Image.open(io.BytesIO(data), formats=reader.FORMATS) as image:
            shows_alpha = image.has_transparency_data and np.ptp(np.asarray(image.convert("RGBA"))[:, :, 3]) >= 64
        if shows_alpha:
            raise ImageError("The image is white on a transparent ground, so nothing can be seen. Add a dark ground.")
    return pixels


def check_frame(frame: str) -> None:
    """Raise OptionError unless the name of a frame is empty, a number from 1, or LAST."""
    is_number = frame.isascii() and frame.isdecimal() and len(frame) < 10 and int(frame) > 0
    if frame not in ("", LAST) and not is_number:
        raise OptionError(f"{shortened(frame)!r} is not a frame. Use its number, counted from 1, or {LAST}.")


def still(data: bytes, frame: str) -> bytes:
    """Return one frame of an animation as PNG, and any other file as it is.

    `frame` is a number, counted from 1, or LAST. Raises ImageError if there is no such frame.
    """
    if not _is_animation(data):
        return data
    with Image.open(io.BytesIO(data), formats=reader.FORMATS) as image:
        count: int = getattr(image, "n_frames", 1)
        number = count if frame == LAST else int(frame)
        if number > count:
            raise ImageError(f"The animation has {count:,} frames, so there is no frame {number:,}.")
        if number * image.width * image.height > MAX_DRAWN:
            raise ImageError(f"Frame {number:,} cannot be drawn, because {MAX_DRAWN:,} pixels come before it.")
        buffer = io.BytesIO()
        try:
            image.seek(number - 1)
            image.convert("RGBA").save(buffer, format="PNG")
        except Exception as error:  # as in the reader, damaged files raise almost anything
            raise ImageError(f"Frame {number:,} cannot be decoded ({type(error).__name__}: {error}).") from error
    return buffer.getvalue()


def _is_animation(data: bytes) -> bool:
    """Return whether a file has several frames. Those of a TIFF are pages, of which readers take the first."""
    if len(data) > MAX_BYTES:
        return False
    try:
        with Image.open(io.BytesIO(data), formats=reader.FORMATS) as image:
            return image.format != "TIFF" and getattr(image, "n_frames", 1) > 1
    except Exception:  # noqa: BLE001 - damaged files raise almost anything, and `decode` names the damage
        return False


def split_of(sha256: str) -> str:
    """Return train, val or test. Only the pixel hash decides, so a sample never changes its split."""
    return _SPLITS[int(sha256[:8], 16) % len(_SPLITS)]


def encode_png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def image_format(data: bytes) -> str:
    """Return png, jpeg, gif, webp, bmp or tiff from the bytes, because a file name can be wrong."""
    kinds = {
        b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp",
        b"II": "tiff", b"MM": "tiff",
    }  # fmt: skip
    return next((kind for magic, kind in kinds.items() if data.startswith(magic)), "png")


def data_url(data: bytes) -> str:
    """Return the image as a data URL. No browser but Safari shows TIFF, so that becomes PNG."""
    if image_format(data) == "tiff":
        data = encode_png(decode(data))
    return f"data:image/{image_format(data)};base64,{base64.b64encode(data).decode('ascii')}"
