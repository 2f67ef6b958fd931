"""Background work: start, watch, cancel and resume a job, and keep its row in step with its directory."""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from core import doctor, recipes, turns
from core.charset import TextSpec
from core.config import TrainConfig
from core.dataset import Row, snapshot_columns, write_snapshot
from core.doctor import Diagnosis, Line
from core.errors import JobError, SlotlabError, StorageError, TrainingError
from core.home import Home
from core.jobdir import LAUNCH_SECONDS, JobDir, JobView
from core.predictions import Predictions, step_of
from core.runner import GRACE_SECONDS
from core.views import AS_IT_IS, View, check_views, choice_of, to_dicts
from db import evaluations, jobs, labels, runs, samples
from db.connection import write
from db.projects import get_project
from db.records import ACTIVE, Job, Project, Run, Sample, now

ROOT = Path(__file__).resolve().parent.parent
"""Where `core` and `db` are imported from; the runner is started there whatever the current directory is."""
RUNNER = (sys.executable, "-m", "core.runner")
IMAGES_AT_ONCE = 500
FOLLOW_SECONDS = 0.3
DIAGNOSE_SECONDS = 2.0
"""How often who follows a run asks the doctor: each time all of its metrics are read."""
RECORDED_VERSIONS = ("slotlab", "torch", "timm", "albumentations", "numpy", "pillow")


# Starting


def start_training(
    db: Database,
    home: Home,
    project: Project,
    config: TrainConfig,
    *,
    preset: str,
    operator: str,
    request_id: str | None = None,
) -> Run:
    """Freeze the labelled images of train and val, and train on them in the background.

    The same `request_id` again returns the run that it started. Raises TrainingError when there is too little to learn,
    OptionError when the project has no such augmentation recipe.
    """
    request_id = request_id or uuid.uuid4().hex
    if (job := jobs.find_by_request(db, request_id)) is None:
        config = recipes.resolve(db, project, config)
        train, val = training_samples(db, project, config)
        with _staging(home) as staging:
            sha256 = write_snapshot(staging / "dataset.npz", _rows(db, train + val))
            with write(db):
                job = jobs.find_by_request(db, request_id)
                fresh = job is None
                if job is None:
                    job = _insert(db, home, project, "train", preset, request_id)
                    runs.insert_run(
                        db,
                        job_id=job.id,
                        preset=preset,
                        config=json.dumps(config.to_dict()),
                        dataset_sha256=sha256,
                        train_n=len(train),
                        val_n=len(val),
                    )
            if fresh:
                dataset = {"sha256": sha256, "train": len(train), "val": len(val)}
                spec = {"run": job.id, "preset": preset, "config": config.to_dict(), "dataset": dataset}
                with _failed_unless_started(db, job):
                    _begin(home, project, job, staging, spec | {"operator": operator})
    run = runs.find_run(db, job.id)
    assert run is not None
    return run


def training_samples(db: Database, project: Project, config: TrainConfig) -> tuple[list[Sample], list[Sample]]:
    """The samples that a run would train on and validate on. Raises TrainingError when they are too few."""
    train, val, test = (
        samples.select_samples(db, project.id, state="labelled", split=split) for split in ("train", "val", "test")
    )
    if not train and not val:
        raise TrainingError("There are no labels yet: label some images, then train.")
    dropped = 0
    if config.drop_seen_strings:
        held_out = {sample.label for sample in val + test}
        kept = [sample for sample in train if sample.label not in held_out]
        train, dropped = kept, len(train) - len(kept)
    if len(train) < 2 or not val:
        without = f" ({dropped} more were left out by drop_seen_strings)" if dropped else ""
        raise TrainingError(
            f"There are {len(train)} labelled training images{without} and {len(val)} labelled validation images; at "
            "least 2 and 1 are needed. The split follows from the pixels, so label more images."
        )
    if all(len(set(chars)) == 1 for chars in zip(*(sample.label or "" for sample in train), strict=True)):
        raise TrainingError(
            f"All {len(train)} training labels read {train[0].label!r}: with one character at every position there is "
            "nothing to tell apart. Label more images."
        )
    return train, val


