"""Input of an import: the files of a folder or zip.

This module writes nothing. File names are data: Slotlab never writes to a path taken from one.
"""

import os
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath

from core.data.tables.formats import MAX_TABLE_BYTES, too_large
from core.errors import ImageError, ImportSourceError
from core.files import open_regular
from core.images.pixels import MAX_BYTES

MAX_FILES = 200_000
MAX_ENTRIES = 500_000
"""Entries of a zip, with its folders and hidden files. Python needs 0.9 kB of memory for each."""
MAX_DIRECTORY_BYTES = 128 * 1024**2
"""Size of a zip's list of entries, whose number can be wrong."""
MAX_ZIP_BYTES = 4 * 1024**3
"""Unpacked size above which a whole zip is rejected. core.images.pixels.MAX_BYTES limits each file."""
OTHER_SUFFIXES = (
    ".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".py", ".xml", ".yaml", ".yml", ".md", ".html", ".log",
    ".xlsx", ".xls", ".ods", "thumbs.db", "desktop.ini",
)  # fmt: skip
"""Ends of the names of files that are never images. Windows writes the last two."""
TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".py")
MAX_TABLES = 50
"""Files of a folder or zip that are looked at as label tables."""
MAX_COMMENT = 65_535
"""Bytes of the comment at the end of a zip."""


@dataclass(frozen=True)
class SourceFile:
    """One file that may be an image."""

    name: str
    """Path inside the folder or zip, with forward slashes. Invalid Unicode is replaced."""
    read: Callable[[], bytes]
    """Return the bytes. Raises ImageError; its message contains no path."""


def check_source(source: Path) -> None:
    """Raise ImportSourceError if a glance shows that `list_files` would. Large folders and zips take no longer."""
    if source.is_dir():
        try:
            with os.scandir(source) as entries:
                is_empty = next(entries, None) is None
        except OSError as error:
            raise _unreadable_folder(source, error) from error
        if is_empty:
            raise _without_files(source)
    elif not source.is_file():
        raise ImportSourceError(f"No such folder or file: {source}. It must exist on the machine that runs Slotlab.")
    elif zipfile.is_zipfile(source):
        _check_directory(source)
    elif source.suffix.lower() == ".zip":
        raise ImportSourceError(f"{source.name} is damaged or not a zip file.")


def list_files(source: Path) -> list[SourceFile]:
    """List the files of a folder (recursively) or zip, or the one file, sorted by name.

    Hidden files and those of `is_other` are omitted. Subfolders that cannot be read are listed, and reading them raises
    ImageError.
    Raises ImportSourceError if no file is left or the source cannot be read.
    """
    check_source(source)
    if source.is_dir():
        files = _folder_files(source)
    elif zipfile.is_zipfile(source):
        files = _zip_files(source)
    else:
        files = [SourceFile(storable(source.name), lambda: read_file(source))]
    if not files:
        raise _without_files(source)
    if len(files) > MAX_FILES:
        raise ImportSourceError(f"{source.name} contains more than {MAX_FILES:,} files. Import fewer at once.")
    return sorted(files, key=lambda file: file.name)


def _without_files(source: Path) -> ImportSourceError:
    return ImportSourceError(f"{source} contains no image files.")


def _unreadable_folder(folder: Path, error: OSError) -> ImportSourceError:
    return ImportSourceError(f"The folder {folder} cannot be read ({error.strerror}).")


def _is_wanted(name: str) -> bool:
    path = PurePosixPath(name)
    return not is_other(path.name) and not any(is_hidden(part) for part in path.parts if part != "..")


def is_other(name: str) -> bool:
    """Return True for a file that lies beside images and that nobody means to import: a table, a note, a cache."""
    return name.lower().endswith(OTHER_SUFFIXES)


