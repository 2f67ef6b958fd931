"""Files that are there whole or not at all, whatever dies while they are written."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """What the block writes takes the place of `path` at its end; without `sync`, a power cut may leave it empty.

    Nothing of it stays when the block raises: on a full disk, half a file would take the last room. Raises OSError.
    """
    # A name of its own: two who write at once would else write into one file, and the first would put it in place half.
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
