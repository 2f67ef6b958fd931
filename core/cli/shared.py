"""Options, database and words that several commands share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from core.backup.restore import in_use
from core.cli.terminal import print_error, print_line
from core.errors import JobError, OptionError
from core.files import is_standard_output, shortened
from core.home import Home
from core.jobs import control
from core.jobs.runner import JOB_WORDS
from core.model import config
from db import damage, projects, runs
from db.connection import opened
from db.records import Project, Run
from db.sqlite import Database

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for other programs.")]
ProjectName = Annotated[str, typer.Option("--project", help="Name of the project.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Number or full name of a run.")]
Tta = Annotated[
    bool | None,
    typer.Option("--tta/--no-tta", help="Average over shifted, scaled and turned views. Default: the run's setting."),
]


@contextmanager
def database(home: Home, *, create: bool = False) -> Iterator[Database]:
    if create:
        home.create()
    with in_use(home), opened(home.db, create=create) as db:
        if found := damage.find(home.db):
            print_error(f"slotlab: {found.sentence}")
        yield db


def update_jobs(db: Database, home: Home) -> bool:
    """Bring the rows of jobs up to date. Return False if they cannot be saved; a full disk must not prevent reading."""
    if error := control.reconcile(db, home):
        print_error(f"{error} The states of jobs may be out of date.")
        return False
    return True


def find_project(db: Database, name: str) -> Project:
    project = projects.find_project(db, name)
    if project is None:
        if renamed := projects.find_project_by_former_name(db, name):
            raise OptionError(f"There is no project {shortened(name)!r}; it was renamed to {renamed.name}.")
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
    # The worker has another current directory.
    weights = pairs.get("pretrained", "").strip()
    if weights and weights not in config.OPTIONS["pretrained"].choices:
        pairs["pretrained"] = str(Path(weights).absolute())
    init = Path(pairs.get("init", "").strip())
    if init.suffix in (".safetensors", ".pt") or len(init.parts) > 1:  # else the name of a run
        pairs["init"] = str(init.absolute())
    return pairs


def find_run(db: Database, name: str) -> Run:
    job = control.find_job(db, name)
    run = runs.find_run(db, job.id)
    if run is None:
        kind = JOB_WORDS[job.kind]
        raise JobError(f"{name} is not a training run but {kind}. `slotlab runs` lists the runs.")
    return run


def print_summary(out: Path, text: str) -> None:
    """Print the last line of a command that has written `out`, which may be stdout itself."""
    (print_error if is_standard_output(out) else print_line)(text)
