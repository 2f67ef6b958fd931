"""Damage a database file as a failing disk or a careless hand does."""

import hashlib
from pathlib import Path

from sqlite_utils.utils import sqlite3

from db import connection

INNER_PAGES = (2, 5)
"""Types of the pages above the leaves of an index and a table (https://sqlite.org/fileformat.html)."""


def overwrite_page(path: Path, name: str) -> None:
    """Overwrite the last page of a table or index, as a failing disk does. Close the database first."""
    raw = sqlite3.connect(path)
    page_size = raw.execute("PRAGMA page_size").fetchone()[0]
    page = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [name]).fetchone()[0]
    raw.close()
    with path.open("r+b") as file:
        while True:
            file.seek((page - 1) * page_size)
            header = file.read(12)
            if header[0] not in INNER_PAGES:
                break
            page = int.from_bytes(header[8:], "big")  # its last child
        file.seek((page - 1) * page_size)
        file.write(b"\xa5" * page_size)


def start_over() -> None:
    """Forget which files this process has checked, as a new process does."""
    connection._checked.clear()


def digests(path: Path) -> dict[str, str]:
    """Return the hashes of the database and its journals. The record of its damage is not among them."""
    files = [file for file in path.parent.glob(f"{path.name}*") if file.suffix != ".damaged"]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
