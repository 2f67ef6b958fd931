"""Commands for runs that leave Slotlab: bundle, models, promote, export-run."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli.progress import Progress
from core.cli.shared import Json, ProjectName, RunName, database, find_project, find_run, update_jobs
from core.cli.terminal import print_error, print_line
from core.errors import OptionError, StorageError
from core.evaluation.percent import counted
from core.files import write_outside
from core.home import Home, default_operator
from core.jobs import control
from core.runs.bundles import (
    KIND,
    Bundle,
    bundle_of,
    check_new,
    check_out,
    copy_out,
    find_bundle,
    gone,
    list_bundles,
    manifest_of,
    start_bundle,
    used_and_gone,
    zip_bytes,
)
from core.runs.promotions import promote
from core.runs.trackers import missing_package, replay, write_mlflow, write_tensorboard
from core.words import plural
from db import promotions


def bundle(
    run: RunName,
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    zip_file: Annotated[Path | None, typer.Option("--zip", metavar="FILE", help="Also write one zip file.")] = None,
    as_json: Json = False,
) -> None:
    """Write a run as a folder that reads images without Slotlab, with onnxruntime.

    Refused if it would read a validation image differently. It has no image of the portal. Ctrl-C stops following.
    """
    home = Home.from_env()
    out = check_out(home, out)
    if zip_file is not None:
        home.check_outside(zip_file)
        check_new(zip_file)
    with database(home) as db, Progress() as progress:
        update_jobs(db, home)
        chosen = find_run(db, run)
        job = start_bundle(db, home, chosen, operator=default_operator())
        job = control.finish(db, home, job.id, progress.show_job)
        made = bundle_of(home, chosen, job)
    if made is None:
        raise StorageError(gone(job.id))
    copy_out(made.directory, out)
    if zip_file is not None:
        write_outside(zip_file, zip_bytes(made.directory))
    if as_json:
        record = {
            "job": job.id, "run": chosen.job.id, "path": str(out), "zip": str(zip_file) if zip_file else None,
            "n": made.n, "largest_difference": made.largest_difference, "bytes": made.bytes,
            "int8_bytes": made.int8_bytes, "int8_changed": made.int8_changed,
        }  # fmt: skip
        print(json.dumps(record, ensure_ascii=False))
        return
    print_line(
        f"{out}: reads all {made.n:,} validation images as the run does; largest difference of a logit "
        f"{made.largest_difference:.1e}; model {made.bytes / 1e6:.2f} MB."
    )
    if made.int8_bytes is None:
        print(f"No INT8 model: it would read {made.int8_changed:,} of them differently.")


def models(*, project: ProjectName, as_json: Json = False) -> None:
    """List the bundles of a project, newest first, and say which one is in use."""
    home = Home.from_env()
    with database(home) as db:
        update_jobs(db, home)
        chosen = find_project(db, project)
        used = promotions.find_newest(db, chosen.id)
        records: list[dict[str, Any]] = [
            {
                "bundle": each.job.id, "run": each.run_id, "made_at": each.job.created_at,
                "in_use": used is not None and used.job_id == each.job.id, "is_current": each.is_current,
                "val": _val_of(each),
            }
            for each in list_bundles(db, home, chosen)
        ]  # fmt: skip
        lost = used_and_gone(db, home, chosen)
    if lost is not None:
        print_error(gone(lost))
    if as_json:
        print(json.dumps(records, ensure_ascii=False))
        return
    if not records and lost is None:
        print("No bundles yet.")
    for record in records:
        notes = ["in use"] * record["in_use"] + ["outdated"] * (not record["is_current"])
        val = f"val {counted(record['val']['correct'], record['val']['n'])}" if record["val"] else "damaged"
        print_line("  ".join([record["bundle"], record["run"], val, *notes]))


def _val_of(bundle: Bundle) -> dict[str, Any] | None:
    """Return the result on validation images. None if the bundle is damaged."""
    try:
        val: dict[str, Any] = manifest_of(bundle)["metrics"]["val"]
    except StorageError:
        return None
    return val


def use_bundle(
    bundle_name: Annotated[str, typer.Argument(metavar="BUNDLE", help="Number or full name of a bundle.")],
    *,
    as_json: Json = False,
) -> None:
    """Use this bundle from now on. Pages then show its run first. The files are not copied anywhere."""
    home = Home.from_env()
    with database(home) as db:
        update_jobs(db, home)
        job = control.find_job(db, bundle_name, KIND)
        found = find_bundle(db, home, job.id)
        if found is None:
            if job.kind == KIND and job.state == "finished":
                raise OptionError(gone(job.id))
            what = f"is {job.state}" if job.kind == KIND else "is not a bundle"
            raise OptionError(f"{job.id} {what}. `slotlab models` lists the bundles.")
        promote(db, found, operator=default_operator())
    if as_json:
        print(json.dumps({"bundle": job.id, "run": found.run_id}))
    else:
        print(f"{job.id} of run {found.run_id} is in use.")


def export_run(
    run: RunName,
    *,
    to: Annotated[str, typer.Option(metavar="tensorboard|mlflow", help="Tracker to add the run to.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Log folder, or folder of mlflow.db; default is the name of the tracker."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add an ended run to a tracker: settings, curves and results, without images and labels.

    The folder may hold other runs. Needs the extra trackers, and asks no other machine.
    """
    home = Home.from_env()
    if missing := missing_package(to):
        raise OptionError(missing)
    folder = out or Path(to)
    home.check_outside(folder)
    with database(home) as db:
        update_jobs(db, home)
        ended = replay(db, home, find_run(db, run))
    made = write_tensorboard(ended, folder) if to == "tensorboard" else write_mlflow(ended, folder)
    if as_json:
        record = {"run": ended.run_id, "to": to, "path": str(made), "points": len(ended.points)}
        print(json.dumps(record, ensure_ascii=False))
    else:
        print_line(f"{made}: {plural(len(ended.points), 'point')} of {ended.run_id}.")
