"""Commands that manage what there is: project, source, run."""

import json
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from core.backup import removal
from core.backup.removal import done_sentence, named
from core.cli.progress import Progress
from core.cli.shared import Json, ProjectName, RunName, database, find_project, find_run, update_jobs
from core.cli.terminal import print_error, print_line
from core.data import copying, managing, selection, tagging
from core.data.managing import find_source, tags_of
from core.data.selection import STATES
from core.errors import OptionError
from core.files import shortened
from core.home import Home, default_operator
from core.runs.promotions import run_to_begin_from
from core.words import plural
from db import projects, removals, samples, tags
from db.records import Project, Removal, Source
from db.removals import Counts
from db.sqlite import Database

Name = Annotated[str, typer.Argument(metavar="NAME", help="The present name.")]
NewName = Annotated[str, typer.Argument(metavar="NEW", help="The new name.")]
Note = Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Replace the note.")]
Tags = Annotated[
    str | None, typer.Option("--tags", metavar="TAGS", help="Replace the tags, separated by commas; empty for none.")
]
Confirm = Annotated[
    str | None, typer.Option("--confirm", metavar="NAME", help="Its name again. Default: ask for it in a terminal.")
]

ConfirmRun = Annotated[
    str | None, typer.Option("--confirm", metavar="NUMBER", help="Its number again. Default: ask for it in a terminal.")
]


def _group(help_text: str) -> typer.Typer:
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode=None)


# Projects

project_group = _group("List, rename, describe, archive, copy and delete projects, and tag their images.")


@project_group.command("list")
def list_projects(
    *,
    archived: Annotated[bool, typer.Option("--archived", help="List only archived projects.")] = False,
    as_json: Json = False,
) -> None:
    """List projects with their images, labels, tags and notes. Archived projects are left out."""
    with database(Home.from_env()) as db:
        records = [_project_record(db, each) for each in projects.list_projects(db, archived=archived)]
    if as_json:
        print(json.dumps(records, ensure_ascii=False))
        return
    if not records:
        print("No archived projects." if archived else "No projects yet. Import images to create one.")
    for record in records:
        head = f"{record['project']:<16} {plural(record['images'], 'image')}, {plural(record['labels'], 'label')}"
        print_line("  ".join([head, *_extras(record)]))


def _project_record(db: Database, project: Project) -> dict[str, Any]:
    counts = removals.count_project(db, project)
    return {
        "project": project.name, "length": project.length, "charset": project.charset, "images": counts.images,
        "labels": counts.labels, "runs": counts.runs, "note": project.note, "tags": tags_of(project),
        "archived_at": project.archived_at, "created_at": project.created_at,
    }  # fmt: skip


def _extras(record: dict[str, Any]) -> list[str]:
    """Return tags and note on one line."""
    return [f"[{', '.join(record['tags'])}]"] * bool(record["tags"]) + [" ".join(record["note"].split())]


@project_group.command("rename")
def rename_project(name: Name, new: NewName, *, as_json: Json = False) -> None:
    """Rename a project. Scripts need the new name from then on. Addresses of the app lead on to it."""
    with database(Home.from_env()) as db:
        project = managing.rename_project(db, find_project(db, name), new)
    _print({"project": project.name, "former": name}, f"Project {name} is now {project.name}.", as_json=as_json)


@project_group.command("archive")
def archive(name: Name, *, as_json: Json = False) -> None:
    """Hide a project from Home and from lists. Nothing is lost, and every command still finds it by its name."""
    _archive(name, archived=True, as_json=as_json)


@project_group.command("unarchive")
def unarchive(name: Name, *, as_json: Json = False) -> None:
    """Show an archived project again."""
    _archive(name, archived=False, as_json=as_json)


def _archive(name: str, *, archived: bool, as_json: bool) -> None:
    with database(Home.from_env()) as db:
        managing.archive_project(db, find_project(db, name), archived=archived)
    state = "archived" if archived else "listed again"
    _print({"project": name, "archived": archived}, f"Project {name} is {state}.", as_json=as_json)


@project_group.command("describe")
def describe_project(name: Name, *, note: Note = None, tags: Tags = None, as_json: Json = False) -> None:
    """Set the note and the tags of a project. Without options, print them."""
    with database(Home.from_env()) as db:
        managing.describe_project(db, find_project(db, name), note=note, tags=_split(tags))
        record = _project_record(db, find_project(db, name))
    _print(record, "  ".join([record["project"], *_extras(record)]), as_json=as_json)


