"""Reading metrics.jsonl, however long it is."""

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest

from core.jobs import metrics


def step(number: int) -> dict[str, Any]:
    return {"kind": "step", "step": number, "loss": 1 / number, "accuracy": 0.5, "seconds": number / 10}


def val(number: int, *, kept: bool = True) -> dict[str, Any]:
    line = {"kind": "val", "step": number, "loss": 1.0, "correct": 1, "n": 2, "per_position": [0.5, 0.5]}
    return line | {"kept": kept}


def append(path: Path, lines: list[dict[str, Any]]) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of all reads."""
    sizes, pread = [], os.pread

    def counted(number: int, size: int, offset: int) -> bytes:
        data = pread(number, size, offset)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", counted)
    return sizes


def afresh(path: Path) -> list[dict[str, Any]]:
    """Read like a process that has not read the file before."""
    metrics._readers.clear()
    return metrics.read(path)


def test_an_ordinary_run_is_read_completely(path: Path) -> None:
    """Lines of all kinds keep their order, also if they arrive one by one."""
    assert metrics.read(path) == []
    lines = []
    for number in range(1, 200):
        new = [step(number), *([val(number)] if number % 7 == 0 else [])]
        append(path, new)
        lines += new
        if number % 20 == 0:
            assert metrics.read(path) == lines
    many = [step(number) for number in range(200, 201 + metrics.STEPS - 200)]
    append(path, many)

    assert metrics.read(path) == lines + many == afresh(path)


def test_a_look_reads_only_the_new_lines(path: Path, bytes_read: list[int]) -> None:
    """A page looks every second, and the file grows with the run."""
    append(path, [step(number) for number in range(1, 20_000)])
    metrics.read(path)
    assert sum(bytes_read) > path.stat().st_size
    bytes_read.clear()

    append(path, [step(20_000)])
    last = metrics.read(path)[-1]

    assert last["step"] == 20_000
    assert sum(bytes_read) < 2 * metrics.TAIL_BYTES


def test_a_long_run_is_thinned_but_keeps_its_validations_and_its_end(path: Path) -> None:
    """The choice does not depend on when the file was read."""
    for first in range(1, 40_000, 3_000):
        append(path, [line for number in range(first, first + 3_000) for line in
                      ([step(number), val(number)] if number % 50 == 0 else [step(number)])])  # fmt: skip
        lines = metrics.read(path)

    steps = [line["step"] for line in lines if line["kind"] == "step"]
    assert 900 < len(steps) < metrics.THINNED_STEPS + 300
    assert steps == sorted(set(steps))
    assert steps[0] == 1
    assert steps[-60:] == list(range(steps[-1] - 59, steps[-1] + 1))
    assert max(after - before for before, after in itertools.pairwise(steps)) < 80
    assert [line["step"] for line in lines if line["kind"] == "val"] == list(range(50, steps[-1] + 1, 50))
    assert afresh(path) == lines


def test_very_many_validations_are_thinned_but_for_the_last_and_the_selected(path: Path) -> None:
    """The page shows the numbers of both."""
    append(path, [step(1)] + [val(number, kept=number == 19_990) for number in range(1, 20_001)])

    vals = [line for line in metrics.read(path) if line["kind"] == "val"]

    assert len(vals) < metrics.LISTS + 200
    assert (vals[0]["step"], vals[-1]["step"]) == (1, 20_000)
    assert [line["step"] for line in vals if line["kept"]] == [19_990]
    append(path, [val(number, kept=False) for number in range(20_001, 22_000)])
    assert [line["step"] for line in metrics.read(path) if line.get("kept")] == [19_990]
    assert afresh(path) == metrics.read(path)


@pytest.mark.parametrize(
    "damage",
    [
        b'{"kind": "step", "step": "1"}', b"\xff\xfe\x00", b"null", b"7", b"[1]", b"{", b"[" * 100_000,
        b'{"kind": "val", "step": 1, "per_position": 3}', b"x" * 600_000, b"",
    ],
    ids=lambda value: f"{value[:12]!r}",
)  # fmt: skip
def test_a_damaged_line_is_omitted(path: Path, damage: bytes) -> None:
    """All other lines are read, whatever the line holds."""
    append(path, [step(1), val(1)])
    path.write_bytes(path.read_bytes() + damage + b"\n")
    append(path, [step(2)])

    assert metrics.read(path) == [step(1), val(1), step(2)]


def test_an_incomplete_last_line_is_read_when_it_is_complete(path: Path) -> None:
    """A reader may come between two halves of a write."""
    text = json.dumps(step(2))
    append(path, [step(1)])
    with path.open("a") as file:
        file.write(text[:20])
    assert metrics.read(path) == [step(1)]
    with path.open("a") as file:
        file.write(text[20:])
    assert metrics.read(path) == [step(1), step(2)]
    append(path, [])
    with path.open("a") as file:
        file.write("\n")
    append(path, [step(3)])

    assert metrics.read(path) == [step(1), step(2), step(3)]


def test_a_file_that_was_replaced_is_read_from_its_start(path: Path) -> None:
    """A restored run may have a shorter file, or one of the same length."""
    append(path, [step(number) for number in range(1, 50)])
    metrics.read(path)
    for lines in ([step(7)], [step(number) for number in range(51, 100)], []):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert metrics.read(path) == lines
    append(path, [step(1)])
    assert metrics.read(path) == [step(1)]
    path.unlink()
    assert metrics.read(path) == []
