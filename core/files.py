"""Atomic writing of files."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """Replace `path` with what the block writes. Without `sync`, a power cut may leave the file empty.

    Deletes the temporary file on error, so a half-written file cannot fill the disk. Raises OSError.
    """
    # A unique name, so two writers at once cannot write to the same file and publish it half-written.
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        with temporary.open("wb") as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
