"""Commands for readings of unlabeled images: propose, accept, rounds."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from core.cli.progress import Progress
from core.cli.shared import Json, ProjectName, database, find_project, update_jobs
from core.data import priorities
from core.data.accepting import retract
from core.data.kinds import labels_by_kind, removal, sentence
from core.data.proposals import accept_agreed, proof
from core.data.proposing import start_proposing
from core.errors import OptionError
from core.home import Home, default_operator
from core.jobs import control
from core.readers.readers import READERS
from core.runs.rounds import best_run, run_rounds
from core.words import plural


def propose(
    *,
    project: ProjectName,
    readers: Annotated[
        str, typer.Option(metavar="NAME,NAME", help="Readers to use: rapidocr, ddddocr, builtin.")
    ] = ",".join(READERS),
    agree: Annotated[
        int | None, typer.Option(metavar="N", help="Readers that must give the same text. Default: all.")
    ] = None,
    labeled: Annotated[
        bool, typer.Option("--labeled", help="Also read labeled images of train, to find wrong labels.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Let readers read the images that nobody labeled. Run again to finish, or to read new images.

    Their readings are proposals and not labels. Ctrl-C stops following; the job continues.
    """
    home = Home.from_env()
    names = [name.strip() for name in readers.split(",") if name.strip()]
    with database(home) as db, Progress() as progress:
        update_jobs(db, home)
        chosen = find_project(db, project)
        job = start_proposing(
            db, home, chosen, readers=names, agree=agree, labeled=labeled, operator=default_operator()
        )
        job = control.finish(db, home, job.id, progress.show_job)
        result = json.loads(job.result or "{}")
        shown = proof(db, chosen)
    if as_json:
        people = {"agreed": shown.agreed, "right": shown.agreed - len(shown.wrong)} if shown.agreed else None
        print(json.dumps({"job": job.id, "project": project} | result | {"proof": people}, ensure_ascii=False))
        return
    print(result["verdict"])
    if shown.agreed:
        print(shown.sentence)
    if result["usable"]:
        print(f"Next: slotlab accept --project {project} --agreed")


def accept(
    *,
    project: ProjectName,
    agreed: Annotated[
        bool, typer.Option("--agreed", help="Accept the readings of train that all readers agree on.")
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Remove all labels of the kind that nobody checked.")] = False,
    kind: Annotated[str, typer.Option(metavar="readers|run|verdict", help="Kind of the labels to remove.")] = "readers",
    as_json: Json = False,
) -> None:
    """Turn agreed readings of training images into labels of kind readers, or remove these labels."""
    if agreed == undo:
        raise OptionError("Use either --agreed or --undo.")
    home, result = Home.from_env(), dict[str, int]()
    with database(home) as db:
        chosen = find_project(db, project)
        if undo:
            result["removed"], result["kept"] = retract(db, chosen, kind, default_operator())
            priorities.update(db, chosen)  # accepting deleted the ranks of these images
            text = removal(kind, result["removed"], result["kept"])
        else:
            result["accepted"] = accept_agreed(db, chosen, default_operator())
            text = f"Accepted {plural(result['accepted'], 'agreed reading')} as labels of training images."
        labels = labels_by_kind(db, chosen)
    if as_json:
        print(json.dumps({"project": project} | result | {"labels": labels}))
    else:
        print(f"{text} Project {chosen.name} has {sentence(labels)}.")


def rounds(
    *,
    project: ProjectName,
    most: Annotated[int, typer.Option("--max", min=1, help="Most rounds.")] = 3,
    as_json: Json = False,
) -> None:
    """Train, let the run read what is unlabeled, accept what is sure, train again, while this helps.

    Begins with the best finished run, or trains one of preset fast. Jobs continue after Ctrl-C.
    """
    home = Home.from_env()
    with database(home) as db, Progress() as progress:
        update_jobs(db, home)
        chosen = find_project(db, project)
        lines = []
        for line in run_rounds(db, home, chosen, most=most, operator=default_operator(), follow=progress.show_job):
            lines.append(line)
            progress.note(line.sentence())
        best = best_run(db, chosen)
    name = best.job.id if best else None
    if as_json:
        print(json.dumps({"project": project, "rounds": [asdict(line) for line in lines], "best": name}))
    else:
        print(f"Best run: {name}")