def changed_labels(db: Database, home: Home, run: Run) -> tuple[int, Counter[str]]:
    """Of the images that a run was given: how many have another label now, and how many of each split have none.

    Costs nothing where nobody has labelled meanwhile. Raises StorageError when the run's data cannot be read.
    """
    current = labels.relabelled(db, run.job.project_id, run.job.created_at)
    changed, gone = 0, Counter[str]()
    if not current:
        return changed, gone
    columns = snapshot_columns(home.run(run.job.id) / "dataset.npz", "sha256", "splits", "labels")
    for sha256, split, label in zip(*(column.tolist() for column in columns), strict=True):
        if (now_label := current.get(sha256, label)) is None:
            gone[split] += 1
        elif now_label != label:
            changed += 1
    return changed, gone


def start_evaluation(
    db: Database,
    home: Home,
    run: Run,
    split: str,
    *,
    tta: bool | None = None,
    views: Sequence[View] | None = None,
    operator: str,
    request_id: str | None = None,
) -> Job:
    """Evaluate a run on `val` or `test` in the background. Each use of the test images is written down before it.

    On val, where nothing has changed since an evaluation, that one is returned: weights, views, images and labels.
    `views` are those of the run unless given, and `tta` says whether to read with them; None is the run's own choice.
    Raises OptionError for a set of views that may not be read with, StorageError where a choice it needs is damaged.
    """
    if tta is False:
        views = (AS_IT_IS,) if views is None else views
    elif views is None or tta is None:
        choice = choice_of(home.run(run.job.id))
        views, tta = choice.views if views is None else views, choice.use if tta is None else tta
    views = check_views(views)
    if split not in ("val", "test"):
        raise JobError(f"A run can be evaluated on val or test, not on {split!r}.")
    project = get_project(db, run.job.project_id)

    def record(job: Job) -> None:
        if split == "test":
            evaluations.insert_test_opening(db, project_id=project.id, job_id=job.id, operator=operator)

    def fill(directory: Path) -> None:
        chosen = samples.select_samples(db, project.id, state="labelled", split=split)
        write_snapshot(directory / "dataset.npz", _rows(db, chosen))

    if not samples.count_samples(db, project.id, state="labelled", split=split):
        raise JobError(f"There are no labelled {split} images to evaluate on; label more images.")
    if not (home.run(run.job.id) / "checkpoints").is_dir():
        raise JobError(f"Run {run.job.id} has no checkpoint yet to evaluate.")
    spec = {"run": run.job.id, "split": split, "tta": tta, "views": to_dicts(views), "operator": operator}
    if split == "val" and (same := _same_evaluation(db, home, project, run, spec)):
        return same
    return start_job(db, home, project, "evaluate", spec, request_id=request_id, record=record, fill=fill)


def predictions_path(db: Database, home: Home, run: Run, split: str) -> Path | None:
    """What the newest evaluation of this run on this split has read; what the run read at its end where that is later.

    Later are other weights: a run can be evaluated while it is at work, or before it is resumed.
    """
    evaluated = [evaluation.job_id for evaluation in evaluations.list_evaluations(db, run.job.id, split)]
    paths = (home.run(job_id) / f"predictions-{split}.npz" for job_id in evaluated)
    newest = next((path for path in paths if path.exists()), None)
    own = home.run(run.job.id) / f"predictions-{split}.npz"
    if own.exists() and (newest is None or 0 <= step_of(newest) < step_of(own)):
        return own
    return newest


