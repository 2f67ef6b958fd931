"""What an import reads: the files of a folder or zip, and the labels that belong to them. Writes nothing.

Names are data here: nothing is ever written under a name that came from outside.
"""

import csv
import io
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.charset import TextSpec
from core.errors import ImageError, ImportSourceError
from core.images.pixels import MAX_BYTES

MAX_FILES = 200_000
MAX_ZIP_BYTES = 4 * 1024**3
"""Unpacked. A zip is refused whole beyond this; each file is further limited by core.images.pixels.MAX_BYTES."""
CSV_COLUMNS = ("filename", "label")
"""Other columns are ignored, so that an export can be imported again."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class SourceFile:
    """One file that may be an image."""

    name: str
    """Path inside the folder or zip, with forward slashes; characters that are no Unicode are replaced."""
    read: Callable[[], bytes]
    """Its bytes; raises ImageError with a reason that names no path."""


def list_files(source: Path) -> list[SourceFile]:
    """All files of a folder (recursively), of a zip, or the one file, sorted by name.

    Hidden files, folders and CSV files are left out; they are no images and no mistakes. Raises
    ImportSourceError when there is nothing to read.
    """
    if source.is_dir():
        files = _folder_files(source)
    elif not source.is_file():
        raise ImportSourceError(f"There is no folder or file {source}.")
    elif zipfile.is_zipfile(source):
        files = _zip_files(source)
    elif source.suffix.lower() == ".zip":
        raise ImportSourceError(f"{source.name} is damaged or no zip file.")
    else:
        files = [SourceFile(storable(source.name), lambda: read_file(source))]
    if not files:
        raise ImportSourceError(f"{source.name} holds no image files.")
    if len(files) > MAX_FILES:
        raise ImportSourceError(f"{source.name} holds {len(files):,} files; import at most {MAX_FILES:,} at once.")
    return sorted(files, key=lambda file: file.name)


def _is_wanted(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() != ".csv" and not any(is_hidden(part) for part in path.parts if part != "..")


def is_hidden(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"


def _folder_files(folder: Path) -> list[SourceFile]:
    return [
        SourceFile(storable(path.relative_to(folder).as_posix()), lambda path=path: read_file(path))  # type: ignore[misc]
        for path in folder.rglob("*")
        if not path.is_dir() and _is_wanted(path.relative_to(folder).as_posix())
    ]


def storable(name: str) -> str:
    """The name as text: file systems know names that are none; SQLite and UTF-8 files do not."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def read_file(path: Path) -> bytes:
    """At most one byte more than an image may have. Raises ImageError, which names no path."""
    try:
        # lstat: a link may lead out of the folder, a FIFO would block for ever.
        if not stat.S_ISREG(path.lstat().st_mode):
            raise ImageError("This is a link or a special file, not an image file.")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImageError(f"The file cannot be read ({error.strerror}).") from error


def _zip_files(path: Path) -> list[SourceFile]:
    try:
        # Left open for the files' reads: opening it for each would parse the whole directory each time.
        archive = zipfile.ZipFile(path)
        infos = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:  # ValueError: a name is no UTF-8
        raise ImportSourceError(f"{path.name} cannot be read as a zip file ({error}).") from error
    total = sum(info.file_size for info in infos)
    if total > MAX_ZIP_BYTES:
        raise ImportSourceError(f"{path.name} unpacks to {total:,} bytes; at most {MAX_ZIP_BYTES:,} are read.")
    _refuse_overlaps(path, infos)
    # Some programs for Windows write backslashes into zips, against the format.
    return [
        SourceFile(name, lambda info=info: _read_zipped(archive, info))  # type: ignore[misc]
        for info in infos
        if _is_wanted(name := info.filename.replace("\\", "/"))
    ]


