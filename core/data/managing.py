"""Names, notes and tags of projects, sources and runs; archived projects; sources and images that move."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from core.data.import_checks import other_sizes
from core.data.selection import check_bulk
from core.errors import JobError, OptionError
from core.files import shortened
from core.home import Home
from core.jobs import control
from core.names import MAX_ORIGIN, MAX_PROJECT, check_name, check_tag
from core.words import plural
from db import jobs, projects, removals, runs, samples
from db.connection import write
from db.records import Project, Run, Source
from db.sqlite import Database

MAX_NOTE = 2000
"""Characters."""
MAX_TAGS = 20


def tags_of(row: Project | Run) -> list[str]:
    """Return the tags, by name."""
    tags: list[str] = json.loads(row.tags)
    return tags


def rename_project(db: Database, project: Project, name: str) -> Project:
    """Give a project another name. Raises OptionError for an invalid name, or one that is taken."""
    check_name("project name", name, MAX_PROJECT)
    with write(db):
        taken = projects.find_project(db, name)
        if taken and taken.id != project.id:
            raise OptionError(f"There is already a project {name!r}. Choose another name.")
        projects.rename_project(db, project.id, name)
    return projects.get_project(db, project.id)


def archive_project(db: Database, project: Project, *, archived: bool) -> None:
    """Hide a project from Home and from lists, or show it again. Nothing is lost, and commands still find it."""
    with write(db):
        projects.set_archived(db, project.id, archived=archived)


def describe_project(
    db: Database, project: Project, *, note: str | None = None, tags: Sequence[str] | None = None
) -> None:
    """Replace the note and the tags of a project. None leaves them. Raises OptionError."""
    new = _note(project.note if note is None else note), _tags(tags_of(project) if tags is None else tags)
    with write(db):
        projects.describe(db, project.id, note=new[0], tags=new[1])


def describe_run(
    db: Database,
    run: Run,
    *,
    name: str | None = None,
    note: str | None = None,
    tags: Sequence[str] | None = None,
) -> None:
    """Replace the name, note and tags of a run. None leaves them; an empty name is none. Raises OptionError."""
    name = run.name if name is None else name
    if name:
        check_name("run name", name, MAX_PROJECT)
    new = _note(run.note if note is None else note), _tags(tags_of(run) if tags is None else tags)
    with write(db):
        runs.describe(db, run.job.id, name=name, note=new[0], tags=new[1])


def _note(note: str) -> str:
    note = note.strip()
    if len(note) > MAX_NOTE:
        raise OptionError(f"The note has {plural(len(note), 'character')}; the limit is {MAX_NOTE:,}.")
    if not all(char.isprintable() or char in "\n\t" for char in note):
        raise OptionError("The note has control characters. Use visible text.")
    return note


def _tags(tags: Sequence[str]) -> str:
    """Return the tags as JSON, each once, by name."""
    wanted = sorted({tag.strip() for tag in tags} - {""})
    if len(wanted) > MAX_TAGS:
        raise OptionError(f"There are {len(wanted):,} tags; the limit is {MAX_TAGS}.")
    for tag in wanted:
        check_tag(tag)
    return json.dumps(wanted, ensure_ascii=False)


# Sources


def find_source(db: Database, project: Project, name: str) -> Source:
    """Return a source of a project. Raises OptionError if there is none of this name."""
    source = projects.find_source(db, project.id, name)
    if source is None:
        listed = ", ".join(source.name for source in projects.list_sources(db, project.id)) or "none yet"
        raise OptionError(f"Project {project.name} has no source {shortened(name)!r}. Its sources: {listed}.")
    return source


def rename_source(db: Database, home: Home, project: Project, source: Source, name: str) -> None:
    """Give a source another name, also in the settings and results of runs.

    Raises OptionError for an invalid name, or one that is taken, JobError while a job of the project is active.
    """
    check_name("source name", name, MAX_ORIGIN)
    _reconcile(db, home)
    with write(db):
        _check_idle(db, project, f"rename source {source.name}")
        taken = projects.find_source(db, project.id, name)
        if taken and taken.id != source.id:
            raise OptionError(f"Project {project.name} already has a source {name!r}. Choose another name.")
        projects.rename_source(db, source, name)


@dataclass(frozen=True)
class Moved:
    """The outcome of a move."""

    images: int
    stay: int
    """Images that the other project has already. They stay where they are."""


def move_warning(db: Database, source: Source, target: Project) -> str:
    """Return what speaks against moving a source to a project, as for an import; empty if nothing does."""
    return other_sizes(db, target, samples.sizes_of_source(db, source.id))


def move_source(db: Database, home: Home, project: Project, source: Source, target: Project) -> Moved:
    """Move the images of a source to another project, with labels, history, owner and authorization.

    Raises OptionError unless the other project has the same length and charset and no source of this name, JobError
    while a job of one of them is active.
    """
    if target.id == project.id:
        raise OptionError(f"Source {source.name} is in project {project.name} already.")
    if (target.length, set(target.charset)) != (project.length, set(project.charset)):
        raise OptionError(
            f"Project {target.name} has another length or charset than {project.name}, so the labels would not fit. "
            "Use `slotlab project copy`."
        )
    _reconcile(db, home)
    with write(db):
        for each in (project, target):
            _check_idle(db, each, f"move source {source.name}")
        if projects.find_source(db, target.id, source.name):
            raise OptionError(f"Project {target.name} already has a source {source.name!r}. Rename one of them first.")
        return Moved(*removals.move_source(db, source, target))


def move_samples(db: Database, home: Home, project: Project, ids: Sequence[int], target: Source) -> int:
    """Move images to another source of their project. Return how many were not in it.

    Labels, history and split stay; owner and authorization are those of the new source from then on. Raises OptionError
    for more than MAX_SELECTED images, JobError while a job of the project is active.
    """
    check_bulk(ids)
    _reconcile(db, home)
    with write(db):
        _check_idle(db, project, "move the images")
        moving = [each.id for each in samples.get_samples(db, project.id, ids) if each.source_id != target.id]
        samples.set_source(db, moving, target.id)
    return len(moving)


def _reconcile(db: Database, home: Home) -> None:
    if error := control.reconcile(db, home):
        raise error


def _check_idle(db: Database, project: Project, action: str) -> None:
    if active := jobs.active_jobs(db, project.id):
        raise JobError(f"{active[0].id} is {active[0].state}. Cancel it or wait until it ends, then {action}.")
