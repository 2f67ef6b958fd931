"""Runs in a project where people have labeled no validation image: they validate against the readers."""

import json
from dataclasses import replace
from typing import Any

import pytest
from sqlite_utils import Database

from core.charset import TextSpec
from core.data.labeling import apply_events
from core.data.proposals import accept_agreed, agreed_texts
from core.data.proposing import start_proposing
from core.errors import JobError, TrainingError
from core.evaluation.acceptance import Acceptance
from core.evaluation.comparison import common
from core.evaluation.predictions import Predictions
from core.home import Home
from core.jobs import control
from core.model.config import preset, with_options
from core.report.document import make_report
from core.runs.evaluated import load_evaluated
from core.runs.start import (
    count_kinds,
    count_validation,
    held_out,
    start_evaluation,
    start_training,
    training_samples,
)
from core.training.doctor import diagnose
from core.training.snapshot import load_snapshot
from db import evaluations, runs, samples
from db.connection import opened, write
from db.records import Project, Run
from tests.core.data.test_proposing import READERS, add_renders
from tests.helpers.kinds import give_all_kinds
from tests.helpers.portal import accept
from tests.helpers.readings import agreeing
from tests.helpers.runs import CPU, add_labeled, add_unlabeled
from tests.helpers.trained import ON_READINGS, SETTINGS


@pytest.fixture
def found(trained_on_readings: Project, db: Database) -> Run:
    run = runs.find_run(db, ON_READINGS)
    assert run is not None
    return run


def label(db: Database, project: Project, split: str, count: int = 1) -> None:
    """Let Ann label the first images of a split."""
    for sample in samples.select_samples(db, project.id, split=split)[:count]:
        event = {"event": f"e{sample.id}", "action": "label", "sample": sample.sha256, "text": "000", "base": 0}
        (outcome,) = apply_events(db, project, "Ann", [event])
        assert outcome.status == "saved", outcome


def evaluate(db: Database, home: Home, run: Run, split: str = "val") -> dict[str, Any]:
    job = start_evaluation(db, home, run, split, tta=False, operator="Ann")
    return dict(json.loads(control.finish(db, home, job.id, lambda _: None).result or "{}"))


def test_a_run_validates_against_the_readers(
    trained_on_readings: Project, found: Run, db: Database, home: Home
) -> None:
    """Its files and its row say so. The readings of val are in the snapshot only, marked with their kind."""
    texts = agreed_texts(db, trained_on_readings, split="val")
    labels = samples.label_counts(db, trained_on_readings.id)
    snapshot = load_snapshot(home.run(ON_READINGS) / "dataset.npz")
    spec, result = control.spec(home, ON_READINGS), json.loads(found.job.result or "{}")

    assert (found.reference, spec["reference"]) == ("readers", "readers")
    assert found.val_n == len(texts) == samples.count_samples(db, trained_on_readings.id, split="val") - 1
    assert labels == {("train", "readers"): found.train_n}
    assert set(snapshot.kinds) == {"readers"}
    assert spec["dataset"]["kinds"] == {"readers": found.train_n}
    for name in ("val", "val_tta"):
        assert (result[name]["reference"], result[name]["exact_match"]) == ("readers", None)
        assert result[name]["agreement"] == result[name]["correct"] / found.val_n
    assert Predictions.load(home.run(ON_READINGS) / "predictions-val.npz").reference == "readers"
    log = control.log_tail(home, ON_READINGS, 100)
    assert "compared with the texts that general readers agree on" in log
    assert " exact" not in log


@pytest.mark.long  # two evaluations in processes of their own
def test_an_evaluation_measures_against_people_once_they_have_labeled(
    trained_on_readings: Project, found: Run, db: Database, home: Home
) -> None:
    """Before, it measures agreement with readers. The two results cannot be compared with each other."""
    before = evaluate(db, home, found)
    label(db, trained_on_readings, "val", 3)
    after = evaluate(db, home, found)

    assert (before["reference"], before["exact_match"], before["n"]) == ("readers", None, found.val_n)
    assert (after["reference"], after["agreement"], after["n"]) == ("people", None, 3)
    assert after["exact_match"] == after["correct"] / 3
    newest, oldest = evaluations.list_evaluations(db, ON_READINGS)
    assert (newest.reference, oldest.reference) == ("people", "readers")
    first, second = (Predictions.load(home.run(each.job_id) / "predictions-val.npz") for each in (oldest, newest))
    with pytest.raises(TrainingError, match="against labels of people and the other against readers"):
        common(first, second)
    assert load_evaluated(db, home, found, "val").reference == "people"


