"""Atomic writing of files."""

from pathlib import Path

import pytest

from core.files import atomic_write


def test_a_file_is_replaced_at_the_end(tmp_path: Path) -> None:
    """The old content stays until then, and no temporary file is left."""
    path = tmp_path / "a.json"
    path.write_text("old")

    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"

    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """No half-written file is left to fill the disk."""
    path = tmp_path / "a.json"
    path.write_text("old")

    def fail() -> None:
        with atomic_write(path) as file:
            file.write(b"ne")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail()

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    """The caller reports which file it was."""
    with pytest.raises(OSError, match="No such file"), atomic_write(tmp_path / "gone" / "a.json"):
        pass


def test_concurrent_writes_do_not_mix(tmp_path: Path) -> None:
    """Each writes its whole file; the last to finish wins."""
    path = tmp_path / "a.json"

    with atomic_write(path) as first:
        first.write(b"the first")
        with atomic_write(path) as second:
            second.write(b"2")
        assert path.read_bytes() == b"2"

    assert path.read_bytes() == b"the first"
    assert list(tmp_path.iterdir()) == [path]
