"""Files that are replaced as a whole."""

from pathlib import Path

import pytest

from core.files import replacing


def test_a_file_is_replaced_at_the_end(tmp_path: Path) -> None:
    """Until then it is as it was, and afterwards nothing else is there."""
    path = tmp_path / "a.json"
    path.write_text("old")

    with replacing(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"

    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """And no half file beside it, which on a full disk would take the last room."""
    path = tmp_path / "a.json"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as file:
            file.write(b"ne")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail()

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    """Whoever writes says which file it was."""
    with pytest.raises(OSError, match="No such file"), replacing(tmp_path / "gone" / "a.json"):
        pass


def test_two_who_write_at_once_do_not_mix(tmp_path: Path) -> None:
    """Each puts its whole file in place; whoever ends last has the last word."""
    path = tmp_path / "a.json"

    with replacing(path) as first:
        first.write(b"the first")
        with replacing(path) as second:
            second.write(b"2")
        assert path.read_bytes() == b"2"

    assert path.read_bytes() == b"the first"
    assert list(tmp_path.iterdir()) == [path]