@project_group.command("copy")
def copy_project(
    name: Name,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Name of the new project.")],
    *,
    length: Annotated[int | None, typer.Option(help="Text length; default: the same.")] = None,
    charset: Annotated[str | None, typer.Option(help="Allowed characters; default: the same.")] = None,
    as_json: Json = False,
) -> None:
    """Create a project from another one: images with owner and authorization, labels that fit, skips, and recipes.

    Runs stay. The last line names the run to begin from. Run again to finish an interrupted copy.
    """
    home = Home.from_env()
    with database(home) as db, Progress() as progress:
        old = find_project(db, name)
        project, copied = copying.copy_project(
            db, old, new, length=length, charset=charset, operator=default_operator(),
            on_progress=lambda done, total: progress.show(done, total, "Copying"),
        )  # fmt: skip
        run = run_to_begin_from(db, home, old)
    record = asdict(copied) | {"project": project.name, "from": old.name, "init": run}
    text = f"{project.name}: {copied.sentence}"
    next_step = f"Next: slotlab train --project {project.name} --set init={run}" if run else ""
    _print(record, "\n".join(filter(None, [text, next_step])), as_json=as_json)


@project_group.command("tag")
def tag_samples(
    name: Name,
    tag: Annotated[str | None, typer.Argument(metavar="TAG", help="A short word; default: list the tags.")] = None,
    *,
    add: Annotated[bool, typer.Option("--add/--remove", help="Tag the images, or take the tag off.")] = True,
    state: Annotated[str, typer.Option(metavar="STATE", help=f"One of: {', '.join(STATES)}.")] = "all",
    split: Annotated[str | None, typer.Option(metavar="train|val|test")] = None,
    source: Annotated[str | None, typer.Option(metavar="NAME", help="Only images of this source.")] = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="Only images with a label of this kind.")] = None,
    tagged: Annotated[str | None, typer.Option(metavar="TAG", help="Only images with this tag.")] = None,
    search: Annotated[str, typer.Option(metavar="TEXT", help="Part of a label or file name, or start of a hash.")] = "",
    as_json: Json = False,
) -> None:
    """Tag the images of a project that match all filters, or take a tag off. Without TAG, list the tags.

    Tags are compared without case. A tag that no image has is forgotten.
    """
    with database(Home.from_env()) as db:
        project = find_project(db, name)
        if tag is None:
            listed = {each.name: tags.count_tagged(db, each) for each in tags.list_tags(db, project.id)}
            lines = [f"{each:<16} {plural(n, 'image')}" for each, n in listed.items()] or ["No tags yet."]
            _print({"project": name, "tags": listed}, "\n".join(lines), as_json=as_json)
            return
        where = selection.where(
            db, project, state=state, split=split, source=source, kind=kind, tag=tagged, text=search
        )
        ids = samples.select_ids(db, project.id, **where)
        if add:
            done = tagging.tag_samples(db, project, tag, ids, operator=default_operator())
        else:
            done = tagging.untag_samples(db, project, tag, ids)
    _print({"project": name} | asdict(done), done.sentence, as_json=as_json)


@project_group.command("delete")
def delete_project(name: Name, *, confirm: Confirm = None, as_json: Json = False) -> None:
    """Delete a project with its images, labels, runs and bundles, after a backup of the database.

    Without --confirm, count what would be deleted. Run again to finish an interrupted deletion.
    """
    home = Home.from_env()
    with database(home) as db:
        done = _finished(removal.finish(db, home), "project", name)
        if done is None or projects.find_project(db, name):
            project = find_project(db, name)
            typed = _confirmed("project", name, removals.count_project(db, project), confirm)
            done = removal.delete_project(db, home, project, typed=typed, operator=default_operator())
    _print_deleted(done, as_json=as_json)


# Sources

source_group = _group("List, rename, move and delete the sources of a project.")


@source_group.command("list")
def list_sources(*, project: ProjectName, as_json: Json = False) -> None:
    """List the sources of a project with their images, labels, owner and authorization."""
    with database(Home.from_env()) as db:
        records = [_source_record(db, each) for each in projects.list_sources(db, find_project(db, project).id)]
    if as_json:
        print(json.dumps(records, ensure_ascii=False))
        return
    if not records:
        print(f"Project {project} has no sources yet. Import images to create one.")
    for record in records:
        counts = f"{plural(record['images'], 'image')}, {plural(record['labels'], 'label')}"
        print_line(f"{record['source']:<16} {counts}  {record['owner']}, {record['authorization']}")


def _source_record(db: Database, source: Source) -> dict[str, Any]:
    counts = removals.count_source(db, source)
    return {
        "source": source.name, "owner": source.owner, "authorization": source.authorization, "images": counts.images,
        "labels": counts.labels, "created_at": source.created_at,
    }  # fmt: skip


@source_group.command("rename")
def rename_source(name: Name, new: NewName, *, project: ProjectName, as_json: Json = False) -> None:
    """Rename a source. Owner and authorization stay."""
    home = Home.from_env()
    with database(home) as db:
        chosen = find_project(db, project)
        managing.rename_source(db, home, chosen, find_source(db, chosen, name), new)
    _print({"source": new, "former": name, "project": project}, f"Source {name} is now {new}.", as_json=as_json)


