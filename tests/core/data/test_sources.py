"""Input of an import: folders and zips."""

import os
import socket
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from core.data import sources
from core.data.sources import SourceFile, list_files
from core.errors import ImageError, ImportSourceError
from core.images.pixels import MAX_BYTES
from tests.helpers.pictures import write_files
from tests.helpers.rights import ordinary_rights

MakeZip = Callable[..., Path]


def names(source: Path) -> list[str]:
    return [entry.name for entry in list_files(source)]


def read(source: Path) -> dict[str, bytes | str]:
    """Return the bytes of each file, or the reason for having none."""

    def content(entry: SourceFile) -> bytes | str:
        try:
            return entry.read()
        except ImageError as error:
            return str(error)

    return {entry.name: content(entry) for entry in list_files(source)}


@pytest.fixture
def make_zip(tmp_path: Path) -> MakeZip:
    """Create a zip with these members, in their order."""

    def made(*members: tuple[str | zipfile.ZipInfo, bytes], name: str = "a.zip") -> Path:
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in members:
                archive.writestr(member, data)
        return tmp_path / name

    return made


# Folders


def test_a_folder_is_read_to_its_last_subfolder(tmp_path: Path) -> None:
    """Files are sorted by name, with forward slashes. Hidden files, tables, notes and caches are omitted."""
    wanted = {"b.png": b"1", "a/z.png": b"2", "a/b/c/d.PNG": b"3", "no suffix": b"4", "ü ñ 字.png": b"5"}
    rest = dict.fromkeys(
        (
            ".hidden.png",
            ".git/x.png",
            "a/.DS_Store",
            "__MACOSX/b.png",
            "labels.csv",
            "a/More.CSV",
            "Thumbs.db",
            "a/desktop.ini",
            "labels.txt",
            "rec_gt.txt",
            "a/metadata.jsonl",
            "export.json",
            "README.md",
        ),
        b"",
    )
    write_files(tmp_path, wanted | rest)

    assert read(tmp_path) == wanted
    assert names(tmp_path) == sorted(wanted)


def test_a_hidden_folder_that_was_asked_for_is_read(tmp_path: Path) -> None:
    """Only hidden files inside the folder are omitted."""
    folder = write_files(tmp_path / ".cache" / "portal", {"a.png": b"1"})

    assert names(folder) == ["a.png"]


def test_a_single_file_is_an_import_of_one(tmp_path: Path) -> None:
    """The name does not matter."""
    write_files(tmp_path, {"one.dat": b"1"})

    assert read(tmp_path / "one.dat") == {"one.dat": b"1"}


@pytest.mark.parametrize("files", [{}, {"labels.csv": b""}, {"sub/.hidden.png": b""}])
def test_a_folder_without_images_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    """The error comes before a project is created."""
    folder = tmp_path / "photos"
    folder.mkdir()
    write_files(folder, files)

    with pytest.raises(ImportSourceError, match="photos contains no image files"):
        list_files(folder)


def test_a_missing_source_is_refused(tmp_path: Path) -> None:
    """The error has the path."""
    with pytest.raises(ImportSourceError, match=r"No such folder or file: .*/nothing"):
        list_files(tmp_path / "nothing")


