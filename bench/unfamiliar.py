"""Familiar and unfamiliar images that are flagged. Each cell writes a JSON file to bench/results/unfamiliar.

    python -m bench.unfamiliar --data DIR [--only 'henan*'] [--list] [--again] [--quick]

DIR has digits4/, henan4/, henan1/, portal6/ and unlabelled4/; other images are rendered. A cell learns from the
training images of a set and takes the limits from its validation images, as a run and its bundle do. No network takes
part. It counts the test images that are flagged, then changed copies of these and images of the other sets. Copies are
encoded as the originals are. Nothing is chosen on test images.
"""

import io
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from bench.cells import Bench, BenchCell, CellError, environment
from bench.grid import main
from core.bundle.reader import UNLIKE_COLORS, UNLIKE_STYLE, Familiar
from core.data.sources import list_files
from core.evaluation.familiarity import Learner
from core.evaluation.metrics import interval95
from core.images import renderer
from core.images.colors import background_and_ink
from core.images.pixels import Pixels, decode, image_format, pixel_hash, split_of

COPIES = 100
"""Images of each kind."""
RENDERED = (2000, 500)
"""Rendered images for training and validation, and for test."""
QUALITY = 90
"""JPEG quality of changed copies."""
MANY_HUES = "hue turned"
"""Kind that changes nothing where training has images in every hue."""


@dataclass(frozen=True, kw_only=True)
class UnfamiliarCell(BenchCell):
    """The flagged images of one set."""

    images: str
    """Name in SETS."""
    few: int = 0
    """Images of train and val together, nine in train for one in val. 0 takes all."""
    has: tuple[str, ...] = ()
    """Kinds of changed copies that training has too. They are counted apart."""

    def needed(self) -> str:
        return "--data with all folders"

    def missing(self, data: Path | None) -> str | None:
        absent = [name for name, made in SETS.items() if made is None and not (data and (data / name).is_dir())]
        return f"there is no --data folder with {absent[0]}/" if absent and self.group != "quick" else None

    def changed(self, result: Mapping[str, Any]) -> bool:
        return bool(result["few"] != self.few)


SETS: dict[str, renderer.Style | None] = {
    "digits4": None, "henan4": None, "henan1": None, "portal6": None, "unlabelled4": None,
    "demo": renderer.DEMO, "hard": renderer.HARD,
}  # fmt: skip
"""Folders of images, and styles of rendered ones."""
ALIKE = ({"demo", "hard"},)
"""Sets that differ in nothing but how close the characters are."""

CELLS = (
    UnfamiliarCell(
        name="digits4", what="real, 4 digits in any color, light or dark", group="unfamiliar", images="digits4",
        has=(MANY_HUES, "inverted"),
    ),
    UnfamiliarCell(name="henan4", what="real, 4 digits", group="unfamiliar", images="henan4", has=(MANY_HUES,)),
    UnfamiliarCell(name="henan1", what="real, 1 digit", group="unfamiliar", images="henan1", has=(MANY_HUES,)),
    UnfamiliarCell(name="portal6", what="real, 6 digits, gray", group="unfamiliar", images="portal6", has=(MANY_HUES,)),
    UnfamiliarCell(name="unlabelled4", what="real, 4 digits, blue on white", group="unfamiliar", images="unlabelled4"),
    UnfamiliarCell(name="demo", what="rendered, 6 digits in six inks", group="unfamiliar", images="demo"),
    UnfamiliarCell(name="hard", what="rendered, 6 digits in six inks, closer", group="unfamiliar", images="hard"),
    UnfamiliarCell(
        name="digits4-100", what="90 images of train and 10 of val", group="few", images="digits4", few=100,
        has=(MANY_HUES, "inverted"),
    ),
    UnfamiliarCell(
        name="henan4-100", what="90 images of train and 10 of val", group="few", images="henan4", few=100,
        has=(MANY_HUES,),
    ),
)  # fmt: skip
QUICK = UnfamiliarCell(
    name="quick", what="rendered; shows no more than that the bench works", group="quick", images="demo", few=60
)