@source_group.command("move")
def move_source(
    name: Name,
    *,
    project: ProjectName,
    to: Annotated[str, typer.Option("--to", metavar="PROJECT", help="A project with the same length and charset.")],
    as_json: Json = False,
) -> None:
    """Move a source to another project, with images, labels, history, owner and authorization.

    Images that the other project already has stay. What the portal said about images stays too. Images of other sizes
    than those there are moved with a warning.
    """
    home = Home.from_env()
    with database(home) as db:
        chosen = find_project(db, project)
        source, target = find_source(db, chosen, name), find_project(db, to)
        warning = managing.move_warning(db, source, target)
        moved = managing.move_source(db, home, chosen, source, target)
    if warning:
        print_error(f"Warning: {warning}")
    text = f"Moved {plural(moved.images, 'image')} of {name} to {to}."
    if moved.stay:
        text += f" {to} had {plural(moved.stay, 'image')} already: these stay in {project}."
    _print({"source": name, "project": project, "to": to} | asdict(moved), text, as_json=as_json)


@source_group.command("delete")
def delete_source(name: Name, *, project: ProjectName, confirm: Confirm = None, as_json: Json = False) -> None:
    """Delete a source with its images and labels, after a backup of the database.

    Without --confirm, count what would be deleted. Runs keep the images they were trained on.
    """
    home = Home.from_env()
    with database(home) as db:
        chosen = find_project(db, project)
        done = _finished(removal.finish(db, home), "source", name)
        if done is None or projects.find_source(db, chosen.id, name):
            source = find_source(db, chosen, name)
            typed = _confirmed("source", name, removals.count_source(db, source), confirm)
            done = removal.delete_source(db, home, chosen, source, typed=typed, operator=default_operator())
    _print_deleted(done, as_json=as_json)


# Runs

run_group = _group("Name, describe and delete runs. `slotlab runs` lists them.")


@run_group.command("describe")
def describe_run(
    run: RunName,
    *,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name it; empty for no name.")] = None,
    note: Note = None,
    tags: Tags = None,
    as_json: Json = False,
) -> None:
    """Set the name, the note and the tags of a run. Its number stays. Without options, print them."""
    with database(Home.from_env()) as db:
        managing.describe_run(db, find_run(db, run), name=name, note=note, tags=_split(tags))
        found = find_run(db, run)
    record = {"run": found.job.id, "name": found.name, "note": found.note, "tags": tags_of(found)}
    _print(record, "  ".join([found.job.id, *[found.name] * bool(found.name), *_extras(record)]), as_json=as_json)


@run_group.command("delete")
def delete_run(run: RunName, *, confirm: ConfirmRun = None, as_json: Json = False) -> None:
    """Delete a run with its weights, evaluations and bundles. No backup has them. Test uses stay counted.

    Without --confirm, count what would be deleted. Run again to finish an interrupted deletion.
    """
    home = Home.from_env()
    with database(home) as db:
        update_jobs(db, home)
        done = _finished(removal.finish(db, home), "run", run)
        if done is None:
            found = find_run(db, run)
            counts = removal.count_run(db, home, found)
            typed = _confirmed("run", found.job.id, counts, confirm, asks=str(found.job.number))
            done = removal.delete_run(db, home, found, typed=typed, operator=default_operator())
    _print_deleted(done, as_json=as_json)


# Words


def _split(tags: str | None) -> list[str] | None:
    return None if tags is None else tags.split(",")


def _finished(done: list[Removal], kind: str, name: str) -> Removal | None:
    """Return the interrupted deletion that has just been finished, if it is the one that is asked for."""

    def is_asked(removal: Removal) -> bool:
        number = removal.name.split("-")[0]
        return removal.kind == kind and (
            removal.name == name or (kind == "run" and name.isdecimal() and int(number) == int(name))
        )

    return next(filter(is_asked, done), None)


def _confirmed(kind: str, name: str, counts: Counts, confirm: str | None, *, asks: str = "") -> str:
    """Return what someone typed to confirm, after showing the counts. Raises OptionError without a terminal.

    `asks`: the number of a run; empty where it is the name.
    """
    if confirm is not None:
        return confirm
    what = f"This deletes {named(kind, name, counts)}."
    if not sys.stdin.isatty():
        raise OptionError(f"{what} Nothing is deleted yet. To do it, add --confirm {asks or repr(shortened(name))}.")
    print_error(what)
    return str(typer.prompt(f"Type its {'number' if asks else 'name'} to do it", err=True))


def _print_deleted(done: Removal, *, as_json: bool) -> None:
    record = {"deleted": done.kind, "name": done.name, "project": done.project, "backup": done.backup}
    _print(record | json.loads(done.counts), done_sentence(done), as_json=as_json)


def _print(record: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(record, ensure_ascii=False))
    else:
        for line in text.splitlines():
            print_line(line.rstrip())


GROUPS: dict[str, typer.Typer] = {"project": project_group, "source": source_group, "run": run_group}
