"""Images to read: files, folders, zips, patterns, and lists of paths.

Only names are listed. The bytes of one batch are in memory at a time.
"""

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from core.data.sources import SourceFile, folder_paths, list_files, read_file
from core.errors import ImageError, ImportSourceError
from core.files import open_regular
from core.images.pixels import MAX_BYTES, Pixels, decode

BATCH = 32
"""Images that are read together."""
BATCH_PIXELS = 4_000_000
"""A batch with more ends early, because 32 of the largest images would need 380 MB."""
LIST = "-"
"""Argument that stands for a list of paths on standard input."""
Record = dict[str, Any]


class Input(NamedTuple):
    """One file that may be an image."""

    name: str
    """Path as given, or the path of a folder or zip and the name in it."""
    path: str
    """Path of the file, or of its zip."""
    place: int | None = None
    """Place in the list of files of a zip."""
    in_folder: bool = False
    """True if a folder was given. Links in it are refused, because they may lead out of it."""
    error: str | None = None
    """Why this source has no files."""


def find_inputs(sources: Iterable[str], stdin: BinaryIO) -> Iterator[Input]:
    """Yield the files of each source: folders recursively and zips, without hidden and CSV files.

    A source that does not exist is a pattern if it has `*`, `?` or `[`. LIST reads paths from `stdin`, one a line.
    """
    for source in sources:
        if source == LIST:
            for line in stdin:
                if path := os.fsdecode(line.rstrip(b"\r\n")):
                    yield from _files_of(path)
        elif any(char in source for char in "*?[") and not os.path.lexists(source):
            matches = sorted(glob.iglob(source, recursive=True))  # noqa: PTH207 - the pattern may be absolute
            for match in matches:
                yield from _files_of(match)
            if not matches:
                yield Input(source, source, error="No file matches this pattern.")
        else:
            yield from _files_of(source)


def _files_of(source: str) -> Iterator[Input]:
    path = Path(source)
    try:
        if os.path.isdir(source):  # noqa: PTH112 - unlike Path.is_dir, it is False for a path with NUL on Python 3.11
            is_empty = True
            for file in folder_paths(path):
                yield Input(str(file), str(file), in_folder=True)
                is_empty = False
            if is_empty:
                yield Input(source, source, error="The folder contains no image files.")
        elif path.suffix.lower() == ".zip" and os.path.isfile(source):  # noqa: PTH113 - see above
            for place, member in enumerate(list_files(path)):
                yield Input(f"{source}/{member.name}", source, place)
        else:
            yield Input(source, source)
    except (ImportSourceError, OSError) as error:
        yield Input(source, source, error=_sentence(error))


def _sentence(error: Exception) -> str:
    return f"It cannot be read ({error.strerror})." if isinstance(error, OSError) else str(error)


class Contents:
    """Reads inputs. Keeps the list of one zip, because reading it takes long."""

    def __init__(self) -> None:
        self._zip, self._files = "", list[SourceFile]()

    def pixels(self, item: Input) -> Pixels:
        """Return the pixels of an input. Raises ImageError."""
        if item.error:
            raise ImageError(item.error)
        return decode(self._data(item))

    def _data(self, item: Input) -> bytes:
        if item.place is not None:
            return self._zipped(item.path, item.place)
        if item.in_folder:
            return read_file(Path(item.path))
        try:
            with open_regular(Path(item.path)) as file:
                return file.read(MAX_BYTES + 1)
        except OSError as error:
            raise ImageError(f"The file cannot be read ({error.strerror}).") from error
        except ValueError as error:  # a path with NUL
            raise ImageError(f"The file cannot be read ({error}).") from error

    def _zipped(self, path: str, place: int) -> bytes:
        try:
            if path != self._zip:
                self._zip, self._files = path, list_files(Path(path))
            return self._files[place].read()
        except (ImportSourceError, OSError, IndexError) as error:
            raise ImageError("The zip file has changed while it was read.") from error


def batches(inputs: Iterable[Input], contents: Contents | None = None) -> Iterator[list[tuple[Input, Pixels | str]]]:
    """Yield inputs with their pixels, or with the sentence why there are none."""
    contents = contents or Contents()
    batch: list[tuple[Input, Pixels | str]] = []
    size = 0
    for item in inputs:
        try:
            pixels = contents.pixels(item)
            batch.append((item, pixels))
            size += pixels.shape[0] * pixels.shape[1]
        except ImageError as error:
            batch.append((item, str(error)))
        if len(batch) == BATCH or size >= BATCH_PIXELS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def records(
    batch: Sequence[tuple[Input, Pixels | str]], read: Callable[[Sequence[Pixels]], Sequence[Record]]
) -> list[Record]:
    """Return an object for each input of a batch, in order: what `read` returns for its pixels, or its error."""
    images = [pixels for _, pixels in batch if not isinstance(pixels, str)]
    answers = iter(read(images) if images else ())
    return [
        {"file": item.name} | ({"error": pixels} if isinstance(pixels, str) else next(answers))
        for item, pixels in batch
    ]
