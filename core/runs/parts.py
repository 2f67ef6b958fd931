"""The output of a batch: a folder of parts, in Parquet or JSON lines, that a later call continues.

    _batch.json           who reads, and the format; readers of Parquet skip the underscore
    part-00001.parquet    rows in the order in which they were read, written completely or not at all

A row is a file and its pixel hash, so an image that changed under its name is read again.
"""

import fcntl
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self

from core.errors import OptionError, StorageError
from core.files import atomic_write, create_private, shortened
from core.runs.inputs import Record
from core.runs.readings_file import json_line

Form = Literal["parquet", "jsonl"]
COLUMNS = ("file", "sha256", "text", "confidence", "accepted", "unfamiliar", "positions", "error")
SETTINGS, LOCK = "_batch.json", ".lock"
ROWS = 1_000
"""Rows of a part. After kill -9, at most these are read again for each call."""
DIGEST = 16
"""Bytes of a hash in memory."""
UNREADABLE = bytes(DIGEST)
"""Stands for the pixels of a file that cannot be read."""


class Parts:
    """A folder of parts. Only one process at a time can write to it. Raises OptionError and StorageError."""

    def __init__(self, folder: Path, form: Form, reader: str) -> None:
        self.folder, self._form = folder, form
        self._rows: list[Record] = []
        self._known: dict[bytes, bytes] = {}
        with _storing(folder):
            self._lock = _locked(folder)
            try:
                self._check_settings({"format": 1, "reader": reader, "output": form})
                for left in folder.glob(".*.tmp"):
                    left.unlink()  # of a killed process
                paths = sorted(folder.glob(f"part-*.{form}"))
                for path in paths:
                    for file, sha256 in self._read(path):
                        self._add(file, sha256)
            except BaseException:
                self._lock.close()
                raise
        self._next = int(paths[-1].stem.removeprefix("part-")) + 1 if paths else 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._flush()  # also what was read before an error
        finally:
            self._lock.close()

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self._known)

    @property
    def failed(self) -> int:
        """Return the number of files that could not be read."""
        return sum(hashes == UNREADABLE for hashes in self._known.values())

    def known(self, file: str) -> bytes:
        """Return the first bytes of each pixel hash of a file, joined."""
        return self._known.get(_digest(valid(file)), b"")

    def add(self, rows: Iterable[Record]) -> None:
        """Add rows that are not there, and write a part if there are enough."""
        for row in rows:
            row["file"] = valid(row["file"])
            if self._add(row["file"], row.get("sha256")):
                self._rows.append(row)
        if len(self._rows) >= ROWS:
            self._flush()

    def _add(self, file: str, sha256: str | None) -> bool:
        key, pixels = _digest(file), short_hash(sha256)
        before = self._known.get(key, b"")
        if has(before, pixels):
            return False
        self._known[key] = before + pixels
        return True

    def _flush(self) -> None:
        if not self._rows:
            return
        path = self.folder / f"part-{self._next:05}.{self._form}"
        with _storing(self.folder), atomic_write(path) as file:
            if self._form == "parquet":
                _write_parquet(file, self._rows)
            else:
                file.writelines(json_line(row).encode() for row in self._rows)
        self._rows, self._next = [], self._next + 1

    def _check_settings(self, settings: dict[str, Any]) -> None:
        path = self.folder / SETTINGS
        if path.exists():
            try:
                found = json.loads(path.read_bytes())
            except ValueError:
                found = None
            if found != settings:
                raise OptionError(
                    f"{shortened(str(self.folder))} has readings of another bundle or format. Give another folder."
                )
            return
        if any(not entry.name.startswith(".") for entry in self.folder.iterdir()):
            raise OptionError(f"{shortened(str(self.folder))} is not empty. Give the name of a new folder.")
        with atomic_write(path) as file:
            file.write(json.dumps(settings).encode() + b"\n")

    def _read(self, path: Path) -> Iterator[tuple[str, str | None]]:
        """Yield file and pixel hash of each row."""
        data = path.read_bytes()
        try:
            if self._form == "parquet":
                yield from _read_parquet(data)
            else:
                for row in map(json.loads, data.splitlines()):
                    yield row["file"], row.get("sha256")
        except (ValueError, KeyError, TypeError, OSError) as error:  # pyarrow raises all of these
            raise StorageError(f"{path.name} is damaged. Delete it, and run again.") from error


def valid(name: str) -> str:
    """Return a file name as valid Unicode. Other bytes become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def short_hash(sha256: str | None) -> bytes:
    """Return the first bytes of a pixel hash; UNREADABLE without one."""
    return bytes.fromhex(sha256)[:DIGEST] if sha256 else UNREADABLE


def has(hashes: bytes, pixels: bytes) -> bool:
    """Return whether the hash of these pixels is among joined hashes."""
    return any(hashes[at : at + DIGEST] == pixels for at in range(0, len(hashes), DIGEST))


def _digest(file: str) -> bytes:
    return hashlib.blake2b(file.encode(), digest_size=DIGEST).digest()


def _locked(folder: Path) -> BinaryIO:
    """Create the folder if there is none, and lock it until the returned file is closed."""
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"{shortened(str(folder))} is not a folder. Give the name of a new one.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        create_private(folder / LOCK).close()
    file = (folder / LOCK).open("r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise OptionError(f"Another process writes to {shortened(str(folder))}. Wait until it ends.") from error
    return file


def _schema() -> Any:
    import pyarrow as pa  # slow to import

    position = pa.struct([("char", pa.string()), ("confidence", pa.float64())])
    types = {"confidence": pa.float64(), "accepted": pa.bool_(), "positions": pa.list_(position)}
    return pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])


def _write_parquet(file: BinaryIO, rows: list[Record]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows, schema=_schema()), file)


def _read_parquet(data: bytes) -> Iterator[tuple[str, str | None]]:
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data), columns=["file", "sha256"])
    yield from zip(table["file"].to_pylist(), table["sha256"].to_pylist(), strict=True)


@contextmanager
def _storing(folder: Path) -> Iterator[None]:
    """Raise StorageError for an OSError of the block."""
    try:
        yield
    except OSError as error:
        name = shortened(str(folder))
        raise StorageError(f"{name} could not be written ({error.strerror}). Run again to continue.") from error
