"""Checkpoints: written atomically, verified by hash when read, never replaced by an older one in silence.

step-000120.pt    full training state, resumes bit for bit; the last two are kept
best-000090.pt    the selected weights, see core.training.engine.replaces_best
*.json            beside each: its SHA-256 and metrics; a .pt without one is unfinished
"""

import hashlib
import io
import json
import os
import re
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch

from core.errors import CheckpointError
from core.files import atomic_write, open_regular, read_small

Kind = Literal["step", "best"]
FORMAT = 2
"""Version of the file format. Readers reject any other."""
KEEP: dict[str, int] = {"step": 2, "best": 1}
"""Files to keep of each kind."""
MAX_BYTES = 2 << 30
"""Largest checkpoint to read images with: 500 million weights. Its directory may come from someone else."""
NAME = re.compile(r"(step|best)-([0-9]{6,9})")
WAITS_S = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Pauses before each try to read. A running job may be between a file and its note."""


class DamagedCheckpointError(CheckpointError):
    """A finished checkpoint that is missing, incomplete or changed."""


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


def exists(folder: Path, kind: Kind) -> bool:
    """Return whether a finished checkpoint of a kind exists, intact or not."""
    return bool(_newest_first(folder, kind))


def load(folder: Path, kind: Kind) -> dict[str, Any] | None:
    """Return the newest state of a kind; None if there is none. Raises CheckpointError, never returns an older one."""
    newest = _newest_first(folder, kind)
    return _read(newest[0]) if newest else None


def load_for_prediction(folder: Path) -> dict[str, Any]:
    """Return the selected state; before the first selection, the newest. Raises CheckpointError."""
    for wait_s in WAITS_S:
        time.sleep(wait_s)
        try:
            return _selected(folder)
        except DamagedCheckpointError as error:
            damage = error
    raise CheckpointError(
        f"{damage} Restore it from a backup or use another run. A run that has not finished can be resumed."
    ) from damage


def load_file(path: Path) -> dict[str, Any]:
    """Return the state in one checkpoint file, whose note is beside it. Raises CheckpointError."""
    if path.suffix != ".pt" or not NAME.fullmatch(path.stem):
        raise CheckpointError(f"{path.name} is not a checkpoint. Checkpoints are named like best-000090.pt.")
    return _read(path, MAX_BYTES)


def load_for_resume(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the newest intact training state, and the names of damaged files: newer states, or the selected weights.

    Renames the damaged ones to `.corrupt`. Only the writer of the folder may do that: to any other process a file looks
    damaged while it is being replaced. Returns None for a run without checkpoints. Raises CheckpointError if there were
    some and none is intact, or if an intact one cannot be loaded, for example for lack of memory.
    """
    damaged: list[str] = []
    state = _newest_intact(folder, "step", damaged)
    if state is not None:
        _newest_intact(folder, "best", damaged)
        return state, damaged
    if lost := sorted(path.name for path in folder.glob("step-*.pt*") if _is_lost(path)):
        raise CheckpointError(
            f"None of the run's checkpoints can be read ({', '.join(lost)}). Restore the run from a backup, or clone "
            "it to train again."
        )
    return None, []


def _newest_intact(folder: Path, kind: Kind, damaged: list[str]) -> dict[str, Any] | None:
    """Return the newest intact state. Set damaged ones aside and add their names to `damaged`."""
    for path in _newest_first(folder, kind):
        try:
            return _read(path)
        except DamagedCheckpointError:
            damaged.append(path.name)
            for file in filter(Path.exists, (path, path.with_suffix(".json"))):
                file.replace(file.with_name(file.name + ".corrupt"))
    return None


def check_format(state: dict[str, Any]) -> None:
    """Raise CheckpointError for a state with another format."""
    if (written := state.get("format")) != FORMAT:
        raise CheckpointError(f"The checkpoint has format {written!s:.20}. This version reads format {FORMAT}.")


