"""A file of readings: whole lines, each file once, whatever a killed process left."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from core.errors import OptionError, StorageError
from core.runs.readings_file import COLUMNS, ReadingsFile, csv_line, json_line

NAMES = ["a.png", "with, comma.png", 'quote".png', "=formula.png", "two\nlines.png", os.fsdecode(b"caf\xe9.png"), "é"]


def reading(name: str) -> dict[str, Any]:
    positions = [{"char": "1", "confidence": 0.9}, {"char": "2", "confidence": 0.75}]
    return {"file": name, "text": "12", "confidence": 0.675, "accepted": True, "positions": positions}


def record(name: str) -> dict[str, Any]:
    return {"file": name, "error": "The file is empty."} if name == "a.png" else reading(name)


@pytest.fixture(params=["csv", "jsonl"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The name of a file that does not exist."""
    return tmp_path / f"out.{request.param}"


def opened(path: Path, reader: str = "run 1") -> ReadingsFile:
    return ReadingsFile(path, is_csv=path.suffix == ".csv", reader=reader)


def write_missing(path: Path) -> list[str]:
    """Continue the file as a call does. Return the names that were missing."""
    with opened(path) as file:
        missing = [name for name in NAMES if not file.has(name)]
        file.write(map(record, missing))
        assert file.failed == 1  # a.png, which each call reads again
    return missing


def test_a_file_continues_wherever_it_ends(out: Path) -> None:
    """A killed process can leave any beginning. No line is lost, repeated or broken."""
    write_missing(out)
    whole = out.read_bytes()

    for end in range(0, len(whole), 3):
        out.write_bytes(whole[:end])
        write_missing(out)
        assert sorted(out.read_bytes().splitlines()) == sorted(whole.splitlines()), end
    assert write_missing(out) == ["a.png"]


def test_half_a_line_goes_also_if_nothing_is_added(out: Path) -> None:
    """Its file may no longer be there."""
    write_missing(out)
    whole = out.read_bytes()
    out.write_bytes(whole + whole[-20:-8])

    assert write_missing(out) == ["a.png"]
    assert sorted(out.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_a_file_that_can_be_read_now_replaces_its_error(out: Path) -> None:
    """The line with the error goes, and the others stay in their order."""
    write_missing(out)
    lines = out.read_bytes().splitlines()

    with opened(out) as file:
        assert not file.has("a.png")
        file.write([reading("a.png")])
        assert file.failed == 0

    kept = [line for line in lines if b"The file is empty." not in line]
    assert out.read_bytes().splitlines()[:-1] == kept
    assert len(kept) == len(lines) - 1
    with opened(out) as file:
        assert all(map(file.has, NAMES))


def test_lines_tell_all_names_apart(out: Path) -> None:
    """JSON keeps them exactly; CSV keeps them on one line, without formulas. Only the owner can read the file."""
    write_missing(out)

    if out.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(out.read_text(), newline="")))
        assert [row["file"] for row in rows] == [
            "a.png", "with, comma.png", 'quote".png', "'=formula.png", "two\\nlines.png", "caf\\udce9.png", "é"
        ]  # fmt: skip
        assert rows[0]["error"] == "The file is empty."
        assert (rows[1]["accepted"], rows[1]["positions"], rows[1]["reader"]) == ("true", "0.9 0.75", "run 1")
    else:
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        assert rows == [record(name) | {"reader": "run 1"} for name in NAMES]
    assert out.stat().st_mode & 0o777 == 0o600


def test_a_file_given_twice_has_one_line(out: Path) -> None:
    with opened(out) as file:
        file.write([reading("a"), reading("a")])
        file.write([reading("a")])

    assert out.read_text().count('"a"' if out.suffix == ".jsonl" else "\na,") == 1


@pytest.mark.parametrize(
    "content", [b"my notes", b"my notes\n", b'{"file": 1}\n', b"[]\n", b"\xff\0\n", b'"open\n', b"x" * (1 << 21)]
)
def test_another_file_is_refused_and_unchanged(out: Path, content: bytes) -> None:
    """It may be a file that the user needs."""
    out.write_bytes(content)

    with pytest.raises(OptionError, match=r"cannot be continued: .*\. Give another file\.$"):
        opened(out)
    assert out.read_bytes() == content


def test_readings_of_another_reader_are_not_mixed(out: Path) -> None:
    write_missing(out)
    before = out.read_bytes()

    with pytest.raises(OptionError, match=r"cannot be continued: it has readings of run 1\. Give another file\.$"):
        opened(out, "run 2")
    assert out.read_bytes() == before


def test_two_processes_cannot_write_one_file(out: Path) -> None:
    with opened(out), pytest.raises(OptionError, match=r"^Another process writes to .*\. Wait until it ends\.$"):
        opened(out)
    opened(out)


def test_a_wrong_place_is_one_sentence(out: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"is not a file\. Give the name of a file\.$"):
        opened(tmp_path)
    with pytest.raises(StorageError, match=r"could not be written \(No such file or directory\)"):
        opened(tmp_path / "none" / out.name)


def test_a_missing_value_is_an_empty_cell() -> None:
    """A program can tell it from false."""
    line = csv_line(reading("a.png") | {"accepted": None, "unfamiliar": None})

    assert line == "a.png,12,0.675,,,0.9 0.75,,\n"
    assert len(COLUMNS) == 8
    assert json_line({"file": "é"}) == '{"file": "é"}\n'
