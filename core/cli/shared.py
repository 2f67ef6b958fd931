"""Options, database and words that several commands share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlite_utils import Database

from core.backup.restore import in_use
from core.cli.terminal import print_error
from core.errors import OptionError
from core.files import shortened
from core.home import Home
from core.jobs import control
from core.model import config
from db import damage, projects
from db.connection import opened
from db.records import Project

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for other programs.")]
ProjectName = Annotated[str, typer.Option("--project", help="Name of the project.")]


@contextmanager
def database(home: Home, *, create: bool = False) -> Iterator[Database]:
    if create:
        home.create()
    with in_use(home), opened(home.db, create=create) as db:
        if found := damage.find(home.db):
            print_error(f"slotlab: {found.sentence}")
        yield db


def counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def update_jobs(db: Database, home: Home) -> bool:
    """Bring the rows of jobs up to date. Return False if they cannot be saved; a full disk must not prevent reading."""
    if error := control.reconcile(db, home):
        print_error(f"{error} The states of jobs may be out of date.")
        return False
    return True


def find_project(db: Database, name: str) -> Project:
    project = projects.find_project(db, name)
    if project is None:
        names = ", ".join(project.name for project in projects.list_projects(db))
        advice = f"choose from {names}" if names else "import images first"
        raise OptionError(f"There is no project {shortened(name)!r}; {advice}.")
    return project


def key_values(options: Sequence[str]) -> dict[str, str]:
    """Return the pairs of --set KEY=VALUE. Raises OptionError for text without =."""
    pairs = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise OptionError(f"--set expects key=value, got {option!r}.")
        pairs[key.strip()] = value
    weights = pairs.get("pretrained", "").strip()
    if weights and weights not in config.OPTIONS["pretrained"].choices:
        pairs["pretrained"] = str(Path(weights).absolute())  # the worker has another current directory
    return pairs
