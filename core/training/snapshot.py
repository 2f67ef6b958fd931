"""Images of a run, frozen at its start in one file, so the training process needs no database."""

import hashlib
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.charset import TextSpec
from core.errors import StorageError, TrainingError
from core.evaluation.predictions import check_stored
from core.files import atomic_write
from core.images.pixels import decode
from core.words import plural

Row = tuple[str, str, str | None, str, bytes]
"""sha256 of the pixels, split, label or None, name, encoded image."""
READINGS = ("readers", "run")
"""Kinds of labels that are readings of a model: MACHINES of db.records, which training does not import."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Samples from `write_snapshot`, sorted by hash."""

    sha256: list[str]
    splits: list[str]
    labels: list[str | None]
    names: list[str]
    kinds: list[str]
    """Kinds of the labels; empty for labels of people."""
    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    """N + 1 offsets into `data`: image i is data[offsets[i]:offsets[i + 1]]."""

    def __len__(self) -> int:
        return len(self.sha256)

    def blob(self, index: int) -> bytes:
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Return the decoded image, H x W x 3. Raises ImageError."""
        return decode(self.blob(index))

    def labeled(self, split: str) -> list[int]:
        """Return the indices of the labeled samples of a split."""
        rows = zip(self.splits, self.labels, strict=True)
        return [index for index, (where, label) in enumerate(rows) if where == split and label]

    def choose(self, *, drop_seen_strings: bool) -> tuple[list[int], list[int]]:
        """Return the indices of training and validation samples, see `choose_samples`. Raises TrainingError."""
        return choose_samples(zip(self.splits, self.labels, strict=True), drop_seen_strings=drop_seen_strings)

    def weights_N(self, indices: Sequence[int], reading_weight: float) -> NDArray[np.float32] | None:
        """Return the weights of these labels in the loss; None if all are equal."""
        weights = [reading_weight if self.kinds[index] in READINGS else 1.0 for index in indices]
        return np.array(weights, dtype=np.float32) if len(set(weights)) > 1 else None

    def targets_NP(self, indices: Sequence[int], spec: TextSpec) -> NDArray[np.int64]:
        """Return class indices of the labels. Raises LabelError for a label that does not fit `spec`."""
        ids = [spec.encode(self.labels[index] or "") for index in indices]
        return np.array(ids, dtype=np.int64).reshape(len(indices), spec.length)


def write_snapshot(path: Path, rows: Iterable[Row], kinds: Mapping[str, str] | None = None) -> str:
    """Write `rows` atomically to one file and return a hash of the data.

    `kinds` has the kinds of labels that people did not give, by sha256. The hash covers pixels, splits, labels and
    these kinds, not names or the order of rows.
    """
    kinds = kinds or {}
    # 100,000 images take 300 MB and this may run in the server, so buffer them in a file.
    with tempfile.TemporaryFile(dir=path.parent) as images:
        index = []
        for sha256, split, label, name, data in rows:
            index.append((sha256, split, label or "", name, images.tell(), len(data)))
            images.write(data)
        index.sort()
        columns = list(zip(*index, strict=True)) or [()] * 6
        with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
            for key, column in zip(("sha256", "splits", "labels", "names"), columns, strict=False):
                _add(archive, key, np.array(column, dtype=np.str_))
            _add(archive, "kinds", np.array([kinds.get(sha256, "") for sha256 in columns[0]], dtype=np.str_))
            _add(archive, "offsets", np.concatenate([[0], np.cumsum(columns[5], dtype=np.int64)]).astype(np.int64))
            with archive.open("data.npy", "w", force_zip64=True) as member:
                shape = (sum(columns[5]),)
                np.lib.format.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False, "shape": shape})
                for start, size in zip(columns[4], columns[5], strict=True):
                    images.seek(start)
                    member.write(images.read(size))
    return _hash((sha256, split, label, kinds.get(sha256, "")) for sha256, split, label, *_ in index)


def dataset_hash(path: Path) -> str:
    """Return the hash that `write_snapshot` returned for this file. Raises StorageError if the file is damaged."""
    data = load_snapshot(path)  # all of it, because the archive has checksums
    labels = (label or "" for label in data.labels)
    return _hash(zip(data.sha256, data.splits, labels, data.kinds, strict=True))


def _hash(rows: Iterable[tuple[str, str, str, str]]) -> str:
    # Labels of people add no kind, so their hash is that of earlier versions.
    lines = "".join(" ".join((*row, kind) if kind else row) + "\n" for *row, kind in rows)
    return hashlib.sha256(lines.encode()).hexdigest()


def _add(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)


def load_snapshot(path: Path) -> Snapshot:
    """Read a snapshot. Raises StorageError if it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            check_stored(arrays)
            sha256 = arrays["sha256"].tolist()
            snapshot = Snapshot(
                sha256=sha256,
                splits=arrays["splits"].tolist(),
                labels=[label or None for label in arrays["labels"].tolist()],
                names=arrays["names"].tolist(),
                # Earlier versions had only labels of people.
                kinds=arrays["kinds"].tolist() if "kinds" in arrays else [""] * len(sha256),
                data=arrays["data"],
                offsets=arrays["offsets"],
            )
        _check_shapes(snapshot)
    except FileNotFoundError:
        raise StorageError(f"The run's data {path.name} is missing.") from None
    except Exception as error:  # zipfile, zlib and numpy raise various errors
        raise StorageError(f"The run's data {path.name} is damaged ({error}).") from error
    return snapshot