def is_hidden(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"


def _folder_files(folder: Path) -> list[SourceFile]:
    return [
        SourceFile(storable(path.relative_to(folder).as_posix()), lambda path=path: read_file(path))  # type: ignore[misc]
        for path in islice(folder_paths(folder), MAX_FILES + 1)
    ]


def folder_paths(folder: Path) -> Iterator[Path]:
    """Yield the files, the links, and the subfolders that cannot be read.

    Hidden files and those of `is_other` are omitted.
    Raises ImportSourceError if the folder itself cannot be read.
    """
    unreadable: list[OSError] = []
    for at, subfolders, names in os.walk(folder, onerror=unreadable.append):
        links = [name for name in subfolders if Path(at, name).is_symlink()]
        subfolders[:] = sorted(name for name in subfolders if not is_hidden(name))
        for name in sorted((*names, *links)):
            if _is_wanted(name):
                yield Path(at, name)
    for error in unreadable:
        if Path(error.filename) == folder:
            raise _unreadable_folder(folder, error)
        yield Path(error.filename)


def storable(name: str) -> str:
    """Return the name as valid Unicode. File systems allow other names; SQLite and UTF-8 files do not."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def read_file(path: Path) -> bytes:
    """Read at most MAX_BYTES + 1 bytes. Raises ImageError; its message contains no path."""
    try:
        # lstat: a link may lead out of the folder.
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            return _read_folder(path)
        if not stat.S_ISREG(mode):
            raise ImageError("This is a link or a special file, not an image file.")
        with open_regular(path, follow=False) as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImageError(f"The file cannot be read ({error.strerror}).") from error


def _read_folder(path: Path) -> bytes:
    """Raise ImageError with the reason why the folder could not be listed."""
    try:
        os.scandir(path).close()
    except OSError as error:
        raise ImageError(f"The folder cannot be read ({error.strerror}).") from error
    raise ImageError("The folder could not be read. Import again.")


def _zip_files(path: Path) -> list[SourceFile]:
    try:
        # Kept open, because opening it for each file would parse the directory each time.
        archive = zipfile.ZipFile(path)
        infos = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:  # ValueError: a name is not UTF-8
        raise ImportSourceError(f"{path.name} cannot be read as a zip file ({error}).") from error
    total = sum(info.file_size for info in infos)
    if total > MAX_ZIP_BYTES:
        raise ImportSourceError(f"{path.name} unpacks to {total:,} bytes. The limit is {MAX_ZIP_BYTES:,}.")
    _check_overlaps(path, infos)
    # Some Windows programs write backslashes into zips, against the format.
    return [
        SourceFile(name, lambda info=info: _read_zipped(archive, info))  # type: ignore[misc]
        for info in infos
        if _is_wanted(name := info.filename.replace("\\", "/"))
    ]


def _check_directory(path: Path) -> None:
    """Raise ImportSourceError if a zip has no entries or too many, before Python makes an object of each."""
    if (entries := count_entries(path)) is None:
        return
    count, size = entries
    if count == 0:
        raise _without_files(path)
    if count > MAX_ENTRIES or size > MAX_DIRECTORY_BYTES:
        raise ImportSourceError(f"{path.name} has more than {MAX_ENTRIES:,} entries. Import fewer at once.")


def count_entries(path: Path) -> tuple[int, int] | None:
    """Return the number of entries that a zip claims, and the bytes of their list; None if it is damaged.

    Reads the records at the end of the file (APPNOTE.TXT 4.3.14 to 4.3.16).
    """
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - MAX_COMMENT - 98))
        tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) < at + 22:
        return None
    count, size = struct.unpack_from("<HI", tail, at + 10)
    if at >= 76 and tail[at - 20 :].startswith(b"PK\6\7"):  # the record of a large zip is right before
        count, size = struct.unpack_from("<QQ", tail, at - 76 + 32)
    return count, size


def _check_overlaps(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    """Reject entries that share bytes, the classic zip bomb. Python checks this only since 3.11.8."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise ImportSourceError(f"{path.name} was rejected: its entries overlap.")
        end = info.header_offset + info.compress_size


def _read_zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int = MAX_BYTES) -> bytes:
    """Read at most `most` + 1 bytes. Raises ImageError."""
    if info.flag_bits & 0x1:
        raise ImageError("The file is encrypted.")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise ImageError("This is a link, not an image file.")
    try:
        with archive.open(info) as file:
            return file.read(most + 1)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ImageError(f"The file cannot be unpacked ({error}).") from error
    except Exception as error:  # zlib.error and lzma.LZMAError have no common base class
        raise ImageError(f"The file cannot be unpacked ({type(error).__name__}).") from error


