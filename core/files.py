"""Atomic writing of files."""

import errno
import os
import stat
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


def open_regular(path: Path, *, follow: bool = True) -> BinaryIO:
    """Open a regular file for reading. Raises OSError for all others: a FIFO would block and a device has no end.

    Without `follow`, a link is refused too.
    """
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    mode = os.fstat(number).st_mode
    if not stat.S_ISREG(mode):
        os.close(number)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return os.fdopen(number, "rb")


MAX_SMALL_BYTES = 1 << 20


def read_small(path: Path) -> bytes:
    """Return the content of a regular file of at most 1 MB. Raises OSError."""
    with open_regular(path) as file:
        data = file.read(MAX_SMALL_BYTES + 1)
    if len(data) > MAX_SMALL_BYTES:
        raise OSError(errno.EINVAL, "Larger than 1 MB", str(path))
    return data
