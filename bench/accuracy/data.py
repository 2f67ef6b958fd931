"""Image sets of the benchmarks, with labels and splits. Needs neither torch nor a database."""

import fcntl
import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

from bench.accuracy import kinds
from bench.accuracy.singles import single_rows
from core.bundle.reader import crop
from core.charset import TextSpec
from core.data.label_book import LabelBook
from core.data.sources import list_files
from core.evaluation.agreement import agreed
from core.files import atomic_write
from core.images import renderer
from core.images.frame import find_text, subsample
from core.images.pixels import decode, pixel_hash, split_of
from core.readers.readers import READERS
from core.training.snapshot import Row, Snapshot, write_snapshot

Readings = dict[str, list[tuple[str | None, float]]]
"""Text and confidence of each reader, by pixel hash."""

FOLDS = 5
DRAWS = 3


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
    kind: str = ""
    """Name in KINDS of bench.accuracy.kinds, which then draws the images instead."""
    cut_from: tuple[str, ...] = ()
    """Names of sets of folders. One character of each of their images is an image of this set."""
    taught: bool = False
    """True if the labels of train and val are the readings that both general readers agree on, and `typed` others."""
    few: int = 0
    """Labels of train and val together, nine in train for one in val. 0 takes all."""
    draw: int = 0
    """Which of them, with `few`."""
    typed: int = 0
    """Labels of people: a tenth each in val and test, the others in train, where the readers disagree."""

    @property
    def spec(self) -> TextSpec:
        return TextSpec(self.length, self.charset)

    @property
    def folders(self) -> tuple[str, ...]:
        """Subfolders of the --data folder that this set needs."""
        return tuple(SETS[name].folder or "" for name in self.cut_from) or ((self.folder,) if self.folder else ())


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
        path = folder / f"{images.name}{'' if images.folders else '-' + _recipe(images)}.npz"
        note = path.with_suffix(".json")
        if images.folders or not note.exists():
            rows = _rows(images, data)
            kinds: dict[str, str] = {}
            if images.few:
                rows = drawn(rows, images.few, images.draw)
            if images.taught:
                rows, kinds = taught(rows, images.typed, read_by_all(rows, images.spec, work))
            counts = Counter(row[1] for row in rows if row[2])
            text = json.dumps({"hash": write_snapshot(path, rows, kinds), "counts": counts})
            with atomic_write(note, sync=False) as file:
                file.write(text.encode())
        return Frozen(path=path, **json.loads(note.read_text()))


def _rows(images: ImageSet, data: Path | None) -> list[Row]:
    if images.cut_from:
        return single_rows([_from_folder(SETS[name], data) for name in images.cut_from])
    return _from_folder(images, data) if images.folder else list(_rendered(images))


def taught(rows: list[Row], count: int, readings: Readings) -> tuple[list[Row], dict[str, str]]:
    """Return the rows with the labels that a project with `count` labels of people would have, and kinds in train.

    These are the agreed readings, and the typed labels where the queue of disagreements asks for them. As in a project,
    val has only labels of people once it has any. Typed labels that the disagreements leave over go to val, and those
    that val leaves over replace agreed readings of train.
    """
    texts = {sha256: agreed([text for text, _ in each]) for sha256, each in readings.items()}
    confidences = {sha256: min(confidence for _, confidence in each) for sha256, each in readings.items()}
    disputed = [row[0] for row in rows if row[1] == "train" and texts[row[0]] is None]
    disputed.sort(key=lambda sha256: -confidences[sha256])
    tenth = count // 10
    by_people = disputed[: count - 2 * tenth]
    val = [row[0] for row in rows if row[1] == "val"][: count - tenth - len(by_people)]
    left = count - tenth - len(by_people) - len(val)
    undisputed = [row[0] for row in rows if row[1] == "train" and texts[row[0]] is not None]
    typed = {*by_people, *val, *undisputed[:left]}

    def label(row: Row) -> str | None:
        given = row[1] == "test" or row[0] in typed
        return row[2] if given else texts[row[0]] if row[1] == "train" or not val else None

    kinds = {sha256: "readers" for sha256 in undisputed if sha256 not in typed}
    return [(row[0], row[1], label(row), *row[3:]) for row in rows], kinds


def drawn(rows: list[Row], count: int, draw: int) -> list[Row]:
    """Return the rows of test and a random `count` of the others, as a project with so many labels has them."""
    rng, tenth = random.Random(draw), count // 10
    chosen = {row[0] for row in rows if row[1] == "test"}
    for split, wanted in (("train", count - tenth), ("val", tenth)):
        chosen |= set(rng.sample([row[0] for row in rows if row[1] == split], wanted))
    return [row for row in rows if row[0] in chosen]


def rows_of(snapshot: Snapshot, places: Iterable[int]) -> list[Row]:
    """Return the rows of a snapshot at these places."""
    return [
        (snapshot.sha256[place], snapshot.splits[place], snapshot.labels[place], snapshot.names[place],
         snapshot.blob(place))
        for place in places
    ]  # fmt: skip


def read_by_all(rows: list[Row], spec: TextSpec, work: Path, readers: Sequence[str] = tuple(READERS)) -> Readings:
    """Return text and confidence of each reader by pixel hash. Readings are kept, because they take minutes."""
    from core.runs.propose_worker import load_readers  # needs a database, and torch for the built-in reader

    box = find_text([decode(rows[index][4]) for index in subsample(range(len(rows)))], spec.length)[0]
    by_reader = []
    for reader in load_readers(readers):
        charset = hashlib.sha256(spec.charset.encode()).hexdigest()[:8]
        about = f"{reader.name}-{reader.version}-{spec.length}-{charset}-{box}"
        path = work / "data" / f"readings-{about}.json"
        known: dict[str, tuple[str | None, float]] = json.loads(path.read_text()) if path.exists() else {}
        unread = [row for row in rows if row[0] not in known]
        for start in range(0, len(unread), 100):
            part = unread[start : start + 100]
            readings = reader.read([crop(decode(row[4]), box) for row in part], spec)
            for row, reading in zip(part, readings, strict=True):
                known[row[0]] = (reading.text, round(reading.confidence, 6))
            with atomic_write(path, sync=False) as file:
                file.write(json.dumps(known).encode())
        by_reader.append(known)
    return {row[0]: [(text, confidence) for text, confidence in (known[row[0]] for known in by_reader)] for row in rows}