def _refuse_overlaps(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    """Entries that share bytes are the classic zip bomb; Python checks this itself only from 3.11.8 on."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise ImportSourceError(f"{path.name} has overlapping entries and is not read.")
        end = info.header_offset + info.compress_size


def _read_zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.flag_bits & 0x1:
        raise ImageError("The file is encrypted.")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise ImageError("This is a link, not an image file.")
    try:
        with archive.open(info) as file:
            return file.read(MAX_BYTES + 1)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ImageError(f"The file cannot be unpacked ({error}).") from error
    except Exception as error:  # zlib.error and lzma.LZMAError have no common base
        raise ImageError(f"The file cannot be unpacked ({type(error).__name__}).") from error


class LabelBook:
    """The labels that come with an import: from file names, from a CSV, or none."""

    def __init__(self, rule: str, spec: TextSpec, names: list[str]) -> None:
        """`rule` is "none", "filename", or the path of a CSV with the columns filename and label.

        `names` are the files' names; a CSV may name an image by its path or, where that is unique, by its last
        part. Raises ImportSourceError when the CSV as a whole cannot be used.
        """
        self._rule = rule
        self._spec = spec
        self._rows = {} if rule in {"none", "filename"} else _read_csv(Path(rule))
        self._key_of = _match_names(self._rows, names)

    def label_of(self, name: str) -> str | None:
        """The label of an image, None where the book has none for it. Raises LabelError if it does not fit."""
        if self._rule == "filename":
            stem = PurePosixPath(name).stem
            # "123456_af31.png": the usual way to keep two images of one text apart.
            text, rest = stem[: self._spec.length], stem[self._spec.length :]
            return self._spec.check(text if rest[:1] in ("", "_") else stem.split("_", maxsplit=1)[0])
        key = self._key_of.get(name)
        return None if key is None else self._spec.check(self._rows[key])

    def unmatched(self) -> Iterator[tuple[str, str]]:
        """Rows of the CSV for which there is no image, each with the reason."""
        matched = set(self._key_of.values())
        for key in (key for key in self._rows if key not in matched):
            yield key, "The CSV names this image, but the import does not hold exactly one file of this name."


def _match_names(rows: dict[str, str], names: list[str]) -> dict[str, str]:
    """Row key of each file name. A row that could mean several files means none."""
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
    """The value for a CSV cell, with a quote before what a spreadsheet would take for a formula and carry out."""
    guarded = value.startswith(FORMULA_STARTS) or (value[:1] == "'" and value[1:].startswith((*FORMULA_STARTS, "'")))
    return "'" + value if guarded else value


def without_formula_guard(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith((*FORMULA_STARTS, "'")) else cell


def _read_csv(path: Path) -> dict[str, str]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImportSourceError(f"The label file {path} cannot be read ({error.strerror}).") from error
    return parse_csv(path.name, data)


def parse_csv(file: str, data: bytes) -> dict[str, str]:
    """Label by file name, as text exactly as written: pandas would read 00123 as 123 and NA as missing.

    Raises ImportSourceError, which names `file` and the line.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImportSourceError(f"{file} is not UTF-8 text (byte {error.start}).") from error
    if "\0" in text:
        raise ImportSourceError(f"{file} holds NUL characters and is no CSV.")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: dict[str, str] = {}
    try:
        header = [field.strip().lower() for field in next(reader, [])]
        if not all(header.count(column) == 1 for column in CSV_COLUMNS):
            raise ImportSourceError(f"{file} must begin with a line of column names, filename and label among them.")
        name_at, label_at = (header.index(column) for column in CSV_COLUMNS)
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise ImportSourceError(
                    f"{file} line {reader.line_num} has {len(row)} fields instead of {len(header)}."
                )
            name, label = without_formula_guard(row[name_at]), row[label_at]
            if rows.get(name, label) != label:
                raise ImportSourceError(f"{file} line {reader.line_num} gives {name} a second, different label.")
            rows[name] = label
    except csv.Error as error:
        raise ImportSourceError(f"{file} line {reader.line_num} is no valid CSV ({error}).") from error
    return rows
