"""The command that brings in what the portal said."""

import json
from pathlib import Path
from typing import Annotated

import typer

from core.cli.progress import Progress
from core.cli.shared import Json, ProjectName, database, find_project
from core.cli.terminal import print_error
from core.data.verdicts import SOURCE, Origin, take_in
from core.files import checked_path
from core.home import Home, default_operator
from core.runs.bundles import bundles_of_others


def verdicts(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The log of a reader, or a table of verdicts: CSV, TSV, JSON lines.")
    ],
    *,
    project: ProjectName,
    source: Annotated[str, typer.Option(help="Name of the source of new images.")] = SOURCE,
    owner: Annotated[
        str | None, typer.Option(help="Owner of the portal. Default: that of the project's newest source.")
    ] = None,
    authorization: Annotated[
        str | None,
        typer.Option(help="Reference of the permission to use it. Default: that of the project's newest source."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring in what the portal said about submitted texts. Run again to finish an interrupted intake.

    Accepted texts become labels of training images, and wrong ones go first into the queue of Label. Exit code 1 if a
    line was refused; the others are stored.
    """
    home = Home.from_env()
    with database(home) as db, Progress() as progress:
        chosen = find_project(db, project)
        outcome = take_in(
            db, chosen, checked_path(file), operator=default_operator(), others=bundles_of_others(db, home, chosen),
            origin=Origin(source=source, owner=owner, authorization=authorization),
            on_progress=lambda done, total: progress.show(done, total, "Reading verdicts"),
        )  # fmt: skip
    if as_json:
        print(json.dumps({"project": project} | outcome.to_dict(), ensure_ascii=False))
    else:
        print(outcome.sentence())
    for reason in outcome.reasons:
        print_error(reason)
    if outcome.refused > len(outcome.reasons):
        print_error(f"{outcome.refused - len(outcome.reasons):,} more are not listed.")
    if outcome.refused:
        raise typer.Exit(1)