def _recipe(images: ImageSet) -> str:
    """Return a 10-character hash of everything rendered images depend on."""
    module = kinds if images.kind else renderer
    drawn_by = hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest()
    parts = [asdict(part) for part in images.parts]
    recipe = [parts, asdict(images.style), images.length, images.charset, drawn_by, version("pillow")]
    if images.kind:
        recipe.append(images.kind)
    if images.few:
        recipe += [images.few, images.draw]
    if images.taught:
        recipe += [images.typed, *(version(name) for name in READERS)]
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:10]


def _rendered(images: ImageSet) -> Iterator[Row]:
    for part in images.parts:
        splits = [split for split, count in part.counts for _ in range(count)]
        if images.kind:
            images_of_part = kinds.samples(images.kind, splits, part.seed)
        else:
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
    book = LabelBook(rule, images.spec, [entry.name for entry in entries], decides=False)
    rows: dict[str, Row] = {}
    for entry in entries:
        if (given := book.label_of(entry.name)) is not None:
            sha256 = pixel_hash(decode(blob := entry.read()))
            rows.setdefault(sha256, (sha256, split_of(sha256), given.text, entry.name, blob))
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
_KINDS = (Part(seed=4000, counts=(("train", 1800), ("val", 200))), Part(seed=4001, counts=(("test", 2000),)))
_DIGITS4 = ImageSet(name="digits4", length=4, folder="digits4", labels="labels.csv")
_HENAN4 = ImageSet(name="henan4", length=4, folder="henan4", labels="labels.csv")
_HENAN1 = ImageSet(name="henan1", length=1, folder="henan1", labels="labels.csv")
_HARD4000 = ImageSet(name="hard4000", length=6, parts=_HARD, style=renderer.HARD)
_PORTAL6 = ImageSet(name="portal6", length=6, folder="portal6", divide=fold_of(0))

SETS: dict[str, ImageSet] = {
    images.name: images
    for images in (
        _DIGITS4,
        *(
            ImageSet(name=f"portal6-fold{fold}", length=6, folder="portal6", divide=fold_of(fold))
            for fold in range(FOLDS)
        ),
        _HENAN4,
        _HENAN1,
        ImageSet(name="digits4-zero", length=4, folder="digits4", labels="labels.csv", taught=True),
        ImageSet(name="henan4-zero", length=4, folder="henan4", labels="labels.csv", taught=True),
        *(
            ImageSet(name=f"portal6-zero-fold{fold}", length=6, folder="portal6", divide=fold_of(fold), taught=True)
            for fold in range(FOLDS)
        ),
        ImageSet(name="digits4-fifty", length=4, folder="digits4", labels="labels.csv", taught=True, typed=50),
        ImageSet(name="henan4-fifty", length=4, folder="henan4", labels="labels.csv", taught=True, typed=50),
        *(
            ImageSet(
                name=f"portal6-fifty-fold{fold}",
                length=6,
                folder="portal6",
                divide=fold_of(fold),
                taught=True,
                typed=50,
            )
            for fold in range(FOLDS)
        ),
        ImageSet(name="hard4000-zero", length=6, parts=_HARD, style=renderer.HARD, taught=True),
        ImageSet(name="demo-zero", length=6, parts=(Part(seed=0, counts=(("hash", 2000),)),), taught=True),
        # No more than four images of portal6 have characters that are apart.
        ImageSet(name="single", length=1, charset="0123456789N", cut_from=("digits4", "henan4")),
        ImageSet(name="portal6-all", length=6, folder="portal6", divide=all_test),
        _HARD4000,
        ImageSet(name="demo", length=6, parts=(Part(seed=0, counts=(("hash", 6000),)),)),
        *(
            replace(images, name=f"{images.name}-{count}-draw{draw}", few=count, draw=draw)
            for images, counts in (
                (_DIGITS4, (50, 100, 200, 1000)),
                (_HENAN4, (50, 100, 200, 1000)),
                (_HENAN1, (100,)),
                (_HARD4000, (50, 200, 1000)),
                (_PORTAL6, (200,)),
            )
            for count in counts
            for draw in range(DRAWS if count <= 200 else 1)
        ),
        *(
            replace(images, name=f"{images.name}-{count}-readers", taught=True, typed=count)
            for images in (_DIGITS4, _HENAN4, _HARD4000)
            for count in (50, 200, 1000)
        ),
        *(
            ImageSet(name=name, length=kind.length, charset=kind.charset, kind=name, parts=_KINDS)
            for name, kind in kinds.KINDS.items()
        ),
        replace(_HARD4000, name="hard4000-untested", parts=_HARD[:1]),
        replace(_HARD4000, name="hard4000-other", parts=(_HARD[0], Part(seed=4242, counts=(("test", 10_000),)))),
        ImageSet(name="quick", length=6, parts=(Part(seed=0, counts=(("train", 64), ("val", 16), ("test", 16))),)),
    )
}
"""`demo` is the set of `slotlab demo`, and `quick` is a smoke test. To choose something, `hard4000-untested` has no
test images, and `hard4000-other` has others."""
