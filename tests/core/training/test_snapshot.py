"""The frozen data of a run."""

from pathlib import Path

import numpy as np
import pytest

from core.errors import LabelError, StorageError, TrainingError
from core.training.snapshot import READINGS, batch_order, dataset_hash, load_snapshot, write_snapshot
from db.records import MACHINES
from tests.helpers.repository import ROOT
from tests.helpers.toy import SPEC, rows


def test_a_snapshot_returns_the_written_images(tmp_path: Path) -> None:
    """Bytes, labels, splits and names come back, ordered by hash."""
    written = [*rows(20, val=4), ("f" * 64, "test", None, "späte 1.png", b"")]
    write_snapshot(tmp_path / "dataset.npz", written)

    snapshot = load_snapshot(tmp_path / "dataset.npz")

    assert len(snapshot) == 21
    for index, row in enumerate(sorted(written)):
        sha256, split, label, name, data = row
        assert (snapshot.sha256[index], snapshot.splits[index]) == (sha256, split)
        assert (snapshot.labels[index], snapshot.names[index], snapshot.blob(index)) == (label, name, data)
    assert len(snapshot.labeled("train")) == 16
    assert snapshot.pixels(0).shape == (32, 64, 3)


def test_the_images_of_a_snapshot_are_not_held_in_memory(tmp_path: Path) -> None:
    """The app writes it, perhaps with 100,000 images."""
    import tracemalloc

    sizes = [200_000] * 100
    streamed = ((f"{index:064x}", "train", "0", "x.png", bytes(size)) for index, size in enumerate(sizes))
    tracemalloc.start()
    write_snapshot(tmp_path / "dataset.npz", streamed)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < sum(sizes) / 10
    assert len(load_snapshot(tmp_path / "dataset.npz").data) == sum(sizes)


def test_a_snapshot_may_be_empty(tmp_path: Path) -> None:
    """The caller decides whether that is too little."""
    write_snapshot(tmp_path / "dataset.npz", [])

    assert len(load_snapshot(tmp_path / "dataset.npz")) == 0


def test_the_hash_is_of_the_data_not_of_the_order(tmp_path: Path) -> None:
    """Equal images, splits and labels have equal hashes. A corrected label changes the hash."""
    data = rows(6, val=2)
    first = write_snapshot(tmp_path / "a.npz", data)
    sha256, split, _, name, image = data[0]
    corrected = [(sha256, split, "xx", name, image), *data[1:]]

    assert write_snapshot(tmp_path / "b.npz", iter(data[::-1])) == first
    assert write_snapshot(tmp_path / "c.npz", corrected) != first


def test_the_kinds_of_labels_that_people_did_not_give_are_kept_and_hashed(tmp_path: Path) -> None:
    """Labels of people change neither the hash nor the weights."""
    data = rows(6, val=2)
    plain = write_snapshot(tmp_path / "a.npz", data)

    hashed = write_snapshot(tmp_path / "b.npz", data, {data[0][0]: "readers", data[1][0]: "verdict"})

    snapshot = load_snapshot(tmp_path / "b.npz")
    kinds = dict(zip(snapshot.sha256, snapshot.kinds, strict=True))
    assert kinds == {row[0]: kind for row, kind in zip(data, ["readers", "verdict", "", "", "", ""], strict=True)}
    assert hashed == dataset_hash(tmp_path / "b.npz") != plain == dataset_hash(tmp_path / "a.npz")
    assert write_snapshot(tmp_path / "c.npz", data, {data[0][0]: "run", data[1][0]: "verdict"}) != hashed
    indices = [snapshot.sha256.index(row[0]) for row in data]
    weights_N = snapshot.weights_N(indices, 0.5)
    assert weights_N is not None
    assert weights_N.tolist() == [0.5, 1, 1, 1, 1, 1]
    assert snapshot.weights_N(indices[1:], 0.5) is None


def test_a_snapshot_without_kinds_has_labels_of_people(tmp_path: Path) -> None:
    """Earlier versions wrote no kinds. Their hash stays the same."""
    path = tmp_path / "dataset.npz"
    written = write_snapshot(path, rows(6))
    with np.load(path) as arrays:
        np.savez(path, **{name: arrays[name] for name in arrays.files if name != "kinds"})

    assert load_snapshot(path).kinds == [""] * 6
    assert dataset_hash(path) == written


def test_a_damaged_or_missing_snapshot_is_reported(tmp_path: Path) -> None:
    """The error is one sentence, not a traceback from zipfile."""
    path = tmp_path / "dataset.npz"
    with pytest.raises(StorageError, match="missing"):
        load_snapshot(path)
    write_snapshot(path, rows(6))
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(StorageError, match="damaged"):
        load_snapshot(path)


def test_the_writing_side_needs_no_torch() -> None:
    """The app and the command line write snapshots, and importing torch takes seconds."""
    import subprocess
    import sys

    modules = "core.training.snapshot, core.model.config, core.evaluation.metrics"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ([], "no labels yet"),
        (rows(6, val=0), "6 labeled training images and 0 for validation"),
        (rows(6, val=6), "0 labeled training images and 6 for validation"),
        ([(row[0], row[1], "||", row[3], row[4]) for row in rows(6, val=2)], "All 4 training labels are"),
    ],
)
def test_too_little_to_learn_from_is_refused(tmp_path: Path, data: list[tuple[str, ...]], sentence: str) -> None:
    """The error has the counts, because images are split by their pixels."""
    write_snapshot(tmp_path / "dataset.npz", data)  # type: ignore[arg-type]

    with pytest.raises(TrainingError, match=sentence):
        load_snapshot(tmp_path / "dataset.npz").choose(drop_seen_strings=False)


def test_seen_strings_can_be_left_out(tmp_path: Path) -> None:
    """Then no training text occurs in validation."""
    data = [row for row in rows(40, val=4) if row[2] is not None]
    write_snapshot(tmp_path / "dataset.npz", data)
    snapshot = load_snapshot(tmp_path / "dataset.npz")

    train, val = snapshot.choose(drop_seen_strings=True)

    assert train
    assert not {snapshot.labels[index] for index in train} & {snapshot.labels[index] for index in val}


def test_a_label_that_does_not_fit_is_named(tmp_path: Path) -> None:
    """A wrong label never becomes a wrong target."""
    sha256, split, _, name, image = rows(1)[0]
    write_snapshot(tmp_path / "dataset.npz", [(sha256, split, "|7", name, image)])

    with pytest.raises(LabelError, match="'7'"):
        load_snapshot(tmp_path / "dataset.npz").targets_NP([0], SPEC)


def test_the_order_of_an_epoch_follows_from_seed_and_epoch() -> None:
    """So a resumed run sees the same images as an uninterrupted one."""
    order = batch_order(50, seed=1, epoch=3)

    assert np.array_equal(order, batch_order(50, seed=1, epoch=3))
    assert sorted(order) == list(range(50))
    assert not np.array_equal(order, batch_order(50, seed=1, epoch=4))
    assert not np.array_equal(order, batch_order(50, seed=2, epoch=3))


def test_readings_are_the_labels_of_machines() -> None:
    """Training does not import db, so it repeats the kinds."""
    assert READINGS == MACHINES
