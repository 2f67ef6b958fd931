"""Checkpoints: atomic, verified, and never losing the previous one."""

import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import CheckpointError
from core.model import checkpoint
from tests.helpers.repository import ROOT


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a hundredth of the usual time for a checkpoint that is being replaced."""
    monkeypatch.setattr(checkpoint, "WAITS_S", tuple(seconds / 100 for seconds in checkpoint.WAITS_S))


def state(value: float) -> dict[str, Any]:
    return {"value": value, "weights": torch.full((300,), value)}


def test_the_newest_two_and_the_newest_best_are_kept(tmp_path: Path) -> None:
    """Each has its note. Nothing else remains, not even the temporary file of a killed process."""
    (tmp_path / ".step-000005.pt.0123.tmp").write_bytes(b"half")
    for step in (10, 20, 30):
        checkpoint.save(tmp_path, "step", step, state(step), {})
    for step in (10, 30):
        checkpoint.save(tmp_path, "best", step, state(step), {"exact": 0.5})

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best-000030.json", "best-000030.pt",
        "step-000020.json", "step-000020.pt", "step-000030.json", "step-000030.pt",
    ]  # fmt: skip
    loaded = checkpoint.load(tmp_path, "step")
    assert loaded is not None
    assert loaded["value"] == 30


def test_steps_are_ordered_as_numbers(tmp_path: Path) -> None:
    """Names get longer after a million steps."""
    for step in (999_999, 1_000_001):
        checkpoint.save(tmp_path, "step", step, state(step), {})

    loaded = checkpoint.load(tmp_path, "step")
    assert loaded is not None
    assert loaded["value"] == 1_000_001


def damage_file(path: Path, damage: str) -> None:
    data, note = bytearray(path.read_bytes()), path.with_suffix(".json")
    match damage:
        case "torn":
            path.write_bytes(data[: len(data) // 2])
        case "flipped":
            data[-700] ^= 1
            path.write_bytes(data)
        case "empty":
            path.write_bytes(b"")
        case "missing":
            path.unlink()
        case "no note":
            note.unlink()
        case "torn note":
            note.write_text(note.read_text()[:20])
        case "note without fields":
            note.write_text("{}")
        case "note of another":
            note.write_text(json.dumps(json.loads(note.read_text()) | {"step": 3}))
        case "not a note":
            note.write_text("[" * 100_000)


DAMAGES = ["torn", "flipped", "empty", "missing", "torn note", "note without fields", "note of another", "not a note"]


@pytest.mark.parametrize("damage", [*DAMAGES, "no note"])
def test_the_writer_continues_from_the_checkpoint_before_a_damaged_one(tmp_path: Path, damage: str) -> None:
    """It names the damaged one and sets it aside. A checkpoint without a note was never finished."""
    checkpoint.save(tmp_path, "step", 1, state(1), {})
    newest = checkpoint.save(tmp_path, "step", 2, state(2), {})
    damage_file(newest, damage)

    loaded, damaged = checkpoint.load_for_resume(tmp_path)

    assert loaded is not None
    assert loaded["value"] == 1
    assert damaged == ([] if damage == "no note" else ["step-000002.pt"])
    assert (tmp_path / "step-000002.json.corrupt").exists() is (damage != "no note")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_reader_names_a_damaged_checkpoint(impatient: None, tmp_path: Path, damage: str) -> None:
    """It neither reads an older one instead nor touches the file."""
    checkpoint.save(tmp_path, "step", 1, state(1), {})
    newest = checkpoint.save(tmp_path, "step", 2, state(2), {})
    damage_file(newest, damage)
    before = sorted(tmp_path.iterdir())

    for read in (lambda: checkpoint.load(tmp_path, "step"), lambda: checkpoint.load_for_prediction(tmp_path)):
        with pytest.raises(CheckpointError, match=r"The checkpoint step-000002\.pt is damaged: it"):
            read()

    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("damage", [*DAMAGES, "no note"])
def test_the_selected_checkpoint_is_never_replaced_in_silence(impatient: None, tmp_path: Path, damage: str) -> None:
    """Neither by the training state nor by an older selection. A resume sets it aside and names it."""
    older = checkpoint.save(tmp_path, "best", 4, state(4), {})
    copies = {path: path.read_bytes() for path in (older, older.with_suffix(".json"))}
    best = checkpoint.save(tmp_path, "best", 7, state(7), {})
    checkpoint.save(tmp_path, "step", 9, state(9), {"best": {"step": 7}})
    damage_file(best, damage)

    for name in ("best-000007.pt", "best-000007.pt"):
        with pytest.raises(CheckpointError, match=rf"{name}.* Restore it from a backup or use another run"):
            checkpoint.load_for_prediction(tmp_path)
        for path, data in copies.items():
            path.write_bytes(data)

    loaded, damaged = checkpoint.load_for_resume(tmp_path)
    assert loaded is not None
    assert loaded["value"] == 9
    assert damaged == ([] if damage == "no note" else ["best-000007.pt"])


def test_files_with_other_names_are_ignored(tmp_path: Path) -> None:
    """A person may keep copies beside the checkpoints."""
    for name in ("best-x", "best-", "best-1e5", "step-000001 (copy)", "step--00001", "best-99999999999999999999"):
        (tmp_path / f"{name}.pt").write_bytes(b"copy")
        (tmp_path / f"{name}.json").write_text("{}")
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        checkpoint.load_for_prediction(tmp_path)

    for step in (1, 2, 3):
        checkpoint.save(tmp_path, "best", step, state(step), {})

    assert checkpoint.load_for_prediction(tmp_path)["value"] == 3
    assert (tmp_path / "best-x.pt").exists()


def test_a_run_does_not_start_over_while_checkpoints_are_left(tmp_path: Path) -> None:
    """Only an unfinished first one is not a loss."""
    assert checkpoint.load_for_resume(tmp_path) == (None, [])
    checkpoint.save(tmp_path, "step", 1, state(1), {}).with_suffix(".json").unlink()
    assert checkpoint.load_for_resume(tmp_path) == (None, [])

    checkpoint.save(tmp_path, "step", 5, state(5), {}).write_bytes(b"torn")
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"None of the run's checkpoints can be read .*step-000005\.pt"):
            checkpoint.load_for_resume(tmp_path)


def test_a_small_file_cannot_ask_for_much_memory(tmp_path: Path) -> None:
    """A compressed archive would expand while it is read, and a large file is refused before it is read."""
    path = checkpoint.save(tmp_path, "best", 1, {"weights": torch.zeros(1_000_000)}, {})
    bomb = io.BytesIO()
    with zipfile.ZipFile(path) as stored, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        for member in stored.infolist():
            packed.writestr(member.filename, stored.read(member))
    note = {"step": 1, "sha256": hashlib.sha256(bomb.getvalue()).hexdigest(), "size": len(bomb.getvalue())}
    path.write_bytes(bomb.getvalue())
    path.with_suffix(".json").write_text(json.dumps(note))
    with pytest.raises(CheckpointError, match="it expands"):
        checkpoint.load_for_prediction(tmp_path)

    with path.open("r+b") as file:
        file.truncate(checkpoint.MAX_BYTES + 1)  # sparse
    with pytest.raises(CheckpointError, match="The limit is"):
        checkpoint.load_for_prediction(tmp_path)


@pytest.mark.parametrize("name", ["best-000001.pt", "best-000001.json"])
def test_a_fifo_does_not_block(tmp_path: Path, name: str) -> None:
    """A device would never end."""
    checkpoint.save(tmp_path, "best", 1, state(1), {})
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)

    with pytest.raises(CheckpointError, match=r"Could not load the checkpoint best-000001\.pt: .*Not a regular file"):
        checkpoint.load_for_prediction(tmp_path)


NO_ROOM = """
import resource, sys
from pathlib import Path
import torch
from core.model import checkpoint
from core.errors import CheckpointError
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 90_000_000, -1))
try:
    checkpoint.load_for_resume(Path(sys.argv[1]))
