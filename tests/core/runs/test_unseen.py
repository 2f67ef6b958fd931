"""Sources that a run has not seen: held out at its start, or imported later."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from sqlite_utils import Database

from core.data.labeling import apply_events
from core.data.proposals import agreed_texts
from core.errors import JobError, OptionError, StorageError, TrainingError
from core.evaluation.predictions import Predictions
from core.home import Home
from core.jobs import control
from core.jobs.jobdir import JobDir
from core.model.config import TrainConfig
from core.runs.evaluated import count_unreadable, load_evaluated, newest_predictions, shift_of
from core.runs.rounds import measure_again
from core.runs.start import count_training, count_validation, start_evaluation, start_training, training_samples
from core.runs.unseen import find_source, next_sources, source_held_out_of
from core.training.snapshot import load_snapshot, write_snapshot
from db import evaluations, runs, samples
from db.connection import write
from db.projects import insert_source
from db.records import Project, Run
from tests.helpers.runs import CPU, add_labeled, add_unlabeled, start
from tests.helpers.sources import add_source, move_to_source
from tests.helpers.trained import RUN

HELD_OUT = replace(CPU, hold_out_source="june")


def held_out_run(db: Database, home: Home, project: Project) -> Run:
    run = start_training(db, home, project, HELD_OUT, preset="fast", operator="ada")
    (home.run(run.job.id) / "checkpoints").mkdir()
    return run


# Training


@pytest.mark.usefixtures("stand_in")
def test_a_run_sees_no_image_of_a_source_that_is_held_out(db: Database, home: Home, labeled: Project) -> None:
    """It neither trains nor validates on one, and its settings name the source."""
    move_to_source(db, labeled, "june", "456", "457")

    run = held_out_run(db, home, labeled)

    snapshot = load_snapshot(home.run(run.job.id) / "dataset.npz")
    assert (run.train_n, run.val_n) == (3, 1)
    assert sorted(filter(None, snapshot.labels)) == ["123", "123", "124", "789"]
    assert TrainConfig.from_dict(json.loads(run.config)).hold_out_source == "june"
    source = find_source(db, labeled, "june")
    assert (count_training(db, labeled, source), count_validation(db, labeled, source)) == (3, (1, "people"))


def test_the_newest_source_to_evaluate_on_has_labels(db: Database, labeled: Project) -> None:
    """A source that came last may have none yet. A run can hold it out all the same."""
    move_to_source(db, labeled, "june", "456", "457")
    with write(db):
        insert_source(db, labeled.id, "july", "team", "ticket")

    assert find_source(db, labeled, "newest").name == "july"
    assert find_source(db, labeled, "newest", labeled=True).name == "june"
    assert find_source(db, labeled, "july", labeled=True).name == "july"


def test_without_a_label_there_is_no_source_to_evaluate_on(db: Database, short_project: Project) -> None:
    add_unlabeled(db, short_project, train=2)

    with pytest.raises(OptionError, match=r"^No source of project portal has an image with a label of people\."):
        find_source(db, short_project, "newest", labeled=True)


@pytest.mark.usefixtures("stand_in")
def test_a_run_without_the_newest_source_keeps_its_name(db: Database, home: Home, labeled: Project) -> None:
    """A later source is then the newest one. A run that starts from these settings holds out the same."""
    move_to_source(db, labeled, "june", "456", "457")

    run = start_training(db, home, labeled, replace(CPU, hold_out_source="newest"), preset="fast", operator="ada")
    move_to_source(db, labeled, "july", "789")

    held_out = source_held_out_of(db, run)
    assert held_out is not None
    assert held_out.name == "june"
    assert "june" in next_sources(db, run)
    assert control.spec(home, run.job.id)["config"]["hold_out_source"] == "june"


@pytest.mark.usefixtures("stand_in")
def test_a_source_that_does_not_exist_cannot_be_held_out(db: Database, home: Home, labeled: Project) -> None:
    """The sentence names those that exist."""
    with pytest.raises(OptionError, match="has no source 'june'; choose from images"):
        start_training(db, home, labeled, HELD_OUT, preset="fast", operator="ada")


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (("123", "456", "789", "124", "457"), "Without source 'june', which is held out, no labeled image is left"),
        (("456", "789", "124"), "has 1 labeled training image and 2 for validation"),
    ],
)
def test_too_little_left_is_refused(
    db: Database, home: Home, labeled: Project, texts: tuple[str, ...], sentence: str
) -> None:
    """The sentence says why."""
    move_to_source(db, labeled, "june", *texts)

    with pytest.raises(TrainingError, match=sentence):
        start_training(db, home, labeled, HELD_OUT, preset="fast", operator="ada")


@pytest.mark.usefixtures("stand_in")
def test_initial_weights_must_not_know_the_source_either(db: Database, home: Home, labeled: Project) -> None:
    """A run that saw it, or one that started from such a run, would bring it in. Of a file nobody knows."""
    move_to_source(db, labeled, "june", "456")
    add_labeled(db, labeled, val=["222"])
    seen = start(db, home, labeled)
    for number in ("1", "2"):
        job = control.find_job(db, number)
        control.cancel(db, home, job.id)
        control.follow(db, home, job.id, lambda _: None)
        folder = home.run(job.id) / "checkpoints"
        folder.mkdir()
        (folder / "best-00000001.json").write_text("{}")
        if number == "1":
            add_labeled(db, labeled, train=["333", "334"])
            heir = start_training(db, home, labeled, replace(CPU, init="1"), preset="fast", operator="ada")
            drop_june(home, heir)

    for init in (seen.job.id, heir.job.id):
        with pytest.raises(OptionError, match=f"run {seen.job.id} used 1 image of june, which is held out"):
            start_training(db, home, labeled, replace(HELD_OUT, init=init), preset="fast", operator="ada")
    weights = home.run(seen.job.id) / "checkpoints" / "some.pt"
    weights.touch()
    with pytest.raises(OptionError, match="may have learned images of june, which is held out"):
        start_training(db, home, labeled, replace(HELD_OUT, init=str(weights)), preset="fast", operator="ada")


def drop_june(home: Home, run: Run) -> None:
    """Leave only the newest images in the data of a run."""
    path = home.run(run.job.id) / "dataset.npz"
    data = load_snapshot(path)
    rows = [
        (data.sha256[place], data.splits[place], data.labels[place], data.names[place], data.blob(place))
        for place, label in enumerate(data.labels)
        if label in ("222", "333", "334")
    ]
    write_snapshot(path, rows)


@pytest.mark.usefixtures("stand_in")
def test_val_of_such_a_run_stays_without_the_source(db: Database, home: Home, labeled: Project) -> None:
    """A later evaluation and the measure of a round leave it out too."""
    move_to_source(db, labeled, "june", "456", "457")
    run = held_out_run(db, home, labeled)

    job = start_evaluation(db, home, run, "val", operator="ada")

    assert load_snapshot(home.run(job.id) / "dataset.npz").labels == ["123"]
    (left,) = samples.select_samples(db, labeled.id, split="val", text="123")
    own = Predictions(
        sha256=[left.sha256], labels=["123"], views=["as it is"], log_probs_VNPC=np.zeros((1, 1, 3, 10), np.float32)
    )
    own.save(home.run(run.job.id) / "predictions-val.npz")
    assert measure_again(db, home, labeled, run, operator="ada") is None


def test_readers_measure_the_other_images(trained_on_readings: Project, db: Database) -> None:
    """If people have labeled few others, the agreed readings of val measure, without those of the source."""
    before, _ = count_validation(db, trained_on_readings)
    texts = agreed_texts(db, trained_on_readings, split="val", state="unlabeled")
    june = move_to_source(db, trained_on_readings, "june", *list(texts)[:2])

    _, val, reference = training_samples(db, trained_on_readings, HELD_OUT)

    assert (count_validation(db, trained_on_readings, june), before) == ((len(texts) - 2, "readers"), len(texts))
    assert {sample.id for sample in val} == set(list(texts)[2:])
    assert reference == "readers"


# Evaluation


@pytest.mark.usefixtures("stand_in")
def test_a_source_that_the_run_has_seen_says_nothing(db: Database, home: Home, labeled: Project) -> None:
    """The refusal names the option that keeps it out. No use of the test set is recorded."""
    move_to_source(db, labeled, "june", "456", "789")
    run = start(db, home, labeled)
    (home.run(run.job.id) / "checkpoints").mkdir()

    with pytest.raises(JobError, match=r"on 2 images of source 'june'.*`hold_out_source=june`"):
        start_evaluation(db, home, run, "next", source="june", operator="ada")
    (home.run(run.job.id) / "dataset.npz").unlink()
    with pytest.raises(StorageError, match="missing or damaged"):
        start_evaluation(db, home, run, "next", source="june", operator="ada")

    assert evaluations.count_test_uses(db, labeled.id) == 0


@pytest.mark.usefixtures("stand_in")
def test_all_images_of_the_source_with_labels_of_people_are_read(db: Database, home: Home, labeled: Project) -> None:
    """The split does not matter, so a use of the test set is recorded. Readings of models measure nothing."""
    move_to_source(db, labeled, "june", "456", "457", "789")
    add_unlabeled(db, labeled, train=1)
    reading = samples.select_samples(db, labeled.id, state="unlabeled")[0]
    june = find_source(db, labeled, "newest")
    db.execute(
        "UPDATE samples SET source_id = ?, state = 'labeled', label = '321', kind = 'run' WHERE id = ?",
        [june.id, reading.id],
    )
    run = held_out_run(db, home, labeled)

    job = start_evaluation(db, home, run, "next", source="newest", operator="ada")

    snapshot = load_snapshot(home.run(job.id) / "dataset.npz")
    assert sorted(filter(None, snapshot.labels)) == ["456", "457", "789", "789"]
    assert set(snapshot.splits) == {"next"}
    spec = JobDir(home.run(job.id)).spec()
    assert (june.name, spec["split"], spec["source"], spec["reference"]) == ("june", "next", "june", "people")
    (use,) = evaluations.list_test_uses(db, labeled.id)
    assert (use.job_id, use.operator) == (job.id, "ada")


@pytest.mark.usefixtures("stand_in")
def test_a_source_without_test_images_uses_no_test_set(db: Database, home: Home, labeled: Project) -> None:
    """Nothing is recorded then. Without labels of people there is nothing to measure."""
    move_to_source(db, labeled, "june", "456")
    run = held_out_run(db, home, labeled)

    start_evaluation(db, home, run, "next", source="june", operator="ada")
    assert evaluations.count_test_uses(db, labeled.id) == 0

    (sample,) = samples.select_samples(db, labeled.id, source_id=find_source(db, labeled, "june").id)
    event = {"event": "e", "action": "undo", "sample": sample.sha256, "base": sample.version}
    assert apply_events(db, labeled, "ada", [event])[0].status == "saved"
    with pytest.raises(JobError, match="has no image with a label of people"):
        start_evaluation(db, home, run, "next", source="june", operator="ada")


@pytest.mark.long
def test_the_result_stands_beside_that_of_the_other_images(home: Home, trained: Project, db: Database) -> None:
    """The real worker reads a source that came after the training. Test takes the place of val once it was read."""
    run = runs.find_run(db, RUN)
    assert run is not None
    add_source(db, trained, "june", count=12, seed=5)
    for split, source in (("next", "june"), ("test", "")):
        job = start_evaluation(db, home, run, split, source=source, tta=False, operator="ada")
        control.finish(db, home, job.id, lambda _: None)
        later = load_evaluated(db, home, run, "next", source="june")
        shift = shift_of(db, home, later)
        assert shift is not None
        assert shift.split == ("val" if split == "next" else "test")

    assert next_sources(db, run) == ["june"]
    assert (later.result["n"], later.images) == (12, "images of source june")
    assert shift.later == (later.result["correct"], 12)
    inside = set(later.predictions.sha256)
    test = newest_predictions(db, home, run, "test")
    assert shift.others[1] == len(set(test.sha256) - inside) < len(test.sha256)
    assert count_unreadable(db, run, "next", "june") == 0
    evaluation = evaluations.list_evaluations(db, RUN, "next")[0]
    assert (evaluation.source, evaluation.n) == ("june", 12)
    uses = evaluations.list_test_uses(db, trained.id)
    assert [use.split for use in uses] == ["next", "test"]
    with pytest.raises(OptionError, match="not been evaluated on source 'rendered'"):
        newest_predictions(db, home, run, "next", "rendered")
    shutil.rmtree(home.run(uses[-1].job_id))
    (home.run(RUN) / "predictions-val.npz").unlink()
    assert shift_of(db, home, later) is None
