"""The `slotlab` command: results on stdout, progress and errors on stderr, exit code 1 for errors."""

import json
import math
import signal
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from core.backup import backups
from core.backup.restore import restore
from core.cli import api, bundling, demo, drift, managing, predicting, reading, results, serving, suspects, verdicts
from core.cli.progress import Progress
from core.cli.shared import (
    Json,
    ProjectName,
    RunName,
    database,
    find_project,
    find_run,
    key_values,
    print_summary,
    update_jobs,
)
from core.cli.terminal import one_sentence, print_error, print_line
from core.data import export, import_checks, importing
from core.data.import_request import WATCH_SECONDS, Request
from core.data.kinds import labels_by_kind, parenthesis
from core.data.label_book import LabelOptions, Preview
from core.data.managing import tags_of
from core.data.selection import find_tag
from core.errors import AmbiguousLabelsError, JobError, OptionError, StorageError
from core.evaluation import percent
from core.evaluation.metrics import interval95
from core.evaluation.reference import score_name
from core.home import Home, default_operator
from core.jobs import control, webhook
from core.jobs.jobdir import JobStatus
from core.model import config
from core.runs.start import start_training
from core.runs.watch import follow
from core.training.doctor import Diagnosis
from core.words import plural
from db import jobs, projects, runs
from db.records import ACTIVE, Job, Run
from db.samples import select_ids
from db.sqlite import Database

