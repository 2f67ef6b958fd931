"""Readings as lines of JSON or CSV, and the file that a later call continues."""

import csv
import fcntl
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from core.data.tables.cleaning import with_formula_guard, without_formula_guard
from core.errors import OptionError, StorageError
from core.files import atomic_write, create_private, shortened
from core.runs.inputs import Record

COLUMNS = ("file", "text", "confidence", "accepted", "unfamiliar", "positions", "blind", "error")
FREE_TEXT = ("file", "text", "unfamiliar", "error", "source", "owner", "authorization")
READER = "reader"
"""Key of the lines of a file that names who read. A file has readings of one reader only."""
MAX_LINE = 1 << 20


def json_line(record: Record) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def csv_line(record: Record, columns: Iterable[str] = COLUMNS) -> str:
    """Return one line. `positions` has the probabilities, in order. Booleans are true and false."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerow([_cell(column, record.get(column)) for column in columns])
    return buffer.getvalue()


def csv_header(columns: Iterable[str] = COLUMNS) -> str:
    return ",".join(columns) + "\n"


def csv_name(name: str) -> str:
    """Return a file name for a cell: on one line and valid Unicode. Other characters become Python's escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in name)


def _cell(column: str, value: object) -> str:
    if value is None:
        return ""
    if column == "positions" and isinstance(value, list):
        return " ".join(f"{each['confidence']:.6g}" for each in value)
    if isinstance(value, bool):
        return str(value).lower()
    return with_formula_guard(csv_name(str(value))) if column in FREE_TEXT else str(value)


class ReadingsFile:
    """A file of readings that a later call continues: it has each file once, also after kill -9.

    A file is known by its name. Those that could not be read are dropped, to be read again. Raises OptionError if it
    has something else or another process writes to it, and StorageError.
    """

    def __init__(self, path: Path, *, is_csv: bool, reader: str) -> None:
        self.path, self.reader, self._is_csv = path, reader, is_csv
        self._columns = (*COLUMNS, READER)
        self.done: set[str] = set()
        """Names of the files that it has."""
        self.failed = 0
        """Files among them that could not be read."""
        with _storing(self.path):
            self._file = self._opened()
            try:
                kept, end = self._scan()
                if sum(stop - start for start, stop in kept) < end:
                    end = self._rewrite(kept)
                self._file.truncate(end)  # without a line that was half written
                self._file.seek(end)
                if is_csv and not end:
                    self._file.write(csv_header(self._columns).encode())
            except BaseException:
                self._file.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _storing(self.path):
            self._file.close()

    def has(self, name: str) -> bool:
        return self._key(name) in self.done

    def write(self, found: Iterable[Record]) -> None:
        """Add lines, at once."""
        lines = []
        for record in found:
            if self.has(record["file"]):  # given twice
                continue
            self.done.add(self._key(record["file"]))
            self.failed += "error" in record
            named = record | {READER: self.reader}
            lines.append(csv_line(named, self._columns) if self._is_csv else json_line(named))
        with _storing(self.path):
            # A name that is not valid Unicode has lone surrogates. JSON reads their escapes as such.
            self._file.write("".join(lines).encode("utf-8", "backslashreplace"))
            self._file.flush()

    def _key(self, name: str) -> str:
        return csv_name(name) if self._is_csv else name

    def _opened(self) -> BinaryIO:
        name = shortened(str(self.path))
        if self.path.exists() and not self.path.is_file():
            raise OptionError(f"{name} is not a file. Give the name of a file.")
        with suppress(FileExistsError):
            create_private(self.path).close()
        file = self.path.open("r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise OptionError(f"Another process writes to {name}. Wait until it ends.") from error
        return file

    def _rewrite(self, kept: Sequence[tuple[int, int]]) -> int:
        """Replace the file by these parts of it, completely or not at all. Return its new size."""
        with atomic_write(self.path) as file:
            for start, stop in kept:
                self._file.seek(start)
                file.write(self._file.read(stop - start))
        self._file.close()
        self._file = self._opened()
        return self._file.seek(0, os.SEEK_END)

    def _scan(self) -> tuple[list[tuple[int, int]], int]:
        """Read the names in the file. Return the parts without errors, and the end of its last complete line."""
        lines, end = _Lines(self._file), 0
        kept = list[tuple[int, int]]()
        parsed = self._parse_csv(lines) if self._is_csv else map(_parse_json, lines)
        for number, record in enumerate(parsed, 1):
            if record is None:
                raise self._foreign(f"line {number} is not a reading")
            if record and record[READER] != self.reader:
                raise self._foreign(f"it has readings of {shortened(record[READER])}")
            start, end = end, lines.end
            if record.get("error"):
                continue
            if record:
                self.done.add(record["file"])
            if kept and kept[-1][1] == start:
                start = kept.pop()[0]
            kept.append((start, end))
        opening = csv_header(self._columns) if self._is_csv else '{"file": "'
        if lines.rest and not end and lines.rest[: len(opening)] != opening[: len(lines.rest)].encode():
            raise self._foreign("it has no readings")
        return kept, end

    def _parse_csv(self, lines: "_Lines") -> Iterator[Record | None]:
        """Yield the rows; {} for the header, None for a line that is none."""
        rows = csv.reader((line.decode("utf-8", "replace") for line in lines), strict=True)
        try:
            for index, row in enumerate(rows):
                if index == 0:
                    yield {} if tuple(row) == self._columns else None
                    continue
                record = dict(zip(self._columns, row, strict=False))
                record["file"] = without_formula_guard(record.get("file", ""))
                yield record if len(row) == len(self._columns) else None
        except csv.Error:
            yield None

    def _foreign(self, reason: str) -> OptionError:
        return OptionError(f"{shortened(str(self.path))} cannot be continued: {reason}. Give another file.")


def _parse_json(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    is_reading = isinstance(record, dict) and all(isinstance(record.get(key), str) for key in ("file", READER))
    return record if is_reading else None


class _Lines:
    """The complete lines of a file, the end of the newest one, and at last what is left."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.end, self.rest = file, 0, b""

    def __iter__(self) -> Iterator[bytes]:
        while line := self._file.readline(MAX_LINE):
            if not line.endswith(b"\n"):
                self.rest = line
                if len(line) < MAX_LINE:
                    return
            self.end += len(line)
            yield line


@contextmanager
def _storing(path: Path) -> Iterator[None]:
    """Raise StorageError for an OSError of the block."""
    try:
        yield
    except OSError as error:
        name = shortened(str(path))
        raise StorageError(f"{name} could not be written ({error.strerror}). Run again to continue.") from error
