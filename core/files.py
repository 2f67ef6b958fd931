"""Reading and writing of files: atomically inside the Slotlab folder, and with care outside it."""

import errno
import os
import stat
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from core.errors import OptionError, StorageError

MAX_SMALL_BYTES = 1 << 20


@contextmanager
def atomic_write(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """Replace `path` with what the block writes. Only its owner can read the file.

    Without `sync`, a power cut may leave the file empty. Deletes the temporary file on error, so a half-written file
    cannot fill the disk. Raises OSError.
    """
    # A unique name, so two writers at once cannot write to the same file and publish it half-written.
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        with create_private(temporary) as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def create_private(path: Path) -> BinaryIO:
    """Create a file that only its owner can read. Raises OSError, also if the file exists."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


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


def read_small(path: Path) -> bytes:
    """Return the content of a regular file of at most 1 MB. Raises OSError."""
    with open_regular(path) as file:
        data = file.read(MAX_SMALL_BYTES + 1)
    if len(data) > MAX_SMALL_BYTES:
        raise OSError(errno.EINVAL, "Larger than 1 MB", str(path))
    return data


# Paths from users


def checked_path(path: Path) -> Path:
    """Return the absolute path, with `~` expanded and links followed. The file need not exist.

    Raises OptionError if the system cannot look the path up.
    """
    try:
        str(path).encode()
        path = path.expanduser()
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise OptionError(f"{shortened(str(path))} cannot be used ({error.strerror}).") from error
    except RuntimeError as error:  # from expanduser
        raise OptionError(f"{shortened(str(path))} names a user whose home folder is unknown.") from error
    except ValueError as error:
        raise OptionError(f"{shortened(str(path))!r} cannot be used: a path is UTF-8 text without NUL.") from error
    return path.resolve()


def shortened(text: str, longest: int = 200) -> str:
    """Return the text, without its middle if it has more than `longest` characters."""
    return text if len(text) <= longest else f"{text[: longest // 2]}…{text[-longest // 2 :]}"


def is_standard_output(path: Path) -> bool:
    return str(path) in {"-", "/dev/stdout"}


def write_outside(path: Path, data: bytes) -> None:
    """Write a file outside the Slotlab folder, completely or not at all. Only its owner can read it.

    `-` is standard output. A link is followed. A FIFO or character device is written into, never replaced.
    Raises OptionError or StorageError.
    """
    if is_standard_output(path):
        if sys.stdout is None:
            raise StorageError("Standard output is closed.")
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    kept = ""
    try:
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            mode = stat.S_IFREG
        if stat.S_ISREG(mode):
            kept = " It is unchanged."
            with atomic_write(path.resolve()) as file:
                file.write(data)
        elif stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            _write_into(path, data)
        else:
            kind = "a folder" if stat.S_ISDIR(mode) else "not a file"
            raise OptionError(f"{path} is {kind}. Give the name of a file.")
    except OSError as error:
        raise StorageError(f"{shortened(str(path))} could not be written ({error.strerror}).{kept}") from error


def _write_into(path: Path, data: bytes) -> None:
    try:
        # Without O_NONBLOCK, a FIFO that nobody reads would block forever.
        number = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise StorageError(f"No program reads from {path}. Start the reader first.") from error
        raise
    os.set_blocking(number, True)
    with os.fdopen(number, "wb", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
