"""Runs in TensorBoard and MLflow, read back with each library."""

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from core.data.managing import describe_run
from core.errors import JobError, OptionError, StorageError
from core.evaluation.metrics import interval95
from core.home import Home
from core.jobs.jobdir import JobDir
from core.runs.start import start_training
from core.runs.trackers import Point, Replay, missing_package, replay, tensorboard_zip, write_mlflow, write_tensorboard
from db import evaluations, jobs, runs
from db.connection import write
from db.records import Project, Run
from tests.helpers.runs import CPU
from tests.helpers.trained import RUN

MADE_AT = 1_800_000_000.0
Curves = dict[str, list[tuple[int, float]]]


@pytest.fixture
def run(home: Home, trained: Project, db: Database) -> Run:
    """The trained run. Its metrics have a resume, a loss that is not finite, a note and half a line."""
    named = runs.find_run(db, RUN)
    assert named is not None
    describe_run(db, named, name="baseline", note="Without *lines*.", tags=["june", "digits"])
    found = runs.find_run(db, RUN)
    assert found is not None
    step = {"kind": "step", "epoch": 1, "loss": 2.0, "accuracy": 0.25, "lr": 0.001}
    val = {"kind": "val", "epoch": 1, "n": 4, "per_position": [0.5, 0.25, 1.0], "kept": True}
    lines = [
        step | {"step": 1, "seconds": 1.0},
        step | {"step": 2, "seconds": 2.0, "loss": 9.0},
        {"kind": "attempt", "pid": 1},
        step | {"step": 2, "seconds": 2.5, "loss": 1.5},
        val | {"step": 2, "seconds": 3.0, "correct": 1, "loss": 0.75},
        {"kind": "note", "sentences": ["A checkpoint is damaged."]},
        step | {"step": 3, "seconds": 4.0, "loss": None},
        val | {"step": 3, "seconds": 5.0, "correct": 3, "loss": None},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"kind": "st'
    (home.run(RUN) / "metrics.jsonl").write_text(text)
    return found


def evaluated(db: Database, run: Run, split: str, correct: int, *, tta: bool) -> None:
    result = {"n": 40, "correct": correct, "per_position": [0.9, 0.8, 0.7], "reference": "people"}
    with write(db):
        job_id = f"{9000 + correct}-evaluate"
        jobs.insert_job(
            db, id=job_id, number=9000 + correct, kind="evaluate", project_id=run.job.project_id, request_id=job_id
        )  # fmt: skip
        evaluations.insert_evaluation(
            db, run_id=run.job.id, job_id=job_id, split=split, tta=tta, n=40, correct=correct, result=json.dumps(result)
        )  # fmt: skip


def expected_curves(run: Run) -> Curves:
    """Return the curves that `run` and an evaluation of 30/40 on test must give."""
    result = json.loads(run.job.result or "")
    curves: Curves = {
        "train/loss": [(1, 2.0), (2, 1.5)],
        "train/accuracy": [(1, 0.25), (2, 0.25), (3, 0.25)],
        "train/lr": [(1, 0.001), (2, 0.001), (3, 0.001)],
        "val/loss": [(2, 0.75)],
        "val/exact_match": [(2, 0.25), (3, 0.75)],
        **{f"val/position_{place}": [(2, share), (3, share)] for place, share in enumerate([0.5, 0.25, 1.0], 1)},
    }
    for name, correct, n, positions in (
        ("val", result["val"]["correct"], 5, result["val"]["per_position"]),
        ("val_tta", result["val_tta"]["correct"], 5, result["val_tta"]["per_position"]),
        ("test", 30, 40, [0.9, 0.8, 0.7]),
    ):
        low, high = interval95(correct, n)
        values = {"exact_match": correct / n, "n": n, "ci95_low": low, "ci95_high": high}
        values |= {f"position_{place}": share for place, share in enumerate(positions, 1)}
        curves |= {f"result/{name}/{key}": [(result["best_step"], value)] for key, value in values.items()}
    return curves


def assert_equal_curves(curves: Curves, expected: Curves) -> None:
    """Assert equal names and steps, and values that are equal in single precision."""
    assert curves.keys() == expected.keys()
    for name, points in curves.items():
        assert [step for step, _ in points] == [step for step, _ in expected[name]], name
        assert [value for _, value in points] == pytest.approx([value for _, value in expected[name]], rel=1e-6), name


def read_events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    return events


def text_of(events: Any, name: str) -> Any:
    """Return the JSON of a text."""
    (event,) = events.Tensors(f"{name}/text_summary")
    text = event.tensor_proto.string_val[0].decode()
    return json.loads(text.removeprefix("```json\n").removesuffix("\n```"))


# TensorBoard


def test_tensorboard_reads_curves_results_settings_and_times(
    home: Home, run: Run, db: Database, tmp_path: Path
) -> None:
    """A resumed run shows each step once. A loss that is not finite is left out, as is the earlier evaluation."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    evaluated(db, run, "test", 20, tta=False)
    evaluated(db, run, "test", 30, tta=False)
    ended = replay(db, home, run)

    folder = write_tensorboard(ended, tmp_path / "logs")

    assert folder == tmp_path / "logs" / RUN
    assert [path.name for path in (tmp_path / "logs").iterdir()] == [RUN]
    (file,) = folder.iterdir()
    assert file.name == f"events.out.tfevents.{int(ended.started)}.1"  # the name of this machine would leave it
    events = read_events(folder)
    scalars = {name: events.Scalars(name) for name in events.Tags()["scalars"]}
    assert_equal_curves(
        {name: [(each.step, each.value) for each in points] for name, points in scalars.items()}, expected_curves(run)
    )
    assert [each.wall_time - ended.started for each in scalars["train/loss"]] == pytest.approx([1.0, 2.5])
    assert text_of(events, "run.json") == JobDir(home.run(RUN)).spec()
    assert text_of(events, "result.json") == json.loads(run.job.result or "")
    assert [each["correct"] for each in text_of(events, "evaluations.json")] == [30, 20]
    source = {"name": "rendered", "owner": "the team", "authorization": "ticket 1"}
    assert text_of(events, "sources.json") == [source]
    tags = text_of(events, "tags")
    assert [tags[f"slotlab.{name}"] for name in ("run", "name", "tags")] == [RUN, "baseline", "digits, june"]
    assert text_of(events, "note") == "Without *lines*."
    (metadata,) = (
        events.SummaryMetadata(name) for name in events.summary_metadata if name == "_hparams_/session_start_info"
    )
    hparams = HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info.hparams
    assert hparams["batch_size"].number_value == 8
    assert hparams["image_size"].string_value == "[32, 96]"
    assert hparams["augment.affine.p"].number_value == 0.8
    assert hparams["choice.lr"].number_value == 0.002
    assert hparams["tied_heads"].bool_value is True


def test_a_zip_holds_the_same_events(home: Home, run: Run, db: Database, tmp_path: Path) -> None:
    """The folder in it is that of the run, so several zips fit into one log folder."""
    with zipfile.ZipFile(io.BytesIO(tensorboard_zip(replay(db, home, run)))) as archive:
        archive.extractall(tmp_path)

    assert [path.name for path in tmp_path.iterdir() if path.is_dir() and path.name != "home"] == [RUN]
    assert [each.value for each in read_events(tmp_path / RUN).Scalars("train/loss")] == [2.0, 1.5]


def test_nothing_of_the_images_leaves(home: Home, run: Run, db: Database, tmp_path: Path) -> None:
    """Neither a label nor the hash of an image is in the file."""
    (file,) = write_tensorboard(replay(db, home, run), tmp_path / "logs").iterdir()

    data = file.read_bytes()
    for sha256, label in db.execute("SELECT sha256, label FROM samples").fetchall():
        assert sha256.encode() not in data
        assert f'"{label}"'.encode() not in data


def test_a_log_folder_that_has_the_run_is_unchanged(home: Home, run: Run, db: Database, tmp_path: Path) -> None:
    """A second export is refused, and so is a folder below a file."""
    ended = replay(db, home, run)
    (file,) = write_tensorboard(ended, tmp_path / "logs").iterdir()
    before = file.read_bytes()

    with pytest.raises(OptionError, match=r"0001-fast exists already\. Give another folder with --out\."):
        write_tensorboard(ended, tmp_path / "logs")
    with pytest.raises(StorageError, match=r"could not be written \(Not a directory\)"):
        write_tensorboard(ended, file / "logs")

    assert file.read_bytes() == before


# What is exported


def test_agreement_with_readers_is_not_called_exact_match(
    home: Home, trained_on_readings: Project, db: Database
) -> None:
    """Neither in the curves nor in the results."""
    run = runs.find_run(db, "0001-fast")
    assert run is not None

    names = {point.name for point in replay(db, home, run).points}

    assert {"val/agreement", "result/val/agreement"} <= names
    assert not [name for name in names if "exact" in name]


@pytest.mark.usefixtures("stand_in")
def test_a_run_that_has_not_ended_or_begun_is_refused(home: Home, db: Database, labeled: Project) -> None:
    """A canceled run without a step has nothing to show."""
    run = start_training(db, home, labeled, CPU, preset="fast", operator="Ada")
    with pytest.raises(JobError, match=f"{run.job.id} is starting. Export it when it has ended."):
        replay(db, home, run)
    with write(db):
        db.execute("UPDATE jobs SET state = 'canceled' WHERE id = ?", [run.job.id])
    run = runs.find_run(db, run.job.id) or run

    with pytest.raises(JobError, match=f"{run.job.id} has no step, so there is nothing to export."):
        replay(db, home, run)


def test_an_unknown_tracker_is_refused() -> None:
    """The sentence names the known ones."""
    with pytest.raises(OptionError, match=r"There is no tracker 'wandb'; choose tensorboard or mlflow\."):
        missing_package("wandb")


# MLflow


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run of another project. To make a store takes 5 s of CPU time."""
    return write_mlflow(other_run(), tmp_path_factory.mktemp("mlflow"))


def other_run(**changes: Any) -> Replay:
    values: dict[str, Any] = {
        "run_id": "0007-fast", "title": "0007-fast", "note": "", "project": "other", "state": "lost",
        "started": MADE_AT, "ended": MADE_AT + 60,
        "settings": {"seed": 1}, "tags": {"slotlab.run": "0007-fast", "slotlab.created_at": "2027-01-15T08:00:00"},
        "points": [], "documents": {},
    }  # fmt: skip
    return Replay(**values | changes)


@pytest.mark.long
def test_mlflow_reads_curves_results_settings_and_documents(
    home: Home, run: Run, db: Database, store: Path, tmp_path: Path
) -> None:
    """The store has two runs afterwards. Each project is an experiment."""
    from mlflow import MlflowClient

    evaluated(db, run, "test", 30, tta=False)
    ended = replay(db, home, run)

    assert write_mlflow(ended, store.parent) == store

    client = MlflowClient(f"sqlite:///{store}")
    experiments = {each.name: each.experiment_id for each in client.search_experiments()}
    assert {"slotlab/portal", "slotlab/other"} <= experiments.keys()
    (found,) = client.search_runs([experiments["slotlab/portal"]])
    assert (found.info.run_name, found.info.status) == (f"{RUN} baseline", "FINISHED")
    assert found.info.start_time == round(1000 * ended.started)
    assert found.info.end_time == round(1000 * ended.ended)
    history = {name: client.get_metric_history(found.info.run_id, name) for name in found.data.metrics}
    assert_equal_curves(
        {name: sorted((each.step, each.value) for each in points) for name, points in history.items()},
        expected_curves(run),
    )
    assert found.data.params == {name: str(value) for name, value in ended.settings.items()}
    assert ended.tags.items() <= found.data.tags.items()
    assert found.data.tags["mlflow.note.content"] == "Without *lines*."
    for name, document in ended.documents.items():
        path = client.download_artifacts(found.info.run_id, name, str(tmp_path))
        assert json.loads(Path(path).read_text(encoding="utf-8")) == document
    assert store.parent.as_uri() in found.info.artifact_uri
    with pytest.raises(OptionError, match=r"mlflow\.db has 0001-fast already\. Give another folder with --out\."):
        write_mlflow(ended, store.parent)


@pytest.mark.long
def test_a_run_that_cannot_be_stored_is_not_half_there(store: Path) -> None:
    """MLflow refuses the name of its curve. A run that was lost counts as failed."""
    from mlflow import MlflowClient
    from mlflow.entities import ViewType

    (experiment,) = [each for each in MlflowClient(f"sqlite:///{store}").search_experiments() if "other" in each.name]
    bad = other_run(
        run_id="0008-fast", tags={"slotlab.run": "0008-fast", "slotlab.created_at": ""},
        points=[Point("not, allowed", 1.0, 1, MADE_AT)],
    )  # fmt: skip

    with pytest.raises(StorageError, match=r"mlflow\.db could not be written"):
        write_mlflow(bad, store.parent)

    client = MlflowClient(f"sqlite:///{store}")
    (kept,) = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ACTIVE_ONLY)
    assert (kept.info.run_name, kept.info.status) == ("0007-fast", "FAILED")


@pytest.mark.long
def test_a_folder_that_cannot_hold_a_store_is_refused(tmp_path: Path) -> None:
    """It has a character of addresses, or its store is another file."""
    with pytest.raises(OptionError, match=r"because its path has a \? or a %"):
        write_mlflow(other_run(), tmp_path / "100%")
    (tmp_path / "mlflow.db").write_bytes(os.urandom(4096))

    with pytest.raises(StorageError, match=r"mlflow\.db could not be written"):
        write_mlflow(other_run(), tmp_path)
