"""Watching of a folder that other programs fill: yields each new file once, as soon as it stops changing.

Lists the folder, because file system events do not cross a network. Each imported file costs about 160 bytes of memory.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from core.data.sources import OTHER_SUFFIXES, SourceFile, is_hidden, read_file, storable
from core.errors import ImageError, ImportSourceError

BATCH = 200
STOP_CHECK_FILES = 2000
"""Files listed between two chances to stop."""
TEMPORARY_SUFFIXES = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".filepart")
"""Suffixes of files that programs rename once they are complete."""
IGNORED_SUFFIXES = (*TEMPORARY_SUFFIXES, *OTHER_SUFFIXES)


class UnsettledError(ImageError):
    """The file changed or vanished since it was listed. The next scan retries it."""


class Watch:
    """Repeated scans of one folder."""

    def __init__(self, folder: Path, exclude: Path | None = None) -> None:
        """`exclude` is a folder inside `folder` that is not scanned."""
        self._folder = folder
        self._exclude = exclude
        self._done: set[int] = set()
        self._waiting: set[int] = set()
        self._changed: set[int] = set()

    @property
    def waiting(self) -> int:
        """Number of files that were new in the last scan. The next scan yields those that have not changed."""
        return len(self._waiting)

    def scan(self) -> Iterator[list[SourceFile]]:
        """List the folder once and yield batches of new files that have not changed since the last scan.

        Requesting the next batch marks a batch as done; one that could not be stored is yielded again. Empty batches
        let the caller stop during a long listing. Raises ImportSourceError if the folder cannot be read.
        """
        last, self._waiting = self._waiting, set()
        batch: dict[int, SourceFile] = {}
        for number, (name, path, state) in enumerate(self._files(), 1):
            mark = hash((name, state))
            if mark not in self._done:
                if mark in last:
                    batch[mark] = self._entry(name, path, state, mark)
                else:
                    self._waiting.add(mark)
            if len(batch) == BATCH or number % STOP_CHECK_FILES == 0:
                yield list(batch.values())
                self._mark_done(batch)
                batch = {}
        yield list(batch.values())
        self._mark_done(batch)

    def _mark_done(self, marks: Iterable[int]) -> None:
        self._done.update(mark for mark in marks if mark not in self._changed)
        self._changed.clear()

    def _files(self) -> Iterator[tuple[str, str, tuple[int, ...]]]:
        """Yield name inside the folder, path and state of each file that may be an image."""
        folders = [("", str(self._folder))]
        while folders:
            prefix, folder = folders.pop()
            try:
                listing = os.scandir(folder)
            except OSError as error:
                if not prefix:
                    raise ImportSourceError(f"The folder {folder} cannot be read ({error.strerror}).") from error
                with suppress(OSError):  # deleted since it was listed; others are reported as rejected
                    yield prefix.rstrip("/"), folder, _state(os.lstat(folder))
                continue
            with listing:
                for item in _listed(listing):
                    if is_hidden(item.name):
                        continue
                    try:
                        if item.is_dir(follow_symlinks=False):
                            if Path(item.path) != self._exclude:
                                folders.append((f"{prefix}{item.name}/", item.path))
                            continue
                        info = item.stat(follow_symlinks=False)
                    except OSError:  # deleted since it was listed
                        continue
                    if info.st_size and not item.name.lower().endswith(IGNORED_SUFFIXES):
                        yield prefix + item.name, item.path, _state(info)

    def _entry(self, name: str, path: str, state: tuple[int, ...], mark: int) -> SourceFile:
        def read() -> bytes:
            problem, data = None, b""
            try:
                data = read_file(Path(path))
            except ImageError as error:
                problem = error
            # Checked after reading, to detect a change before or during it.
            try:
                now = _state(os.lstat(path))
            except OSError:
                now = None
            if now != state:
                self._changed.add(mark)
                raise UnsettledError("The file has changed since the folder was listed.")
            if problem:
                raise problem
            return data

        return SourceFile(storable(name), read)


def _listed(listing: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    """Yield the entries, and stop without an error if the folder or its server vanishes."""
    try:
        yield from listing
    except OSError:
        return


def _state(info: os.stat_result) -> tuple[int, ...]:
    """Return values that change when a file is written, replaced or made readable."""
    return stat.S_IFMT(info.st_mode), info.st_size, info.st_mtime_ns, info.st_ctime_ns
