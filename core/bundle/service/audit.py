"""The audit log: one JSON line a request, without images and without what was read."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from core.errors import OptionError, StorageError
from core.files import shortened

START = b'{"'
"""Start of every line."""
MAX_BYTES = 10_000_000
"""A file of this size is renamed to `.1`, and the one before is deleted. A line has about 250 bytes."""


class AuditLog:
    """A file that only its owner can read, for one process. Raises OptionError or StorageError."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.failures = 0
        """Lines that could not be written. A full disk must not stop the service."""
        self._path, self._max_bytes, self._torn = path.absolute(), max_bytes, False
        try:
            self._open()
        except OSError as error:
            raise StorageError(f"{shortened(str(path))} cannot be written ({error.strerror}).") from error

    def write(self, record: dict[str, Any]) -> None:
        """Append a line with one call, so that a killed process leaves whole lines."""
        line = b"\n" * self._torn + json.dumps(record, ensure_ascii=False).encode() + b"\n"
        try:
            if self._size + len(line) > self._max_bytes:
                self._path.rename(self._path.with_name(self._path.name + ".1"))
                full = self._file
                self._open()
                os.close(full)
            written = os.write(self._file, line)
        except OSError:
            self.failures += 1
            return
        self._size += written
        self._torn = written < len(line)  # the disk is full
        self.failures += self._torn

    def _open(self) -> None:
        # Without O_NONBLOCK, a FIFO that nobody reads would block forever.
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            os.close(file)
            raise OptionError(f"{shortened(str(self._path))} is not a file. Give the name of a file.")
        if os.pread(file, len(START), 0) not in (b"", START):  # a line would damage what it is
            os.close(file)
            raise OptionError(f"{shortened(str(self._path))} is a file of another kind. Give a new name.")
        self._file, self._size = file, found.st_size
