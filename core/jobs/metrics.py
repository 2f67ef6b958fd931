"""The lines of metrics.jsonl, read incrementally and thinned to what a page can draw.

A run of weeks writes a million lines, and a page that follows it looks every second. So a look reads only the lines
since the last one, and at most STEPS and LISTS lines stay in memory.
"""

import json
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

Line = dict[str, Any]

STEPS, LISTS = 5_000, 2_500
"""Steps and validations to keep. Runs with fewer are read completely; a curve has 400 points."""
THINNED_STEPS, THINNED_LISTS = 2_000, 1_000
"""Steps and validations to keep of a longer run."""
TAIL_BYTES = 16 * 1024
"""End of the file to keep completely, about 100 steps. The doctor averages the last 20."""
CHUNK_BYTES = 256 * 1024
READERS = 8
"""Files to remember in one process."""
TYPES: dict[str, type | tuple[type, ...]] = {
    "step": int,
    "epoch": int,
    "loss": (int, float, type(None)),
    "accuracy": (int, float),
    "seconds": (int, float),
    "correct": int,
    "n": int,
    "per_position": list,
}


def read(path: Path) -> list[Line]:
    """Return the lines of a run in the order written, thinned beyond STEPS and LISTS.

    Omits damaged lines and an incomplete last one. Do not modify the lines: later calls return the same objects.
    """
    with _lock:
        reader = _readers.setdefault(path, _Reader(path))
        _readers.move_to_end(path)
        if len(_readers) > READERS:
            _readers.popitem(last=False)
    with reader.lock:
        return reader.read()


class _Thinned:
    """All lines of a file up to `limit`; of longer files at most `thinned`: the first that starts in each block.

    Holds the lines with a list, which are validations and notes, or those without, which are steps. The blocks double
    when there are too many lines. So the choice depends on the file and not on when it was read.
    """

    def __init__(self, limit: int, thinned: int, *, has_list: bool) -> None:
        self.limit, self.thinned, self.has_list = limit, thinned, has_list
        self.block = 1
        self.lines: dict[int, bytes] = {}
        """Lines by their offset in the file."""
        self.next = 0
        """Offset of the block after the last line."""

    def scan(self, data: bytes, base: int) -> None:
        """Add the complete lines of `data`, which starts at offset `base` of the file.

        Searching for one byte is several times faster than for the kind of a line.
        """
        at = _line_start(data, self.next - base)
        while at < len(data):
            if self.has_list:
                bracket = data.find(b"[", at)
                if bracket < 0:
                    break
                at = data.rfind(b"\n", at, bracket) + 1 or at
            end = data.find(b"\n", at)
            if end < 0:
                break
            text = data[at:end]
            if (b"[" in text) == self.has_list:
                self.lines[base + at] = text
                self.next = ((base + at) // self.block + 1) * self.block
            at = max(end + 1, _line_start(data, self.next - base))
        self._thin()

    def _thin(self) -> None:
        while len(self.lines) > (self.limit if self.block == 1 else self.thinned):
            self.block = max(2 * self.block, 128)  # no line is shorter
            first = {at // self.block: at for at in reversed(self.lines)}
            self.lines = {at: self.lines[at] for at in reversed(first.values())}
            self.next = (next(reversed(self.lines)) // self.block + 1) * self.block


class _Reader:
    """The lines of one file read so far."""

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path, threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.file: tuple[int, int] | None = None
        self.offset = 0
        """End of the last complete line."""
        self.end = b""
        """Bytes before `offset`, to notice a file that was replaced."""
        self.steps = _Thinned(STEPS, THINNED_STEPS, has_list=False)
        self.lists = _Thinned(LISTS, THINNED_LISTS, has_list=True)
        self.last: dict[int, bytes] = {}
        self.selected: dict[int, bytes] = {}
        self.parsed: dict[int, Line | None] = {}

    def read(self) -> list[Line]:
        try:
            number = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            self.reset()
            return []
        try:
            self._advance(number)
            return self._lines(number)
        finally:
            os.close(number)

    def _advance(self, number: int) -> None:
        """Read the complete lines since the last look."""
        status = os.fstat(number)
        same = self.file == (status.st_dev, status.st_ino)
        if not same or os.pread(number, len(self.end), self.offset - len(self.end)) != self.end:
            self.reset()
            self.file = (status.st_dev, status.st_ino)
        while data := os.pread(number, CHUNK_BYTES, self.offset):
            complete = data.rfind(b"\n") + 1
            if not complete and len(data) < CHUNK_BYTES:
                break
            end = complete or len(data)  # a whole chunk without a line break is damaged
            self.steps.scan(data, self.offset)
            self.lists.scan(data, self.offset)
            if self.lists.block > 1:
                self._find_latest(data, end)
            self.offset += end
            self.end = (self.end + data[max(0, end - 64) : end])[-64:]

    def _find_latest(self, data: bytes, end: int) -> None:
        """Remember the last validation before index `end`, and the last that selected a checkpoint."""
        bracket = end
        for number in range(64):
            bracket = data.rfind(b"[", 0, bracket)
            if bracket < 0:
                return
            at = data.rfind(b"\n", 0, bracket) + 1
            line = {self.offset + at: data[at : data.find(b"\n", bracket)]}
            if number == 0:
                self.last = line
            if b'"kept": true' in line[self.offset + at]:
                self.selected = line
                return

    def _lines(self, number: int) -> list[Line]:
        start = max(0, self.offset - TAIL_BYTES)
        tail = os.pread(number, self.offset - start, start)
        texts = self.steps.lines | self.lists.lines | self.last | self.selected
        texts |= _split(tail, start, _line_start(tail, 1) if start else 0)
        self.parsed = {at: self.parsed[at] if at in self.parsed else _parse(texts[at]) for at in sorted(texts)}
        # Only the line break is missing if the process was killed just before it.
        rest = _parse(os.pread(number, CHUNK_BYTES, self.offset))
        return [line for line in (*self.parsed.values(), rest) if line is not None]


def _line_start(data: bytes, at: int) -> int:
    """Return the index of the first line that starts at or after `at`."""
    return 0 if at <= 0 else data.find(b"\n", at - 1) + 1 or len(data)


def _split(data: bytes, base: int, at: int) -> dict[int, bytes]:
    """Return the lines of `data` from index `at` by their offset."""
    lines = {}
    for text in data[at:].split(b"\n")[:-1]:
        lines[base + at] = text
        at += len(text) + 1
    return lines


def _parse(text: bytes) -> Line | None:
    """Return the values of a line; None if it is damaged."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):  # invalid UTF-8 is a ValueError
        return None
    if not isinstance(line, dict):
        return None
    for key, value in line.items():
        if key in TYPES and not isinstance(value, TYPES[key]):
            return None
    return line


_lock = threading.Lock()
_readers: OrderedDict[Path, _Reader] = OrderedDict()