# Label tables


def is_table(name: str) -> bool:
    """Return True if a file may be a label table by its name."""
    return name.lower().endswith(TABLE_SUFFIXES)


def list_tables(source: Path, most: int = MAX_TABLE_BYTES) -> list[SourceFile]:
    """List the files of a folder or zip that may be label tables, those nearest to its root first.

    At most MAX_TABLES. Reading raises ImportSourceError, also for those above `most` bytes in all.
    """
    found: list[tuple[int, str, int, Callable[[], bytes]]] = []
    if source.is_dir():
        for path in islice((path for path in _walk(source) if is_table(path.name)), MAX_FILES):
            name = storable(path.relative_to(source).as_posix())
            with suppress(OSError):
                if not stat.S_ISREG(path.lstat().st_mode):  # a link may lead out of the folder
                    continue
                size = path.lstat().st_size
                found.append((name.count("/"), name, size, lambda path=path: read_table_file(path)))  # type: ignore[misc]
    elif zipfile.is_zipfile(source):
        try:
            archive = zipfile.ZipFile(source)
            infos = archive.infolist()
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):  # `list_files` says why
            return []
        for info in infos:
            name = info.filename.replace("\\", "/")
            if is_table(name) and not any(map(is_hidden, PurePosixPath(name).parts)):
                found.append((name.count("/"), name, info.file_size, partial(_read_zipped_table, archive, info)))
    tables, total = [], 0
    for _, name, size, read in sorted(found, key=lambda each: each[:2])[:MAX_TABLES]:
        total += size
        tables.append(SourceFile(name, read if total <= most else partial(_refuse_large, name, most)))
    return tables


def _refuse_large(name: str, most: int) -> bytes:
    if most < MAX_TABLE_BYTES:
        raise ImportSourceError(f"{name} is too large for a preview. The import reads it.")
    raise ImportSourceError(f"{name} is too large: the tables have more than {most:,} bytes in all.")


def has_inside(source: Path, name: str) -> bool:
    """Return True if a folder or zip has a label table of this name."""
    if source.is_dir():
        return (source / name).is_file()
    if not zipfile.is_zipfile(source):
        return False
    with suppress(zipfile.BadZipFile, OSError, NotImplementedError, ValueError), zipfile.ZipFile(source) as archive:
        return name in archive.namelist()
    return False


def read_inside(source: Path, name: str) -> bytes | None:
    """Return the bytes of a label table inside a folder or zip; None if there is none. Raises ImportSourceError."""
    if not has_inside(source, name):
        return None
    if source.is_dir():
        return read_table_file(source / name)
    with zipfile.ZipFile(source) as archive:
        if archive.getinfo(name).file_size > MAX_TABLE_BYTES:
            raise too_large(name, MAX_TABLE_BYTES)
        return _read_zipped_table(archive, archive.getinfo(name))


def _walk(folder: Path) -> Iterator[Path]:
    for at, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not is_hidden(name))
        yield from (Path(at, name) for name in sorted(names) if not is_hidden(name))


def _read_zipped_table(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    try:
        return _read_zipped(archive, info, MAX_TABLE_BYTES)
    except ImageError as error:
        raise ImportSourceError(f"{info.filename} in the zip cannot be read. {error}") from error


def read_table_file(path: Path, most: int = MAX_TABLE_BYTES) -> bytes:
    """Return at most `most` bytes of a label table. Raises ImportSourceError if it is too large or not a file."""
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > MAX_TABLE_BYTES:
                raise too_large(path.name, MAX_TABLE_BYTES)
            return file.read(most)
    except OSError as error:
        raise ImportSourceError(f"The label file {path} cannot be read ({error.strerror}).") from error
