"""The log of a job, cut while its processes write to it."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.jobs import log


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut at 10 kB."""
    monkeypatch.setattr(log, "MAX_BYTES", 10_000)


def test_a_log_is_cut_while_a_process_appends_to_it(tmp_path: Path) -> None:
    """The process writes through a descriptor that it inherited. Nothing is lost between its lines."""
    path = tmp_path / "log.txt"
    with path.open("ab") as file:
        writer = subprocess.Popen(
            [sys.executable, "-u", "-c", "for line in __import__('sys').stdin: print(line, end='')"],
            stdin=subprocess.PIPE, stdout=file, text=True, bufsize=1,
        )  # fmt: skip
    assert writer.stdin is not None
    for number in range(3_000):
        writer.stdin.write(f"line {number}\n")
        if number % 500 == 499:
            while f"line {number}" not in log.tail(path, 1):
                pass
            log.rotate(path)
    writer.stdin.close()
    writer.wait()

    kept = (tmp_path / "log.1.txt").read_text() + path.read_text()
    numbers = [int(line.split()[1]) for line in kept.splitlines()[1:]]
    assert numbers == list(range(numbers[0], 3_000))
    assert path.stat().st_size + (tmp_path / "log.1.txt").stat().st_size <= 2 * 10_000
    assert log.tail(path, 900).splitlines() == [f"line {number}" for number in range(2_100, 3_000)]


def test_a_short_log_is_left_alone(tmp_path: Path) -> None:
    """There is no second file."""
    (tmp_path / "log.txt").write_text("one\ntwo\n")

    log.rotate(tmp_path / "log.txt")

    assert not (tmp_path / "log.1.txt").exists()
    assert log.tail(tmp_path / "log.txt", 1) == "two"
