"""Fixtures for all tests: a Slotlab folder with a database, projects and runs."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_utils import Database

from core.data.importing import open_project
from core.home import Home
from core.jobs import control
from core.jobs.jobdir import job_directories
from db import projects
from db.connection import opened, write
from db.records import Project
from tests.helpers.made_once import made_once
from tests.helpers.runs import add_labeled
from tests.helpers.stand_in import RUNNER

# Set before torch is imported. Test networks are too small to benefit from threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Without bytecode files, each process of a test compiles our modules, and pytest rewrites all tests in each of its own.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty Slotlab folder."""
    return Home(tmp_path / "home").create()


def create_database(folder: Path) -> None:
    with opened(folder / "slotlab.db", create=True):
        pass


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without rows. A copy takes a seventh of the CPU time of all migrations."""
    return made_once(tmp_path_factory, "database", create_database) / "slotlab.db"


@pytest.fixture
def db(home: Home, empty_database: Path) -> Iterator[Database]:
    """Database of `home`."""
    if not home.db.exists():
        shutil.copy(empty_database, home.db)
    with opened(home.db) as db:
        yield db


@pytest.fixture
def project(db: Database) -> Project:
    """A project with six digits and no images."""
    with write(db):
        return projects.insert_project(db, "portal", 6, "0123456789")


@pytest.fixture
def short_project(db: Database) -> Project:
    """A project with three digits and no images."""
    with write(db):
        return projects.insert_project(db, "portal", 3, "0123456789")


@pytest.fixture
def labeled(db: Database, short_project: Project) -> Project:
    """A project with three digits, four training images, two validation images and one test image."""
    add_labeled(db, short_project, train=["123", "456", "789", "124"], val=["123", "457"], test=["789"])
    return short_project


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, home: Home) -> Iterator[None]:
    """Replace the worker with a stand-in, and kill all of them after the test."""
    monkeypatch.setattr(control, "RUNNER", (sys.executable, "-c", RUNNER))
    yield
    for job in job_directories(home.runs):
        job.write("cancel", {"at": time.monotonic()})
        job.kill()


@pytest.fixture(scope="session")
def trained_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A project of rendered images with a run of two steps from the real worker. Copy it before use."""
    from tests.helpers.trained import train_once  # imports SciPy, which most tests do not need

    return Home(made_once(tmp_path_factory, "trained", train_once))


@pytest.fixture(scope="session")
def home_of_readings(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A project without a label of people, and a run of two steps on readings. Copy it before use."""
    from tests.helpers.trained import train_on_readings_once

    return Home(made_once(tmp_path_factory, "readings", train_on_readings_once))


@pytest.fixture
def trained_on_readings(home: Home, home_of_readings: Home) -> Project:
    """A project in `home` with a finished run on readings, 0001-fast."""
    shutil.copytree(home_of_readings.root, home.root, dirs_exist_ok=True)
    with opened(home.db) as db:
        return open_project(db, "portal", None, None)


@pytest.fixture(scope="session")
def bundled_home(tmp_path_factory: pytest.TempPathFactory, trained_home: Home) -> Home:
    """The project of `trained_home` with two bundles of its run. Copy it before use."""
    from tests.helpers.trained import bundle_twice

    return Home(made_once(tmp_path_factory, "bundled", lambda root: bundle_twice(root, trained_home.root)))


@pytest.fixture
def bundled(home: Home, bundled_home: Home) -> Project:
    """A project in `home` with a finished run and its bundles 0001-bundle and 0002-bundle."""
    shutil.copytree(bundled_home.root, home.root, dirs_exist_ok=True)
    with opened(home.db) as db:
        return open_project(db, "portal", None, None)


@pytest.fixture
def trained(home: Home, trained_home: Home) -> Project:
    """A project in `home` with a finished run, 0001-fast."""
    shutil.copytree(trained_home.root, home.root, dirs_exist_ok=True)
    with opened(home.db) as db:
        return open_project(db, "portal", None, None)
