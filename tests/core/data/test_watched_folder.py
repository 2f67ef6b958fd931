"""A watched folder yields each complete file once."""

import os
from pathlib import Path

import pytest

from core.data.watched_folder import UnsettledError, Watch
from core.errors import ImageError, ImportSourceError
from tests.helpers.pictures import png, write_files
from tests.helpers.rights import ordinary_rights


def look(watch: Watch) -> list[str]:
    """Return the names of the files of one scan, and read each."""
    names = []
    for batch in watch.scan():
        for entry in batch:
            entry.read()
            names.append(entry.name)
    return sorted(names)


def test_a_file_is_given_once_it_has_settled(tmp_path: Path) -> None:
    """The second scan without a change yields it, never again, also in subfolders."""
    write_files(tmp_path, {"a.png": png(1), "deep/er/b.png": png(2)})
    watch = Watch(tmp_path)

    assert [look(watch) for _ in range(3)] == [[], ["a.png", "deep/er/b.png"], []]


def test_a_file_that_grows_is_waited_for(tmp_path: Path) -> None:
    """An empty file is not complete."""
    data, watch = png(1), Watch(tmp_path)
    given = []
    for end in (0, 0, 0, 100, 200, len(data)):
        (tmp_path / "a.png").write_bytes(data[:end])
        given += look(watch)
    assert given == []

    assert look(watch) == ["a.png"]


def test_a_rewritten_file_is_given_again(tmp_path: Path) -> None:
    """It is detected even with the same size and time. Reading a file does not change it."""
    path = tmp_path / "a.png"
    path.write_bytes(b"12345")
    watch = Watch(tmp_path)
    assert [look(watch), look(watch)] == [[], ["a.png"]]
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    path.write_bytes(b"54321")
    os.utime(path, ns=times)

    assert [look(watch), look(watch)] == [[], ["a.png"]]
    path.read_bytes()
    assert look(watch) == []


def test_a_rename_into_place_counts_when_it_has_happened(tmp_path: Path) -> None:
    """Files being written are hidden or have the suffix of a temporary file."""
    write_files(tmp_path, {".a.png": png(1), "b.png.part": png(2), "c.tmp": png(3), ".new/d.png": png(4)})
    watch = Watch(tmp_path)
    assert [look(watch), look(watch)] == [[], []]

    (tmp_path / ".a.png").rename(tmp_path / "a.png")
    (tmp_path / "b.png.part").rename(tmp_path / "b.png")

    assert [look(watch), look(watch)] == [[], ["a.png", "b.png"]]


@pytest.mark.parametrize("change", ["vanishes", "is rewritten"])
def test_a_file_that_changes_before_it_is_read_is_not_an_error(tmp_path: Path, change: str) -> None:
    """A later scan yields the changed file, even if it returns to its former state."""
    path = tmp_path / "a.png"
    path.write_bytes(b"one")
    watch = Watch(tmp_path)
    look(watch)
    (batch,) = watch.scan()
    if change == "vanishes":
        path.rename(tmp_path.with_name("elsewhere.png"))
    else:
        path.write_bytes(b"another")
    with pytest.raises(UnsettledError):
        batch[0].read()
    if change == "vanishes":
        tmp_path.with_name("elsewhere.png").rename(path)

    assert [look(watch), look(watch)] == [[], ["a.png"]]


def test_a_missing_folder_is_reported_and_its_files_stay_known(tmp_path: Path) -> None:
    """A network folder that is mounted again does not yield its files again."""
    folder = write_files(tmp_path / "in", {"a.png": png(1)})
    watch = Watch(folder)
    assert [look(watch), look(watch)] == [[], ["a.png"]]
    folder.rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(ImportSourceError, match="No such file or directory"):
            look(watch)
    (tmp_path / "away").rename(folder)
    (folder / "b.png").write_bytes(png(2))

    assert [look(watch), look(watch)] == [[], ["b.png"]]


def test_links_are_refused_and_slotlabs_own_folder_is_left_out(tmp_path: Path) -> None:
    """A link may lead anywhere, and the job's own files change with every scan."""
    write_files(tmp_path, {"slotlab-data/runs/0001-import/log.txt": b"x", "a.png": png(1)})
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "round").symlink_to(tmp_path)
    watch = Watch(tmp_path, exclude=tmp_path / "slotlab-data")
    list(watch.scan())

    entries = {entry.name: entry for batch in watch.scan() for entry in batch}

    assert set(entries) == {"a.png", "link.png", "round"}
    for name in ("link.png", "round"):
        with pytest.raises(ImageError, match="This is a link"):
            entries[name].read()


def test_a_subfolder_that_cannot_be_read_is_given_with_its_reason(tmp_path: Path) -> None:
    """Once it can be read, its files come."""
    locked = write_files(tmp_path, {"a.png": png(1), "locked/b.png": png(2)}) / "locked"
    locked.chmod(0)
    watch = Watch(tmp_path)

    with ordinary_rights():
        list(watch.scan())
        entries = {entry.name: entry for batch in watch.scan() for entry in batch}
        with pytest.raises(ImageError, match=r"The folder cannot be read \(Permission denied\)"):
            entries["locked"].read()
    locked.chmod(0o700)

    assert set(entries) == {"a.png", "locked"}
    assert [look(watch), look(watch)] == [[], ["locked/b.png"]]


def test_many_files_come_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller may stop between batches, including empty ones."""
    monkeypatch.setattr("core.data.watched_folder.BATCH", 4)
    monkeypatch.setattr("core.data.watched_folder.STOP_CHECK_FILES", 10)
    write_files(tmp_path, {f"{number:02}.png": b"x" for number in range(30)})
    watch = Watch(tmp_path)

    assert [len(batch) for batch in watch.scan()] == [0, 0, 0, 0]
    assert watch.waiting == 30
    sizes = [len(batch) for batch in watch.scan()]
    assert sum(sizes) == 30
    assert max(sizes) == 4


def test_a_batch_that_could_not_be_stored_comes_again(tmp_path: Path) -> None:
    """It is yielded again until it is stored. Stored batches are not."""
    write_files(tmp_path, {"a.png": png(1), "b.png": png(2)})
    watch = Watch(tmp_path)
    assert look(watch) == []
    looking = watch.scan()

    batch = next(looking)
    looking.close()  # as an exception in the loop over it does

    assert len(batch) == 2
    assert [look(watch) for _ in range(3)] == [[], ["a.png", "b.png"], []]