@dataclass(frozen=True)
class Images:
    """The images of a set by their split, and whether they are JPEG."""

    is_jpeg: bool
    splits: dict[str, list[Pixels]] = field(default_factory=lambda: {"train": [], "val": [], "test": []})


@cache
def images_of(name: str, data: Path | None, counts: tuple[int, int] = RENDERED) -> Images:
    """Return a set, sorted by hash and without duplicates. Splits follow from the hash, as in a project."""
    if (rendered := SETS[name]) is not None:
        found = Images(is_jpeg=False)
        for number, (*_, blob) in enumerate(renderer.samples(sum(counts), 5000, style=rendered)):
            pixels = decode(blob)
            is_val = split_of(pixel_hash(pixels)) == "val"
            found.splits["test" if number >= counts[0] else "val" if is_val else "train"].append(pixels)
        return found
    if data is None:
        raise CellError("The images are in the --data folder.")
    blobs = [entry.read() for entry in list_files(data / name) if not entry.name.endswith(".csv")]
    by_hash = {pixel_hash(pixels): pixels for pixels in map(decode, blobs)}
    found = Images(is_jpeg=image_format(blobs[0]) == "jpeg")
    for sha256, pixels in sorted(by_hash.items()):
        found.splits[split_of(sha256)].append(pixels)
    return found


# Changed copies


def larger_canvas(image: Pixels, _: random.Random) -> Pixels:
    """Return the same text on a canvas that is 30% larger, in the color of the background."""
    height, width, _channels = image.shape
    tall, wide = round(height * 1.3), round(width * 1.3)
    canvas = np.full((tall, wide, 3), background_and_ink(image)[0], dtype=np.uint8)
    top, left = (tall - height) // 2, (wide - width) // 2
    canvas[top : top + height, left : left + width] = image
    return canvas


def inverted(image: Pixels, _: random.Random) -> Pixels:
    return 255 - image


def hue_turned(image: Pixels, _: random.Random) -> Pixels:
    """Return the image with every hue turned by 135 degrees."""
    hue, saturation, value = Image.fromarray(image).convert("HSV").split()
    turned = Image.fromarray(np.asarray(hue) + np.uint8(96))
    return np.asarray(Image.merge("HSV", (turned, saturation, value)).convert("RGB"))


def blurred(image: Pixels, _: random.Random) -> Pixels:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(len(image) / 30)))


def bolder(image: Pixels, _: random.Random) -> Pixels:
    """Return the image with strokes that are two pixels wider."""
    paper, ink = background_and_ink(image).astype(int).sum(axis=1)
    return np.asarray(
        Image.fromarray(image).filter(ImageFilter.MinFilter(3) if ink < paper else ImageFilter.MaxFilter(3))
    )


def other_lines(image: Pixels, rng: random.Random) -> Pixels:
    """Return the image with a grid of thin lines in the color of its ink."""
    picture, ink = Image.fromarray(image), tuple(background_and_ink(image)[1].tolist())
    draw, (width, height) = ImageDraw.Draw(picture), picture.size
    pitch = max(5, height // 5)
    for x in range(rng.randrange(pitch), width, pitch):
        draw.line((x, 0, x, height), fill=ink)
    for y in range(rng.randrange(pitch), height, pitch):
        draw.line((0, y, width, y), fill=ink)
    return np.asarray(picture)


CHANGED: dict[str, Callable[[Pixels, random.Random], Pixels]] = {
    "larger canvas": larger_canvas, "inverted": inverted, MANY_HUES: hue_turned,
    "blurred": blurred, "bolder strokes": bolder, "a grid of lines": other_lines,
}  # fmt: skip
OTHER, DISGUISED = "other portals", "other portals, same size and colors"
SAME = ("blurred", "bolder strokes", "a grid of lines", DISGUISED)
"""Kinds that keep size and colors."""


def disguised(image: Pixels, like: Pixels) -> Pixels:
    """Return an image at the size of another one, with the same values of each channel in the same order."""
    resized = np.asarray(Image.fromarray(image).resize(like.shape[1::-1], Image.Resampling.BILINEAR))
    made = np.empty_like(like)
    for channel in range(3):
        order_N = resized[..., channel].ravel().argsort(kind="stable")
        made[..., channel].reshape(-1)[order_N] = np.sort(like[..., channel], axis=None)
    return made


def encoded(image: Pixels, *, is_jpeg: bool) -> Pixels:
    """Return the image as it is decoded from a file of the set's format."""
    if not is_jpeg:
        return image
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=QUALITY)
    return decode(file.getvalue())


