"""A file of verdicts: the log of a reader, or a table by hand. This module writes nothing.

A line that cannot be used has a problem in one sentence, and the others are read.
"""

import csv
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from core.bundle.reader import VerdictError, check_reason
from core.charset import TextSpec
from core.data.importing import NewImage, new_image
from core.data.sources import read_file, storable
from core.data.tables.cleaning import without_formula_guard
from core.data.tables.formats import MAX_NAME
from core.errors import ImageError, ImportSourceError, LabelError
from core.files import open_regular, shortened
from core.images.pixels import decode
from db.answers import NewAnswer
from db.records import now

MAX_FILE_BYTES = 1024**3
MAX_LINES = 2_000_000
MAX_LINE_BYTES = 64 * 1024
MAX_WORD = 200
"""Characters of an id, of a reason, and of a reader's name."""
MAX_SENTENCE = 1000
"""Characters of the sentence that says why an image is unfamiliar."""
REQUIRED = ("text", "accepted")
OPTIONAL = ("sha256", "file", "reason", "time", "id")
"""Columns of a table, with at least one of the first two. Others are ignored."""
WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class GivenVerdict:
    """A verdict as a line gives it."""

    key: str | None
    sha256: str | None
    """None: that of the image."""
    text: str
    accepted: bool
    reason: str | None
    at: str | None
    """Time as stored; None if the line does not say it."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line that is not empty."""

    number: int
    """Counted from 1."""
    given: GivenVerdict | NewAnswer | None = None
    image: Path | None = None
    """Path of the image."""
    problem: str | None = None
    """Why the line cannot be used, as a sentence. It then gives nothing."""


class VerdictFile:
    """A file of verdicts, as long as it was when it was opened: a reader may still append to it."""

    def __init__(self, path: Path, spec: TextSpec) -> None:
        """Find out the form and count the lines. Raises ImportSourceError if the file cannot be used."""
        self.path, self._spec = path, spec
        with self._opened() as file:
            self._size = os.fstat(file.fileno()).st_size
            if self._size > MAX_FILE_BYTES:
                raise ImportSourceError(f"{path.name} has more than {MAX_FILE_BYTES:,} bytes. Divide it.")
            left, newlines, start = self._size, 0, b""
            while left > 0 and (part := file.read(min(CHUNK, left))):
                left -= len(part)
                newlines += part.count(b"\n")
                start = start or part[:MAX_LINE_BYTES]
        if newlines > MAX_LINES:
            raise ImportSourceError(f"{path.name} has more than {MAX_LINES:,} lines. Divide it.")
        self.lines = newlines + 1
        """Number of lines, with one after the last end of a line."""
        self._header = self._read_header(start) if start.strip() else None

    def _opened(self) -> BinaryIO:
        try:
            return open_regular(self.path)  # a FIFO would block, and a device has no end
        except OSError as error:
            raise ImportSourceError(f"{self.path} cannot be read ({error.strerror}).") from error

    def _read_header(self, start: bytes) -> "_Header | None":
        """Return the header of a table; None for lines of JSON."""
        try:
            return _Header.of(_decoded(start.split(b"\n", 1)[0].rstrip(b"\r")))
        except ImportSourceError as error:
            if _is_json(start):
                return None
            raise ImportSourceError(f"{self.path.name} is not a file of verdicts. {error}") from error

    def read(self) -> Iterator[Line]:
        """Yield the lines."""
        with self._opened() as file:
            for number, data in enumerate(_raw_lines(file, self._size), 1):
                if (number == 1 and self._header) or (data is not None and not data.strip()):
                    continue
                try:
                    given, image = self._parse(_decoded(data))
                    yield Line(number=number, given=given, image=image)
                except (ImportSourceError, LabelError, VerdictError) as error:
                    yield Line(number=number, problem=str(error))

    def _parse(self, text: str) -> tuple[GivenVerdict | NewAnswer, Path | None]:
        if self._header:
            values: Mapping[str, Any] = self._header.values(text)
        else:
            values = _object(text)
            if "reading" in values:
                return self._answer(values)
        return self._verdict(values)

    def _verdict(self, values: Mapping[str, Any]) -> tuple[GivenVerdict, Path | None]:
        if not isinstance(text := values.get("text"), str):
            raise LabelError("The text is missing.")
        sha256 = None if values.get("sha256") in (None, "") else _hash(values["sha256"])
        image = None
        if values.get("file") not in (None, ""):
            image = inside(self.path.parent, without_formula_guard(_word(values["file"], "file", MAX_NAME) or ""))
        if sha256 is None and image is None:
            raise ImportSourceError("Neither sha256 nor file says which image it is.")
        given = GivenVerdict(
            key=_word(values.get("id"), "id"),
            sha256=sha256,
            text=self._spec.check(text),
            accepted=_yes_or_no(values.get("accepted"), "accepted"),
            reason=_word(values.get("reason"), "reason"),
            at=_time(values.get("time")),
        )
        check_reason(accepted=given.accepted, reason=given.reason)
        return given, image

    def _answer(self, values: Mapping[str, Any]) -> tuple[NewAnswer, Path | None]:
        reading, look = values["reading"], values.get("look")
        if not isinstance(reading, dict) or not isinstance(text := reading.get("text"), str):
            raise LabelError("The reading has no text.")
        key, reader = _word(values.get("id"), "id"), _word(values.get("bundle"), "bundle")
        if key is None or reader is None:
            raise ImportSourceError(f"The {'id' if key is None else 'bundle'} is missing.")
        if look is not None and not (isinstance(look, list) and len(look) == 2):
            raise ImportSourceError("look is not a pair of numbers.")
        confidence = _number(reading.get("confidence"), "confidence")
        if not 0 <= confidence <= 1:
            raise ImportSourceError(f"confidence is {confidence:g}, which is not a probability.")
        accepted = reading.get("accepted")
        answer = NewAnswer(
            key=key,
            sha256=_hash(values.get("sha256")),
            reader=reader,
            text=self._spec.check(text),
            confidence=confidence,
            accepted=None if accepted is None else _yes_or_no(accepted, "accepted"),
            unfamiliar=_word(reading.get("unfamiliar"), "unfamiliar", MAX_SENTENCE),
            distance=_number(look[0], "look") if look else None,
            surprise=_number(look[1], "look") if look else None,
            at=_time(values.get("time")) or now(),
        )
        image = _word(values.get("image"), "image", MAX_NAME)
        folder = self.path.with_name(f"{self.path.name}.images")
        return answer, None if image is None else inside(folder, image)


