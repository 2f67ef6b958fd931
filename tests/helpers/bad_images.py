"""Files that no reader may read: cut, foreign, of a giant size, moving, with floating-point pixels."""

import struct
import zlib

import numpy as np
from PIL import Image

from tests.helpers import toy
from tests.helpers.pictures import encoded


def png_header(width: int, height: int) -> bytes:
    """Return a tiny PNG that claims a size."""
    fields = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", fields), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    sized = [(struct.pack(">I", len(data)), kind + data) for kind, data in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(size + rest + struct.pack(">I", zlib.crc32(rest)) for size, rest in sized)


def bad_images() -> dict[str, bytes]:
    """Return the files by name."""
    rng = np.random.default_rng(3)
    whole = {form: encoded(Image.fromarray(toy.draw("x-", rng)), form) for form in ("PNG", "JPEG")}
    cut = {
        f"cut-{form}-{part:02}.png": data[: len(data) * part // 21]
        for form, data in whole.items()
        for part in range(21)
    }
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    moving = {
        f"moving-{form}.png": encoded(frames[0], form, save_all=True, append_images=frames[1:])
        for form in ("GIF", "PNG", "WEBP")
    }
    return cut | moving | {
        "vector.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "page.png": b"<html></html>",
        "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0",
        "document.png": b"%PDF-1.7",
        "tiff.png": encoded(Image.new("RGB", (16, 16)), "TIFF"),
        "floats.png": encoded(Image.new("F", (16, 16)), "TIFF"),
        "noise.png": rng.bytes(2000),
        "huge.png": png_header(100_000, 100_000),
        "large.png": png_header(12_000, 12_000),
        "thin.png": png_header(1, 2**31 - 1),
        "zeros.png": bytes(50_000_000),
    }  # fmt: skip
