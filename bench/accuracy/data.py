"""Image sets of the benchmarks, with labels and splits. Needs neither torch nor a database."""

import fcntl
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from core.charset import TextSpec
from core.data.sources import LabelBook, list_files
from core.images import renderer
from core.images.pixels import decode, pixel_hash, split_of
from core.training.snapshot import Row, write_snapshot

FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rendered images of one seed. All texts differ."""

    seed: int
    counts: tuple[tuple[str, int], ...]
    """Split and number, in rendering order. The split `hash` means by pixels, as in a project."""


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Images from a folder of labeled images, or rendered from `parts`."""

    name: str
    length: int
    charset: str = "0123456789"
    folder: str | None = None
    """Subfolder of the --data folder."""
    labels: str = "filename"
    """`filename`, or the name of a CSV in the folder."""
    divide: Callable[[list[Row]], list[Row]] = lambda rows: rows
    """Assigns splits to the images of a folder, sorted by hash. By default they follow from the hash."""
    parts: tuple[Part, ...] = ()
    style: renderer.Style = renderer.DEMO

    @property
    def spec(self) -> TextSpec:
        return TextSpec(self.length, self.charset)


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """An image set written to one file."""

    path: Path
    hash: str
    counts: dict[str, int]
    """Number of images per split."""


def freeze(images: ImageSet, work: Path, data: Path | None) -> Frozen:
    """Write the set to `work`, or reuse it: rendering takes minutes and depends only on its recipe.

    Raises ImportSourceError, ImageError or LabelError if the folder does not match the description.
    """
    folder = work / "data"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two cells or benches may need the same set
        path = folder / f"{images.name}{'' if images.folder else '-' + _recipe(images)}.npz"
        note = path.with_suffix(".json")
        if images.folder or not note.exists():
            rows = list(_rendered(images)) if images.folder is None else _from_folder(images, data)
            counts = Counter(row[1] for row in rows)
            note.write_text(json.dumps({"hash": write_snapshot(path, rows), "counts": counts}))
        return Frozen(path=path, **json.loads(note.read_text()))


def _recipe(images: ImageSet) -> str:
    """Return a 10-character hash of everything rendered images depend on."""
    drawn_by = hashlib.sha256(Path(renderer.__file__).read_bytes()).hexdigest()
    parts = [asdict(part) for part in images.parts]
    recipe = [parts, asdict(images.style), images.length, images.charset, drawn_by, version("pillow")]
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:10]


def _rendered(images: ImageSet) -> Iterator[Row]:
    for part in images.parts:
        splits = [split for split, count in part.counts for _ in range(count)]
        images_of_part = renderer.samples(len(splits), part.seed, images.length, images.charset, images.style)
        for split, (name, text, png) in zip(splits, images_of_part, strict=True):
            sha256 = pixel_hash(decode(png))
            yield sha256, split_of(sha256) if split == "hash" else split, text, name, png


def _from_folder(images: ImageSet, data: Path | None) -> list[Row]:
    """Return every labeled image of the folder, without duplicates."""
    assert data is not None
    assert images.folder is not None
    folder = data / images.folder
    entries = list_files(folder)
    rule = "filename" if images.labels == "filename" else str(folder / images.labels)
    book = LabelBook(rule, images.spec, [entry.name for entry in entries])
    rows: dict[str, Row] = {}
    for entry in entries:
        if (label := book.label_of(entry.name)) is not None:
            sha256 = pixel_hash(decode(blob := entry.read()))
            rows.setdefault(sha256, (sha256, split_of(sha256), label, entry.name, blob))
    return images.divide(sorted(rows.values()))


def fold_of(fold: int) -> Callable[[list[Row]], list[Row]]:
    """Hold out every fifth image by hash order. The val images of the rest select the checkpoint."""

    def divide(rows: list[Row]) -> list[Row]:
        splits = [
            "test" if index % FOLDS == fold else "val" if row[1] == "val" else "train" for index, row in enumerate(rows)
        ]
        return [(row[0], split, *row[2:]) for row, split in zip(rows, splits, strict=True)]

    return divide


def all_test(rows: list[Row]) -> list[Row]:
    """Put all images into test, for a reader that is not trained on them."""
    return [(row[0], "test", *row[2:]) for row in rows]


_HARD = (Part(seed=1000, counts=(("train", 3600), ("val", 400))), Part(seed=2000, counts=(("test", 10_000),)))
_WIDE = (Part(seed=3000, counts=(("train", 2000), ("val", 200), ("test", 1000))),)

SETS: dict[str, ImageSet] = {
    images.name: images
    for images in (
        ImageSet(name="digits4", length=4, folder="digits4", labels="labels.csv"),
        *(
            ImageSet(name=f"portal6-fold{fold}", length=6, folder="portal6", divide=fold_of(fold))
            for fold in range(FOLDS)
        ),
        ImageSet(name="portal6-all", length=6, folder="portal6", divide=all_test),
        ImageSet(name="hard4000", length=6, parts=_HARD, style=renderer.HARD),
        ImageSet(name="wide4", length=4, parts=_WIDE),
        ImageSet(name="demo", length=6, parts=(Part(seed=0, counts=(("hash", 6000),)),)),
        ImageSet(name="quick", length=6, parts=(Part(seed=0, counts=(("train", 64), ("val", 16), ("test", 16))),)),
    )
}
"""In `wide4`, images are about twice as wide as their text, which may be anywhere. `demo` is the set of `slotlab demo`.
`quick` is a smoke test."""