@pytest.mark.timeout(10)
def test_links_and_special_files_are_refused_without_waiting(tmp_path: Path) -> None:
    """A FIFO would block forever, a link may lead out of the folder, and a loop has no end."""
    folder = write_files(tmp_path / "photos", {"good.png": b"1", "sub/good.png": b"2"})
    outside = write_files(tmp_path / "outside", {"secret.png": b"secret"})
    os.mkfifo(folder / "fifo.png")
    (folder / "link.png").symlink_to(outside / "secret.png")
    (folder / "dangling.png").symlink_to(tmp_path / "nowhere")
    (folder / "self.png").symlink_to(folder / "self.png")
    (folder / "up").symlink_to(folder.parent)
    (folder / "sub" / "loop").symlink_to(folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket.png"))
        found = read(folder)

    reason = "This is a link or a special file, not an image file."
    links = ("link.png", "dangling.png", "self.png", "up", "sub/loop")
    refused = dict.fromkeys(("fifo.png", "socket.png", *links), reason)
    assert found == {"good.png": b"1", "sub/good.png": b"2"} | refused
    with pytest.raises(ImportSourceError, match="No such folder or file"):
        list_files(folder / "fifo.png")


def test_a_subfolder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Its images would be missing without a word. Reading the rest continues."""
    folder = write_files(tmp_path / "photos", {"a.png": b"1", "locked/b.png": b"2", "x/locked too/c.png": b"3"})
    locked = [folder / "locked", folder / "x" / "locked too"]
    for path in locked:
        path.chmod(0)

    with ordinary_rights():
        content = read(folder)
        with pytest.raises(ImportSourceError, match=r"The folder .*/locked cannot be read \(Permission denied\)"):
            list_files(locked[0])

    for path in locked:
        path.chmod(0o700)
    reason = "The folder cannot be read (Permission denied)."
    assert content == {"a.png": b"1", "locked": reason, "x/locked too": reason}


def test_listing_ends_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of millions of files, such as the root of a disk, costs no more than the limit."""
    monkeypatch.setattr(sources, "MAX_FILES", 3)
    write_files(tmp_path / "photos", {f"{number}.png": b"1" for number in range(4)})

    with pytest.raises(ImportSourceError, match=r"photos contains more than 3 files\. Import fewer at once"):
        list_files(tmp_path / "photos")


def test_a_file_that_disappears_is_refused_on_its_own(tmp_path: Path) -> None:
    """The message must not reveal a path on the server."""
    write_files(tmp_path, {"a.png": b"1"})
    (entry,) = list_files(tmp_path)
    (tmp_path / "a.png").unlink()

    with pytest.raises(ImageError, match=r"^The file cannot be read \(No such file or directory\)\.$"):
        entry.read()


def test_no_more_is_read_than_an_image_may_have(tmp_path: Path, make_zip: MakeZip) -> None:
    """One more byte is read, so that the decoder can reject the file as too large."""
    write_files(tmp_path / "photos", {"large.png": b"x" * (MAX_BYTES + 1000)})

    assert len(read(tmp_path / "photos")["large.png"]) == MAX_BYTES + 1
    assert len(read(make_zip(("large.png", b"x" * (MAX_BYTES + 1000))))["large.png"]) == MAX_BYTES + 1


def test_an_undecodable_name_becomes_valid_text(tmp_path: Path) -> None:
    """File systems allow any bytes, but the database does not."""
    folder = os.fsencode(tmp_path)
    try:
        with open(folder + b"/caf\xe9.png", "wb") as file:  # noqa: PTH123 - a Path could not say this
            file.write(b"1")
    except OSError:
        pytest.skip("this file system knows text only")

    assert read(tmp_path) == {"caf\N{REPLACEMENT CHARACTER}.png": b"1"}


# Zips


def test_names_in_a_zip_are_data(tmp_path: Path, make_zip: MakeZip) -> None:
    """They are stored unchanged, and no path is written under them."""
    hostile = [
        "../../up.png", "/etc/absolute.png", "C:/drive.png", "a/../b.png", "x" * 300 + ".png", "CON.png", "🙂.png",
        "\u202egnp.exe.png", "<img src=x>.png", "=HYPERLINK(1).png", "A.png", "a.png",
    ]  # fmt: skip
    source = make_zip(*((name, name.encode()) for name in hostile))
    before = sorted(tmp_path.rglob("*"))

    assert read(source) == {name: name.encode() for name in hostile}
    assert sorted(tmp_path.rglob("*")) == before


def test_backslashes_in_a_zip_are_slashes(make_zip: MakeZip) -> None:
    """Some Windows programs write them. The last part is the file name."""
    source = make_zip(("photos\\123456.png", b"1"), ("..\\up.png", b"2"))

    assert names(source) == ["../up.png", "photos/123456.png"]


def test_a_name_ends_at_nul(tmp_path: Path, make_zip: MakeZip) -> None:
    """Names must not contain a null character."""
    source = make_zip(("a_b.png", b"1"))
    source.write_bytes(source.read_bytes().replace(b"a_b.png", b"a\0b.png"))

    assert all("\0" not in name for name in names(source))


def test_a_name_wrongly_marked_as_utf8_is_refused(make_zip: MakeZip) -> None:
    """The error is one sentence, although Python raises another type."""
    source = make_zip(("ä.png", b"1"))
    source.write_bytes(source.read_bytes().replace("ä".encode(), b"\xff\xfe"))

    with pytest.raises(ImportSourceError, match=r"a\.zip cannot be read as a zip file"):
        list_files(source)


def test_two_members_of_one_name_are_two_files(make_zip: MakeZip) -> None:
    """Each has its own bytes."""
    with pytest.warns(UserWarning, match="Duplicate name"):
        source = make_zip(("a.png", b"1"), ("a.png", b"2"))

    assert sorted(entry.read() for entry in list_files(source)) == [b"1", b"2"]


def test_members_that_cannot_be_unpacked_do_not_stop_the_others(make_zip: MakeZip) -> None:
    """A member may be encrypted, have an unknown method or a wrong checksum, or be a link."""
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    source = make_zip(("good.png", b"good"), (link, b"/etc/passwd"), ("crc.png", b"c" * 50), ("odd.png", b"o" * 50))
    data = bytearray(source.read_bytes())
    for start in range(len(data) - 4):
        kind = data[start : start + 4]
        name_at = start + (46 if kind == b"PK\1\2" else 30)
        if kind == b"PK\1\2" and data[name_at : name_at + 7] == b"odd.png":
            data[start + 10 : start + 12] = struct.pack("<H", 97)
        if kind == b"PK\1\2" and data[name_at : name_at + 7] == b"crc.png":
            data[start + 16 : start + 20] = b"\0\0\0\1"
    source.write_bytes(data)

    found = read(source)
    assert found["good.png"] == b"good"
    assert found["link.png"] == "This is a link, not an image file."
    assert "Bad CRC-32" in str(found["crc.png"])
    assert "cannot be unpacked" in str(found["odd.png"])


def test_an_encrypted_member_is_refused(make_zip: MakeZip) -> None:
    """An import cannot ask for a password."""
    source = make_zip(("a.png", b"1"), ("b.png", b"2"))
    data = source.read_bytes()
    place = data.index(b"PK\1\2")
    source.write_bytes(data[: place + 8] + b"\1\0" + data[place + 10 :])

    assert read(source) == {"a.png": "The file is encrypted.", "b.png": b"2"}


def test_a_zip_that_shares_bytes_between_members_is_refused(make_zip: MakeZip) -> None:
    """A few kB would unpack to petabytes. Python checks this only since 3.11.8."""
    source = make_zip(*((f"{number}.png", b"x" * 100) for number in range(3)))
    data = bytearray(source.read_bytes())
    place = data.index(b"PK\1\2")
    for _ in range(3):  # all members at the first one's bytes
        data[place + 42 : place + 46] = struct.pack("<I", 0)
        place = data.find(b"PK\1\2", place + 4)
    source.write_bytes(data)

    with pytest.raises(ImportSourceError, match="entries overlap"):
        list_files(source)


def test_a_zip_that_claims_to_unpack_to_too_much_is_refused(make_zip: MakeZip) -> None:
    """The check comes before unpacking."""
    source = make_zip(("a.png", b"1"), ("b.png", b"2"))
    data = bytearray(source.read_bytes())
    place = data.index(b"PK\1\2")
    for _ in range(2):
        data[place + 24 : place + 28] = struct.pack("<I", 0xF0000000)
        place = data.find(b"PK\1\2", place + 4)
    source.write_bytes(data)

    with pytest.raises(ImportSourceError, match=r"unpacks to 8,053,063,680 bytes. The limit is 4,294,967,296"):
        list_files(source)


def test_a_member_that_unpacks_to_more_than_it_claims_is_refused(make_zip: MakeZip) -> None:
    """Only the declared size is read, and the checksum then fails."""
    source = make_zip(("a.png", b"x" * 3_000_000), ("b.png", b"2"))
    data = bytearray(source.read_bytes())
    place = data.index(b"PK\1\2")
    data[place + 24 : place + 28] = struct.pack("<I", 100)
    source.write_bytes(data)

    found = read(source)
    assert "cannot be unpacked" in str(found["a.png"])
    assert found["b.png"] == b"2"


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("bound", ["MAX_ENTRIES", "MAX_DIRECTORY_BYTES"])
def test_the_number_of_entries_is_bounded(
    make_zip: MakeZip, monkeypatch: pytest.MonkeyPatch, is_large: bool, bound: str
) -> None:
    """A zip of a million entries would cost 873 MB. It is refused before they are read, in both formats."""
    if is_large:
        monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    source = make_zip(*((f"{number}.png", b"1") for number in range(3)))
    assert (b"PK\6\7" in source.read_bytes()) is is_large
    assert len(read(source)) == 3

    monkeypatch.setattr(sources, bound, 2)
    with pytest.raises(ImportSourceError, match=r"a\.zip has more than .* entries\. Import fewer at once"):
        list_files(source)


def test_an_empty_zip_is_refused(make_zip: MakeZip) -> None:
    """A zip that contains only folders is also refused."""
    with pytest.raises(ImportSourceError, match=r"a\.zip contains no image files"):
        list_files(make_zip())
    with pytest.raises(ImportSourceError, match=r"b\.zip contains no image files"):
        list_files(make_zip(("folder/", b""), name="b.zip"))


def test_a_truncated_zip_is_refused_wherever_it_was_cut(tmp_path: Path, make_zip: MakeZip) -> None:
    """A zip has its directory at the end."""
    whole = make_zip(("a.png", b"1" * 100), ("b.png", b"2" * 100)).read_bytes()
    cut = tmp_path / "cut.zip"
    for size in range(0, len(whole), 7):
        cut.write_bytes(whole[:size])
        with pytest.raises(ImportSourceError, match=r"cut\.zip"):
            list_files(cut)


def test_damage_in_a_zip_never_raises_anything_else(tmp_path: Path, make_zip: MakeZip) -> None:
    """Python's reader raises errors of many types, but a user sees one sentence."""
    whole = make_zip(("a.png", b"1" * 100), ("ä.png", b"2" * 100), ("c.png", b"3" * 100)).read_bytes()
    random = np.random.default_rng(0)
    source = tmp_path / "damaged.zip"
    read_at_all = 0
    for _ in range(600):
        data = bytearray(whole)
        for place in random.integers(0, len(data), 2):
            data[place] = random.integers(256)
        source.write_bytes(data)
        with suppress(ImportSourceError):
            read_at_all += bool(read(source))

    assert 100 < read_at_all < 600


def test_a_zip_in_a_zip_is_an_unreadable_image(make_zip: MakeZip) -> None:
    """It is never opened."""
    inner = make_zip(("a.png", b"1"), name="inner.zip").read_bytes()

    assert read(make_zip(("inner.zip", inner))) == {"inner.zip": inner}
