"""A Slotlab folder for each test that asks for one; folders below may say more exactly what is in theirs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_utils import Database

from core.home import Home
from db import projects
from db.connection import opened, write
from db.records import Project

# Before anything imports torch: the networks of the tests are too small to gain by threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty Slotlab folder."""
    return Home(tmp_path / "home").create()


@pytest.fixture
def db(home: Home) -> Iterator[Database]:
    """Its database."""
    with opened(home.db, create=True) as db:
        yield db


@pytest.fixture
def project(db: Database) -> Project:
    """Six digits, no images."""
    with write(db):
        return projects.insert_project(db, "portal", 6, "0123456789")