def _same_evaluation(db: Database, home: Home, project: Project, run: Run, spec: dict[str, Any]) -> Job | None:
    """The newest evaluation on val, where another would find what it found."""
    newest = next(iter(evaluations.list_evaluations(db, run.job.id, "val")), None)
    if newest is None:
        return None
    path, begun = (home.run(newest.job_id) / name for name in ("predictions-val.npz", "run.json"))
    told = JobDir(path.parent).read("run.json") or {}
    if told.get("tta") != spec["tta"] or (spec["tta"] and told.get("views") != spec["views"]):
        return None
    # Weights that a run at work wrote while they were read are not those that were read.
    if not path.exists() or begun.stat().st_mtime <= JobDir(home.run(run.job.id)).weights_at():
        return None
    now_labelled = samples.select_samples(db, project.id, state="labelled", split="val")
    with suppress(StorageError):  # damaged: it is made anew
        found = Predictions.load(path)
        if dict(zip(found.sha256, found.labels, strict=True)) == {each.sha256: each.label for each in now_labelled}:
            return jobs.find_job(db, newest.job_id)
    return None


def start_job(
    db: Database,
    home: Home,
    project: Project,
    kind: str,
    spec: dict[str, Any],
    *,
    request_id: str | None = None,
    record: Callable[[Job], None] | None = None,
    fill: Callable[[Path], None] | None = None,
) -> Job:
    """Start any job: `spec` goes into its run.json.

    `record` may add rows in the transaction that makes the job's; then `fill` puts files into its directory.
    """
    request_id = request_id or uuid.uuid4().hex
    with write(db):
        if (known := jobs.find_by_request(db, request_id)) is not None:
            return known
        job = _insert(db, home, project, kind, kind, request_id)
        if record:
            record(job)
    with _failed_unless_started(db, job), _staging(home) as staging:
        if fill:
            fill(staging)
        _begin(home, project, job, staging, spec)
    return job


def _insert(db: Database, home: Home, project: Project, kind: str, name: str, request_id: str) -> Job:
    # A restored backup knows fewer jobs than there are directories; their numbers are not given again.
    on_disk = [JobDir(path).number for path in home.runs.glob("[0-9]*-*")]
    number = max(jobs.next_number(db), max(on_disk, default=0) + 1)
    job_id = f"{number:04d}-{name}"
    return jobs.insert_job(db, id=job_id, number=number, kind=kind, project_id=project.id, request_id=request_id)


def _rows(db: Database, chosen: list[Sample]) -> Iterator[Row]:
    for start in range(0, len(chosen), IMAGES_AT_ONCE):
        part = chosen[start : start + IMAGES_AT_ONCE]
        images = samples.image_bytes(db, [sample.id for sample in part])
        for sample in part:
            yield sample.sha256, sample.split, sample.label, sample.name, images[sample.id]


@contextmanager
def _failed_unless_started(db: Database, job: Job) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        with write(db):
            jobs.set_state(db, job, "failed", reason=f"It could not be started: {error}", final=True)
        raise


