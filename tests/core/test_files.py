"""Files that appear at once, and files of users, which may be devices, FIFOs and links."""

import os
import select
import socket
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from core.errors import OptionError, StorageError
from core.files import atomic_write, checked_path, open_regular, shortened, write_outside


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


# Files outside the Slotlab folder


def test_a_file_that_leaves_the_lab_is_for_its_owner_alone(tmp_path: Path) -> None:
    """This holds also if it replaces a file that everyone could read."""
    path = tmp_path / "out.csv"
    path.write_text("old")
    path.chmod(0o644)

    write_outside(path, b"new")

    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_followed_and_stays(tmp_path: Path, exists: bool) -> None:
    """The user wants the file that the link names."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    if exists:
        (folder / "out.csv").write_text("old")
    (tmp_path / "link").symlink_to(folder / "out.csv")

    write_outside(tmp_path / "link", b"new")

    assert (tmp_path / "link").is_symlink()
    assert (folder / "out.csv").read_bytes() == b"new"
    assert [path.name for path in folder.iterdir()] == ["out.csv"]


@pytest.mark.timeout(20)
def test_a_fifo_is_written_into(tmp_path: Path) -> None:
    """`--out >(gzip > file)` is a FIFO. It holds 64 KiB, so the writer waits for the reader."""
    fifo, received = tmp_path / "fifo", bytearray()
    os.mkfifo(fifo)
    number = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    def read() -> None:
        while len(received) < 1_000_000:
            select.select([number], [], [], 0.1)
            with suppress(BlockingIOError):
                received.extend(os.read(number, 65536))

    reader = threading.Thread(target=read)
    reader.start()
    write_outside(fifo, b"x" * 1_000_000)
    reader.join()
    os.close(number)

    assert received == b"x" * 1_000_000
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@pytest.mark.timeout(20)
def test_a_fifo_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    """Opening it would wait forever."""
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(StorageError, match=r"No program reads from .*/fifo\. Start the reader first\."):
        write_outside(tmp_path / "fifo", b"new")

    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


def test_a_device_is_written_into(tmp_path: Path) -> None:
    """Root could replace /dev/null with a file, for all programs of the machine."""
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        write_outside(device, b"new")
    except (PermissionError, StorageError):
        pytest.skip("needs root and a file system with devices")

    assert stat.S_ISCHR(device.stat().st_mode)


def test_sockets_folders_and_loops_are_refused(tmp_path: Path) -> None:
    """Each gives one sentence, and nothing is replaced."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        with pytest.raises(OptionError, match=r"socket is not a file\. Give the name of a file"):
            write_outside(tmp_path / "socket", b"new")
    with pytest.raises(OptionError, match=r"folder is a folder\. Give the name of a file"):
        write_outside(tmp_path / "folder", b"new")
    with pytest.raises(StorageError, match="could not be written"):
        write_outside(tmp_path / "loop", b"new")

    assert (tmp_path / "loop").is_symlink()
    assert stat.S_ISSOCK((tmp_path / "socket").stat().st_mode)


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_standard_output_is_a_file_too(name: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Earlier output comes first."""
    print("before")

    write_outside(Path(name), b"data")

    assert capfdbinary.readouterr().out == b"before\ndata"


@pytest.mark.timeout(20)
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """A FIFO would block, and /dev/zero has no end."""
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "fifo")

    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"1"
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(tmp_path / "link", follow=False)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(OSError, match="Not a regular file"):
            open_regular(path)


def test_paths_are_absolute_with_the_home_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file need not exist."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    assert checked_path(Path("~/a")) == checked_path(Path("a")) == tmp_path.resolve() / "a"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("~nosuchuser/x", "names a user whose home folder is unknown"),
        ("loop/x", "Too many levels of symbolic links"),
        ("x" * 300, "File name too long"),
        ("caf\udce9.png", "a path is UTF-8 text without NUL"),
        ("a\0b", "a path is UTF-8 text without NUL"),
    ],
)
def test_a_path_that_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, reason: str
) -> None:
    """Each gives one short sentence."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    with pytest.raises(OptionError, match=reason) as caught:
        checked_path(Path(path))

    assert len(str(caught.value)) < 300


def test_long_texts_lose_their_middle() -> None:
    """A sentence shows both ends."""
    assert shortened("a" * 200) == "a" * 200
    assert shortened("a" * 5000 + "b") == "a" * 100 + "…" + "a" * 99 + "b"
