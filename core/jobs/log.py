"""The log of a job: log.txt, and log.1.txt with what came before it."""

import os
from pathlib import Path

from core.files import atomic_write

MAX_BYTES = 10_000_000
"""Size at which the log is cut. The previous log has at most this size too."""
TAIL_BYTES = 200_000


def rotate(path: Path) -> None:
    """Move a log above MAX_BYTES to log.1.txt. Raises OSError.

    Runner and worker keep the file open and append to it. So it is copied and emptied, and their next line goes to its
    start. A line written between copy and cut is lost.
    """
    with path.open("r+b") as log:
        size = os.fstat(log.fileno()).st_size
        if size <= MAX_BYTES:
            return
        with atomic_write(_previous(path), sync=False) as previous:
            log.seek(size - MAX_BYTES)
            while data := log.read(1 << 20):
                previous.write(data)
        log.truncate(0)


def tail(path: Path, lines: int) -> str:
    """Return the last lines, from at most the last TAIL_BYTES. Reads across a cut."""
    data = _end(path)
    if len(data) < TAIL_BYTES:
        data = _end(_previous(path)) + data
    return "\n".join(data.decode(errors="replace").splitlines()[-lines:])


def _previous(path: Path) -> Path:
    return path.with_suffix(".1.txt")


def _end(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            return file.read()
    except FileNotFoundError:
        return b""