@contextmanager
def _staging(home: Home) -> Iterator[Path]:
    """A directory that becomes a job's, or vanishes."""
    home.create()
    path = home.runs / f".new-{uuid.uuid4().hex}"
    path.mkdir(mode=0o700)
    try:
        yield path
    except OSError as error:
        raise StorageError(f"The job's directory could not be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _begin(home: Home, project: Project, job: Job, staging: Path, spec: dict[str, Any]) -> None:
    JobDir(staging).write(
        "run.json",
        {"format": 1, "kind": job.kind}
        | spec
        | {
            "project": {"name": project.name, "length": project.length, "charset": project.charset},
            "created_at": job.created_at,
            "versions": _versions(),
        },
    )
    staging.rename(home.run(job.id))
    _launch(JobDir(home.run(job.id)))


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in RECORDED_VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _launch(job: JobDir) -> None:
    """Start the runner in a session of its own: it outlives the app, a closed terminal and Ctrl-C."""
    status = job.read("status.json") or {}  # of a job that is resumed: where it stood
    job.write("status.json", status | {"state": "launching", "reason": None, "at": time.time()})
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with (job.path / "log.txt").open("ab") as log:
        runner = subprocess.Popen(
            [*RUNNER, str(job.path)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    # Somebody has to wait for it, or it stays as a zombie for as long as this process lives.
    threading.Thread(target=runner.wait, daemon=True).start()


# Watching


def find_job(db: Database, text: str) -> Job:
    """The job meant by `7`, `0007` or `0007-fast`. Raises JobError."""
    job = jobs.find_by_number(db, int(text)) if text.isascii() and text.isdigit() else jobs.find_job(db, text)
    if job is None:
        raise JobError(f"There is no run or job {text!r}; `slotlab runs` lists them.")
    return job


def active(db: Database, home: Home) -> list[Job]:
    """Jobs that are queued or at work, newest first."""
    reconcile(db, home)
    return jobs.active_jobs(db)


def observe(home: Home, job_id: str) -> JobView:
    """State and progress of a job, read from its directory."""
    return JobDir(home.run(job_id)).observe()


def metrics(home: Home, job_id: str) -> list[Line]:
    """What a run has logged so far; a line that is still being written is left out."""
    return JobDir(home.run(job_id)).metrics()


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A job as it is at one moment."""

    view: JobView
    metrics: list[Line]
    diagnosis: Diagnosis | None
    """What the doctor says of a run, now or after its end; None for other jobs, and where no settings can be read."""


def watch(home: Home, job_id: str) -> Watched:
    """Each file is read once, however long the run has logged."""
    directory = JobDir(home.run(job_id))
    view, lines = directory.observe(), directory.metrics()
    return Watched(view=view, metrics=lines, diagnosis=_diagnosis(directory, view, lines))


def diagnose(home: Home, job_id: str) -> Diagnosis | None:
    """What the doctor says of a job, as `watch` has it."""
    return watch(home, job_id).diagnosis


def _diagnosis(directory: JobDir, view: JobView, lines: list[Line]) -> Diagnosis | None:
    run = directory.read("run.json")
    if run is None or run.get("kind") != "train":
        return None
    try:
        config = TrainConfig.from_dict(run["config"])
    except SlotlabError:  # of a newer version
        return None
    spec = TextSpec(run["project"]["length"], run["project"]["charset"])
    return doctor.diagnose(
        lines,
        spec=spec,
        config=config,
        steps=view.steps,
        state=view.state,
        reason=view.reason,
        image_size=(run.get("choices") or {}).get("image_size"),
    )


def queue(home: Home) -> dict[str, list[str]]:
    """The runs that wait, of all projects, in the order of their turns, for each device that is waited for."""
    return {device: [job.id for job in line] for device, line in turns.waiting(home.runs).items()}


def move(home: Home, run_id: str, *, before: str | None) -> None:
    """Give a run that waits the turn before another one's; None: the last. Raises JobError, StorageError."""
    turns.move(home.runs, run_id, before=before)


def log_tail(home: Home, job_id: str, lines: int = 30) -> str:
    return JobDir(home.run(job_id)).log_tail(lines)


def reconcile(db: Database, home: Home) -> None:
    """Bring the rows of all active jobs up to date. Cheap: a few small files for each active job, none for others."""
    for job in jobs.active_jobs(db):
        directory = JobDir(home.run(job.id))
        with directory.unlocked() as free:
            if free:
                _reconcile_ended(db, job, directory)
                continue
        _kill_if_cancel_is_ignored(directory)
        state = directory.observe().state
        if state != job.state:
            with write(db):
                jobs.set_state(db, job, state, final=state not in ACTIVE)


def _reconcile_ended(db: Database, job: Job, directory: JobDir) -> None:
    """Nothing of the job is alive, nor can be while this runs."""
    if not directory.path.exists() and _age_s(job) < LAUNCH_SECONDS:
        return  # its files are being written just now
    if directory.launch_overdue():
        # A runner that comes yet finds this and leaves.
        directory.write("exit.json", {"error": "It did not start within a minute; see the log.", "at": now()})
    state, reason = directory.outcome()
    if state == job.state:
        return
    result = directory.read("result.json") if state == "finished" else None
    with write(db):
        moved = jobs.set_state(
            db, job, state, reason=reason, result=json.dumps(result) if result else None, final=state != "starting"
        )
        if moved and result:
            _store_result(db, job, directory.spec(), result)


def _age_s(job: Job) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(job.created_at)).total_seconds()


def _store_result(db: Database, job: Job, spec: dict[str, Any], result: dict[str, Any]) -> None:
    if job.kind == "train":
        runs.set_val_correct(db, job.id, result["val"]["correct"])
    elif job.kind == "evaluate":
        evaluations.insert_evaluation(
            db,
            run_id=spec["run"],
            job_id=job.id,
            split=spec["split"],
            tta=spec["tta"],
            n=result["n"],
            correct=result["correct"],
            result=json.dumps(result),
        )


def _kill_if_cancel_is_ignored(directory: JobDir) -> None:
    """The runner sees to a cancel; where it was killed itself and the worker hangs, whoever looks does it."""
    cancel = directory.read("cancel")
    if cancel and time.time() - cancel["at"] > 2 * GRACE_SECONDS:
        directory.kill()


def follow(
    db: Database,
    home: Home,
    job_id: str,
    on_progress: Callable[[JobView], None],
    on_diagnosis: Callable[[Diagnosis], None] | None = None,
) -> Job:
    """Wait for the end of a job, telling how far it is every 0.3 s; returns its row, brought up to date.

    `on_diagnosis` is called whenever the doctor says something else of a run that has begun, and at the end.
    """
    told, due = "starting", 0.0
    while True:
        reconcile(db, home)
        job = find_job(db, job_id)
        ended = job.state not in ACTIVE
        if on_diagnosis and (ended or time.monotonic() >= due):
            due = time.monotonic() + DIAGNOSE_SECONDS
            found = diagnose(home, job_id)
            if found and found.key != told:
                told = found.key
                on_diagnosis(found)
        if ended:
            return job
        on_progress(observe(home, job_id))
        time.sleep(FOLLOW_SECONDS)


def finish(db: Database, home: Home, job_id: str, on_progress: Callable[[JobView], None]) -> Job:
    """Wait for a job as `follow` does. Raises JobError with its reason unless it finished."""
    job = follow(db, home, job_id, on_progress)
    if job.state != "finished":
        raise JobError(job.reason or f"{job.id} was {job.state}.")
    return job


# Ending


def cancel(db: Database, home: Home, job_id: str) -> None:
    """Ask a job to stop; it saves its state first. Asking again, or after its end, changes nothing.

    The wish is a file: the runner acts on it within 0.2 s, and a runner that starts later than the wish, not at all.
    """
    reconcile(db, home)
    directory = JobDir(home.run(job_id))
    if find_job(db, job_id).state in ACTIVE and not directory.cancel_asked:
        directory.write("cancel", {"at": time.time()})


def resume(db: Database, home: Home, job_id: str) -> Job:
    """Go on with a job that was cancelled, lost or failed: same directory and settings, from its last checkpoint."""
    reconcile(db, home)
    job, directory = find_job(db, job_id), JobDir(home.run(job_id))
    if job.state in ACTIVE:
        raise JobError(f"Job {job_id} is {job.state}; there is nothing to resume.")
    if job.state == "finished":
        raise JobError(f"Job {job_id} is finished; start a new one to train further.")
    directory.spec()
    turns.forget(home.runs, job_id)
    with write(db):
        mine = jobs.set_state(db, job, "starting")
    if mine:  # else somebody else pressed Resume in the same moment
        directory.remove("cancel", "exit.json")
        _launch(directory)
    return find_job(db, job_id)
