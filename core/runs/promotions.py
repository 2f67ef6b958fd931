"""Which bundle of a project is in use, and which run its pages show first."""

import json
from collections.abc import Collection, Sequence
from itertools import pairwise

from core.data.copying import originals_of
from core.errors import OptionError
from core.home import Home
from core.jobs import control
from core.model.config import TrainConfig
from core.model.init_choice import misfit
from core.runs.bundles import Bundle, find_bundle, gone
from core.runs.drift import newest_drift
from core.runs.rounds import best_run
from db import promotions, runs
from db.connection import write
from db.records import Project, Promotion
from db.sqlite import Database


def promote(db: Database, bundle: Bundle, *, operator: str) -> None:
    """Use this bundle from now on. Raises OptionError if it already is in use, or if its files are gone."""
    with write(db):
        newest = promotions.find_newest(db, bundle.job.project_id)
        if newest and newest.job_id == bundle.job.id:
            raise OptionError(f"{bundle.job.id} is already in use.")
        if not bundle.directory.is_dir():
            raise OptionError(gone(bundle.job.id))
        promotions.insert_promotion(db, project_id=bundle.job.project_id, job_id=bundle.job.id, operator=operator)


def keep(db: Database, project: Project, *, operator: str) -> None:
    """Use the bundle in use also from now on, although its images have changed. Drift then counts from here.

    Raises OptionError if no bundle is in use, or if there is no alarm: the evidence so far would be lost.
    """
    with write(db):
        newest = promotions.find_newest(db, project.id)
        if newest is None:
            raise OptionError(f"Project {project.name} has no bundle in use.")
        found = newest_drift(db, project)
        if found is None or not found.alarms:
            raise OptionError("There is no alarm to dismiss. `slotlab drift` without --keep looks for drift.")
        promotions.insert_promotion(db, project_id=project.id, job_id=newest.job_id, operator=operator)


def kept_at(history: Sequence[Promotion], job_id: str) -> list[str]:
    """Return when someone kept a bundle that was in use, oldest first. `history` has all promotions, newest first."""
    return [each.at for each, before in pairwise(history) if each.job_id == before.job_id == job_id][::-1]


def former(db: Database, home: Home, project: Project) -> Bundle | None:
    """Return the bundle that a rollback uses again: the one before the present one that still has files."""
    earlier = before_present([each.job_id for each in reversed(promotions.list_promotions(db, project.id))])
    found = (find_bundle(db, home, job_id) for job_id in reversed(earlier))
    return next((bundle for bundle in found if bundle), None)


def before_present(promoted: list[str]) -> list[str]:
    """Return the bundles below the present one, oldest first. `promoted` has all promotions, oldest first.

    A promotion of the bundle just below is a rollback, and forgets the one above. So two rollbacks go back two bundles.
    One of the present bundle keeps it.
    """
    stack: list[str] = []
    for job_id in promoted:
        if job_id in stack[-2:-1]:
            stack.pop()
        elif job_id not in stack[-1:]:
            stack.append(job_id)
    return stack[:-1]


def default_run(db: Database, home: Home, project: Project, names: Collection[str]) -> tuple[str, str] | None:
    """Return the run to show unless another one is asked for, and why: `in use`, `best` or `newest`.

    It is one of `names`, the runs that a page can show, newest first. None if there are none. The best run is the best
    on validation images.
    """
    promotion = promotions.find_newest(db, project.id)
    used: str | None = control.spec(home, promotion.job_id).get("run") if promotion else None
    if used in names:
        return str(used), "in use"
    best = best_run(db, project)
    if best and best.job.id in names:
        return best.job.id, "best"
    return next(((name, "newest") for name in names), None)


def run_to_begin_from(db: Database, home: Home, project: Project) -> str | None:
    """Return the run in use, or the best one, that has weights. A copy of the project can begin from it."""
    names = [run.job.id for run in runs.list_runs(db, project.id) if run.job.state == "finished"]
    shown = default_run(db, home, project, [name for name in names if (home.run(name) / "checkpoints").is_dir()])
    return shown[0] if shown else None


def run_of_original(db: Database, home: Home, project: Project, config: TrainConfig) -> tuple[str, Project] | None:
    """Return the run whose weights the first run of a copy begins from, and its project.

    None if `project` has a run or was not copied, or if no such weights fit `config`.
    """
    if runs.list_runs(db, project.id):
        return None
    for original in originals_of(db, project):
        name = run_to_begin_from(db, home, original)
        run = runs.find_run(db, name) if name else None
        if run and not misfit(config, project.length, TrainConfig.from_dict(json.loads(run.config))):
            return run.job.id, original
    return None
