"""The `slotlab demo` command: a project of rendered images, a run of preset fast, its test result.

With `zero`, nobody labels an image before the run ends: general readers propose, and what they agree on is accepted.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from core.backup.restore import in_use
from core.cli.progress import Progress
from core.data.import_request import Request, Upload
from core.data.importing import start_import
from core.data.proposals import accept_agreed
from core.data.proposing import start_proposing
from core.errors import OptionError
from core.evaluation.percent import share_and_interval
from core.home import Home, default_operator
from core.images import renderer
from core.images.pixels import decode, pixel_hash, split_of
from core.jobs import control
from core.model import config
from core.model.config import TrainConfig
from core.readers.readers import READERS
from core.runs.start import start_evaluation, start_training
from core.words import plural
from db import evaluations, projects, runs, samples
from db.connection import opened
from db.records import ACTIVE, SPLITS, Project, Run
from db.sqlite import Database

PROJECT, ZERO_PROJECT = "demo", "demo-zero"
COUNT, ZERO_COUNT = 6000, 2000
"""Images to render. With `zero` the readers need 0.05 s for each."""
SEED = 0
MINUTES = 4.0
"""Time limit for training, because a newcomer waits for it. It shortens the schedule; these images need no more."""
READER = "The best general reader that was tried, told charset and length, reads 531/562 = 94.5%."
"""Measured by the cells untrained-*-demo of bench.accuracy."""


@dataclass(frozen=True)
class Result:
    run: str
    n: int
    correct: int
    text: str
    """Summary for a person."""


def run(
    home: Home, *, count: int, fresh: bool, progress: Progress, zero: bool = False, settings: TrainConfig | None = None
) -> Result:
    """Import, train and evaluate once. Reuse results of an earlier call and resume what it did not finish.

    `zero` trains without a label: the truth of the test images is imported after the run has ended.
    """
    settings = settings or replace(config.PRESETS["fast"], max_minutes=MINUTES)
    if fresh:
        _start_over(home)
    home.create()
    with in_use(home), opened(home.db, create=True) as db:
        control.reconcile(db, home)
        if zero:
            project = _with_images(db, home, count, progress, ZERO_PROJECT, splits=())
            accepted = _with_readings(db, home, project, progress)
        else:
            project, accepted = _with_images(db, home, count, progress, PROJECT), ""
        trained = _with_run(db, home, project, settings, progress)
        if zero:
            _with_images(db, home, count, progress, ZERO_PROJECT, splits=("test",))
        result = _with_evaluation(db, home, trained, progress)
    plain = result["tta_flips"]["without_tta"]
    text = accepted + (
        f"Held-out exact match with TTA: {_counted(result['correct'], result['n'])}, test split, run {trained.job.id}, "
        f"{plural(trained.train_n, 'training image')}.\n"
        f"Without TTA: {_counted(plain, result['n'])}. {READER}"
    )
    return Result(trained.job.id, result["n"], result["correct"], text)


def _counted(correct: int, n: int) -> str:
    value, interval = share_and_interval(correct, n)
    return f"{correct:,}/{n:,} = {value} (95% interval {interval})"


def _start_over(home: Home) -> None:
    if not home.db.exists():
        return
    with opened(home.db) as db:
        names = [project.name for project in projects.list_projects(db, archived=None)]
        others = [name for name in names if name not in (PROJECT, ZERO_PROJECT)]
        if others or control.active(db, home):
            obstacle = f"also contains {', '.join(others)}" if others else "has an active job"
            raise OptionError(f"{home.root} {obstacle}, so nothing was deleted; set SLOTLAB_HOME to another folder.")
    home.remove()


def _with_images(
    db: Database, home: Home, count: int, progress: Progress, name: str, splits: Collection[str] = SPLITS
) -> Project:
    """Import the images with the labels of some splits, unless all of that is there."""
    project = projects.find_project(db, name)
    if project is not None and samples.count_samples(db, project.id) >= count:
        unlabeled = (samples.count_samples(db, project.id, state="unlabeled", split=split) for split in splits)
        if not any(unlabeled):
            return project
    files, labels = [], ["filename,label\n"]
    for index, (file, text, png) in enumerate(renderer.samples(count, SEED)):
        files.append((file, png))
        if split_of(pixel_hash(decode(png))) in splits:
            labels.append(f"{file},{text}\n")
        if index % 50 == 0:
            progress.show(index, count, "Rendering images")
    request = Request(
        path=None,
        project=name,
        source="renderer",
        owner="Slotlab",
        authorization="rendered by this program",
    )
    upload = Upload(files=files, label_table="".join(labels).encode())
    job = start_import(db, home, request, operator="renderer", upload=upload)
    control.finish(db, home, job.id, progress.show_job)
    project = projects.find_project(db, name)
    assert project is not None
    return project


def _with_readings(db: Database, home: Home, project: Project, progress: Progress) -> str:
    """Let the general readers read the images, and accept what they agree on. Return sentences with the counts.

    Raises OptionError if the readers are not installed.
    """
    accepted = samples.count_samples(db, project.id, kind="readers")
    if accepted:
        return _accepted_sentence(accepted)
    job = start_proposing(db, home, project, readers=tuple(READERS), operator=default_operator())
    control.finish(db, home, job.id, progress.show_job)
    return _accepted_sentence(accept_agreed(db, project, default_operator()))


def _accepted_sentence(accepted: int) -> str:
    return f"General readers gave {accepted:,} training images their labels, and people none.\n"


def _with_run(db: Database, home: Home, project: Project, settings: TrainConfig, progress: Progress) -> Run:
    fast_runs = [run for run in runs.list_runs(db, project.id) if run.preset == "fast"]
    job = next((run.job for run in fast_runs if run.job.state == "finished"), None)
    job = job or next((run.job for run in fast_runs if run.job.state in (*ACTIVE, "canceled", "lost")), None)
    if job is None:
        job = start_training(db, home, project, settings, preset="fast", operator=default_operator()).job
    elif job.state in ("canceled", "lost"):
        job = control.resume(db, home, job.id)
    control.finish(db, home, job.id, progress.show_job)
    run = runs.find_run(db, job.id)
    assert run is not None
    return run


def _with_evaluation(db: Database, home: Home, run: Run, progress: Progress) -> dict[str, Any]:
    earlier = [evaluation for evaluation in evaluations.list_evaluations(db, run.job.id, "test") if evaluation.tta]
    if earlier:
        return dict(json.loads(earlier[0].result))
    job = start_evaluation(db, home, run, "test", tta=True, operator=default_operator())
    return dict(json.loads(control.finish(db, home, job.id, progress.show_job).result or "{}"))