@contextmanager
def fitting() -> Iterator[None]:
    """Raise CheckpointError if weights do not match the network or the state is incomplete."""
    try:
        yield
    except (RuntimeError, KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise CheckpointError("The checkpoint does not match the network in the run's settings.") from error


def hash_of(folder: Path, step: int) -> str:
    """Return the SHA-256 of the checkpoint of a step that images are read with. Raises CheckpointError."""
    kinds: tuple[Kind, ...] = ("best", "step")
    path = next((path for kind in kinds for path in _newest_first(folder, kind) if _step(path) == step), None)
    if path is None:
        raise CheckpointError(f"The run has no checkpoint of step {step}.")
    return hash_of_file(path)


def hash_of_file(path: Path) -> str:
    """Return the SHA-256 of a checkpoint file, from the note beside it. Raises CheckpointError."""
    return str(_read_note(path)["sha256"])


def _selected(folder: Path) -> dict[str, Any]:
    best = _newest_first(folder, "best")
    step = _recorded_best(folder)
    if best and _step(best[0]) >= step:
        return _read(best[0], MAX_BYTES)
    if step >= 0:
        raise DamagedCheckpointError(f"The selected checkpoint best-{step:06d}.pt is missing or unfinished.")
    newest = _newest_first(folder, "step")
    if not newest:
        raise CheckpointError("The run has no usable checkpoint yet.")
    return _read(newest[0], MAX_BYTES)


def _recorded_best(folder: Path) -> int:
    """Return the step of the selection that the newest training state knows; -1 if it knows none."""
    for path in _newest_first(folder, "step"):
        try:
            best = _read_note(path).get("best")
        except DamagedCheckpointError:
            continue
        return best["step"] if isinstance(best, dict) and isinstance(best.get("step"), int) else -1
    return -1


def _write(path: Path, data: bytes) -> None:
    with atomic_write(path) as file:
        file.write(data)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read(path: Path, most: int | None = None) -> dict[str, Any]:
    """Return the state in a file of at most `most` bytes.

    Raises DamagedCheckpointError, or CheckpointError for an intact file that cannot be loaded.
    """
    data = _read_verified(path, most)
    _check_archive(path, data)
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (RuntimeError, MemoryError) as error:
        raise _unreadable(path, error) from error
    except Exception as error:  # torch raises what its unpickler raises
        raise _damaged(path, "it holds more than weights and plain values") from error
    if not isinstance(state, dict):
        raise _damaged(path, "it does not hold the state of a run")
    return state


def _read_verified(path: Path, most: int | None) -> bytes:
    note = _read_note(path)
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read() if most is None or size <= most else None
    except FileNotFoundError:
        raise _damaged(path, "it is missing") from None
    except (OSError, MemoryError) as error:
        raise _unreadable(path, error) from error
    if data is None:
        raise CheckpointError(f"The checkpoint {path.name} has {size:,} bytes. The limit is {most:,}.")
    if hashlib.sha256(data).hexdigest() != note.get("sha256"):
        raise _damaged(path, "its content does not match its note")
    return data


def _read_note(path: Path) -> dict[str, Any]:
    try:
        note = json.loads(read_small(path.with_suffix(".json")))
    except FileNotFoundError:
        raise _damaged(path, "its note is missing") from None
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "its note is not JSON") from error
    if not isinstance(note, dict) or note.get("step") != _step(path):
        raise _damaged(path, "its note belongs to another checkpoint")
    return note


def _check_archive(path: Path, data: bytes) -> None:
    """Raise if the file is not stored plainly. Otherwise a small file could expand to any size."""
    try:
        members = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except zipfile.BadZipFile as error:
        raise _damaged(path, "it is not a file of torch.save") from error
    if any(member.compress_type for member in members) or sum(member.file_size for member in members) > len(data):
        raise _damaged(path, "it expands when it is read")


def _damaged(path: Path, why: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(f"The checkpoint {path.name} is damaged: {why}.")


def _unreadable(path: Path, error: BaseException) -> CheckpointError:
    text = str(error) or type(error).__name__
    return CheckpointError(f"Could not load the checkpoint {path.name}: {text.splitlines()[0]}.")


def _newest_first(folder: Path, kind: Kind) -> list[Path]:
    """Return the paths of finished checkpoints, which have a note. Ignores files with other names.

    Sorts by step, not by name: names get longer after a million steps.
    """
    notes = (path for path in folder.glob(f"{kind}-*.json") if NAME.fullmatch(path.stem))
    return sorted((path.with_suffix(".pt") for path in notes), key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.stem.split("-")[1])


def _is_lost(path: Path) -> bool:
    """Return whether a file is left of a training state, apart from an unfinished first one."""
    return path.suffix == ".corrupt" or (path.suffix == ".pt" and path.name != "step-000001.pt")


def _prune(folder: Path, kind: Kind, newest: Path) -> None:
    """Delete all but `newest` and its predecessors up to KEEP, even those of later steps that a resumed run left."""
    others = [path for path in _newest_first(folder, kind) if path != newest]
    kept = [newest, *others[: KEEP[kind] - 1]]
    for path in sorted([*folder.glob(f"{kind}-*"), *folder.glob(f".{kind}-*.tmp")]):  # .tmp: a killed process left it
        known = path.suffix == ".tmp" or (path.suffix in (".pt", ".json") and NAME.fullmatch(path.stem))
        if known and path.with_suffix(".pt") not in kept:
            path.unlink(missing_ok=True)
