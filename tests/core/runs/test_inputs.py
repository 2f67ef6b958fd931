"""Which files a source has, in which order, and what is in memory at a time."""

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from core.images.pixels import encode_png
from core.runs.inputs import BATCH, BATCH_PIXELS, Input, batches, find_inputs, records
from tests.helpers.pictures import png, write_files
from tests.helpers.rights import ordinary_rights


def names(*sources: object, stdin: bytes = b"") -> list[str]:
    return [item.name for item in find_inputs(map(str, sources), io.BytesIO(stdin))]


def errors(*sources: object, stdin: bytes = b"") -> list[str | None]:
    return [item.error for item in find_inputs(map(str, sources), io.BytesIO(stdin))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with images, a subfolder, and files that an import omits."""
    files = {"b.png": png(1), "a.png": png(2), "sub/c.png": png(3), ".hidden/d.png": b"", "labels.csv": b"", ".e": b""}
    return write_files(tmp_path / "folder", files)


def test_a_folder_is_read_with_its_subfolders_as_an_import_does(folder: Path) -> None:
    assert names(folder) == [f"{folder}/{name}" for name in ("a.png", "b.png", "sub/c.png")]


def test_a_zip_is_read_by_the_names_in_it(folder: Path, tmp_path: Path) -> None:
    """Each entry has its own pixels."""
    archive = tmp_path / "new.ZIP"
    with zipfile.ZipFile(archive, "w") as made:
        for path in (folder / "b.png", folder / "sub" / "c.png"):
            made.write(path, path.relative_to(folder))
        made.writestr("labels.csv", "")

    (found,) = batches(find_inputs([str(archive)], io.BytesIO()))

    assert [item.name for item, _ in found] == [f"{archive}/b.png", f"{archive}/sub/c.png"]
    assert [encode_png(pixels) for _, pixels in found if not isinstance(pixels, str)] == [png(1), png(3)]


def test_a_pattern_matches_files_unless_a_file_has_its_name(folder: Path) -> None:
    """A quoted pattern passes the limit of a command line. `**` is recursive."""
    assert names(folder / "*.png") == [f"{folder}/a.png", f"{folder}/b.png"]
    assert names(folder / "**" / "c.*") == [f"{folder}/sub/c.png"]
    assert errors(folder / "*.gif") == ["No file matches this pattern."]
    (folder / "[x].png").write_bytes(png(4))
    assert names(folder / "[x].png") == [f"{folder}/[x].png"]


def test_paths_come_from_standard_input_one_a_line(folder: Path) -> None:
    """They are not patterns. Lines may end as on Windows, and a name need not be valid Unicode."""
    lines = f"{folder}/b.png\r\n\n{folder}/sub\n*.png\n".encode() + b"caf\xe9.png"

    assert names("-", stdin=lines) == [
        f"{folder}/b.png", f"{folder}/sub/c.png", "*.png", os.fsdecode(b"caf\xe9.png")
    ]  # fmt: skip


def test_a_source_without_files_is_one_error(tmp_path: Path) -> None:
    """The rest is read."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.zip").write_bytes(b"PK\3\4 torn")
    write_files(tmp_path / "locked", {"a.png": png(1)}).chmod(0)

    with ordinary_rights():
        found = errors(tmp_path / "empty", tmp_path / "cut.zip", tmp_path / "locked", tmp_path / "missing.png")
    (tmp_path / "locked").chmod(0o700)

    assert found == [
        "The folder contains no image files.",
        "cut.zip is damaged or not a zip file.",
        f"The folder {tmp_path}/locked cannot be read (Permission denied).",
        None,
    ]


def test_what_cannot_be_opened_is_one_sentence_each(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "fifo")
    paths = f"{tmp_path}/none\n{tmp_path}/fifo\n{tmp_path}/in\nx\0y\n{'n' * 300}\n".encode()

    (found,) = batches(find_inputs("-", io.BytesIO(paths)))

    assert [reason for _, reason in found] == [
        "The file cannot be read (No such file or directory).",
        "The file cannot be read (Not a regular file).",
        "This is a link or a special file, not an image file.",
        "The file cannot be read (embedded null byte).",
        "The file cannot be read (File name too long).",
    ]


def test_a_zip_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    """Its list of files no longer holds."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("a.png", png(1))
    item = Input("a.zip/b.png", str(tmp_path / "a.zip"), 1)

    ((_, reason),) = next(batches([item]))

    assert reason == "The zip file has changed while it was read."


def test_one_batch_is_in_memory_at_a_time(tmp_path: Path) -> None:
    """Files are listed as they are read. Large images make small batches."""
    path, asked = tmp_path / "a.png", 0
    path.write_bytes(png(1))

    def endless() -> Iterator[Input]:
        nonlocal asked
        while True:
            asked += 1
            yield Input("a.png", str(path))

    assert len(next(batches(endless()))) == asked == BATCH

    path.write_bytes(encode_png(np.zeros((1500, 2000, 3), np.uint8)))
    asked = 0
    assert len(next(batches(endless()))) == asked == -(-BATCH_PIXELS // 3_000_000)


def test_answers_meet_their_files(tmp_path: Path) -> None:
    """Also between files that cannot be read."""
    files = write_files(tmp_path, {"a.png": png(1), "b.png": b"", "c.png": png(2)})
    (batch,) = batches(find_inputs([str(files)], io.BytesIO()))

    found = records(batch, lambda images: [{"text": encode_png(pixels)} for pixels in images])

    assert found == [
        {"file": f"{files}/a.png", "text": png(1)},
        {"file": f"{files}/b.png", "error": "The file is empty."},
        {"file": f"{files}/c.png", "text": png(2)},
    ]