@pytest.mark.long  # two evaluations in processes of their own
def test_an_evaluation_is_not_repeated_while_the_readers_agree_on_the_same(
    trained_on_readings: Project, found: Run, db: Database, home: Home
) -> None:
    """A label of a person with the same text is another reference."""
    first = start_evaluation(db, home, found, "val", tta=False, operator="Ann")
    control.finish(db, home, first.id, lambda _: None)

    assert start_evaluation(db, home, found, "val", tta=False, operator="Ann").id == first.id

    for sample_id, text in agreed_texts(db, trained_on_readings, split="val").items():
        sample = samples.get_sample(db, sample_id)
        event = {"event": f"e{sample_id}", "action": "label", "sample": sample.sha256, "text": text, "base": 0}
        apply_events(db, trained_on_readings, "Ann", [event])
    assert start_evaluation(db, home, found, "val", tta=False, operator="Ann").id != first.id


def test_test_images_need_labels_of_people(trained_on_readings: Project, found: Run, db: Database, home: Home) -> None:
    """Nothing is recorded as a use of the test set."""
    with pytest.raises(JobError, match="A test result needs labels of people"):
        start_evaluation(db, home, found, "test", operator="Ann")

    assert evaluations.count_test_uses(db, trained_on_readings.id) == 0


def test_the_report_never_calls_it_exact_match(found: Run, db: Database, home: Home) -> None:
    """It has no image of val either, because people label those without seeing a reading."""
    shown = load_evaluated(db, home, found, "val", tta=False)
    Acceptance(
        step=shown.predictions.step, tta=False, temperature=1.0, threshold=0.0, max_risk=0.9, reference="readers",
        n=9, used=9, wrong=1, risk_bound=0.5,
    ).save(home.run(ON_READINGS))  # fmt: skip

    html = make_report(db, home, shown)

    assert "Agreement with readers" in html
    assert "xact match" not in html
    assert "ccuracy" not in html.replace("does not prove accuracy", "")
    assert "Rows are characters of the agreed reading" in html
    assert "rows agreed reading, columns read" in html
    assert "rows label" not in html
    assert "data:image" not in html
    assert "Validation images stay hidden" in html
    assert "calibrated against readers" in " ".join(html.split())


def test_the_doctor_says_what_right_means() -> None:
    """Its figures of validation images are agreements."""
    lines: list[dict[str, Any]] = [
        {"kind": "step", "step": 400, "loss": 0.1, "accuracy": 1.0},
        {"kind": "val", "step": 400, "loss": 0.1, "correct": 9, "n": 10, "per_position": [0.9, 1.0, 1.0], "kept": True},
    ]
    spec = TextSpec(3, "0123")

    learning, finished = (
        diagnose(lines, spec=spec, config=CPU, steps=400, state=state, reference="readers").text
        for state in ("running", "finished")
    )

    assert "97% of the validation characters and 9 of 10 images agree with the readers" in learning
    assert "9 of 10 validation images agree with the readers (90.0%)" in finished


@pytest.mark.usefixtures("stand_in")
def test_without_labels_and_agreement_the_refusal_names_propose(db: Database, home: Home, project: Project) -> None:
    """If readers agree on val, train needs their labels."""
    add_unlabeled(db, project, train=20, val=10)
    with pytest.raises(TrainingError, match=r"no labels yet.*run `slotlab propose`"):
        start_training(db, home, project, CPU, preset="fast", operator="Ann")

    chosen = samples.select_samples(db, project.id)
    agreeing(db, project, chosen, [f"{sample.id:06}" for sample in chosen])
    with pytest.raises(TrainingError, match="run `slotlab accept --agreed`"):
        start_training(db, home, project, CPU, preset="fast", operator="Ann")


