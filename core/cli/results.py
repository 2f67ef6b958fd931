"""Commands for the results of a run: evaluate, report."""

import json
from pathlib import Path
from typing import Annotated

import typer

from core.cli.progress import Progress
from core.cli.shared import Json, RunName, Tta, database, find_run, print_summary, update_jobs
from core.evaluation.percent import share_and_interval
from core.evaluation.reference import score_name
from core.evaluation.unreadable import Unreadable
from core.files import write_outside
from core.home import Home, default_operator
from core.jobs import control
from core.runs.start import start_evaluation
from db.samples import count_samples


def evaluate(
    run: RunName,
    *,
    split: Annotated[str, typer.Option(metavar="val|test", help="Each use of the test set is recorded.")] = "val",
    tta: Tta = None,
    as_json: Json = False,
) -> None:
    """Evaluate a run on labeled images it was not trained on."""
    home = Home.from_env()
    with database(home) as db, Progress() as progress:
        update_jobs(db, home)
        job = start_evaluation(db, home, find_run(db, run), split, tta=tta, operator=default_operator())
        job = control.finish(db, home, job.id, progress.show_job)
        count = count_samples(db, job.project_id, split=split, flag="unreadable")
    result = {"reference": "people", "agreement": None} | json.loads(job.result or "{}")
    unreadable = Unreadable(
        split=split, count=count, correct=result["correct"], n=result["n"], reference=result["reference"]
    )
    if as_json:
        result |= {"unreadable": count, "exact_match_with_unreadable": unreadable.exact_match}
        print(json.dumps(result, ensure_ascii=False))
        return
    value, interval = share_and_interval(result["correct"], result["n"])
    print(f"{score_name(result['reference'])} {result['correct']:,}/{result['n']:,} = {value}")
    print(f"95% interval {interval}, split {split}, TTA {'on' if result['tta'] else 'off'}")
    if unreadable.sentence:
        print(unreadable.sentence)
    print(
        "per position  " + "  ".join(f"{index}: {value:.1%}" for index, value in enumerate(result["per_position"], 1))
    )


def report(
    run: RunName,
    *,
    out: Annotated[Path, typer.Option(help="HTML file to write; - is standard output.")],
    split: Annotated[str, typer.Option(metavar="val|test", help="Split of the evaluation.")] = "val",
    tta: Tta = None,
) -> None:
    """Write an existing evaluation as one HTML file. This does not use the test set again."""
    from core.report.document import make_report
    from core.runs.evaluated import load_evaluated

    home = Home.from_env()
    home.check_outside(out)
    with database(home) as db:
        update_jobs(db, home)
        text = make_report(db, home, load_evaluated(db, home, find_run(db, run), split, tta=tta))
    data = text.encode("utf-8", "replace")
    write_outside(out, data)
    print_summary(out, f"{out}: {len(data) / 1e6:.1f} MB.")
