"""Read images with the bundle in this folder. Needs numpy, pillow and onnxruntime, and nothing else.

    from reader import load
    reading = load().read("image.png")  # a path, bytes or a PIL image
    reading.text, reading.confidence, reading.accepted, reading.unfamiliar

    python reader.py FILES...           # one JSON object a line

With `load(log="log.jsonl")`, each reading is logged, and `reading.accepted_by_portal(True)` logs what the portal said.

Slotlab decodes, crops and resizes with this same file. So a network is trained on the pixels that are read later.
Tensor names carry their shape: B images, V views, P positions, C characters, H rows, W columns.
"""

import argparse
import hashlib
import io
import json
import logging
import math
import os
import secrets
import stat
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, UnidentifiedImageError

try:
    import fcntl
except ImportError:  # a bundle reads on Windows too, without a log
    fcntl = None  # type: ignore[assignment]

Pixels = NDArray[np.uint8]
"""Height x width x 3, RGB, 8 bit."""
Floats = NDArray[np.float32] | NDArray[np.float64]

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
"""Only these are opened. Other Pillow readers are not needed, and some are risky (EPS starts Ghostscript)."""
MAX_BYTES = 4 * 1024 * 1024
MAX_PIXELS = 4_000_000
"""Checked in the header before decoding: a 12,000 x 12,000 PNG is 400 kB on disk and 432 MB in memory."""
MIN_SIDE = 8
"""Pixels. No character is legible below this."""


ORIENTATION = 0x0112
"""EXIF tag."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""Turns for the values of ORIENTATION."""
EXIF_MODULE = r"PIL\.TiffImagePlugin"
"""Pattern of the module that warns of damaged EXIF data."""


class UnreadableImageError(ValueError):
    """An image that cannot be read. The text is one sentence with the reason."""


class BundleError(RuntimeError):
    """A bundle that is damaged or does not fit this machine, or its log. The text is one sentence with the reason."""


class VerdictError(ValueError):
    """A verdict that cannot be logged. The text is one sentence with the reason."""


# Pixels


def decode(data: bytes) -> Pixels:
    """Return the normalized pixels of an encoded image. Raises UnreadableImageError with the reason.

    Applies EXIF rotation. Composites alpha over white (dropping it would make black text on a transparent background a
    black rectangle). Scales 16-bit gray (Pillow's conversion clips it to white). Converts CMYK and palettes.
    """
    if not data:
        raise UnreadableImageError("The file is empty.")
    if len(data) > MAX_BYTES:
        raise UnreadableImageError(f"The file has more than {MAX_BYTES:,} bytes.")
    try:
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError as error:
            names = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
            raise UnreadableImageError(f"This is not a {names} image.") from error
        _check(image)
        # verify() alone accepts a truncated JPEG, and load() alone a PNG without its end, so we call both.
        Image.open(io.BytesIO(data), formats=FORMATS).verify()
        return normalize(image)
    except UnreadableImageError:
        raise
    except Exception as error:  # Pillow raises OSError, ValueError, SyntaxError, struct.error ... on damaged files
        reason = f"{type(error).__name__}: {error}"
        raise UnreadableImageError(f"The image cannot be decoded ({reason}).") from error


