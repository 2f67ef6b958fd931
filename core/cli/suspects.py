"""The command for labels that are probably wrong."""

import json
from typing import Annotated

import typer

from core.cli.progress import Progress
from core.cli.shared import Json, ProjectName, database, find_project, key_values, update_jobs
from core.cli.terminal import print_error, print_line
from core.home import Home, default_operator
from core.jobs import control
from core.model import config
from core.runs.folds import start_folds, unfinished_folds
from core.runs.suspects import find_suspects


def suspects(
    *,
    project: ProjectName,
    folds: Annotated[
        bool, typer.Option("--folds", help="First train five networks, each on four fifths of the labels.")
    ] = False,
    with_test: Annotated[
        bool, typer.Option("--with-test", help="With --folds: also check the labels of test.")
    ] = False,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="With --folds: change one setting of preset fast."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List labels that are probably wrong, the most suspicious first.

    All readers agree on another text, or a network that was not trained on the image contradicts the label. --folds
    trains these networks. Ctrl-C stops following; the job continues. A stopped job resumes. With --json: one line per
    label.
    """
    home, settings = Home.from_env(), config.with_options(config.preset("fast"), key_values(options or []))
    with database(home) as db:
        update_jobs(db, home)
        chosen = find_project(db, project)
        if folds:
            job = unfinished_folds(db, chosen)
            if job is None:
                job = start_folds(db, home, chosen, settings, operator=default_operator(), with_test=with_test)
            else:
                control.resume(db, home, job.id)
            with Progress() as progress:
                control.finish(db, home, job.id, progress.show_job)
        result = find_suspects(db, home, chosen)
    for suspect in result.entries:
        if as_json:
            record = {
                "sha256": suspect.sample.sha256,
                "positions": suspect.positions,
                "given": suspect.given,
                "suggested": suspect.suggested,
                "why": suspect.reasons,
            }
            print(json.dumps(record, ensure_ascii=False))
        else:
            positions, why = ",".join(map(str, suspect.positions)), ", ".join(suspect.reasons)
            print_line(f"{suspect.sample.sha256}  {positions}  {suspect.given}  {suspect.suggested}  {why}")
    if not result.entries and not as_json:
        print("No suspected labels.")
    for sentence in result.gaps:
        print_error(sentence)