app = typer.Typer(
    help="A browser lab for fixed-length OCR: import, label, train, evaluate, predict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(requested: bool) -> None:
    if requested:
        print(f"slotlab {version('slotlab')}")
        raise typer.Exit


@app.callback()
def options(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Define the options that need no command."""


@app.command("demo")
def make_demo(
    *,
    serve: Annotated[
        bool | None, typer.Option("--serve/--no-serve", help="Open the app at the end. Default: only in a terminal.")
    ] = None,
    zero: Annotated[
        bool, typer.Option("--zero", help="Use no label: let general readers read the images first.")
    ] = False,
    samples: Annotated[
        int | None,
        typer.Option(min=50, help=f"Number of images to render; {demo.COUNT}, or {demo.ZERO_COUNT} with --zero."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the demo's data and start over.")] = False,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8501,
) -> None:
    """Render images, train preset fast on them, print the test result, open the app."""
    if serve is None:
        serve = sys.stdout.isatty()
    if serve:
        serving.check_port(port)
    with Progress() as progress:
        count = samples or (demo.ZERO_COUNT if zero else demo.COUNT)
        result = demo.run(Home.from_env(), count=count, fresh=fresh, progress=progress, zero=zero)
    print(result.text)
    if serve:
        serving.serve(port, f"/?project={demo.ZERO_PROJECT if zero else demo.PROJECT}")


@app.command("import")
def import_(
    source_path: Annotated[Path, typer.Argument(metavar="SRC", help="A folder, a zip file, or one image.")],
    *,
    project: ProjectName,
    source: Annotated[str, typer.Option(help="Name of the source of these images.")],
    owner: Annotated[str, typer.Option(help="Owner of the portal.")],
    authorization: Annotated[str, typer.Option(help="Reference of the permission to use it.")],
    length: Annotated[int | None, typer.Option(help="Text length; 6 for a new project.")] = None,
    charset: Annotated[str | None, typer.Option(help="Allowed characters; 0123456789 for a new project.")] = None,
    labels: Annotated[
        str,
        typer.Option(
            metavar="auto|none|filename|start|end|folder|FILE",
            help="Source of the labels: the tables in SRC (auto), none, the names of the files (at their start or "
            "end), the names of the folders, or a table. Labels in names count as labels of people, unless SRC also "
            "has the sources.csv of an export, which names their kinds.",
        ),
    ] = "auto",
    pattern: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Place of the label in the file names, such as 'meter-*_{label}'."),
    ] = None,
    file_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name or number of the table's column with the files.")
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The same for the labels; d1,d2,d3 for one character a column."),
    ] = None,
    separator: Annotated[
        str | None, typer.Option(metavar="NAME", help="tab, comma, semicolon, bar or space, if the table is unclear.")
    ] = None,
    fold_case: Annotated[
        bool, typer.Option("--fold-case", help="Write letters in the case of the charset, if it has only one.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Correct labels that exist already; also those of val and test.")
    ] = False,
    frame: Annotated[
        str,
        typer.Option(metavar="N|last", help="Import this frame of animations, counted from 1. Default: refuse them."),
    ] = "",
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep importing new files from the folder until Ctrl-C.")
    ] = False,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", help="Interval between scans of a watched folder.")
    ] = WATCH_SECONDS,
    as_json: Json = False,
) -> None:
    """Import images, skipping duplicates. Run again to finish an interrupted import.

    Before the import, the first five labels are printed as they are read. Exit code 2 if labels can be read in two
    ways: the message names the option that decides. Exit code 1 if a file was rejected or a label was ignored.

    With --watch --json: one line per batch, then a line with the full report.
    """
    home = Home.from_env()
    request = Request(
        path=source_path, labels=labels, project=project, length=length, charset=charset,
        source=source, owner=owner, authorization=authorization, watch=watch, every=every, replace=replace, frame=frame,
        options=LabelOptions(
            pattern=pattern, file_column=file_column, label_column=label_column, separator=separator,
            fold_case=fold_case,
        ),
    )  # fmt: skip
    with database(home, create=True) as db, Progress() as progress:
        for sentence in import_checks.problems(db, request).values():
            raise OptionError(sentence)  # before labels are shown
        if request.labels != "none":
            preview = import_checks.preview(db, request)
            _show_preview(preview, import_checks.misfit(db, projects.find_project(db, request.project), preview))
        if watch:
            job, report = _watch(db, home, request, progress, as_json=as_json)
        else:
            job = importing.start_import(db, home, request, operator=default_operator())
            job = control.finish(db, home, job.id, progress.show_job)
            report = importing.Report(**json.loads(job.result or "{}"))
    if as_json:
        final = {"final": True} if watch else {}
        print(json.dumps({"job": job.id, "project": project} | final | report.to_dict(), ensure_ascii=False))
    else:
        print(report.sentence())
    for item in [] if watch else report.reasons:  # a watch has already printed them
        print_error(_reason_line(item))
    omitted = report.rejected + report.label_problems - len(report.reasons)
    if omitted > 0 and not watch:
        print_error(f"{omitted:,} more are not listed.")
    if report.rejected or report.label_problems:
        raise typer.Exit(1)


def _show_preview(preview: Preview, misfit: str) -> None:
    """Print the first labels as an import would read them, and what speaks against the project.

    Raises AmbiguousLabelsError if the labels look like numbering.
    """
    print_error(preview.origin)
    for name, label, reason in preview.rows:
        print_error(f"  {name} -> {label if label is not None else reason}")
    for warning in filter(None, [*preview.warnings, misfit]):
        print_error(f"Warning: {warning}")
    if preview.is_numbering:
        raise AmbiguousLabelsError(
            "The file names look like numbers, not labels. Use --pattern {label} if they are labels, or --labels none."
        )


def _watch(
    db: Database, home: Home, request: Request, progress: Progress, *, as_json: bool
) -> tuple[Job, importing.Report]:
    """Follow a watching import and print its batches until Ctrl-C or SIGTERM."""
    request_id = uuid.uuid4().hex
    job = importing.start_import(db, home, request, operator=default_operator(), request_id=request_id)
    is_running = job.request_id != request_id
    if is_running:
        progress.note(f"{job.id} already watches this folder. Showing what it imports from now on.")
    offset = importing.batch_reports(home, job, -1)[1] if is_running else 0

    def show(view: JobStatus | None) -> None:
        nonlocal offset
        news, offset = importing.batch_reports(home, job, offset)
        for report in news:
            if as_json:
                line = {"job": job.id, "project": request.project, "final": False} | report.to_dict()
                print(json.dumps(line, ensure_ascii=False), flush=True)
            for item in report.reasons:
                progress.note(_reason_line(item))
        if view:
            progress.show_job(view)

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        control.follow(db, home, job.id, show)
    job = _cancel(db, home, job.id, show)
    show(None)
    if job.state not in ("finished", "canceled"):
        raise JobError(job.reason or f"{job.id} was {job.state}.")
    return job, importing.current_report(home, job)


app.command()(reading.propose)
app.command()(reading.accept)
app.command()(reading.rounds)
app.command()(suspects.suspects)
app.command()(verdicts.verdicts)


@app.command()
def train(
    *,
    project: ProjectName,
    preset: Annotated[str, typer.Option(help="fast, article or article-cut.")] = "fast",
    options: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting. Can be repeated.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return immediately; the run continues in the background.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start a run and follow it to its end. Ctrl-C cancels it; `slotlab resume` continues it."""
    webhook.address()
    settings = config.with_options(config.preset(preset), key_values(options or []))
    home = Home.from_env()
    with database(home) as db:
        run = start_training(db, home, find_project(db, project), settings, preset=preset, operator=default_operator())
        if not detach:
            _follow(db, home, run.job)
        _finish_run(db, run.job.id, as_json)


@app.command("runs")
def list_runs(
    *,
    project: Annotated[str | None, typer.Option(help="Only runs of this project.")] = None,
    as_json: Json = False,
) -> None:
    """List runs: the run queue first, then all others, newest first. Name other active jobs on standard error."""
    home = Home.from_env()
    with database(home) as db:
        is_current = update_jobs(db, home)
        project_id = find_project(db, project).id if project else None
        chosen = runs.list_runs(db, project_id)
        others = [job for job in jobs.active_jobs(db, project_id) if job.kind != "train"]
        if not is_current:
            chosen = [replace(run, job=_current(home, run.job)) for run in chosen]
        places = {run_id: place for queue in control.queue(home).values() for place, run_id in enumerate(queue, 1)}
        records = [_run_record(db, run) | {"turn": places.get(run.job.id)} for run in chosen]
    for job in others:
        print_error(f"{job.id} is {job.state}. `slotlab cancel {job.id}` cancels it.")
    if as_json:
        print(json.dumps(records, ensure_ascii=False))
        return
    if not records:
        print("No runs yet.")
    for record in sorted(records, key=lambda record: record["turn"] or math.inf):
        place = f" #{record['turn']}" if record["turn"] else ""
        print_line(_run_line(record) + place)


@app.command()
def cancel(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Number of a run, or full name of any job, such as 0003-import.")
    ],
    *,
    as_json: Json = False,
) -> None:
    """Cancel a job of any kind. A run can be resumed later. `slotlab runs` names the active jobs."""
    home = Home.from_env()
    ended: Job | JobStatus | None
    try:
        with database(home) as db, Progress() as progress:
            ended = _cancel(db, home, control.find_job(db, run).id, progress.show_job)
    except StorageError as error:
        ended = control.cancel_without_database(home, run)
        if ended is None:
            raise
        print_error(f"slotlab: {error}")
    if as_json:
        print(json.dumps({"job": ended.id, "state": ended.state, "reason": ended.reason}))
    else:
        print(f"{ended.id} is {ended.state}.")


@app.command()
def resume(
    run: RunName,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Return immediately.")] = False,
    as_json: Json = False,
) -> None:
    """Resume a run from its last checkpoint. Follow an active run; print a finished one."""
    home = Home.from_env()
    with database(home) as db:
        update_jobs(db, home)
        job = find_run(db, run).job
        if job.state not in (*ACTIVE, "finished"):
            control.resume(db, home, job.id)
        if not detach:
            _follow(db, home, job)
        _finish_run(db, job.id, as_json)


for group_name, group in managing.GROUPS.items():
    app.add_typer(group, name=group_name)
app.command()(results.evaluate)
app.command()(results.threshold)
app.command()(results.report)
app.command()(predicting.predict)
app.command()(predicting.batch)
app.command()(bundling.bundle)
app.command()(bundling.models)
app.command("promote")(bundling.use_bundle)
app.command("export-run")(bundling.export_run)
app.command("drift")(drift.drift)
app.command()(api.api)


@app.command("export")
def export_labels(
    *,
    project: ProjectName,
    out: Annotated[
        Path, typer.Option(help="File to write, or - for standard output; with filename and imagefolder, a new folder.")
    ],
    form: Annotated[str, typer.Option("--format", metavar="|".join(export.FORMATS))] = "csv",
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KINDS",
            help="Only labels of these kinds, separated by commas: person, import, readers, run, verdict.",
        ),
    ] = None,
    tag: Annotated[str | None, typer.Option(metavar="TAG", help="Only images with this tag.")] = None,
) -> None:
    """Export labels, or images named by their labels, with owner and authorization."""
    home = Home.from_env()
    home.check_outside(out)
    with database(home) as db:
        chosen = export.kinds_of(form, [kind.strip() for each in kinds or () for kind in each.split(",")])
        target = find_project(db, project)
        ids = None if tag is None else select_ids(db, target.id, tag_id=find_tag(db, target, tag).id)
        count = export.export(db, target, form, out, chosen, ids)
        counts = {} if tag else labels_by_kind(db, target)
        counts = {kind: n for kind, n in counts.items() if not chosen or kind in chosen}
    place = "standard output" if str(out) == "-" else out
    print_summary(out, f"Exported {plural(count, 'image')}{parenthesis(counts)} to {place}.")


