"""The audit log: bounded, and harmless on a full disk."""

import errno
import json
import os
from pathlib import Path

import pytest

from core.bundle.service.audit import AuditLog
from core.errors import OptionError


def test_it_keeps_two_files_of_bounded_size(tmp_path: Path) -> None:
    """The newest lines are in them, without a gap."""
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, max_bytes=1000)
    for number in range(500):
        log.write({"number": number})

    files = [tmp_path / "audit.jsonl.1", path]
    numbers = [json.loads(line)["number"] for file in files for line in file.read_text().splitlines()]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert max(file.stat().st_size for file in files) <= 1000
    assert numbers == list(range(numbers[0], 500))
    assert log.failures == 0


def test_it_appends_to_the_file_of_a_former_process(tmp_path: Path) -> None:
    """Its size counts from the file, not from the process."""
    path = tmp_path / "audit.jsonl"
    for number in range(5):
        AuditLog(path, max_bytes=30).write({"number": number})

    assert path.read_text() == '{"number": 4}\n'
    assert (tmp_path / "audit.jsonl.1").read_text() == '{"number": 2}\n{"number": 3}\n'


@pytest.mark.parametrize("content", [b'{\n "format": 1\n}\n', b"SQLite format 3\0", b"a"])
def test_a_file_of_another_kind_is_left_alone(tmp_path: Path, content: bytes) -> None:
    """A line would damage a manifest or a database."""
    path = tmp_path / "manifest.json"
    path.write_bytes(content)

    with pytest.raises(OptionError, match=r"manifest\.json is a file of another kind\. Give a new name\.$"):
        AuditLog(path)

    assert path.read_bytes() == content


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost lines are counted. After half a line, the next one begins on a line of its own."""
    log, write = AuditLog(tmp_path / "audit.jsonl"), os.write

    def full(_file: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    log.write({"number": 1})
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:5]))
    log.write({"number": 2})
    monkeypatch.setattr(os, "write", write)
    log.write({"number": 3})

    assert (tmp_path / "audit.jsonl").read_text() == '{"num\n{"number": 3}\n'
    assert log.failures == 2


def test_a_deleted_folder_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    """A file that cannot be renamed is not written further, so it stays bounded."""
    (tmp_path / "logs").mkdir()
    log = AuditLog(tmp_path / "logs" / "audit.jsonl", max_bytes=20)
    log.write({"number": 1})
    (tmp_path / "logs" / "audit.jsonl").unlink()
    (tmp_path / "logs").rmdir()
    log.write({"number": 2})

    assert log.failures == 1
