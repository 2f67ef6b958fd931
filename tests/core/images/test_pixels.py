"""Decoding: the same pixels from every format, or an error with the reason."""

import base64
import hashlib
import struct
import threading
import tracemalloc
import warnings
import zlib
from collections import Counter
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.errors import ImageError, OptionError
from core.images import pixels as images
from core.images.pixels import (
    LAST,
    MAX_BYTES,
    MAX_PIXELS,
    check_frame,
    data_url,
    decode,
    decode_new,
    encode_png,
    image_format,
    pixel_hash,
    split_of,
    still,
)
from tests.helpers.pictures import encoded, pixels, png

PINNED_WHITE = "3a299ef7a67000cb8167a4ece517bc512e0af5d8a3c584241fa790501e6aebfc"
"""Pixel hash of 16 x 8 white pixels."""
WHITE, BLACK = [255, 255, 255], [0, 0, 0]


def glyph(mode: str, ground: object, ink: object, size: tuple[int, int] = (40, 16)) -> Image.Image:
    """Return a filled box on a background, like a letter."""
    image = Image.new(mode, size, ground)  # type: ignore[arg-type]
    image.paste(ink, (10, 4, 20, 12))  # type: ignore[arg-type]
    return image


def header(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and contains almost no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    fields = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", fields) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


# Normalizing


@pytest.mark.parametrize(
    ("image", "form"),
    [
        (glyph("RGB", (255, 255, 255), (0, 0, 0)), "PNG"),
        (glyph("L", 255, 0), "PNG"),
        (glyph("1", 1, 0), "PNG"),
        (glyph("1", 1, 0), "BMP"),
        (glyph("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)), "PNG"),
        (glyph("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)), "WEBP"),
        (glyph("LA", (0, 0), (0, 255)), "PNG"),
        (glyph("RGBA", (9, 8, 7, 0), (0, 0, 0, 255)).quantize(4), "PNG"),
        (glyph("L", 255, 0).convert("P"), "GIF"),
        (glyph("I;16", 65535, 0), "PNG"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.mode,
)
def test_black_on_white_is_black_on_white_in_every_mode(image: Image.Image, form: str) -> None:
    """Transparent background becomes white. Pillow's conversion would make it as black as the letters."""
    options = {"lossless": True} if form == "WEBP" else {}

    decoded = decode(encoded(image, form, **options))

    assert (decoded.shape, decoded.dtype) == ((16, 40, 3), np.uint8)
    assert decoded.flags.c_contiguous
    assert decoded[0, 0].tolist() == WHITE
    assert decoded[6, 12].tolist() == BLACK


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "I;16", "1"])
def test_a_transparent_color_is_white(mode: str) -> None:
    """A PNG or GIF may declare one color transparent."""
    ground, ink = {"P": (1, 0), "L": (7, 0), "RGB": ((1, 2, 3), (0, 0, 0)), "I;16": (77, 0), "1": (1, 0)}[mode]
    image = glyph(mode, ground, ink)
    if mode == "P":
        image.putpalette([0, 0, 0, 10, 20, 30])

    decoded = decode(encoded(image, "PNG", transparency=ground))

    assert decoded[0, 0].tolist() == WHITE
    assert decoded[6, 12].tolist() == BLACK


def test_half_transparent_ink_is_mixed_with_white() -> None:
    """Smooth edges of letters are half transparent."""
    decoded = decode(encoded(glyph("RGBA", (0, 0, 0, 0), (0, 0, 0, 127)), "PNG"))

    assert decoded[6, 12].tolist() == [128, 128, 128]


def test_sixteen_bits_are_scaled_to_eight() -> None:
    """Pillow clips instead: 99.6% of such an image would be white."""
    ramp = np.linspace(0, 65535, 40 * 16).astype(np.uint16).reshape(16, 40)

    decoded = decode(encoded(Image.fromarray(ramp), "PNG"))

    assert (decoded[:, :, 0] == ramp // 257).all()
    assert (decoded[:, :, 0] == decoded[:, :, 2]).all()


def test_cmyk_keeps_its_colors() -> None:
    """Print programs write such JPEGs."""
    decoded = decode(encoded(glyph("CMYK", (0, 0, 0, 0), (0, 255, 255, 0)), "JPEG", quality=100))

    assert np.abs(decoded[0, 0].astype(int) - WHITE).max() < 4
    assert np.abs(decoded[8, 15].astype(int) - [255, 0, 0]).max() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation: int) -> None:
    """The pixels match what an image viewer shows."""
    turns = {
        1: (), 2: ("FLIP_LEFT_RIGHT",), 3: ("ROTATE_180",), 4: ("FLIP_TOP_BOTTOM",), 5: ("TRANSPOSE",),
        6: ("ROTATE_90",), 7: ("TRANSVERSE",), 8: ("ROTATE_270",),
    }  # fmt: skip
    upright = glyph("RGB", (255, 255, 255), (0, 0, 0))
    stored = upright
    for turn in turns[orientation]:
        stored = stored.transpose(Image.Transpose[turn])
    exif = Image.Exif()
    exif[0x0112] = orientation

    assert (decode(encoded(stored, "PNG", exif=exif)) == np.asarray(upright)).all()


@pytest.mark.parametrize("form", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize(
    "exif", [b"junk" * 1000, b"Exif\0\0junk", b"MM\0*", b"II*\0\xff\xff\xff\x7f", b"II*\0\x08\0\0\0\xff\xff\x12\x01"]
)
def test_damaged_exif_costs_no_image(form: str, exif: bytes) -> None:
    """Cameras and editors write such data: another kind of data, a header alone, and tags that lie outside."""
    image = Image.fromarray(pixels(1))

    assert (decode(encoded(image, form, exif=exif)) == decode(encoded(image, form))).all()


def test_an_image_without_color_profile_or_comment_is_the_same_image() -> None:
    """Metadata does not count."""
    plain = Image.fromarray(pixels(1))
    noted = encoded(plain, "PNG", dpi=(300, 300), icc_profile=b"no profile")

    assert noted != png(1)
    assert (decode(noted) == pixels(1)).all()


@pytest.mark.parametrize(
    ("mode", "options"),
    [("RGB", {}), ("L", {}), ("1", {"compression": "group4"}), ("RGB", {"compression": "tiff_lzw"})],
)
def test_a_tiff_has_the_pixels_of_a_png(mode: str, options: dict[str, Any]) -> None:
    """Meter cameras write TIFF. Orientation is applied as in a JPEG."""
    image = Image.fromarray(pixels(1)).convert(mode)
    turned = Image.Exif()
    turned[0x0112] = 6

    assert (decode(encoded(image, "TIFF", **options)) == decode(encoded(image, "PNG"))).all()
    assert (decode(encoded(image, "TIFF", exif=turned)) == decode(encoded(image, "PNG", exif=turned))).all()


def test_the_first_page_of_a_tiff_is_read() -> None:
    """The others are not even counted, because counting a million of them takes minutes."""
    first, second = Image.fromarray(pixels(1)), Image.fromarray(pixels(2))

    assert (decode(encoded(first, "TIFF", save_all=True, append_images=[second] * 3)) == pixels(1)).all()


@pytest.mark.timeout(5)
def test_a_tiff_of_very_many_pages_costs_no_time() -> None:
    """4 MB hold 200,000 pages without content."""
    data = bytearray(encoded(Image.fromarray(pixels(1)), "TIFF"))
    (ifd,) = struct.unpack_from("<I", data, 4)
    (fields,) = struct.unpack_from("<H", data, ifd)
    struct.pack_into("<I", data, ifd + 2 + 12 * fields, len(data))
    for number in range(200_000):
        data += struct.pack("<HHHIII", 1, 256, 4, 1, 40, len(data) + 18 if number < 199_999 else 0)

    assert (decode(bytes(data)) == pixels(1)).all()


def test_a_tiff_with_giant_tiles_is_refused() -> None:
    """The decoder would reserve memory for a whole tile."""
    tags = {256: 40, 257: 16, 258: 8, 259: 5, 262: 1, 322: 100_000, 323: 100_000, 324: 8, 325: 8}
    data = b"II*\0" + struct.pack("<IH", 8, len(tags))
    data += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()) + bytes(4)

    with pytest.raises(ImageError, match="tiles of more than 4,000,000 pixels"):
        decode(data)


def test_white_text_on_transparency_is_refused_for_new_images() -> None:
    """It would be a blank image. Those that a project has already stay readable, and black text is visible."""
    clear = Image.new("RGBA", (40, 16), (255, 255, 255, 0))
    white, black, blank = clear.copy(), clear.copy(), Image.new("RGBA", (40, 16), (255, 255, 255, 255))
    white.paste((255, 255, 255, 255), (10, 4, 30, 12))
    black.paste((0, 0, 0, 255), (10, 4, 30, 12))

    for data in (encoded(white, "PNG"), encoded(white.convert("LA"), "PNG"), encoded(white, "WEBP", lossless=True)):
        with pytest.raises(ImageError, match="white on a transparent ground, so nothing can be seen"):
            decode_new(data)
        assert (decode(data) == 255).all()
    for image in (black, blank, clear):
        assert (decode_new(encoded(image, "PNG")) == decode(encoded(image, "PNG"))).all()


# Refusing


@pytest.mark.parametrize("form", ["PPM", "ICO", "PCX", "TGA", "EPS", "PDF", "SGI", "DDS", "JPEG2000"])
def test_other_formats_are_refused_whatever_their_name(form: str) -> None:
    """The content decides, not the name. Readers that start other programs are never used."""
    with pytest.raises(ImageError, match="This is not a PNG, JPEG, GIF, WEBP, BMP or TIFF image"):
        decode(encoded(Image.fromarray(pixels(1, 64, 64)), form))


@pytest.mark.parametrize(
    "data",
    [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html>", b"%!PS-Adobe-3.0 EPSF", b"\0" * 100, b"x", b"PK\3\4" * 9],
)
def test_data_that_is_not_an_image_is_refused(data: bytes) -> None:
    """The error lists the supported formats."""
    with pytest.raises(ImageError, match="This is not a PNG"):
        decode(data)


def test_floating_point_pixels_are_refused() -> None:
    """Their white level is unknown."""
    with pytest.raises(ImageError):
        decode(encoded(Image.fromarray(np.zeros((16, 40), np.float32)), "TIFF"))


def test_an_empty_and_an_overlong_file_are_refused() -> None:
    """Each has its own error."""
    with pytest.raises(ImageError, match="The file is empty"):
        decode(b"")
    with pytest.raises(ImageError, match=r"more than 4,194,304 bytes"):
        decode(b"x" * (MAX_BYTES + 1))


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_animations_are_refused(form: str) -> None:
    """It is unclear which frame to read."""
    frames = [Image.fromarray(pixels(number)) for number in range(3)]

    with pytest.raises(ImageError, match="an animation of 3 frames"):
        decode(encoded(frames[0], form, save_all=True, append_images=frames[1:]))


FORMS = [
    ("PNG", {}),
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("GIF", {}),
    ("WEBP", {"lossless": True}),
    ("WEBP", {}),
    ("BMP", {}),
]


@pytest.mark.parametrize(("form", "options"), FORMS)
def test_a_file_that_was_cut_off_gives_the_same_pixels_or_none(form: str, options: dict[str, bool]) -> None:
    """A half-gray image must not be labeled and trained on."""
    data = encoded(Image.fromarray(pixels(1)), form, **options)
    whole = decode(data)
    refused = 0
    for size in range(0, len(data), 1 if len(data) < 1200 else 3):
        try:
            assert (decode(data[:size]) == whole).all(), size
        except ImageError:
            refused += 1

    assert refused > 0.95 * len(range(0, len(data), 1 if len(data) < 1200 else 3))


@pytest.mark.parametrize(("form", "options"), FORMS)
def test_damage_never_raises_anything_else(form: str, options: dict[str, bool]) -> None:
    """Any exception of Pillow on a damaged file becomes one sentence."""
    data = bytearray(encoded(Image.fromarray(pixels(1)), form, **options))
    random = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(data)
        for place in random.integers(0, len(data), 4):
            damaged[place] = random.integers(256)
        try:
            decoded = decode(bytes(damaged))
        except ImageError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert decoded.ndim == 3


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("width", "height"), [(12_000, 12_000), (9_000, 9_000), (100_000, 100_000), (8, 500_001), (2**31 - 1, 8)]
)
def test_a_header_bomb_is_refused_before_it_is_decoded(width: int, height: int) -> None:
    """A few bytes on disk claim hundreds of MB."""
    tracemalloc.start()
    with pytest.raises(ImageError, match=r"pixels; the limit is 4,000,000|exceeds limit"):
        decode(header(width, height))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 5_000_000


def test_a_text_that_unpacks_to_megabytes_is_refused() -> None:
    """A PNG may hold compressed text beside the pixels."""
    bomb = zlib.compress(b"\0" * 50_000_000)
    chunk = b"zTXt" + b"Comment\0\0" + bomb
    data = png(1)
    data = data[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]

    tracemalloc.start()
    with pytest.raises(ImageError):
        decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 10_000_000


def test_the_limits_are_as_documented() -> None:
    """The largest and the smallest allowed image can be read."""
    assert decode(encode_png(np.zeros((2000, 2000, 3), np.uint8))).shape == (2000, 2000, 3)
    assert decode(encode_png(np.zeros((8, 8, 3), np.uint8))).shape == (8, 8, 3)
    with pytest.raises(ImageError, match=f"2001 x 2000 pixels; the limit is {MAX_PIXELS:,}"):
        decode(encode_png(np.zeros((2000, 2001, 3), np.uint8)))
    with pytest.raises(ImageError, match="7 x 100 pixels; each side needs at least 8"):
        decode(encode_png(np.zeros((100, 7, 3), np.uint8)))


def test_pages_may_decode_at_the_same_time() -> None:
    """Warning filters are shared by all threads, so decoding must not change them."""
    before = list(warnings.filters)
    wanted = [pixel_hash(pixels(number)) for number in range(8)]
    right: list[bool] = []

    def read(number: int) -> None:
        right.extend(pixel_hash(decode(png(number))) == wanted[number] for _ in range(40))

    threads = [threading.Thread(target=read, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert right == [True] * 320
    assert list(warnings.filters) == before


# Identity


def test_the_identity_is_the_hash_of_size_and_pixels() -> None:
    """The formula is public. This test computes it from Pillow's pixels."""
    image = Image.fromarray(pixels(1))
    rows = b"".join(bytes(image.getpixel((x, y))) for y in range(16) for x in range(40))  # type: ignore[arg-type]

    assert pixel_hash(decode(png(1))) == hashlib.sha256(b"RGB40x16:" + rows).hexdigest()


def test_the_identity_of_known_pixels_never_changes() -> None:
    """Splits and labels of all existing projects depend on it."""
    white = np.full((8, 16, 3), 255, np.uint8)

    assert pixel_hash(white) == PINNED_WHITE
    assert pixel_hash(white.reshape(16, 8, 3)) != PINNED_WHITE


def test_the_same_pixels_are_the_same_image_in_every_lossless_format() -> None:
    """A portal's BMP and a PNG copy of it are the same sample."""
    image = Image.fromarray(pixels(1))
    files = [
        encoded(image, "PNG"),
        encoded(image, "PNG", compress_level=0),
        encoded(image.convert("RGBA"), "PNG"),
        encoded(image, "BMP"),
        encoded(image, "WEBP", lossless=True),
    ]

    assert len({pixel_hash(decode(data)) for data in files}) == 1
    assert pixel_hash(decode(png(2))) != pixel_hash(decode(png(1)))


def test_one_changed_pixel_is_another_image() -> None:
    """The smallest possible change gives another hash."""
    changed = pixels(1)
    changed[3, 7, 1] ^= 1

    assert pixel_hash(changed) != pixel_hash(pixels(1))


def test_a_view_of_an_array_has_the_hash_of_its_copy() -> None:
    """Cropped arrays are not contiguous."""
    view = pixels(1)[2:12, 5:30]

    assert pixel_hash(view) == pixel_hash(view.copy())


@pytest.mark.parametrize(
    ("start", "split"),
    [("00000000", "val"), ("00000001", "test"), ("00000002", "train"), ("00000009", "train"), ("0000000a", "val"),
     ("0000000b", "test"), ("ffffffff", "train"), ("deadbeef", "train")],
)  # fmt: skip
def test_the_split_of_a_hash_never_changes(start: str, split: str) -> None:
    """A test image must never become a training image."""
    assert split_of(start + "0" * 56) == split
    assert split_of(start + "f" * 56) == split


def test_splits_are_eighty_ten_and_ten_percent() -> None:
    """The shares of 20,000 hashes are within four standard deviations."""
    hashes = (hashlib.sha256(b"%d" % number).hexdigest() for number in range(20_000))
    count = Counter(split_of(sha256) for sha256 in hashes)

    assert abs(count["val"] - 2000) < 170
    assert abs(count["test"] - 2000) < 170
    assert sum(count.values()) == 20_000
    assert set(count) == {"train", "val", "test"}


# Showing


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_an_image_is_shown_in_its_own_format(form: str) -> None:
    """The data URL has the format of the bytes."""
    data = encoded(Image.fromarray(pixels(1)), form)

    assert image_format(data) == form.lower()
    kind, _, text = data_url(data).partition(";base64,")
    assert kind == f"data:image/{form.lower()}"
    assert base64.b64decode(text) == data


def test_a_tiff_is_shown_as_png() -> None:
    """Chromium and Firefox show no TIFF."""
    data = encoded(Image.fromarray(pixels(1)), "TIFF")

    assert image_format(data) == "tiff"
    assert data_url(data) == data_url(encode_png(pixels(1)))


# ---- frames


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_a_frame_of_an_animation_becomes_a_still_image(form: str) -> None:
    """Its pixels are those of the frame alone."""
    frames = [Image.fromarray(np.full((20, 40, 3), 60 * number, np.uint8)) for number in range(4)]
    options: dict[str, Any] = {"lossless": True} if form == "WEBP" else {}
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)

    for frame, number in (("1", 0), ("3", 2), (LAST, 3)):
        assert np.array_equal(decode(still(data, frame)), np.asarray(frames[number]))
    with pytest.raises(ImageError, match="The animation has 4 frames, so there is no frame 5"):
        still(data, "5")
    with pytest.raises(ImageError, match="Choose a frame of animations to import it"):
        decode_new(data)


def test_other_files_have_no_frames() -> None:
    """A still image, the pages of a TIFF and a damaged file stay as they are."""
    pages = [Image.fromarray(pixels(number)) for number in range(2)]
    for data in (png(1), encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]), b"no image", b""):
        assert still(data, LAST) == data


def test_an_animation_is_drawn_only_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file can hold very many frames, and each is drawn over those before it."""
    frames = [Image.fromarray(pixels(number)) for number in range(4)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    monkeypatch.setattr(images, "MAX_DRAWN", 3 * frames[0].width * frames[0].height)

    assert still(data, "3")
    with pytest.raises(ImageError, match="Frame 4 cannot be drawn"):
        still(data, LAST)


@pytest.mark.parametrize("frame", ["0", "-1", "first", "1.5", "²", "9" * 20])
def test_a_word_that_is_not_a_frame_is_refused(frame: str) -> None:
    with pytest.raises(OptionError, match="is not a frame"):
        check_frame(frame)
