"""Input of an import: the files of a folder or zip, and their labels.

This module writes nothing. File names are data: Slotlab never writes to a path taken from one.
"""

import csv
import io
import os
import stat
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from core.charset import TextSpec
from core.errors import ImageError, ImportSourceError
from core.files import open_regular, shortened
from core.images.pixels import MAX_BYTES
from db.records import KINDS

MAX_FILES = 200_000
MAX_ENTRIES = 500_000
"""Entries of a zip, with its folders and hidden files. Python needs 0.9 kB of memory for each."""
MAX_DIRECTORY_BYTES = 128 * 1024**2
"""Size of a zip's list of entries, whose number can be wrong."""
MAX_ZIP_BYTES = 4 * 1024**3
"""Unpacked size above which a whole zip is rejected. core.images.pixels.MAX_BYTES limits each file."""
CSV_COLUMNS = ("filename", "label")
"""Required columns. `kind` is optional. Others are ignored, so that an export can be imported again."""
MANIFEST = "sources.csv"
"""Table in an exported folder, with the kind of the label in each file name."""
MANIFEST_COLUMNS = {*CSV_COLUMNS, "kind", "sha256"}
"""Columns that tell such a table from another file of this name."""
OTHER_SUFFIXES = (
    ".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".py", ".xml", ".yaml", ".yml", ".md", ".html", ".log",
    ".xlsx", ".xls", ".ods", "thumbs.db", "desktop.ini",
)  # fmt: skip
"""Ends of the names of files that are never images. Windows writes the last two."""
MAX_TABLE_BYTES = 64 * 1024**2
MAX_TABLE_ROWS = 1_000_000
MAX_TABLE_COLUMNS = 100
MAX_HEADER_BYTES = CHUNK = 64 * 1024
MAX_NAME = 4096
"""Characters of a file name or label in a table. No path is longer."""
MAX_COMMENT = 65_535
"""Bytes of the comment at the end of a zip."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


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
    """Raise ImportSourceError if a zip has no entries or too many, before Python makes an object of each.

    Reads the records at the end of the file (APPNOTE.TXT 4.3.14 to 4.3.16). A damaged zip is refused later.
    """
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - MAX_COMMENT - 98))
        tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) < at + 22:
        return
    count, size = struct.unpack_from("<HI", tail, at + 10)
    if at >= 76 and tail[at - 20 :].startswith(b"PK\6\7"):  # the record of a large zip is right before
        count, size = struct.unpack_from("<QQ", tail, at - 76 + 32)
    if count == 0:
        raise _without_files(path)
    if count > MAX_ENTRIES or size > MAX_DIRECTORY_BYTES:
        raise ImportSourceError(f"{path.name} has more than {MAX_ENTRIES:,} entries. Import fewer at once.")


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


class GivenLabel(NamedTuple):
    """A label that an import gives an image."""

    text: str
    kind: str = "import"
    """One of KINDS."""


class LabelBook:
    """The labels of an import: from file names, from a CSV, or none."""

    def __init__(self, rule: str, spec: TextSpec, names: list[str], source: Path | None = None) -> None:
        """Read the CSV, if `rule` is the path of one. Other rules are "none" and "filename".

        `names` are the files' names. A CSV may identify an image by its path or, if unique, by its last part.
        `source` is the folder or zip of the files. With the rule "filename", each MANIFEST in it gives the kinds.
        Raises ImportSourceError if the CSV or a manifest cannot be used.
        """
        self._rule = rule
        self._spec = spec
        self._exported = read_manifests(source, names) if source is not None and rule == "filename" else {}
        self._rows = {} if rule in {"none", "filename"} else _read_csv(Path(rule))
        self._key_of = _match_names(self._rows, names)
        self._names = {*names, *(PurePosixPath(name).name for name in names)}

    def label_of(self, name: str) -> GivenLabel | None:
        """Return the label of an image, or None. Raises LabelError if it does not fit the project."""
        if self._rule == "filename":
            stem = PurePosixPath(name).stem
            # "123456_af31.png": a suffix commonly distinguishes images with the same text.
            start, rest = stem[: self._spec.length], stem[self._spec.length :]
            text = self._spec.check(start if rest[:1] in ("", "_") else stem.split("_", maxsplit=1)[0])
            exported = self._exported.get(name)
            return exported if exported and exported.text == text else GivenLabel(text)
        if (key := self._key_of.get(name)) is None:
            return None
        given = self._rows[key]
        return given._replace(text=self._spec.check(given.text))

    def unmatched(self) -> Iterator[tuple[str, str]]:
        """Yield the CSV rows without an image, each with the reason."""
        matched = set(self._key_of.values())
        for key in (key for key in self._rows if key not in matched):
            if key in self._names:
                yield key, "The CSV has a label for this name, but several files have it. Use their paths in the CSV."
            else:
                yield key, "The CSV has a label for this name, but no file has it."


def _match_names(rows: dict[str, GivenLabel], names: list[str]) -> dict[str, str]:
    """Return the row key of each file name. A row that matches several files matches none."""
    whole, last_parts = Counter(names), Counter(PurePosixPath(name).name for name in names)
    matches = {}
    for name in names:
        last = PurePosixPath(name).name
        if name in rows and whole[name] == 1:
            matches[name] = name
        elif last in rows and last_parts[last] == 1:
            matches[name] = last
    return matches


def with_formula_guard(value: str) -> str:
    """Return the value for a CSV cell, prefixed with a quote if a spreadsheet would run it as a formula."""
    guarded = value.startswith(FORMULA_STARTS) or (value[:1] == "'" and value[1:].startswith((*FORMULA_STARTS, "'")))
    return "'" + value if guarded else value


def without_formula_guard(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith((*FORMULA_STARTS, "'")) else cell


def read_manifests(source: Path, names: Sequence[str]) -> dict[str, GivenLabel]:
    """Return the labels in the manifests beside files of a folder or zip, by the names of the files.

    Raises ImportSourceError if a manifest is damaged.
    """
    rows: dict[str, GivenLabel] = {}
    for folder in {PurePosixPath(name).parent for name in names}:
        manifest = (folder / MANIFEST).as_posix()
        data = _read_manifest(source, manifest)
        if data is not None and _is_manifest(data):
            given = parse_csv(manifest, io.BytesIO(data))
            rows |= {(folder / name).as_posix(): label for name, label in given.items()}
    return rows


def _read_manifest(source: Path, name: str) -> bytes | None:
    """Return the bytes of a table inside a folder or zip; None if there is none."""
    if source.is_dir():
        path = source / name
        if not path.is_file():
            return None
        with _table(path) as file:
            return file.read()
    if not zipfile.is_zipfile(source):
        return None
    with zipfile.ZipFile(source) as archive:
        if name not in archive.namelist():
            return None
        if archive.getinfo(name).file_size > MAX_TABLE_BYTES:
            raise _too_large(name)
        try:
            return _read_zipped(archive, archive.getinfo(name), MAX_TABLE_BYTES)
        except ImageError as error:
            raise ImportSourceError(f"{name} in {source.name} cannot be read. {error}") from error


def _is_manifest(data: bytes) -> bool:
    """Return True if an export wrote this table. Another one may have the same name."""
    header = data[:MAX_HEADER_BYTES].splitlines()[:1]
    return bool(header) and set(header[0].decode("utf-8-sig", "replace").split(",")) >= MANIFEST_COLUMNS


@contextmanager
def _table(path: Path) -> Iterator[BinaryIO]:
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > MAX_TABLE_BYTES:
                raise _too_large(path.name)
            yield file
    except OSError as error:
        raise ImportSourceError(f"The label file {path} cannot be read ({error.strerror}).") from error


def _read_csv(path: Path) -> dict[str, GivenLabel]:
    with _table(path) as file:
        return parse_csv(path.name, file)


def check_table(path: Path) -> None:
    """Raise ImportSourceError if the label table is too large or has no header. Reads only the start."""
    with _table(path) as file:
        check_start(path.name, file.read(MAX_HEADER_BYTES))


def check_start(file: str, data: bytes) -> None:
    """Raise ImportSourceError if the data, which may be the start of a table, is too large or has no header."""
    if len(data) > MAX_TABLE_BYTES:
        raise _too_large(file)
    line = next(iter(data[:MAX_HEADER_BYTES].splitlines(keepends=True)), b"")
    _read_header(file, csv.reader(_lines(file, io.BytesIO(line)), strict=True))


def _too_large(file: str) -> ImportSourceError:
    return ImportSourceError(f"{file} has more than {MAX_TABLE_BYTES:,} bytes. Divide the images into several imports.")


def _lines(file: str, data: BinaryIO) -> Iterator[str]:
    """Yield the decoded lines. Their ends stay as written, for the csv module."""
    at = 0
    # Whole lines, because a piece of a character cannot be decoded.
    while part := data.read(CHUNK) + data.readline(MAX_TABLE_BYTES):
        try:
            text = part.decode("utf-8" if at else "utf-8-sig")
        except UnicodeDecodeError as error:
            raise ImportSourceError(f"{file} is not UTF-8 text (byte {at + error.start}).") from error
        at += len(part)
        if at > MAX_TABLE_BYTES:
            raise _too_large(file)
        if "\0" in text:
            raise ImportSourceError(f"{file} contains NUL characters and is not a CSV file.")
        yield from io.StringIO(text, newline="")  # some old programs end lines with a lone carriage return


def _read_header(file: str, reader: Iterator[list[str]]) -> list[str]:
    try:
        header = [field.strip().lower() for field in next(reader, [])]
    except csv.Error as error:
        raise ImportSourceError(f"{file} line 1 is not valid CSV ({error}).") from error
    if not all(header.count(column) == 1 for column in CSV_COLUMNS):
        raise ImportSourceError(f"{file} must start with a header line that has the columns filename and label.")
    if header.count("kind") > 1:
        raise ImportSourceError(f"{file} has the column kind more than once. Keep one.")
    if len(header) > MAX_TABLE_COLUMNS:
        raise ImportSourceError(f"{file} has {len(header)} columns. Use at most {MAX_TABLE_COLUMNS}.")
    return header


def parse_csv(file: str, data: BinaryIO) -> dict[str, GivenLabel]:
    """Return the label of each file name, as text: pandas would read 00123 as 123 and NA as missing.

    An empty kind is "import".

    Raises ImportSourceError with `file` and the line.
    """
    reader = csv.reader(_lines(file, data), strict=True)
    rows: dict[str, GivenLabel] = {}
    header = _read_header(file, reader)
    name_at, label_at = (header.index(column) for column in CSV_COLUMNS)
    kind_at = header.index("kind") if "kind" in header else None
    try:
        for row in reader:
            if reader.line_num > MAX_TABLE_ROWS:
                raise ImportSourceError(f"{file} has more than {MAX_TABLE_ROWS:,} lines. Import fewer images at once.")
            if not row:
                continue
            if len(row) != len(header):
                raise ImportSourceError(
                    f"{file} line {reader.line_num} has {len(row)} fields instead of {len(header)}."
                )
            name, label = without_formula_guard(row[name_at]), row[label_at]
            if max(len(name), len(label)) > MAX_NAME:
                raise ImportSourceError(
                    f"{file} line {reader.line_num} has a name or label of more than {MAX_NAME:,} characters."
                )
            kind = "" if kind_at is None else row[kind_at].strip()
            if kind not in ("", *KINDS):
                raise ImportSourceError(
                    f"{file} line {reader.line_num} has the kind {shortened(kind)!r}. Use {', '.join(KINDS)}, or none."
                )
            given = GivenLabel(label, kind or "import")
            if rows.get(name, given) != given:
                raise ImportSourceError(f"{file} line {reader.line_num} gives {name} a different label than before.")
            rows[name] = given
    except csv.Error as error:
        raise ImportSourceError(f"{file} line {reader.line_num} is not valid CSV ({error}).") from error
    return rows