def test_labels_of_people_in_val_are_the_reference_once_they_are_enough(db: Database, project: Project) -> None:
    """One label would select the checkpoint alone. Skipped images never have a reading."""
    add_unlabeled(db, project, train=20, val=10)
    chosen = samples.select_samples(db, project.id)
    agreeing(db, project, chosen, [f"{sample.id:06}" for sample in chosen])
    skipped = samples.select_samples(db, project.id, split="val")[0]
    skip = {"event": "skip", "action": "skip", "sample": skipped.sha256, "base": 0, "flag": "unreadable"}
    apply_events(db, project, "Ann", [skip])

    for labels in range(9):
        readings, reference = held_out(db, project, "val")
        assert (reference, len(readings), {sample.kind for sample in readings}) == ("readers", 9, {"readers"})
        assert skipped.id not in {sample.id for sample in readings}
        assert count_validation(db, project) == (9, "readers")
        add_labeled(db, project, val=[f"{labels:06}"])

    labeled, reference = held_out(db, project, "val")
    assert (reference, len(labeled), {sample.kind for sample in labeled}) == ("people", 9, {"person"})
    assert count_validation(db, project) == (9, "people")


def test_thirty_labels_of_people_in_val_are_enough(db: Database, project: Project) -> None:
    add_unlabeled(db, project, val=60)
    chosen = samples.select_samples(db, project.id)
    agreeing(db, project, chosen, [f"{sample.id:06}" for sample in chosen])

    add_labeled(db, project, val=[f"{label:06}" for label in range(29)])
    assert count_validation(db, project) == (60, "readers")
    add_labeled(db, project, val=["999999"])
    assert count_validation(db, project) == (30, "people")


def test_readings_of_no_weight_are_left_out(db: Database, project: Project) -> None:
    """A reading that someone checked is a label of a person."""
    add_labeled(db, project, train=["123456", "234567"], val=["345678"])
    add_unlabeled(db, project, train=20)
    chosen = samples.select_samples(db, project.id, state="unlabeled")
    agreeing(db, project, chosen, [f"{sample.id:06}" for sample in chosen])
    accept_agreed(db, project, "Ann")
    with write(db):
        db.execute("UPDATE samples SET checked = 1 WHERE id = ?", [chosen[0].id])
    without = replace(CPU, reading_weight=0)

    assert [len(part) for part in training_samples(db, project, CPU)[:2]] == [22, 1]
    assert [len(part) for part in training_samples(db, project, without)[:2]] == [3, 1]
    assert count_kinds(db, project, CPU)["readers"] == 19
    assert count_kinds(db, project, without)["readers"] == 0


def test_labels_of_verdicts_train_with_full_weight(db: Database, home: Home, project: Project, stand_in: None) -> None:
    """They are kept if readings have no weight. The run counts them apart, and never validates on them."""
    add_labeled(db, project, train=["123456", "234567"], val=["345678"])
    add_unlabeled(db, project, train=4, val=4)
    give_all_kinds(db, project, readers=1, verdict=3)
    for sample in samples.select_samples(db, project.id, state="unlabeled", split="val"):
        accept(db, project, sample, "111111")
    without = replace(CPU, reading_weight=0)

    assert [len(part) for part in training_samples(db, project, CPU)[:2]] == [6, 1]
    assert [len(part) for part in training_samples(db, project, without)[:2]] == [5, 1]
    assert count_kinds(db, project, without) == {"verdict": 3}
    run = start_training(db, home, project, CPU, preset="fast", operator="Ann")
    assert control.spec(home, run.job.id)["dataset"]["kinds"] == {"readers": 1, "verdict": 3}
    snapshot = load_snapshot(home.run(run.job.id) / "dataset.npz")
    weights = snapshot.weights_N(snapshot.labeled("train"), 0.5)
    assert weights is not None
    assert sorted(weights.tolist()) == [0.5, 1, 1, 1, 1, 1]


@pytest.mark.long  # the readers are loaded in a process of their own
def test_real_readers_validate_a_run(db: Database, home: Home, project: Project) -> None:
    """No person labels an image on the way."""
    pytest.importorskip("rapidocr")
    pytest.importorskip("ddddocr")
    add_renders(db, project, [f"{number * 7919 % 10**6:06}" for number in range(1, 81)])
    job = start_proposing(db, home, project, readers=READERS, operator="Ann")
    control.finish(db, home, job.id, lambda _: None)
    accept_agreed(db, project, "Ann")
    config = with_options(preset("fast"), SETTINGS)

    run = start_training(db, home, project, config, preset="fast", operator="Ann")
    control.finish(db, home, run.job.id, lambda _: None)

    with opened(home.db) as fresh:
        finished = runs.find_run(fresh, run.job.id)
    assert finished is not None
    assert (finished.reference, finished.val_correct is not None) == ("readers", True)
    assert 0 < finished.val_n <= samples.count_samples(db, project.id, split="val")
