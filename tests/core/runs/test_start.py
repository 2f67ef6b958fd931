"""Starting trainings and evaluations: snapshots and errors."""

import json
import threading

import pytest
from sqlite_utils import Database

from core.errors import JobError, TrainingError
from core.home import Home
from core.jobs.jobdir import JobDir
from core.model.config import PRESETS, TrainConfig
from core.runs import recipes
from core.runs.start import start_evaluation, start_training
from core.training.snapshot import load_snapshot
from db import evaluations
from db import jobs as rows
from db.connection import opened
from db.records import Project
from tests.helpers.runs import CPU, add_labeled, start

pytestmark = pytest.mark.usefixtures("stand_in")


def test_a_run_freezes_its_data_and_settings(db: Database, home: Home, labeled: Project) -> None:
    """The run's directory holds its training data, whatever is labeled later. It has no test images."""
    run = start(db, home, labeled)

    assert (run.job.id, run.train_n, run.val_n, run.val_correct) == ("0001-fast", 4, 2, None)
    job = JobDir(home.run(run.job.id))
    snapshot = load_snapshot(job.path / "dataset.npz")
    assert sorted(snapshot.splits) == ["train"] * 4 + ["val"] * 2
    spec = job.spec()
    assert spec["dataset"] == {"sha256": run.dataset_sha256, "train": 4, "val": 2}
    config = recipes.resolve(db, labeled, CPU)
    assert spec["config"] == json.loads(run.config) == json.loads(json.dumps(config.to_dict()))
    assert spec["project"] == {"name": "portal", "length": 3, "charset": "0123456789"}
    assert not list(home.runs.glob(".new-*"))


def test_strings_of_held_out_images_can_be_left_out(db: Database, home: Home, labeled: Project) -> None:
    """No training image then has the text of a validation or test image."""
    config = TrainConfig(device="cpu", drop_seen_strings=True)

    run = start_training(db, home, labeled, config, preset="fast", operator="ada")

    snapshot = load_snapshot(home.run(run.job.id) / "dataset.npz")
    assert run.train_n == 2
    assert {snapshot.labels[index] for index in snapshot.labeled("train")} == {"456", "124"}


@pytest.mark.parametrize(
    ("train", "val", "sentence"),
    [
        ([], [], "There are no labels yet"),
        (["123"], ["456"], "The project has 1 labeled training image and 1 for validation"),
        (["123", "456"], [], "The project has 2 labeled training images and 0 for validation"),
        (["111", "111"], ["111"], "All 2 training labels are '111'"),
        (["121", "121", "121"], ["456"], "All 3 training labels are '121'"),
    ],
)
def test_too_little_to_learn_from_is_refused(
    db: Database, home: Home, short_project: Project, train: list[str], val: list[str], sentence: str
) -> None:
    """The error has the counts, and nothing is written."""
    add_labeled(db, short_project, train=train, val=val)

    with pytest.raises(TrainingError, match=sentence):
        start(db, home, short_project)

    assert rows.list_jobs(db) == []
    assert list(home.runs.iterdir()) == []


def test_pressing_start_twice_is_one_run(db: Database, home: Home, labeled: Project) -> None:
    """A double click, or several threads handling one click, start one run."""
    found = []

    def press() -> None:
        with opened(home.db) as own:
            found.append(start(own, home, labeled, request_id="one click").job.id)

    presses = [threading.Thread(target=press) for _ in range(4)]
    for thread in presses:
        thread.start()
    for thread in presses:
        thread.join()

    assert found == ["0001-fast"] * 4
    assert [path.name for path in home.runs.glob("[0-9]*")] == ["0001-fast"]
    assert not list(home.runs.glob(".new-*"))


def test_a_start_leaves_another_one_alone_that_is_about_to_lock(
    db: Database, home: Home, labeled: Project, stand_in: None
) -> None:
    """Between its creation and its lock, the hidden directory of a start looks abandoned."""
    other, killed = home.runs / ".new-other", home.runs / ".new-killed"
    for path in (other, killed):
        path.mkdir()
        (path / "lock").touch()
    (killed / "reserve").touch()

    start(db, home, labeled)

    assert (other.exists(), killed.exists()) == (True, False)


def test_a_test_evaluation_is_written_down_before_it_starts(db: Database, home: Home, labeled: Project) -> None:
    """The use of the test set is recorded even if the evaluation fails."""
    run = start(db, home, labeled)
    (home.run(run.job.id) / "checkpoints").mkdir()

    job = start_evaluation(db, home, run, "test", tta=True, operator="ada")

    assert evaluations.count_test_uses(db, labeled.id) == 1
    assert job.id == "0001-evaluate"
    directory = JobDir(home.run(job.id))
    assert (directory.spec()["run"], directory.spec()["split"], directory.spec()["tta"]) == (run.job.id, "test", True)
    assert load_snapshot(directory.path / "dataset.npz").labels == ["789"]


def test_an_evaluation_without_images_or_weights_is_refused(db: Database, home: Home, labeled: Project) -> None:
    """No use of the test set is recorded."""
    run = start(db, home, labeled)

    with pytest.raises(JobError, match="no checkpoint yet"):
        start_evaluation(db, home, run, "test", tta=False, operator="ada")
    with pytest.raises(JobError, match="not on 'train'"):
        start_evaluation(db, home, run, "train", tta=False, operator="ada")

    assert evaluations.count_test_uses(db, labeled.id) == 0


def test_presets_are_names_of_directories() -> None:
    """A preset name becomes part of a path."""
    assert all(name.replace("-", "").isalnum() for name in PRESETS)