def _check(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(f"The image has {width} x {height} pixels; the limit is {MAX_PIXELS:,} in total.")
    if min(width, height) < MIN_SIDE:
        raise UnreadableImageError(f"The image has {width} x {height} pixels; each side needs at least {MIN_SIDE}.")
    if image.format == "TIFF":  # The first page is read. To count pages, Pillow reads each, and there can be very many.
        tile = [int(image.tag_v2.get(tag, 1)) for tag in (322, 323)]  # type: ignore[attr-defined]
        if tile[0] * tile[1] > MAX_PIXELS:
            raise UnreadableImageError(f"The image has tiles of more than {MAX_PIXELS:,} pixels.")
        return
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise UnreadableImageError(f"The image is an animation of {frames} frames; only still images can be read.")


def normalize(image: Image.Image) -> Pixels:
    """Return the normalized pixels of a PIL image, see `decode`."""
    image.load()
    image = _upright(image)
    if image.mode.startswith("I"):  # 16-bit gray: "I;16" and its byte orders, or "I" from older Pillow
        gray = np.array(image, dtype=np.int64)
        if (transparent := image.info.get("transparency")) is not None:
            gray[gray == transparent] = 65535
        if gray.min() < 0 or gray.max() > 65535:
            raise UnreadableImageError("The image has more than 16 bits per pixel.")
        return np.repeat((gray // 257).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise UnreadableImageError("Images with floating-point pixels are not supported.")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.ascontiguousarray(np.asarray(image.convert("RGB"), dtype=np.uint8))


def _upright(image: Image.Image) -> Image.Image:
    """Return the image turned as its EXIF data says. Damaged EXIF data turns nothing, and costs no image."""
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - struct.error, SyntaxError, ValueError ... have no common base class
        return image
    return image if turn is None else image.transpose(turn)


def pixels_of(image: str | os.PathLike[str] | bytes | Image.Image) -> Pixels:
    """Return the normalized pixels of a file, of an encoded image or of a PIL image. Raises UnreadableImageError."""
    if isinstance(image, bytes | bytearray | memoryview):
        return decode(bytes(image))
    if not isinstance(image, Image.Image):
        return decode(_content(Path(image)))
    try:
        _check(image)
        return normalize(image)
    except UnreadableImageError:
        raise
    except Exception as error:  # a PIL image decodes its file only now
        reason = f"{type(error).__name__}: {error}"
        raise UnreadableImageError(f"The image cannot be decoded ({reason}).") from error


def _content(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableImageError("This is not a file.")  # a FIFO would block, and a device has no end
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableImageError(f"The file cannot be read ({error.strerror}).") from error
    except ValueError as error:  # a path with NUL
        if isinstance(error, UnreadableImageError):
            raise
        raise UnreadableImageError(f"The file cannot be read ({error}).") from error


def pixel_hash(pixels: Pixels) -> str:
    """Return the SHA-256 of the decoded pixels. It identifies an image in any file format.

    Perceptual hashes do not work: on a real six-digit portal, a 64-bit pHash at distance 8 declares 93% of 640
    distinct images duplicates.
    """
    height, width, _ = pixels.shape
    return hashlib.sha256(b"RGB%dx%d:" % (width, height) + pixels.tobytes()).hexdigest()


# Input of the network


def box_pixels(image: Pixels, box: Sequence[float]) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom in pixels of a box in fractions of the image. It has at least one pixel."""
    height, width, _ = image.shape
    left, top, right, bottom = box
    x0, y0 = round(left * width), round(top * height)
    return x0, y0, max(round(right * width), x0 + 1), max(round(bottom * height), y0 + 1)


def crop(image: Pixels, box: Sequence[float]) -> Pixels:
    """Return the part of an image inside a box in fractions of its sides."""
    x0, y0, x1, y1 = box_pixels(image, box)
    return image[y0:y1, x0:x1]


def resize(image: Pixels, size: Sequence[int]) -> Pixels:
    """Return the image at a height and width. Pillow computes in integers, so the result is equal on every machine.

    Of 1,600 images of three portals and a rendered one, the built-in reader reads 1,303 with this filter, 1,303 with
    OpenCV's, 1,295 bicubic, 1,288 with Hamming windows and 1,258 with a box.
    """
    height, width = size
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def to_input(images_BHW3: Pixels) -> NDArray[np.float32]:
    """Return B x 3 x H x W with values 0..1."""
    return np.ascontiguousarray(images_BHW3.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255)


Moves = tuple[float, float, float, float]
"""Shift to the right and down in fractions of the sides, zoom, and degrees clockwise."""
STILL: Moves = (0.0, 0.0, 1.0, 0.0)


def move(images_B3HW: NDArray[np.float32], moves: Moves) -> NDArray[np.float32]:
    """Return the images shifted, zoomed and turned. Areas outside the image repeat the border."""
    if moves == STILL:
        return images_B3HW
    height, width = images_B3HW.shape[2:]
    places_4N, weights_4N = _taps(moves, height, width)
    flat_B3N = images_B3HW.reshape(*images_B3HW.shape[:2], -1)
    moved_B3N = flat_B3N[:, :, places_4N[0]] * weights_4N[0]
    for places_N, weights_N in zip(places_4N[1:], weights_4N[1:], strict=True):
        moved_B3N += flat_B3N[:, :, places_N] * weights_N
    moved_B3HW: NDArray[np.float32] = moved_B3N.reshape(images_B3HW.shape)
    return moved_B3HW


@lru_cache(maxsize=64)
def _taps(moves: Moves, height: int, width: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the four pixels around the origin of each output pixel, and their weights."""
    shift_x, shift_y, zoom, degrees = moves
    angle = math.radians(degrees)
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    x_W, y_H1 = np.arange(width) - (width - 1) / 2, (np.arange(height) - (height - 1) / 2)[:, None]
    from_x_HW = cos * x_W + sin * y_H1 + (width - 1) / 2 - shift_x * width
    from_y_HW = cos * y_H1 - sin * x_W + (height - 1) / 2 - shift_y * height
    from_x_N = from_x_HW.clip(0, width - 1).ravel()
    from_y_N = from_y_HW.clip(0, height - 1).ravel()
    left_N, top_N = np.floor(from_x_N).astype(np.intp), np.floor(from_y_N).astype(np.intp)
    right_N, bottom_N = np.minimum(left_N + 1, width - 1), np.minimum(top_N + 1, height - 1)
    x_N, y_N = from_x_N - left_N, from_y_N - top_N
    places_4N = np.stack([row_N * width + column_N for row_N in (top_N, bottom_N) for column_N in (left_N, right_N)])
    weights_4N = np.stack([(1 - y_N) * (1 - x_N), (1 - y_N) * x_N, y_N * (1 - x_N), y_N * x_N])
    return places_4N, weights_4N.astype(np.float32)


def ink(images_B3HW: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each pixel's distance to the border color, scaled to 0..1, on three equal channels."""
    border_B3N = np.concatenate(
        [images_B3HW[:, :, 0], images_B3HW[:, :, -1], images_B3HW[:, :, :, 0], images_B3HW[:, :, :, -1]], axis=2
    )
    lower_median = (border_B3N.shape[2] - 1) // 2  # as in torch
    background_B311 = np.sort(border_B3N, axis=2)[:, :, lower_median, None, None]
    ink_B1HW = np.abs(images_B3HW - background_B311).max(axis=1, keepdims=True)
    ink_B1HW /= np.maximum(ink_B1HW.max(axis=(2, 3), keepdims=True), np.float32(1e-3))
    return np.repeat(ink_B1HW, 3, axis=1)


# Answers


def log_softmax(scores: Floats) -> Floats:
    """Return the scores as log-probabilities over the last axis."""
    lowered = scores - scores.max(axis=-1, keepdims=True)
    log_probs: Floats = lowered - np.log(np.exp(lowered).sum(axis=-1, keepdims=True))
    return log_probs


def aggregate(log_probs_VBPC: Floats) -> Floats:
    """Combine all views: the mean of their log-probabilities, normalized again.

    The mean of logarithms lets one dissenting view lower the confidence, as a threshold needs.
    """
    return log_softmax(log_probs_VBPC.mean(axis=0))


def at_temperature(log_probs_BPC: Floats, temperature: float) -> Floats:
    """Return the log-probabilities at a temperature, as float64. The predicted characters stay the same."""
    return log_softmax(log_probs_BPC.astype(np.float64) / temperature)


def spell(probs_PC: Floats, charset: str) -> tuple[str, float, list[tuple[str, float]]]:
    """Return the text, its confidence (the product over the positions), and each character with its probability."""
    tops = [float(value) for value in probs_PC.max(axis=1)]
    text = "".join(charset[index] for index in probs_PC.argmax(axis=1))
    return text, math.prod(tops), list(zip(text, tops, strict=True))


# Unfamiliar images

COLORS = 512
SAMPLED = 3000
"""Pixels that are sampled for the colors. More give the same shares."""
AREA = 16_000
"""Larger images are reduced to about this many pixels for their style, so it takes 0.3 ms at most."""
LAGS = ((0, 1), (0, 2), (0, 4), (1, 0), (2, 0), (4, 0))
"""Distances of pixels that are compared, down and to the right. They show sharpness, strokes, lines and specks."""
STEP = 8
"""Smallest difference of two brightness values, of 255, that counts as an edge."""
UNLIKE_COLORS = "The colors of the image are unlike those of training."
UNLIKE_STYLE = "The style of the image is unlike that of training: its text, lines or sharpness."
SLACK = 1.05
"""Factor by which an image may be smaller or larger than those of training if sizes vary."""
SHOWN = 3
"""Sizes in a reason."""
BRIGHTNESS = 4
"""The first figures of a style: contrast, mean and spread of the brightness, and whether the ink is light or dark."""
FIGURES = BRIGHTNESS + 16 + 4 * len(LAGS)


def color_shares(image: Pixels) -> Floats:
    """Return the share of the pixels in each of COLORS colors K, eight levels a channel."""
    pixels_N3 = image.reshape(-1, 3)
    levels_N3 = (pixels_N3[:: max(1, len(pixels_N3) // SAMPLED)] >> 5).astype(np.intp)
    cells_N = (levels_N3[:, 0] << 6) + (levels_N3[:, 1] << 3) + levels_N3[:, 2]
    shares_K: Floats = np.bincount(cells_N, minlength=COLORS) / len(cells_N)
    return shares_K


def style(image: Pixels) -> Floats:
    """Return FIGURES figures F on how an image is drawn: its contrast, where its ink is, and how its pixels differ.

    Most are of the ink, which is the distance to the background, the median color two pixels inside the border. So two
    images in different colors and of the same style are alike.
    """
    height, width, _ = image.shape
    factor = max(1, min(math.ceil(math.sqrt(width * height / AREA)), min(width, height) // MIN_SIDE))
    picture = Image.fromarray(image)
    if factor > 1:
        picture = picture.reduce(factor)
        image, width = np.asarray(picture), picture.width
    border_N3 = np.concatenate([image[2], image[-3], image[:, 2], image[:, -3]])
    middle = len(border_N3) // 2
    red, green, blue = np.partition(border_N3, middle, axis=0)[middle].tolist()
    apart = ImageChops.difference(picture, Image.new("RGB", picture.size, (red, green, blue))).split()
    ink = ImageChops.lighter(ImageChops.lighter(apart[0], apart[1]), apart[2])
    ink_N = np.asarray(ink, dtype=np.float32).ravel()
    gray_N = np.asarray(picture.convert("L"), dtype=np.float32).ravel()
    count, ones_N = len(ink_N), np.ones(len(ink_N), dtype=np.float32)
    scale = math.sqrt(float(ink_N @ ink_N) / count) + 1
    gray = float(gray_N @ ones_N) / count
    values = [
        math.log(scale), gray / 64, math.sqrt(max(0.0, float(gray_N @ gray_N) / count - gray**2)) / 32,
        (gray - (0.299 * red + 0.587 * green + 0.114 * blue)) / 32,
        float(ink_N @ ones_N) / count / scale,
        *(np.count_nonzero(ink_N > part * scale) / count for part in (0.5, 1.0, 2.0)),
    ]  # fmt: skip
    for cells in ((6, 1), (1, 6)):
        values += [level / scale for level in ink.resize(cells, Image.Resampling.BOX).tobytes()]
    for down, right in LAGS:
        lag = down * width + right  # the pairs around the end of a row are few
        apart_M = np.abs(ink_N[lag:] - ink_N[:-lag])
        pairs = len(apart_M)
        values += [
            math.log(float(apart_M @ apart_M) / pairs / scale**2 + 0.01),
            math.log(float(apart_M @ ones_N[:pairs]) / pairs / scale + 0.01),
            np.count_nonzero(apart_M > scale) / pairs,
            np.count_nonzero(apart_M > STEP) / pairs,
        ]
    return np.array(values)


def log_distance(styles_F: Floats, center_F: Floats, whitening_FF: Floats) -> Floats:
    """Return the logarithm of the distance from the mean style, about normal in familiar images, for each ... x F."""
    distances: Floats = np.log(np.linalg.norm((styles_F - center_F) @ whitening_FF, axis=-1) + 1e-9)
    return distances


Look = tuple[float, float]
"""Distance and surprise of an image, see `Familiar.look`."""


@dataclass(frozen=True)
class Familiar:
    """The look of the training images, and limits for others. core.evaluation.familiarity learns it."""

    sizes_S2: NDArray[np.int64]
    """Widths and heights of the training images, the most frequent first."""
    sizes_vary: bool
    """True if the sizes between those of training are familiar too."""
    surprise_K: Floats
    """Surprise of a pixel of each color, in nats: its negative log-probability in training."""
    color_limit: float
    """Largest mean surprise of the pixels of a familiar image."""
    center_F: Floats
    """Mean style."""
    whitening_FF: Floats
    """Makes the distances from the mean style comparable."""
    style_limit: float
    """Largest logarithm of the distance of a familiar image."""
    expected: tuple[tuple[float, float], tuple[float, float]] | None = None
    """Mean and standard deviation of the distance, then of the surprise, of the images that set the limits. None for
    runs of earlier versions."""

    def reason(self, image: Pixels, look: Look | None = None) -> str | None:
        """Return in one sentence what about the image is unlike training, or None. `look` is its look if known."""
        height, width, _ = image.shape
        if not self._has_size(width, height):
            return f"The image has {width} x {height} pixels; training had {self._sizes()}."
        distance, surprise = look or self.look(image)
        is_far = distance > self.style_limit
        if is_far and not self._has_style(image):
            return UNLIKE_STYLE
        return UNLIKE_COLORS if is_far or surprise > self.color_limit else None

    def look(self, image: Pixels) -> Look:
        """Return the logarithm of the distance from the mean style, and the mean surprise of the pixels."""
        distance = log_distance(style(image), self.center_F, self.whitening_FF)
        return float(distance), float(self.surprise_K @ color_shares(image))

    def _has_style(self, image: Pixels) -> bool:
        """Return whether the image would be familiar with another brightness."""
        away_F, brightness_BF = (style(image) - self.center_F) @ self.whitening_FF, self.whitening_FF[:BRIGHTNESS]
        change_B = np.linalg.lstsq(brightness_BF.T, away_F, rcond=None)[0]
        return float(np.linalg.norm(away_F - change_B @ brightness_BF)) <= math.exp(self.style_limit)

    def _has_size(self, width: int, height: int) -> bool:
        if not self.sizes_vary:
            return bool((self.sizes_S2 == (width, height)).all(axis=1).any())
        widths_S, heights_S = self.sizes_S2.T
        return all(
            known_S.min() / SLACK <= value <= known_S.max() * SLACK
            for value, known_S in ((width, widths_S), (height, heights_S), (width / height, widths_S / heights_S))
        )

    def _sizes(self) -> str:
        if self.sizes_vary:
            (low, high), (lowest, highest) = ((each_S.min(), each_S.max()) for each_S in self.sizes_S2.T)
            return f"widths of {low} to {high} and heights of {lowest} to {highest}"
        first = " or ".join(f"{width} x {height}" for width, height in self.sizes_S2[:SHOWN])
        more = len(self.sizes_S2) - SHOWN
        return f"{first} or {more} other sizes" if more > 0 else f"only {first}"

    def to_bytes(self) -> bytes:
        """Return the content of a FAMILIAR file."""
        file = io.BytesIO()
        np.savez(file, **{name: value for name, value in vars(self).items() if value is not None})
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Familiar":
        """Read the content of a FAMILIAR file. Raises an exception of numpy or zipfile if it is damaged."""
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            return cls(
                sizes_S2=stored["sizes_S2"].reshape(-1, 2),
                sizes_vary=bool(stored["sizes_vary"]),
                surprise_K=stored["surprise_K"].reshape(COLORS),
                color_limit=float(stored["color_limit"]),
                center_F=stored["center_F"].reshape(FIGURES),
                whitening_FF=stored["whitening_FF"].reshape(FIGURES, FIGURES),
                style_limit=float(stored["style_limit"]),
                expected=_expected(stored["expected"]) if "expected" in stored else None,
            )


def _expected(stored_22: Floats) -> tuple[Look, Look]:
    (distance, distance_spread), (surprise, surprise_spread) = stored_22.reshape(2, 2).tolist()
    return (distance, distance_spread), (surprise, surprise_spread)


# Answers and verdicts

REASON = 200
"""Characters of a verdict's reason."""
LOG_START = b'{"id": "'
"""Start of every line of a log."""


@dataclass(frozen=True)
class Reading:
    """The text of an image, and how sure the reader is."""

    text: str
    confidence: float
    """Probability that the whole text is right, at the temperature that fits validation images if it is known."""
    accepted: bool | None
    """True if the confidence reaches the threshold and the image is familiar. None without a threshold."""
    unfamiliar: str | None
    """Why the image is unlike those of training. None if it is not, or if the bundle cannot tell."""
    positions: tuple[tuple[str, float], ...]
    """Each character and its probability."""
    id: str | None = None
    """Name of the reading in the log. None without a log."""
    _sha256: str | None = field(default=None, repr=False, compare=False)
    _log: "Log | None" = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the object that `slotlab predict --json` prints, without the file."""
        positions = [{"char": char, "confidence": confidence} for char, confidence in self.positions]
        return {
            "text": self.text,
            "confidence": self.confidence,
            "accepted": self.accepted,
            "unfamiliar": self.unfamiliar,
            "positions": positions,
        }

    def accepted_by_portal(self, accepted: bool, reason: str | None = None) -> None:
        """Log whether the portal accepted the text. Raises VerdictError without a log.

        The reason of a rejection is captcha, timeout, password, or another short text. Only captcha says that the text
        is wrong.
        """
        if self._log is None or self.id is None or self._sha256 is None:
            raise VerdictError("This reading has no log. Load the bundle with load(log=FILE).")
        self._log.verdict(self.id, self._sha256, self.text, accepted=accepted, reason=reason)


def check_reason(*, accepted: bool, reason: str | None) -> None:
    """Raise VerdictError for an accepted text with a reason, because only a rejection has one."""
    if accepted and reason:
        raise VerdictError("An accepted text has no reason, because only a rejection has one.")


class Log:
    """A file with a JSON line for each reading and each verdict. Threads and processes may share it.

    A full disk costs no reading: what cannot be written is counted, and a warning says so once. Raises BundleError if
    the file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str], bundle: str, images: bool = False) -> None:
        if fcntl is None:
            raise BundleError("A log needs Linux or macOS.")
        self.path, self.bundle = Path(path).absolute(), bundle
        self.failures = 0
        """Lines and images that could not be written."""
        self._lock = threading.Lock()
        self._folder = self.path.with_name(self.path.name + ".images") if images else None
        try:
            # Without O_NONBLOCK, a FIFO that nobody reads would block forever.
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
            self._file = os.fdopen(file, "ab", buffering=0)
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise BundleError(f"The log {path} is not a file. Give the name of a file.")
            if os.pread(file, len(LOG_START), 0) not in (b"", LOG_START):  # a line would damage what it is
                raise BundleError(f"The log {path} is a file of another kind. Give a new name.")
            if self._folder is not None:
                self._folder.mkdir(mode=0o700, exist_ok=True)
        except (OSError, ValueError) as error:  # ValueError: a path with NUL
            reason = getattr(error, "strerror", None) or error
            raise BundleError(f"The log {path} cannot be written ({reason}).") from error

    def __reduce__(self) -> tuple[type["Log"], tuple[Path, str, bool]]:
        """Open the file again where a reading is unpickled, for example in another process."""
        return Log, (self.path, self.bundle, self._folder is not None)

    def answer(self, reading: Reading, image: Pixels, look: Look | None) -> Reading:
        """Write the reading of an image down. Return it with its id."""
        sha256 = pixel_hash(image)
        logged = replace(reading, id=secrets.token_hex(16), _sha256=sha256, _log=self)
        answer = reading.to_dict()
        del answer["positions"]
        self._append(
            {
                "id": logged.id,
                "time": _now(),
                "bundle": self.bundle,
                "sha256": sha256,
                "reading": answer,
                "look": look and [round(value, 4) for value in look],
                "image": self._stored(sha256, image) if self._folder else None,
            }
        )
        return logged

    def verdict(self, id: str, sha256: str, text: str, *, accepted: bool, reason: str | None) -> bool:  # noqa: A002
        """Write down what the portal said. Return False if the file cannot be written. Raises VerdictError."""
        if not isinstance(accepted, bool):
            raise VerdictError(f"The verdict is {str(accepted)[:40]!r}. Give True or False.")
        if reason is not None and not (isinstance(reason, str) and len(reason) <= REASON and reason.isprintable()):
            raise VerdictError(f"The reason is not one line of at most {REASON} characters.")
        check_reason(accepted=accepted, reason=reason)
        return self._append(
            {"id": id, "time": _now(), "sha256": sha256, "text": text, "accepted": accepted, "reason": reason}
        )

    def _append(self, record: dict[str, Any]) -> bool:
        """Append a line, and begin it on a line of its own. Return whether it is whole."""
        line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        try:
            with self._lock:
                fcntl.flock(self._file, fcntl.LOCK_EX)  # another process could be within its line
                try:
                    line = b"\n" * self._is_torn() + line
                    is_whole = self._file.write(line) == len(line)
                finally:
                    fcntl.flock(self._file, fcntl.LOCK_UN)
        except OSError as error:
            return self._failed(error.strerror)
        return is_whole or self._failed("the disk is full")

    def _is_torn(self) -> bool:
        """Return whether the last line has no end, because a process was killed or the disk was full."""
        file = self._file.fileno()
        size = os.fstat(file).st_size
        return size > 0 and os.pread(file, 1, size - 1) != b"\n"

    def _stored(self, sha256: str, image: Pixels) -> str | None:
        """Return the name of an image in the folder, and write it if it is new. Return None if that fails."""
        assert self._folder is not None
        path, part = self._folder / f"{sha256}.png", self._folder / f".{secrets.token_hex(8)}.part"
        try:
            if path.exists():
                return path.name
            png = io.BytesIO()
            Image.fromarray(image).save(png, "PNG")
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(png.getbuffer())
            part.replace(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()  # it would take the last room
            self._failed(error.strerror)
            return None
        return path.name

    def _failed(self, reason: str | None) -> bool:
        """Count a failure. Return False."""
        with self._lock:
            self.failures += 1
            is_first = self.failures == 1
        if is_first:
            logging.getLogger("slotlab.reader").warning("The log %s cannot be written (%s).", self.path, reason)
        return False


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


# The bundle

FORMAT = 1
MODEL, MODEL_INT8, MANIFEST, SUMS = "model.onnx", "model-int8.onnx", "manifest.json", "SHA256SUMS"
FAMILIAR = "familiar.npz"
TOLERANCE = {MODEL: 0.01, MODEL_INT8: 0.5}
"""Largest difference of a log-probability of a test image, in nats, between this machine and the one of the export."""
LIKELY = -6.0
"""Log-probabilities below this are not compared: their differences are large and change no answer."""


class Reader:
    """A reader of the images of one portal. Threads may share it. Create it with `load`."""

    def __init__(
        self, manifest: dict[str, Any], session: Any, familiar: Familiar | None = None, name: str = ""
    ) -> None:
        self.manifest = manifest
        self.familiar = familiar
        self.name = name
        """The bundle by the hash of its files. It changes with everything that can change an answer."""
        self.log: Log | None = None
        self._session = session
        self._charset: str = manifest["charset"]
        self._box: list[float] = manifest["frame"]["box"]
        self._size: list[int] = manifest["frame"]["image_size"]
        self._moves: list[Moves] = [_moves(view) for view in manifest["views"]]

    def read(self, image: str | os.PathLike[str] | bytes | Image.Image) -> Reading:
        """Read a file, an encoded image or a PIL image. Raises UnreadableImageError."""
        return self.read_all([pixels_of(image)])[0]

    def read_all(self, images: Sequence[Pixels]) -> list[Reading]:
        """Read normalized images together, which takes less time for each."""
        return [reading for reading, _ in self.read_with_looks(images)]

    def read_with_looks(self, images: Sequence[Pixels]) -> list[tuple[Reading, Look | None]]:
        """Read normalized images together. Return each reading with the look, None if the bundle knows no look."""
        found = []
        for log_probs_PC, image in zip(self.log_probs(images), images, strict=True):
            look = self.familiar.look(image) if self.familiar else None
            reading = self.answer(log_probs_PC, self.familiar.reason(image, look) if self.familiar else None)
            found.append((self.log.answer(reading, image, look) if self.log else reading, look))
        return found

    def answer(self, log_probs_PC: Floats, unfamiliar: str | None) -> Reading:
        """Return the reading of one image from its log-probabilities over all views, and why it is unfamiliar."""
        threshold = self.manifest["threshold"]
        probs_PC = np.exp(at_temperature(log_probs_PC, self.manifest["temperature"]))
        text, confidence, positions = spell(probs_PC, self._charset)
        accepted = None if threshold is None else confidence >= threshold and unfamiliar is None
        return Reading(text, confidence, accepted, unfamiliar, tuple(positions))

    def log_probs(self, images: Sequence[Pixels]) -> Floats:
        """Return log-probabilities B x P x C over all views of the bundle."""
        return aggregate(log_softmax(np.stack(self.logits(images))))

    def logits(self, images: Sequence[Pixels]) -> list[NDArray[np.float32]]:
        """Return the network's outputs B x P x C for each view."""
        return [self.network(images_B3HW) for images_B3HW in self.inputs(images)]

    def inputs(self, images: Sequence[Pixels]) -> Iterator[NDArray[np.float32]]:
        """Yield the network's input B x 3 x H x W for each view."""
        images_B3HW = to_input(np.stack([resize(crop(image, self._box), self._size) for image in images]))
        for moves in self._moves:
            yield self.seen(move(images_B3HW, moves))

    def seen(self, images_B3HW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the network's input for images of its size with values 0..1."""
        return ink(images_B3HW) if self.manifest["ink"] else images_B3HW

    def network(self, seen_B3HW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits B x P x C of inputs of the network."""
        logits_BPC: NDArray[np.float32] = self._session.run(None, {"images": seen_B3HW})[0]
        return logits_BPC


def load(
    folder: str | os.PathLike[str] | None = None,
    *,
    int8: bool = False,
    log: str | os.PathLike[str] | None = None,
    log_images: bool = False,
) -> Reader:
    """Load the bundle in `folder`, by default that of this file, and read its test images. Raises BundleError.

    `int8` uses the smaller and faster model, if the bundle has one. `log` is a file to which readings and verdicts are
    appended. `log_images` also writes the images, into a folder beside it.
    """
    if log_images and log is None:
        raise BundleError("Images are written beside a log. Give the file of the log too.")
    root, model = Path(folder or Path(__file__).parent), MODEL_INT8 if int8 else MODEL
    listed = _bytes(root, SUMS)
    sums = sums_of(listed)
    if int8 and MODEL_INT8 not in sums:
        raise BundleError("This bundle has no INT8 model. Load it without int8.")
    manifest = _manifest(_verified(root, MANIFEST, sums))
    familiar = _familiar(_verified(root, FAMILIAR, sums)) if FAMILIAR in sums else None
    name = bundle_name(listed, int8=int8)
    reader = Reader(manifest, open_session(_verified(root, model, sums)), familiar, name)
    for test in manifest["self_test"]:
        file, expected_PC = test["file"], np.array(test[model], dtype=np.float64)
        _self_test(reader, file, decode(_verified(root, file, sums)), expected_PC, TOLERANCE[model])
    reader.log = None if log is None else Log(log, reader.name, log_images)
    return reader


def bundle_name(listed: bytes, *, int8: bool) -> str:
    """Return the name of a bundle in logs, from the content of its SUMS file, and of its model."""
    return f"bundle {hashlib.sha256(listed).hexdigest()[:12]}{' int8' if int8 else ''}"


def open_session(weights: bytes) -> Any:
    """Return a session of onnxruntime on one thread of the CPU. Raises BundleError."""
    try:
        import onnxruntime  # slow to import, and Slotlab uses the rest of this file without it
    except ImportError as error:
        raise BundleError("The reader needs the package onnxruntime. Install it with pip.") from error
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # one image is too small for more
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class for each status
        raise BundleError(f"onnxruntime {onnxruntime.__version__} cannot load this model.") from error


def _self_test(reader: Reader, name: str, image: Pixels, expected_PC: Floats, tolerance: float) -> None:
    """Raise BundleError if the reader answers differently than when the bundle was made."""
    found_PC = reader.log_probs([image])[0]
    same_shape = found_PC.shape == expected_PC.shape
    likely = np.maximum(found_PC, expected_PC) > LIKELY if same_shape else np.zeros(0, dtype=bool)
    difference = float(np.abs(found_PC - expected_PC)[likely].max()) if same_shape and likely.any() else math.inf
    if not difference <= tolerance:
        raise BundleError(
            f"The bundle reads its test image {name} differently here than when it was made "
            f"(by {difference:.2g} nats, at most {tolerance:g} allowed). Do not use it on this machine."
        )


def sums_of(listed: bytes) -> dict[str, str]:
    """Return the SHA-256 of each file of a bundle, from the content of its SUMS file."""
    lines = listed.decode("utf-8", "replace").splitlines()
    return {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}


def _verified(root: Path, name: str, sums: dict[str, str]) -> bytes:
    data = _bytes(root, name)
    if hashlib.sha256(data).hexdigest() != sums.get(name):
        raise BundleError(f"{name} of this bundle is damaged. Copy the whole bundle again.")
    return data


def _bytes(root: Path, name: str) -> bytes:
    try:
        return (root / name).read_bytes()
    except OSError as error:
        raise BundleError(f"{name} of this bundle cannot be read ({error.strerror}). Copy the bundle again.") from error


def _manifest(data: bytes) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(data)  # its hash is right
    if manifest["format"] != FORMAT:
        raise BundleError(f"The bundle has format {manifest['format']}. This reader.py reads format {FORMAT}.")
    return manifest


def _familiar(data: bytes) -> Familiar:
    try:
        return Familiar.from_bytes(data)
    except Exception as error:  # of zipfile and numpy
        raise BundleError(f"{FAMILIAR} of this bundle is damaged. Make the bundle again.") from error


def _moves(view: dict[str, Any]) -> Moves:
    return float(view["shift_x"]), float(view["shift_y"]), float(view["zoom"]), float(view["degrees"])


# The command


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one JSON object for each file. Return 1 if a file cannot be read."""
    parser = argparse.ArgumentParser(description="Read images. Print one JSON object a line.")
    parser.add_argument("files", nargs="+", metavar="FILES", help="Images to read.")
    parser.add_argument("--int8", action="store_true", help="Use the smaller and faster model of the bundle.")
    parser.add_argument("--log", metavar="FILE", help="Append each reading to this file, as a line of JSON.")
    parser.add_argument("--log-images", action="store_true", help="Write the images too, into the folder FILE.images.")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `decode` refuses large images
    warnings.filterwarnings("ignore", module=EXIF_MODULE)
    try:
        reader = load(int8=given.int8, log=given.log, log_images=given.log_images)
    except BundleError as error:
        print(f"reader.py: {error}", file=sys.stderr)
        return 1
    failed = False
    for file in given.files:
        try:
            reading = reader.read(file)
            record = {"file": file} | reading.to_dict() | ({"id": reading.id} if reading.id else {})
        except UnreadableImageError as error:
            record, failed = {"file": file, "error": str(error)}, True
        try:
            print(json.dumps(record, ensure_ascii=False), flush=True)
        except BrokenPipeError:  # `| head` has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
            return 1
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