def kinds_of(own: Images, others: Sequence[Sequence[Pixels]]) -> dict[str, list[Pixels]]:
    """Return unfamiliar images of each kind, made of test images."""
    rng, test = random.Random(0), own.splits["test"][:COPIES]
    kinds = {
        kind: [encoded(change(image, rng), is_jpeg=own.is_jpeg) for image in test] for kind, change in CHANGED.items()
    }
    foreign = [image for images in others for image in images[: COPIES // len(others)]]
    kinds[OTHER] = foreign
    kinds[DISGUISED] = [
        encoded(disguised(image, test[index % len(test)]), is_jpeg=own.is_jpeg) for index, image in enumerate(foreign)
    ]
    return kinds


# Counting


def learned(train: Sequence[Pixels], val: Sequence[Pixels]) -> Familiar:
    """Return the look of images as a run learns it. Raises CellError if they are too few."""
    learner = Learner()
    for image in train:
        learner.train(image)
    for image in val:
        learner.val(image)
    familiar = learner.familiar()
    if familiar is None:
        raise CellError("The set has too few images.")
    return familiar


def measure(cell: UnfamiliarCell, bench: Bench) -> dict[str, Any]:
    """Count the flagged images of each kind."""
    names = ("demo",) if cell.group == "quick" else tuple(SETS)
    counts = (200, 20) if cell.group == "quick" else RENDERED
    data = bench.data and bench.data.resolve()
    own = images_of(cell.images, data, counts)
    others = [name for name in names if name != cell.images and {name, cell.images} not in ALIKE]
    train, val = own.splits["train"], own.splits["val"]
    if cell.few:
        train, val = train[: cell.few - cell.few // 10], val[: cell.few // 10]
    familiar = learned(train, val)
    kinds = kinds_of(own, [images_of(name, data, counts).splits["test"] for name in others] or [own.splits["test"]])
    seconds: list[float] = []
    return {
        "cell": cell.name,
        "what": cell.what,
        "few": cell.few,
        "n": {"train": len(train), "val": len(val)},
        **environment(bench.threads),
        "bytes": len(familiar.to_bytes()),
        "familiar": flagged(familiar, own.splits["test"], seconds),
        "kinds": {kind: flagged(familiar, images) | {"has": kind in cell.has} for kind, images in kinds.items()},
        "ms": round(1000 * statistics.median(seconds), 3),
    }


def flagged(familiar: Familiar, images: Sequence[Pixels], seconds: list[float] | None = None) -> dict[str, Any]:
    """Return the number of flagged images with its interval, and the reasons. Append the seconds of each image."""
    reasons = Counter[str]()
    for image in images:
        began = time.perf_counter()
        reason = familiar.reason(image)
        if seconds is not None:
            seconds.append(time.perf_counter() - began)
        if reason is not None:
            reasons[{UNLIKE_COLORS: "colors", UNLIKE_STYLE: "style"}.get(reason, "size")] += 1
    k, n = reasons.total(), len(images)
    return {"k": k, "n": n, "ci95": list(interval95(k, n)), "reasons": dict(reasons.most_common())}


def command() -> int:
    return main("unfamiliar", __doc__ or "", CELLS, (QUICK,), measure)


if __name__ == "__main__":
    sys.exit(command())