@dataclass(frozen=True)
class _Header:
    """The first line of a table."""

    columns: list[str]
    delimiter: str

    @classmethod
    def of(cls, line: str) -> "_Header":
        """Raises ImportSourceError if the line is not a header."""
        delimiter = "\t" if "\t" in line else ","
        columns = [column.strip().lower() for column in _fields(line, delimiter)]
        known = [column for column in columns if column in REQUIRED + OPTIONAL]
        if len(known) != len(set(known)):
            raise ImportSourceError("Its first line names a column twice.")
        if not {*REQUIRED} <= {*known} or not {"sha256", "file"} & {*known}:
            raise ImportSourceError("Its first line must name the columns text, accepted, and sha256 or file.")
        return cls(columns, delimiter)

    def values(self, line: str) -> dict[str, str]:
        """Return the fields of a line by column. Raises ImportSourceError."""
        fields = _fields(line, self.delimiter)
        if len(fields) != len(self.columns):
            raise ImportSourceError(f"The line has {len(fields)} fields instead of {len(self.columns)}.")
        return dict(zip(self.columns, fields, strict=True))


def inside(folder: Path, name: str) -> Path:
    """Return the path of a file in a folder. Raises ImportSourceError if the name leads out of it."""
    path = folder / name
    is_outside = not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
    if Path(name).is_absolute() or is_outside:
        raise ImportSourceError(f"{shortened(name)!r} is outside the folder {folder.name}.")
    return path


def read_image(path: Path, sha256: str | None) -> NewImage:
    """Return the image in a file. Raises ImageError, also if its pixels have another hash than `sha256`."""
    data = read_file(path)
    image = new_image(storable(path.name), data, decode(data))
    if sha256 not in (None, image.sha256):
        raise ImageError("Its pixels have another hash than the line says.")
    return image


def _is_json(start: bytes) -> bool:
    """Return True if a line begins an object. The first one may be torn."""
    return re.search(rb"^(?:\xef\xbb\xbf)?[ \t]*\{", start, re.MULTILINE) is not None


def _raw_lines(file: BinaryIO, size: int) -> Iterator[bytes | None]:
    """Yield the lines of the first `size` bytes, without their ends; None for one that is too long."""
    while size > 0 and (line := file.readline(min(MAX_LINE_BYTES + 2, size))):
        size -= len(line)
        is_long = len(line.rstrip(b"\r\n")) > MAX_LINE_BYTES
        while size > 0 and not line.endswith(b"\n") and (line := file.readline(min(CHUNK, size))):
            size -= len(line)
            is_long = True
        yield None if is_long else line.rstrip(b"\r\n")


def _decoded(line: bytes | None) -> str:
    """Return a line as text, without a byte order mark. Raises ImportSourceError."""
    if line is None:
        raise ImportSourceError(f"The line has more than {MAX_LINE_BYTES:,} bytes.")
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImportSourceError(f"The line is not UTF-8 text (byte {error.start + 1}).") from error
    if "\0" in text:
        raise ImportSourceError("The line contains NUL characters.")
    return text


def _fields(line: str, delimiter: str) -> list[str]:
    try:
        rows = list(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ImportSourceError(f"The line is not valid CSV ({error}).") from error
    return rows[0] if rows else []


def _object(line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of more digits than Python converts
        raise ImportSourceError("The line is not a JSON object.") from error
    if not isinstance(values, dict):
        raise ImportSourceError("The line is not a JSON object.")
    return values


def _word(value: object, name: str, longest: int = MAX_WORD) -> str | None:
    """Return a short text; None if it is missing. Lone surrogates and control characters cannot be stored or shown."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise ImportSourceError(f"{name} is not a text of at most {longest} visible characters.")
    return value.strip() or None


def _hash(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", value.strip()):
        raise ImportSourceError("sha256 is not a hash of 64 hexadecimal digits.")
    return value.strip().lower()


def _yes_or_no(value: object, name: str) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str) or value in (0, 1) else ""
    if word not in WORDS:
        raise ImportSourceError(f"{name} is neither true nor false.")
    return WORDS[word]


def _number(value: object, name: str) -> float:
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ImportSourceError(f"{name} is not a finite number.")
    return number


def _time(value: object) -> str | None:
    """Return a time as stored: ISO 8601, UTC, whole seconds. A time without a zone is in UTC."""
    if value is None or value == "":
        return None
    try:
        time = datetime.fromisoformat(str(value))
        time = time.replace(tzinfo=time.tzinfo or UTC)
        return time.astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError) as error:
        raise ImportSourceError("time is not a time such as 2026-03-01T12:30:00Z.") from error
