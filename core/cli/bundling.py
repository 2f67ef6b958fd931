"""The command that takes a run out of Slotlab: bundle."""

import json
from pathlib import Path
from typing import Annotated

import typer

from core.cli.progress import Progress
from core.cli.shared import Json, RunName, database, find_run, update_jobs
from core.cli.terminal import print_line
from core.errors import StorageError
from core.files import write_outside
from core.home import Home, default_operator
from core.jobs import control
from core.runs.bundles import bundle_of, check_out, copy_out, start_bundle, zip_bytes


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
    with database(home) as db, Progress() as progress:
        update_jobs(db, home)
        chosen = find_run(db, run)
        job = start_bundle(db, home, chosen, operator=default_operator())
        job = control.finish(db, home, job.id, progress.show_job)
        made = bundle_of(home, chosen, job)
    if made is None:
        raise StorageError(f"The files of {job.id} are gone. Make the bundle again.")
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
