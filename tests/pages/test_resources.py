"""Cached data of a run's files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import StorageError
from core.evaluation.predictions import Predictions
from core.home import Home
from db.connection import opened
from db.records import Project, Run
from db.runs import list_runs
from pages.components import resources


@pytest.fixture
def run(home: Home, trained: Project) -> Run:
    """A run of two steps, with predictions of the val images."""
    with opened(home.db) as db:
        return list_runs(db, trained.id)[0]


def found(home: Home, run: Run) -> Predictions:
    with opened(home.db) as db:
        predictions = resources.find_predictions(db, home, run, "val")
    assert predictions is not None
    return predictions


def test_predictions_are_read_once_and_again_when_they_change(home: Home, run: Run) -> None:
    """Sessions share one object and its derived data. A new file of the same name is loaded again."""
    first = found(home, run)
    path = home.run(run.job.id) / "predictions-val.npz"
    assert found(home, run) is first

    replace(first, labels=["000"] * len(first.labels)).save(path)

    again = found(home, run)
    assert again is not first
    assert again.labels == ["000"] * len(first.labels)
    assert first.labels != again.labels
    np.testing.assert_array_equal(again.log_probs_VNPC, first.log_probs_VNPC)


def test_training_strings_are_those_of_the_snapshot(home: Home, run: Run) -> None:
    """All sessions share one set."""
    path = home.run(run.job.id) / "dataset.npz"
    with np.load(path) as arrays:
        labels, splits = arrays["labels"], arrays["splits"]
        wanted = {label for label, split in zip(labels.tolist(), splits.tolist(), strict=True) if split == "train"}

    assert resources.training_strings(home, run) == wanted
    assert resources.training_strings(home, run) is resources.training_strings(home, run)


def test_a_damaged_snapshot_is_one_sentence(home: Home, run: Run) -> None:
    """A full disk can truncate the snapshot before it is first read."""
    Path(home.run(run.job.id) / "dataset.npz").write_bytes(b"PK torn")

    with pytest.raises(StorageError, match="missing or damaged"):
        resources.training_strings(home, run)