def _check_shapes(snapshot: Snapshot) -> None:
    """Raise ValueError if the arrays do not fit each other."""
    n, data, offsets = len(snapshot.sha256), snapshot.data, snapshot.offsets
    if {len(snapshot.splits), len(snapshot.labels), len(snapshot.names), len(snapshot.kinds)} != {n}:
        raise ValueError("its columns have different lengths")
    if data.dtype != np.uint8 or data.ndim != 1 or offsets.shape != (n + 1,) or offsets.dtype.kind not in "iu":
        raise ValueError("its images are missing")
    if offsets[0] != 0 or offsets[-1] != len(data) or (np.diff(offsets.astype(np.int64)) < 0).any():
        raise ValueError("its images are incomplete")


def training_strings(path: Path) -> frozenset[str]:
    """Return the labels of the training images of a snapshot. Raises StorageError."""
    splits, labels = snapshot_columns(path, "splits", "labels")
    return frozenset(labels[splits == "train"].tolist())


def snapshot_columns(path: Path, *names: str) -> list[NDArray[np.str_]]:
    """Return columns of a snapshot, one text per image, without reading the images. Raises StorageError."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            check_stored(arrays)
            return [arrays[name] for name in names]
    except Exception as error:  # zipfile, zlib and numpy raise various errors
        raise StorageError(f"The run's data {path.name} is missing or damaged.") from error


def choose_samples(
    samples: Iterable[tuple[str, str | None]], *, drop_seen_strings: bool
) -> tuple[list[int], list[int]]:
    """Return the indices of training and validation samples, given split and label of each sample.

    `drop_seen_strings` excludes training images whose text also occurs in val or test. Raises TrainingError if there
    is too little to learn from.
    """
    labeled = [(index, split, label) for index, (split, label) in enumerate(samples) if label]
    train = [(index, label) for index, split, label in labeled if split == "train"]
    val = [index for index, split, _ in labeled if split == "val"]
    if not train and not val:
        raise TrainingError("There are no labels yet. Label some images, then train.")
    dropped = 0
    if drop_seen_strings:
        held_out = {label for _, split, label in labeled if split != "train"}
        unseen = [(index, label) for index, label in train if label not in held_out]
        train, dropped = unseen, len(train) - len(unseen)
    if len(train) < 2 or not val:
        note = f" ({dropped} more were excluded by drop_seen_strings)" if dropped else ""
        raise TrainingError(
            f"The project has {plural(len(train), 'labeled training image')}{note} and {len(val)} for validation. "
            "Training needs at least 2 and 1. Images are split by their pixels, so label more."
        )
    texts = {label for _, label in train}
    if len(texts) == 1:
        raise TrainingError(
            f"All {len(train)} training labels are {texts.pop()!r}. A model needs different texts to learn from. Label "
            "more images."
        )
    return [index for index, _ in train], val


def batch_order(count: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order of samples in an epoch. It depends only on seed and epoch, so a resumed run repeats it."""
    return np.random.default_rng([seed, epoch]).permutation(count)
