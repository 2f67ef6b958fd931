"""Commands for the results of a run: evaluate, threshold, report."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from core.cli.progress import Progress
from core.cli.shared import Json, RunName, Tta, database, find_run, print_summary, update_jobs
from core.cli.terminal import print_error, print_line
from core.errors import OptionError
from core.evaluation.acceptance import images_of
from core.evaluation.percent import rate, share_and_interval
from core.evaluation.reference import score_name
from core.evaluation.shift import NOTHING_BESIDE
from core.evaluation.unreadable import Unreadable
from core.files import write_outside
from core.home import Home, default_operator
from core.jobs import control
from core.runs.evaluated import count_unreadable, load_evaluated, shift_of
from core.runs.start import start_evaluation
from core.runs.unseen import find_source
from core.words import plural
from db.projects import get_project
from db.records import NEXT, Run
from db.sqlite import Database

SourceName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Instead of a split: a source that the run has not seen, or newest."),
]


def evaluate(
    run: RunName,
    *,
    split: Annotated[
        str | None, typer.Option(metavar="val|test", help="val by default. Each use of the test set is recorded.")
    ] = None,
    source: SourceName = None,
    tta: Tta = None,
    as_json: Json = False,
) -> None:
    """Evaluate a run on labeled images it was not trained on.

    With --source: on all images of a source that people labeled, beside the result on test, else on val.
    """
    home, shift = Home.from_env(), None
    with database(home) as db, Progress() as progress:
        update_jobs(db, home)
        chosen = find_run(db, run)
        split, source = _measured(db, chosen, split, source)
        job = start_evaluation(db, home, chosen, split, source=source, tta=tta, operator=default_operator())
        job = control.finish(db, home, job.id, progress.show_job)
        result = {"reference": "people", "agreement": None} | json.loads(job.result or "{}")
        count = count_unreadable(db, chosen, split, source)
        if source:
            evaluated = load_evaluated(db, home, chosen, split, source=source, tta=result["tta"])
            shift = shift_of(db, home, evaluated)
            result["beside"] = shift.to_dict() if shift else None
    unreadable = Unreadable(
        split=split, source=source, count=count, correct=result["correct"], n=result["n"],
        reference=result["reference"],
    )  # fmt: skip
    if as_json:
        result |= {"unreadable": count, "exact_match_with_unreadable": unreadable.exact_match}
        print(json.dumps(result, ensure_ascii=False))
        return
    value, interval = share_and_interval(result["correct"], result["n"])
    print(f"{score_name(result['reference'])} {result['correct']:,}/{result['n']:,} = {value}")
    where = f"source {source}" if source else f"split {split}"
    print_line(f"95% interval {interval}, {where}, TTA {'on' if result['tta'] else 'off'}")
    for sentence in shift.sentences if shift else ():
        print_line(sentence)
    if source and not shift:
        print(NOTHING_BESIDE)
    if unreadable.sentence:
        print_line(unreadable.sentence)
    print(
        "per position  " + "  ".join(f"{index}: {value:.1%}" for index, value in enumerate(result["per_position"], 1))
    )


def threshold(
    run: RunName,
    *,
    max_risk: Annotated[
        float, typer.Option(min=1e-6, max=0.5, help="Error rate allowed among accepted readings, at 95% confidence.")
    ] = 0.01,
    tries: Annotated[
        int, typer.Option(min=1, max=20, help="Wrong readings in a row after which the portal locks the login.")
    ] = 3,
    verdicts: Annotated[
        bool, typer.Option("--verdicts", help="Choose it on verdicts of the portal, not on validation images.")
    ] = False,
    tta: Tta = None,
    as_json: Json = False,
) -> None:
    """Set the confidence from which readings of a run are accepted. Nothing is set if no threshold can be shown."""
    from core.runs import thresholds

    home = Home.from_env()
    with database(home) as db:
        update_jobs(db, home)
        found = find_run(db, run)
        if verdicts and tta is not None:
            raise OptionError("--tta is for validation images. Verdicts are of readings with the views of the bundle.")
        by_portal = thresholds.by_verdicts(db, home, found) if verdicts else None
        if verdicts and by_portal is None:
            raise OptionError(
                f"The portal has judged no reading of a bundle of {found.job.id} whose files are here. "
                "Keep a log with the reader, and import it with `slotlab verdicts`."
            )
        judged = by_portal or thresholds.by_validation(load_evaluated(db, home, found, "val", tta=tta))
    chosen = judged.choose(max_risk)
    if chosen is None:
        raise OptionError(" ".join([judged.why_none(max_risk), *judged.shown_instead()]))
    accepted = judged.acceptance(chosen, max_risk=max_risk, tries=tries)
    accepted.save(home.run(found.job.id))
    if as_json:
        print(json.dumps(asdict(accepted)))
        return
    print(
        f"Readings of {found.job.id} are accepted from a confidence of {accepted.threshold:.4f}. "
        f"Of {plural(accepted.n, images_of(accepted.reference))} that accepts {accepted.used:,}, "
        f"{accepted.wrong:,} of them wrong: an error rate of at most {rate(accepted.risk_bound)} at 95% confidence."
    )
    if accepted.caution:
        print_error(accepted.caution)


def report(
    run: RunName,
    *,
    out: Annotated[Path, typer.Option(help="HTML file to write; - is standard output.")],
    split: Annotated[
        str | None, typer.Option(metavar="val|test", help="Split of the evaluation; val by default.")
    ] = None,
    source: SourceName = None,
    tta: Tta = None,
) -> None:
    """Write an existing evaluation as one HTML file. This does not use the test set again."""
    from core.report.document import make_report

    home = Home.from_env()
    home.check_outside(out)
    with database(home) as db:
        update_jobs(db, home)
        chosen = find_run(db, run)
        split, source = _measured(db, chosen, split, source)
        text = make_report(db, home, load_evaluated(db, home, chosen, split, source=source, tta=tta))
    data = text.encode("utf-8", "replace")
    write_outside(out, data)
    print_summary(out, f"{out}: {len(data) / 1e6:.1f} MB.")


def _measured(db: Database, run: Run, split: str | None, source: str | None) -> tuple[str, str]:
    """Return the split and the name of the source, which is empty for val and test. Raises OptionError."""
    if source is None:
        return split or "val", ""
    if split is not None:
        raise OptionError("--split and --source name different images. Give only one of them.")
    return NEXT, find_source(db, get_project(db, run.job.project_id), source, labeled=True).name
