"""What is new in a folder that somebody else keeps filling: each file once, as soon as it has settled.

Plain listings, because events of a file system do not cross a network. What has been taken is remembered as one number
for each file, about 160 bytes with what the set around it needs.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from core.data.sources import SourceFile, is_hidden, read_file, storable
from core.errors import ImageError, ImportSourceError

BATCH = 200
BREATH = 2000
"""Files looked at between two chances to stop."""
UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".filepart")
"""Endings under which programs write what they rename when it is whole."""
NO_IMAGES = (*UNFINISHED, ".csv")


class UnsettledError(ImageError):
    """The file has changed or vanished since it was listed; the next look at the folder says what it is then."""


class Watch:
    """Looks at one folder again and again."""

    def __init__(self, folder: Path, leave_out: Path | None = None) -> None:
        """`leave_out` is a folder that is not looked into, where it lies inside `folder`."""
        self._folder = folder
        self._leave_out = leave_out
        self._taken: set[int] = set()
        self._waiting: set[int] = set()
        self._changed: set[int] = set()

    @property
    def waiting(self) -> int:
        """Files that the last look found new, and that are taken by the next one if they stay as they are."""
        return len(self._waiting)

    def look(self) -> Iterator[list[SourceFile]]:
        """List the folder once: batches of files that are as the last look found them and have not been taken yet.

        A batch is taken when the next one is asked for; one that could not be stored comes again. An empty batch is a
        chance to stop, where there is nothing to take for long. Raises ImportSourceError when the folder is not there.
        """
        last, self._waiting = self._waiting, set()
        batch: dict[int, SourceFile] = {}
        for number, (name, path, state) in enumerate(self._files(), 1):
            mark = hash((name, state))
            if mark not in self._taken:
                if mark in last:
                    batch[mark] = self._entry(name, path, state, mark)
                else:
                    self._waiting.add(mark)
            if len(batch) == BATCH or number % BREATH == 0:
                yield list(batch.values())
                self._take(batch)
                batch = {}
        yield list(batch.values())
        self._take(batch)

    def _take(self, marks: Iterable[int]) -> None:
        self._taken.update(mark for mark in marks if mark not in self._changed)
        self._changed.clear()

    def _files(self) -> Iterator[tuple[str, str, tuple[int, ...]]]:
        """Name inside the folder, path and state of each file that may be an image."""
        folders = [("", str(self._folder))]
        while folders:
            prefix, folder = folders.pop()
            try:
                listing = os.scandir(folder)
            except OSError as error:
                if not prefix:
                    raise ImportSourceError(f"The folder {folder} cannot be read ({error.strerror}).") from error
                continue
            with listing:
                for item in _listed(listing):
                    if is_hidden(item.name):
                        continue
                    try:
                        if item.is_dir(follow_symlinks=False):
                            if Path(item.path) != self._leave_out:
                                folders.append((f"{prefix}{item.name}/", item.path))
                            continue
                        found = item.stat(follow_symlinks=False)
                    except OSError:  # gone since it was listed
                        continue
                    if found.st_size and not item.name.lower().endswith(NO_IMAGES):
                        yield prefix + item.name, item.path, _state(found)

    def _entry(self, name: str, path: str, state: tuple[int, ...], mark: int) -> SourceFile:
        def read() -> bytes:
            problem, data = None, b""
            try:
                data = read_file(Path(path))
            except ImageError as error:
                problem = error
            # After the reading: what was changed before or during it is seen by this.
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
    """A listing that ends where its folder vanishes, or its server goes away, in the middle of it."""
    try:
        yield from listing
    except OSError:
        return


def _state(found: os.stat_result) -> tuple[int, ...]:
    """What changes when a file is written, replaced, or made readable."""
    return stat.S_IFMT(found.st_mode), found.st_size, found.st_mtime_ns, found.st_ctime_ns
