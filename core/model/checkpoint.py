"""Checkpoints: written atomically and verified by hash when read.

step-000120.pt    full training state, resumes bit for bit; the last two are kept
best-000090.pt    the selected weights, see core.training.engine.replaces_best
*.json            beside each: its SHA-256 and metrics; a .pt without one is unfinished
"""

import hashlib
import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import torch

from core.errors import CheckpointError
from core.files import atomic_write

Kind = Literal["step", "best"]
FORMAT = 2
"""Version of the file format. Readers reject any other."""
KEEP: dict[str, int] = {"step": 2, "best": 1}
"""Files to keep of each kind."""


def save(folder: Path, kind: Kind, step: int, state: dict[str, Any], info: dict[str, Any]) -> Path:
    """Write `state` durably, then its note, then delete the checkpoints it replaces. Raises CheckpointError.

    torch.save to a path truncates the file in place: on a full disk that destroys the previous good checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    path = folder / f"{kind}-{step:06d}.pt"
    note = {**info, "step": step, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    try:
        _write(path, data)
        _write(path.with_suffix(".json"), json.dumps(note).encode())
    except OSError as error:
        raise CheckpointError(f"Could not write the checkpoint {path.name}: {error.strerror}.") from error
    _prune(folder, kind, path)
    return path


def load(folder: Path, kind: Kind, *, set_aside: bool = False) -> dict[str, Any] | None:
    """Return the newest intact state of a kind, or None. Skips damaged files.

    `set_aside` renames damaged files to `.corrupt`. Only the writer of the folder may do that: to any other process a
    file looks damaged while it is being replaced. Raises CheckpointError if an intact file cannot be loaded, for
    example for lack of memory.
    """
    for path in _newest_first(folder, kind):
        state = _read(path)
        if state is not None:
            return state
        if set_aside:
            for damaged in filter(Path.exists, (path, path.with_suffix(".json"))):
                damaged.replace(damaged.with_name(damaged.name + ".corrupt"))
    return None


def exists(folder: Path, kind: Kind) -> bool:
    return bool(_newest_first(folder, kind))


def load_for_prediction(folder: Path) -> dict[str, Any]:
    """Return the best state, else the newest. Raises CheckpointError if there is neither."""
    for wait_s in (0.0, 0.02, 0.05, 0.1, 0.2, 0.4):  # a running job may be between a file and its note
        time.sleep(wait_s)
        state = load(folder, "best")
        if state is not None:
            return state
        if not exists(folder, "best"):
            break
    state = load(folder, "step")
    if state is None:
        raise CheckpointError("The run has no usable checkpoint yet.")
    return state


def check_format(state: dict[str, Any]) -> None:
    """Raise CheckpointError for a state with another format."""
    if (written := state.get("format")) != FORMAT:
        raise CheckpointError(f"The checkpoint has format {written}. This version reads format {FORMAT}.")


@contextmanager
def fitting() -> Iterator[None]:
    """Raise CheckpointError if weights do not match the network or the state is incomplete."""
    try:
        yield
    except (RuntimeError, KeyError, ValueError) as error:
        raise CheckpointError("The checkpoint does not match the network in the run's settings.") from error


def _write(path: Path, data: bytes) -> None:
    with atomic_write(path) as file:
        file.write(data)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read(path: Path) -> dict[str, Any] | None:
    """Return None if the file is damaged or missing."""
    try:
        note = json.loads(path.with_suffix(".json").read_text())
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != note["sha256"]:
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return state
    except (FileNotFoundError, ValueError, KeyError, TypeError, UnpicklingError):  # missing, torn, or not only tensors
        return None
    except (OSError, RuntimeError, MemoryError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"Could not load the checkpoint {path.name}: {why}.") from error


def _newest_first(folder: Path, kind: Kind) -> list[Path]:
    """Sort by step, not by name: names get longer after a million steps."""
    finished = (path for path in folder.glob(f"{kind}-*.pt") if path.with_suffix(".json").exists())
    return sorted(finished, key=lambda path: int(path.stem.split("-")[1]), reverse=True)


def _prune(folder: Path, kind: Kind, newest: Path) -> None:
    """Delete all but `newest` and its predecessors up to KEEP, even those of later steps that a resumed run left."""
    others = [path for path in _newest_first(folder, kind) if path != newest]
    kept = [newest, *others[: KEEP[kind] - 1]]
    for path in [*folder.glob(f"{kind}-*"), *folder.glob(f".{kind}-*.tmp")]:  # .tmp: a process was killed while writing
        if path.suffix in (".pt", ".json", ".tmp") and path.with_suffix("").with_suffix(".pt") not in kept:
            path.unlink(missing_ok=True)