except CheckpointError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_lack_of_memory_is_not_damage(tmp_path: Path) -> None:
    """An intact checkpoint that does not fit into memory is not renamed."""
    checkpoint.save(tmp_path, "step", 1, {"weights": torch.zeros(15_000_000)}, {})

    output = subprocess.run(
        [sys.executable, "-c", NO_ROOM, tmp_path], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout

    assert "Could not load the checkpoint step-000001.pt: " in output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000001.json", "step-000001.pt"]


def test_a_reader_finds_the_best_weights_while_they_are_replaced(tmp_path: Path) -> None:
    """Between writing a file and its note, it looks damaged for a moment. The reader waits."""
    checkpoint.save(tmp_path, "step", 1, state(1), {})
    checkpoint.save(tmp_path, "best", 1, state(0), {})
    over, values = threading.Event(), []

    def write() -> None:
        for value in range(2, 400):
            checkpoint.save(tmp_path, "best", 1 + value // 3, state(value), {"value": value})
            time.sleep(0.05)
            if value >= 40 and len(values) > 20:  # a busy machine reads seldom
                break
        over.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not over.is_set():
        values.append(checkpoint.load_for_prediction(tmp_path)["value"])
    writer.join()

    assert len(values) > 20
    assert values == sorted(values)
    assert not list(tmp_path.glob("*.corrupt"))


def test_a_crash_at_any_point_of_saving_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a crash before any system call, the old or the new state loads intact."""
    calls = ("open", "fsync", "replace", "unlink", "close")
    outcomes = []
    for crash_at in range(1, 100):
        folder = tmp_path / str(crash_at)
        for step in (1, 2):
            checkpoint.save(folder, "step", step, state(step), {})
        left = crash_at

        def crash_before(real: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    raise KeyboardInterrupt
                return real(*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            for name in calls:
                patch.setattr(os, name, crash_before(getattr(os, name)))
            try:
                checkpoint.save(folder, "step", 3, state(3), {})
            except KeyboardInterrupt:
                pass
            else:
                break
        loaded = checkpoint.load(folder, "step")
        assert loaded is not None
        assert torch.equal(loaded["weights"], state(loaded["value"])["weights"])
        outcomes.append(loaded["value"])
        checkpoint.save(folder, "step", 4, state(4), {})
        assert not list(folder.glob("*.tmp"))

    assert set(outcomes) == {2, 3}
    assert outcomes == sorted(outcomes)


def test_a_full_disk_is_an_error_and_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    """torch.save to the path itself would have destroyed it."""
    checkpoint.save(tmp_path, "step", 1, state(1), {})
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.raises(CheckpointError, match=r"Could not write the checkpoint step-000002\.pt"):
            checkpoint.save(tmp_path, "step", 2, state(2), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    loaded = checkpoint.load(tmp_path, "step")
    assert loaded is not None
    assert loaded["value"] == 1


def test_a_checkpoint_cannot_carry_code(tmp_path: Path) -> None:
    """Only tensors and plain values load, even with a valid checksum."""
    checkpoint.save(tmp_path, "best", 1, {"evil": Path}, {})

    with pytest.raises(CheckpointError, match="more than weights and plain values"):
        checkpoint.load_for_prediction(tmp_path)


def test_prediction_takes_the_best_else_the_newest(tmp_path: Path) -> None:
    """A run that is stopped before its first evaluation can still be used."""
    checkpoint.save(tmp_path, "step", 9, state(9), {})
    assert checkpoint.load_for_prediction(tmp_path)["value"] == 9

    checkpoint.save(tmp_path, "best", 4, state(4), {})
    assert checkpoint.load_for_prediction(tmp_path)["value"] == 4
