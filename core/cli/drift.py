"""The command that looks for drift."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from core.cli.progress import Progress
from core.cli.shared import Json, ProjectName, database, find_project, update_jobs
from core.cli.terminal import print_line
from core.evaluation.percent import percent
from core.home import Home, default_operator
from core.jobs import control
from core.runs.drift import ADVICE, LOOKLESS, Drift, detail, drift_of, name_of, sentence, start_drift, without_alarm
from core.runs.drift_streams import Row
from core.runs.promotions import keep
from core.words import plural


def drift(
    *,
    project: ProjectName,
    keep_bundle: Annotated[
        bool, typer.Option("--keep", help="Keep the bundle in use: what its images are like now is as usual.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Let the bundle in use read the new images, and say whether images or readings have changed.

    One line for each source and week, then the alarms. Exit code 0 also with an alarm. Ctrl-C stops following.
    """
    home = Home.from_env()
    with database(home) as db:
        update_jobs(db, home)
        chosen = find_project(db, project)
        if keep_bundle:
            keep(db, chosen, operator=default_operator())
        with Progress() as progress:
            job = start_drift(db, home, chosen, operator=default_operator())
            found = drift_of(db, control.finish(db, home, job.id, progress.show_job))
    if as_json:
        alarms = [{"source": source} | asdict(change) for source, change in found.alarms]
        print(json.dumps(asdict(found) | {"job": job.id, "alarms": alarms}, ensure_ascii=False))
    else:
        _print(found)


def _print(found: Drift) -> None:
    for row in found.rows:
        print_line(_line(row))
    if not found.has_look:
        print(LOOKLESS)
    for source, change in found.alarms:
        print_line(f"{sentence(source, change)} {detail(change)} {ADVICE}")
    if not found.alarms:
        print_line(without_alarm(found))


def _line(row: Row) -> str:
    shares = {
        "accepted": row.accepted, "abstained": row.abstained, "unfamiliar": row.unfamiliar, "as readers": row.agreed,
    }  # fmt: skip
    counts = [f"{name} {count:,}/{of:,}" for name, (count, of) in shares.items() if of]
    confidence = f"confidence {percent(row.confidence)}"
    return "  ".join([row.week, name_of(row.source), plural(row.n, "answer"), confidence, *counts])
