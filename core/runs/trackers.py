"""A run in an experiment tracker: TensorBoard events, or a run in the SQLite store of MLflow.

Runs never write to a tracker. An ended run is replayed from its files and from the database. An export has settings,
curves and results, with owner and authorization, and no image and no label.
"""

import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from core.data.managing import tags_of
from core.errors import JobError, OptionError, StorageError
from core.evaluation.metrics import interval95
from core.files import checked_path, shortened
from core.home import Home
from core.jobs import control
from core.training.doctor import lines_of_kind
from db import evaluations, projects
from db.records import ACTIVE, Run
from db.sqlite import Database

PACKAGES = {"tensorboard": ("tensorboardX",), "mlflow": ("mlflow", "sqlalchemy", "alembic")}
"""Modules that each tracker needs, of the extra `trackers`."""
STORE = "mlflow.db"
"""File of the MLflow store in its folder."""


class Point(NamedTuple):
    """A value of a curve."""

    name: str
    value: float
    step: int
    at: float
    """Seconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    """An ended run in the words of a tracker."""

    run_id: str
    title: str
    """Id and name."""
    note: str
    project: str
    state: str
    started: float
    """Seconds since 1970."""
    ended: float
    """Seconds since 1970."""
    settings: dict[str, str | int | float | bool]
    """Settings, and the choices of the first start with the prefix `choice.`."""
    tags: dict[str, str]
    points: list[Point]
    """Curves, and each result as one value."""
    documents: dict[str, Any]
    """The whole JSON by file name."""


def missing_package(tracker: str) -> str | None:
    """Return a sentence that says which package of a tracker is missing. Raises OptionError for an unknown tracker."""
    if tracker not in PACKAGES:
        raise OptionError(f"There is no tracker {shortened(tracker)!r}; choose {' or '.join(PACKAGES)}.")
    missing = next((package for package in PACKAGES[tracker] if not _is_installed(package)), None)
    return missing and f'The package {missing} is missing. Install it: pip install "slotlab[trackers]"'


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # its import is blocked
        return False


def replay(db: Database, home: Home, run: Run) -> Replay:
    """Return an ended run. A run of more than 5,000 steps has fewer points, as on the Train page.

    Raises JobError if the run is active or has no step.
    """
    job = run.job
    if job.state in ACTIVE:
        raise JobError(f"{job.id} is {job.state}. Export it when it has ended.")
    started = _seconds(job.created_at)
    lines = control.metrics(home, job.id)
    points = [*_curves(lines, run.reference, started)]
    if not points:
        raise JobError(f"{job.id} has no step, so there is nothing to export.")
    ended = _seconds(job.finished_at) if job.finished_at else points[-1].at
    project = projects.get_project(db, job.project_id)
    spec, result = control.spec(home, job.id), json.loads(job.result or "{}")
    settings = {"train_n": run.train_n, "val_n": run.val_n} | json.loads(run.config)
    choices = {name: each for name, each in (spec.get("choices") or {}).items() if not isinstance(each, Mapping)}
    measured = [
        json.loads(each.result) | {"split": each.split, "tta": bool(each.tta), "at": each.at}
        for each in evaluations.list_evaluations(db, job.id)
    ]
    last = Point("", 0.0, result.get("best_step") or max(point.step for point in points), ended)
    points += _results(result, measured, last)
    sources = [
        {"name": source.name, "owner": source.owner, "authorization": source.authorization}
        for source in projects.list_sources(db, project.id)
    ]
    tags = {
        "slotlab.run": job.id, "slotlab.project": project.name, "slotlab.preset": run.preset,
        "slotlab.state": job.state, "slotlab.created_at": job.created_at, "slotlab.reference": run.reference,
        "slotlab.dataset_sha256": run.dataset_sha256, "slotlab.operator": str(spec.get("operator", "")),
    }  # fmt: skip
    if run.name:
        tags["slotlab.name"] = run.name
    if words := tags_of(run):
        tags["slotlab.tags"] = ", ".join(words)
    tags |= {f"slotlab.version.{name}": str(version) for name, version in spec.get("versions", {}).items()}
    return Replay(
        run_id=job.id,
        title=f"{job.id} {run.name}".rstrip(),
        note=run.note,
        project=project.name,
        state=job.state,
        started=started,
        ended=max(started, ended),
        settings=_flat(settings) | _flat(choices, "choice."),
        tags=tags,
        points=points,
        documents={
            "run.json": spec, "result.json": result, "evaluations.json": measured, "sources.json": sources,
        },
    )  # fmt: skip


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def _score(reference: str) -> str:
    """Return the name of the share of right images. Agreement with readers is never called exact match."""
    return "agreement" if reference == "readers" else "exact_match"


def _curves(lines: list[dict[str, Any]], reference: str, started: float) -> Iterator[Point]:
    """Yield the points of all steps and validations. A loss that is not finite has none."""
    for line in lines_of_kind(lines, "step"):
        for name in ("loss", "accuracy", "lr"):
            if line.get(name) is not None:
                yield Point(f"train/{name}", line[name], line["step"], started + line["seconds"])
    for line in lines_of_kind(lines, "val"):
        values = {"loss": line["loss"], _score(reference): line["correct"] / line["n"]}
        values |= {f"position_{place}": share for place, share in enumerate(line["per_position"], 1)}
        for name, value in values.items():
            if value is not None:
                yield Point(f"val/{name}", value, line["step"], started + line["seconds"])


def _results(result: Mapping[str, Any], measured: Iterable[dict[str, Any]], last: Point) -> Iterator[Point]:
    """Yield the newest result of each split, with and without TTA, at the step and time of `last`.

    `result` is that of the run, and `measured` are those of its evaluations, newest first.
    """
    newest: dict[str, Mapping[str, Any]] = {}
    for each in measured:
        newest.setdefault(each["split"] + "_tta" * each["tta"], each)
    for name in ("val", "val_tta"):
        if name in result:
            newest.setdefault(name, result[name])
    for name, split in newest.items():
        low, high = interval95(split["correct"], split["n"])
        values = {_score(split.get("reference", "people")): split["correct"] / split["n"], "n": split["n"]}
        values |= {"ci95_low": low, "ci95_high": high}
        values |= {f"position_{place}": share for place, share in enumerate(split.get("per_position", ()), 1)}
        for key, value in values.items():
            yield last._replace(name=f"result/{name}/{key}", value=value)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float | bool]:
    """Return nested settings under names with dots. Lists become JSON, and None becomes `none`, as on the page."""
    flat: dict[str, str | int | float | bool] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif value is None:
            flat[prefix + name] = "none"
        else:
            flat[prefix + name] = value if isinstance(value, str | int | float) else json.dumps(value)
    return flat


# TensorBoard


def write_tensorboard(run: Replay, folder: Path) -> Path:
    """Write a run as a new folder of event files into the log folder, completely or not at all. Return its path.

    Raises OptionError if the log folder has the run, StorageError if it cannot be written.
    """
    made = folder / run.run_id
    if made.exists():
        raise OptionError(f"{shortened(str(made))} exists already. Give another folder with --out.")
    temporary = None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{run.run_id}-", dir=folder))
        _write_events(run, temporary)
        temporary.replace(made)
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return made


def tensorboard_zip(run: Replay) -> bytes:
    """Return the event files of a run as a zip file with one folder. Raises StorageError."""
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        made = write_tensorboard(run, Path(temporary))
        for file in sorted(made.iterdir()):
            archive.write(file, f"{run.run_id}/{file.name}")
    return buffer.getvalue()


def _write_events(run: Replay, folder: Path) -> None:
    """Write curves, results, settings and texts into one event file. Raises OSError."""
    from tensorboardX import SummaryWriter
    from tensorboardX.summary import hparams

    results = {point.name: point.value for point in run.points if point.name.startswith("result/")}
    with SummaryWriter(str(folder)) as writer:
        for summary in hparams(dict(run.settings), results):
            writer.file_writer.add_summary(summary, walltime=run.started)
        for point in run.points:
            writer.add_scalar(point.name, point.value, point.step, point.at)
        for name, document in {"tags": run.tags, "note": run.note, **run.documents}.items():
            writer.add_text(name, f"```json\n{json.dumps(document, indent=1)}\n```", 0, run.started)
    for number, file in enumerate(sorted(folder.iterdir()), 1):
        file.rename(folder / f"events.out.tfevents.{int(run.started)}.{number}")  # without the name of this machine


# MLflow


def write_mlflow(run: Replay, folder: Path) -> Path:
    """Add a run to the MLflow store in a folder, which is made if needed. Return the path of the store.

    Raises OptionError if the store has the run, StorageError if it cannot be written.
    """
    # Read when MLflow is imported. It would report its use to its makers.
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_LOGGING_LEVEL": "ERROR"}
    from mlflow import MlflowClient

    folder = checked_path(folder)
    store = folder / STORE
    if {"?", "%"} & set(str(store)):
        raise OptionError(f"MLflow cannot use {shortened(str(store))}, because its path has a ? or a %.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        client = MlflowClient(tracking_uri=f"sqlite:///{store}", registry_uri=f"sqlite:///{store}")
        experiment = _experiment(client, f"slotlab/{run.project}", folder)
        same = " and ".join(f"tags.`{name}` = '{run.tags[name]}'" for name in ("slotlab.run", "slotlab.created_at"))
        is_known = bool(client.search_runs([experiment], same, max_results=1))
    except Exception as error:
        raise _unwritable(store, error) from error
    if is_known:
        raise OptionError(f"{shortened(str(store))} has {run.run_id} already. Give another folder with --out.")
    try:
        _log_run(client, experiment, run)
    except Exception as error:
        raise _unwritable(store, error) from error
    return store


def _experiment(client: Any, name: str, folder: Path) -> str:
    """Return the id of an experiment, which is made if needed."""
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name, (folder / "artifacts").as_uri()))


def _log_run(client: Any, experiment: str, run: Replay) -> None:
    """Store a run. Delete it again if this fails halfway."""
    from mlflow.entities import Metric, Param

    states = {"finished": "FINISHED", "canceled": "KILLED"}
    tags = run.tags | ({"mlflow.note.content": run.note} if run.note else {})  # MLflow's name for a description
    made = client.create_run(experiment, _milliseconds(run.started), tags, run.title).info.run_id
    try:
        settings = [Param(name, str(value)) for name, value in run.settings.items()]
        metrics = [Metric(each.name, each.value, _milliseconds(each.at), each.step) for each in run.points]
        for start in range(0, len(settings), 100):  # the most that one call may have
            client.log_batch(made, params=settings[start : start + 100])
        for start in range(0, len(metrics), 1000):
            client.log_batch(made, metrics=metrics[start : start + 1000])
        for name, document in run.documents.items():
            client.log_text(made, json.dumps(document, indent=1), name)
        client.set_terminated(made, states.get(run.state, "FAILED"), _milliseconds(run.ended))
    except BaseException:
        with suppress(Exception):
            client.delete_run(made)
        raise


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _unwritable(path: Path, error: Exception) -> StorageError:
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return StorageError(f"{shortened(str(path))} could not be written ({shortened(reason)}).")
