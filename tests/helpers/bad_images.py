"""Files that no reader may read, and one image in every form that each of them reads."""

import struct
import zlib

import numpy as np
from PIL import Image, PngImagePlugin

from tests.helpers import toy
from tests.helpers.pictures import encoded

GOOD_TEXT = "|-"
"""Text of each of the good images."""


def png_header(width: int, height: int) -> bytes:
    """Return a tiny PNG that claims a size."""
    fields = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", fields), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    sized = [(struct.pack(">I", len(data)), kind + data) for kind, data in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(size + rest + struct.pack(">I", zlib.crc32(rest)) for size, rest in sized)


def bad_images() -> dict[str, bytes]:
    """Return files by name: cut, foreign, of a giant or tiny size, moving, with odd pixels or fields."""
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
        "targa.png": encoded(Image.new("RGB", (16, 16)), "TGA"),
        "floats.png": encoded(Image.new("F", (16, 16)), "TIFF"),
        "noise.png": rng.bytes(2000),
        "huge.png": png_header(100_000, 100_000),
        "large.png": png_header(12_000, 12_000),
        "thin.png": png_header(1, 2**31 - 1),
        "tiny.png": encoded(Image.new("RGB", (16, 4)), "PNG"),
        "text.png": encoded(frames[0], "PNG", pnginfo=_text("x" * 20_000_000)),
        "zeros.png": bytes(50_000_000),
    }  # fmt: skip


def good_images() -> dict[str, bytes]:
    """Return an image of the toy portal with the text GOOD_TEXT, by name: in every mode and format, and with junk."""
    gray = Image.new("L", (64, 32), 255)
    gray.paste(0, (14, 7, 18, 25))
    gray.paste(0, (39, 14, 57, 18))
    color, deep = gray.convert("RGB"), Image.fromarray(np.asarray(gray, dtype=np.uint16) * 257)
    clear = Image.new("RGBA", (64, 32), (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), (14, 7, 18, 25))
    clear.paste((0, 0, 0, 255), (39, 14, 57, 18))
    modes = {mode: encoded(gray.convert(mode), "PNG") for mode in ("RGB", "L", "1", "P", "LA")}
    formats = {form: encoded(color, form) for form in ("JPEG", "GIF", "WEBP", "BMP", "TIFF")}
    junk = b"junk" * 1000
    return {f"{name}.png": data for name, data in (modes | formats).items()} | {
        "clear.png": encoded(clear, "PNG"),
        "deep.png": encoded(deep, "PNG"),
        "CMYK.png": encoded(gray.convert("CMYK"), "JPEG", quality=100),
        "profile.png": encoded(color, "PNG", icc_profile=junk),
        "exif.png": encoded(color, "JPEG", quality=100, exif=b"Exif\0\0" + junk),
        "exif-PNG.png": encoded(color, "PNG", exif=junk),
        "exif-WEBP.png": encoded(color, "WEBP", quality=100, exif=junk),
        "raw-exif.png": encoded(color, "PNG", pnginfo=_text("no hex", "Raw profile type exif")),
        "comment.png": encoded(color, "PNG", pnginfo=_text("x" * 1000)),
    }


def _text(text: str, name: str = "text") -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text(name, text, zip=True)
    return info