@app.command("backup")
def back_up(
    *,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Folder of the backup; default backups/ in SLOTLAB_HOME."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy the database to one verified file, while people label. It holds images, labels and history, not runs."""
    made = backups.back_up(Home.from_env(), to)
    if as_json:
        values = {"path": made.path, "bytes": made.bytes, "samples": made.samples, "labels": made.labels}
        print(json.dumps(values | {"verified": True}, ensure_ascii=False))
    else:
        print_line(
            f"{made.path}: {plural(made.samples, 'image')}, {plural(made.labels, 'label')}, "
            f"{made.bytes / 1e6:,.1f} MB, verified."
        )


@app.command("restore")
def restore_backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup, or any intact copy of a database.")],
    *,
    as_json: Json = False,
) -> None:
    """Replace the database with a verified backup. Stop the app first. The former database is moved aside."""
    restored = restore(Home.from_env(), file)
    if as_json:
        print(json.dumps(asdict(restored), ensure_ascii=False))
    else:
        print_line(restored.sentence())


@app.command("check")
def check_folder(*, as_json: Json = False) -> None:
    """Check database, labels, images and runs. Print each problem on a line; exit code 1 if there is one.

    Changes nothing, and the app may be running.
    """
    from core.backup.check import check

    with Progress() as progress:
        report = check(Home.from_env(), progress.show)
    if as_json:
        values = {"ok": report.is_intact, "problems": report.problems, "notes": report.notes}
        print(json.dumps(values | {"images": report.images, "jobs": report.jobs}, ensure_ascii=False))
    else:
        for line in (*report.problems, *report.notes):
            print_line(line)
        found = plural(len(report.problems), "problem") if report.problems else "no problem"
        print(f"Checked {plural(report.images, 'image')} and {plural(report.jobs, 'job')}: {found}.")
    if not report.is_intact:
        raise typer.Exit(1)


