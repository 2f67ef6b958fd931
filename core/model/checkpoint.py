"""Saved training state: each file appears whole or not at all, and is checked before it is believed.

step-000120.pt    everything to go on bit for bit; the last two are kept
best-000090.pt    the weights that the run reads with, see core.training.engine.is_kept
*.json            beside each: its SHA-256 and what it reached; a .pt without one was never finished
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
"""Of what is saved; a reader refuses any other."""
KEEP: dict[str, int] = {"step": 2, "best": 1}


def save(folder: Path, kind: Kind, step: int, state: dict[str, Any], info: dict[str, Any]) -> Path:
    """Write `state` durably, then its note, then drop what it replaces.

    torch.save onto a name truncates the file in place: on a full disk that destroys the previous good checkpoint.
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
        raise CheckpointError(f"The checkpoint {path.name} cannot be written: {error.strerror}.") from error
    _prune(folder, kind, path)
    return path


def load(folder: Path, kind: Kind, *, set_aside: bool = False) -> dict[str, Any] | None:
    """The newest whole state of a kind, or None; in place of a damaged one, the one before.

    Who writes the folder, and nobody else, may `set_aside` damaged ones as `.corrupt`: to others a file looks damaged
    while it is being replaced. Raises CheckpointError where one is whole and cannot be loaded, for lack of memory say.
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
    """The best state, else the newest. Raises CheckpointError when there is none."""
    for wait_s in (0.0, 0.02, 0.05, 0.1, 0.2, 0.4):  # a run at work may be between a file and its note
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
    """Raise CheckpointError on a state that another version wrote."""
    if (written := state.get("format")) != FORMAT:
        raise CheckpointError(f"The checkpoint has format {written}; this version reads {FORMAT}.")


@contextmanager
def fitting() -> Iterator[None]:
    """Turn what torch raises on weights of another network, or a state without its parts, into one sentence."""
    try:
        yield
    except (RuntimeError, KeyError, ValueError) as error:
        raise CheckpointError("The checkpoint does not fit the network that the run describes.") from error


def _write(path: Path, data: bytes) -> None:
    with atomic_write(path) as file:
        file.write(data)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read(path: Path) -> dict[str, Any] | None:
    """None where the file is damaged or gone."""
    try:
        note = json.loads(path.with_suffix(".json").read_text())
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != note["sha256"]:
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return state
    except (FileNotFoundError, ValueError, KeyError, TypeError, UnpicklingError):  # gone, torn, or no mere tensors
        return None
    except (OSError, RuntimeError, MemoryError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"The checkpoint {path.name} cannot be loaded now: {why}.") from error


def _newest_first(folder: Path, kind: Kind) -> list[Path]:
    """By step, not by name: a name grows when a run passes a million steps."""
    finished = (path for path in folder.glob(f"{kind}-*.pt") if path.with_suffix(".json").exists())
    return sorted(finished, key=lambda path: int(path.stem.split("-")[1]), reverse=True)


def _prune(folder: Path, kind: Kind, newest: Path) -> None:
    """Drop all but the file just written and the one before it, even ones of later steps: a resumed run left them."""
    others = [path for path in _newest_first(folder, kind) if path != newest]
    kept = [newest, *others[: KEEP[kind] - 1]]
    for path in [*folder.glob(f"{kind}-*"), *folder.glob(f".{kind}-*.tmp")]:  # the latter when a process was killed
        if path.suffix in (".pt", ".json", ".tmp") and path.with_suffix("").with_suffix(".pt") not in kept:
            path.unlink(missing_ok=True)