@app.command("app")
def open_app(
    *,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8501,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address on which the app listens.")] = serving.HOST,
    host_name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Public name of this server or of a reverse proxy. Can be repeated."),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Key of the certificate, PEM.")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="Only a proxy with TLS can reach this port.")
    ] = False,
) -> None:
    """Serve the browser app on this machine.

    Other machines can reach it only with a login, a --host-name, and TLS or --behind-proxy.
    """
    place = serving.Place(
        host=host, names=host_name or (), tls_cert=tls_cert, tls_key=tls_key, behind_proxy=behind_proxy
    )  # fmt: skip
    serving.serve(port, place=place)


def main() -> None:
    with one_sentence():
        app()


def _current(home: Home, job: Job) -> Job:
    """Return the job with the state in its directory, which its row lacks if it could not be saved."""
    if job.state not in ACTIVE:
        return job
    view = control.observe(home, job.id)
    return replace(job, state=view.state, reason=view.reason)


def _follow(db: Database, home: Home, job: Job) -> None:
    """Show a run's progress and diagnoses until it ends. Ctrl-C cancels it."""
    with Progress() as progress:

        def note(diagnosis: Diagnosis) -> None:
            progress.note(f"{diagnosis.title}: {diagnosis.text}")

        with suppress(KeyboardInterrupt):
            follow(db, home, job.id, progress.show_job, note)
        _cancel(db, home, job.id, progress.show_job)


def _cancel(db: Database, home: Home, job_id: str, on_progress: Callable[[JobStatus], None]) -> Job:
    """Cancel a job unless it has ended, and return its final row.

    Do not call it in an except block: the exception would keep the interrupted read open, and SQLite refuses to write
    after a read that is older than another writer's change.
    """
    control.cancel(db, home, job_id)
    return control.follow(db, home, job_id, on_progress)


def _finish_run(db: Database, run_id: str, as_json: bool) -> None:
    """Print a run's summary line; exit with code 1 if it ended without a result."""
    run = runs.find_run(db, run_id)
    assert run is not None
    record = _run_record(db, run)
    if as_json:
        print(json.dumps(record, ensure_ascii=False))
    else:
        print_line(_run_line(record))
    if run.job.state not in (*ACTIVE, "finished"):
        raise typer.Exit(1)


def _run_record(db: Database, run: Run) -> dict[str, Any]:
    score = run.score
    share = score and score.correct / score.n
    reference = score.reference if score else run.reference
    by_people = reference == "people"
    return {
        "run": run.job.id,
        "project": projects.get_project(db, run.job.project_id).name,
        "preset": run.preset,
        "state": run.job.state,
        "reason": run.job.reason,
        "reference": reference,
        "val_exact": share if by_people else None,
        "val_agreement": None if by_people else share,
        "val_correct": score and score.correct,
        "val_n": score.n if score else run.val_n,
        "val_ci95": score and list(interval95(score.correct, score.n)),
        "evaluation": (score and score.evaluation) or None,
        "train_n": run.train_n,
        "name": run.name,
        "note": run.note,
        "tags": tags_of(run),
        "created_at": run.job.created_at,
        "finished_at": run.job.finished_at,
        "turn": None,
    }


def _run_line(record: dict[str, Any]) -> str:
    line = f"{record['run']:<18} {record['project']:<16} {record['state']:<10}"
    if record["val_correct"] is not None:
        name = "exact" if record["reference"] == "people" else score_name(record["reference"])
        line += f" val {name} {percent.counted(record['val_correct'], record['val_n'])}"
        line += f", {record['evaluation']}" if record["evaluation"] else ""
    named = f"{record['name']!r} " if record["name"] else ""
    return f"{line} {named}{record['reason'] or ''}".rstrip()


def _reason_line(item: dict[str, str]) -> str:
    return f"{item['name']}: {item['reason']}"
