"""Diagnoses: every state from a real run, and the thresholds with artificial lines."""

import json
import math
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.charset import TextSpec
from core.errors import TrainingError
from core.images.pixels import encode_png
from core.jobs.failures import explain
from core.jobs.jobdir import JobDir
from core.model.config import TrainConfig
from core.training import engine
from core.training.doctor import Diagnosis, Line, diagnose, lines_of_kind, selected_line
from core.training.guessing import Guessing
from core.training.snapshot import Row, load_snapshot, write_snapshot
from core.words import plural
from tests.helpers import toy
from tests.helpers.repository import ROOT
from tests.helpers.stand_in import MakeJob, RunJob
from tests.helpers.waiting import wait_for_end, wait_until_working

TOY = replace(toy.CONFIG, stride=16)
SMALL = replace(TOY, image_size=(16, 48))
SIX = TextSpec(6, "0123456789")
CRAMPED = """
import resource, sys
from pathlib import Path
from core.jobs.work import run_worker
from core.runs.worker import run_job
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20),) * 2)
sys.exit(run_worker(sys.argv[1], run_job))
"""
"""The worker, limited to 300 MB beyond its imports."""

Fit = Callable[..., list[Line]]


@pytest.fixture
def fit(tmp_path: Path) -> Fit:
    """Train and return the lines of metrics.jsonl."""

    def trained(rows: list[Row], config: TrainConfig) -> list[Line]:
        write_snapshot(tmp_path / "dataset.npz", rows)
        data, lines = load_snapshot(tmp_path / "dataset.npz"), []
        choices = engine.choose(data, config, toy.SPEC, say=lambda _: None) | {"threads": 1, "layout": "channels_last"}
        engine.fit(
            data, config, toy.SPEC, choices, tmp_path / "checkpoints",
            on_step=lines.append, on_val=lines.append, should_stop=lambda: False, say=lambda _: None,
        )  # fmt: skip
        return lines

    return trained


def relabeled(rows: list[Row], label: Callable[[int, str], str]) -> list[Row]:
    """Return the images with labels from `label`, given row number and true text."""
    return [
        (sha256, split, label(index, text or ""), name, png)
        for index, (sha256, split, text, name, png) in enumerate(rows)
    ]


def until(lines: list[Line], step: int) -> list[Line]:
    return [line for line in lines if line["step"] <= step]


def of(lines: list[Line], config: TrainConfig, **more: Any) -> Diagnosis:
    return diagnose(lines, spec=toy.SPEC, config=config, steps=config.max_steps or 0, **more)


# Real runs


def test_a_run_that_goes_well_is_at_chance_then_learning_then_finished(fit: Fit) -> None:
    """The states come in this order, and none is worrying."""
    config = replace(TOY, max_steps=40, lr=1e-3)
    lines = fit(toy.rows(90), config)

    diagnoses = [of(until(lines, line["step"]), config) for line in lines if line["kind"] == "val"]

    assert list(dict.fromkeys(diagnosis.state for diagnosis in diagnoses)) == ["plateau", "learning"]
    assert not any(diagnosis.worrying for diagnosis in diagnoses)
    end = of(lines, config, state="finished")
    assert end.state == "finished"
    assert "18 of 18 validation images right (100.0%)" in end.sentence
    assert of([], config).state == "starting"


def test_the_first_steps_are_a_plateau_with_its_expected_end(fit: Fit) -> None:
    """It gives the figures, those of guessing, and says that nothing is wrong."""
    config = replace(TOY, max_steps=3, lr=1e-4)
    found = of(fit(toy.rows(90), config), config)

    assert found.state == "plateau"
    assert not found.worrying
    assert "At chance after 3 of 3 steps" in found.sentence
    assert "(guessing gives 1.099)" in found.sentence
    assert "within 300 steps. This run may be too short." in found.advice


@pytest.mark.long
def test_labels_of_other_images_are_misaligned_once_they_are_learned_by_heart(fit: Fit) -> None:
    """Each image has the label of another, as with a shifted CSV."""
    labels = [text for _, _, text, _, _ in toy.rows(90)]
    random.Random(0).shuffle(labels)
    config = replace(TOY, max_steps=100)

    found = of(fit(relabeled(toy.rows(90), lambda index, _: labels[index] or ""), config), config)

    assert found.state == "misaligned"
    assert "Memorized" in found.sentence
    assert "Samples page" in found.advice


@pytest.mark.long
def test_a_position_whose_labels_are_random_is_a_dead_head(fit: Fit) -> None:
    """Positions are 1-based in the sentence."""
    rng = random.Random(0)
    config = replace(TOY, max_steps=60, seed=2, column_loss=0.0)  # with that loss, so few steps read 94% there

    found = of(fit(relabeled(toy.rows(90), lambda _, text: text[0] + rng.choice("|-x")), config), config)

    assert found.state == "dead_head"
    assert found.sentence.startswith("Position 2 is still at chance after 60 of 60 steps")
    assert "100% at the other positions" in found.sentence


@pytest.mark.long
def test_images_without_their_text_get_one_constant_reading(fit: Fit) -> None:
    """Images are blank. During the expected plateau, the state is plateau."""
    config = replace(SMALL, max_steps=310, batch_size=8)
    blank = [
        (sha256, split, text, name, encode_png(np.full((32, 64, 3), index, np.uint8)))
        for index, (sha256, split, text, name, _) in enumerate(toy.rows(90))
    ]
    lines = fit(blank, config)

    found = of(lines, config)

    assert of(until(lines, 299), config).state == "plateau"
    assert found.state == "constant_reading"
    assert "All 18 validation images are read as the same text after 310 of 310 steps" in found.sentence


@pytest.mark.long
def test_wrong_labels_learned_by_heart_are_overfitting(fit: Fit) -> None:
    """About every seventh label is wrong, without augmentation. The model gets more confident in its errors."""
    rng = random.Random(0)
    config = replace(SMALL, max_steps=150)
    rows = relabeled(
        toy.rows(90, val=30), lambda _, text: text if rng.random() < 0.85 else rng.choice("|-x") + rng.choice("|-x")
    )

    lines = fit(rows, config)
    found, selected = of(lines, config), selected_line(lines_of_kind(lines, "val"))

    assert found.state == "overfitting"
    assert f"The selected checkpoint is step {selected['step']} with loss {selected['loss']:.3f}" in found.sentence


def test_a_high_lr_diverges(fit: Fit) -> None:
    """The loss is still finite, and far above guessing."""
    config = replace(TOY, max_steps=30, lr=1.0, backbone="test_vit")

    found = of(fit(toy.rows(90), config), config)

    assert found.state == "diverging"
    assert "a tenth of the `lr` (0.1 instead of 1)" in found.advice


def test_a_nan_loss_is_reported_with_its_reason(fit: Fit) -> None:
    """Train a network without norms at the highest rate that --set allows."""
    config = replace(TOY, max_steps=60, lr=1.0, backbone="test_nfnet")
    with pytest.raises(TrainingError) as caught:
        fit(toy.rows(90), config)

    reason, cause = explain(caught.value, {"kind": "train", "config": config.to_dict()})
    found = of([], config, state="failed", cause=cause, reason=reason)

    assert found.state == "non_finite"
    assert found.sentence.startswith("The loss became nan")
    assert "0.1 instead of 1" in found.advice


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="its memory is limited as Linux does it")
def test_a_worker_without_memory_says_so(tmp_path: Path) -> None:
    """The job's reason is one sentence with the settings."""
    job = JobDir(tmp_path / "0001-fast")
    job.path.mkdir()
    sha256 = write_snapshot(job.path / "dataset.npz", toy.rows(90))
    config = replace(TOY, batch_size=64, image_size=(256, 512))
    project = {"name": "toy", "length": toy.SPEC.length, "charset": toy.SPEC.charset}
    job.write(
        "run.json",
        {"format": 1, "kind": "train", "project": project, "config": config.to_dict(), "dataset": {"sha256": sha256}},
    )

    done = subprocess.run(
        [sys.executable, "-c", CRAMPED, str(job.path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    status = json.loads((job.path / "status.json").read_text())
    reason, cause = status["reason"], status["cause"]
    assert done.returncode == 1
    assert reason == "Out of memory with `batch_size=64` and `image_size=256x512`. Smaller values need less memory.", (
        done.stderr
    )
    found = of(job.metrics(), config, state="failed", cause=cause, reason=reason)
    assert found.state == "out_of_memory"
    assert "a smaller `batch_size` (now 64) or `image_size` (now 256x512)" in found.advice


def test_a_worker_that_was_killed_may_have_had_no_memory(make_job: MakeJob, run_job: RunJob) -> None:
    """The kernel sends SIGKILL without a request to stop."""
    job = make_job()
    run_job(job)
    os.kill(wait_until_working(job), signal.SIGKILL)
    view = wait_for_end(job)

    found = of([], TOY, state=view.state, cause=view.cause, reason=view.reason, image_size=[32, 64])

    assert found.state == "out_of_memory"
    assert found.sentence == view.reason
    assert "`image_size` (now 32x64)" in found.advice


# Reasons


def test_another_failure_is_not_explained_away() -> None:
    """The diagnosis describes the run. The reason is shown beside it."""
    lines = [step_line(400, 0.4), val_line(400, [0.9] * 6, loss=0.3)]

    assert doctor(lines, state="failed", reason="The disk or its quota is full.").state == "learning"


def test_steps_of_a_killed_attempt_do_not_count() -> None:
    """It resumed from an earlier step, and with max_minutes it may end before the old step."""
    lines = [val_line(step, [0.9] * 6) for step in (12, 24, 36, 44)] + [val_line(step, [0.8] * 6) for step in (24, 26)]

    assert [line["step"] for line in lines_of_kind(lines, "val")] == [12, 24, 26]
    assert lines_of_kind(lines, "val")[1] is lines[4]


# Made-up lines


def step_line(step: int, loss: float, accuracy: float = 0.1) -> Line:
    return {"kind": "step", "step": step, "epoch": 1, "loss": loss, "accuracy": accuracy, "lr": 1e-3, "seconds": 1.0}


def val_line(step: int, shares: list[float], *, loss: float | None = 2.3, answers: int = 50) -> Line:
    return {
        "kind": "val", "step": step, "epoch": 1, "loss": loss, "correct": int(56 * math.prod(shares)), "n": 56,
        "exact": 0.0, "per_position": shares, "answers": answers, "seconds": 1.0,
    }  # fmt: skip


doctor = partial(diagnose, spec=SIX, config=TrainConfig(), steps=1500)
CHANCE = [0.07, 0.16, 0.07, 0.21, 0.12, 0.04]
"""Accuracy per position at the start, from a real portal."""
REAL = [
    (15, 2.305, 2.31, CHANCE),
    (30, 2.301, 2.267, [0.16, 0.18, 0.09, 0.11, 0.18, 0.09]),
    (45, 2.117, 2.084, [0.2, 0.23, 0.23, 0.21, 0.23, 0.18]),
    (60, 1.956, 1.827, [0.34, 0.21, 0.48, 0.21, 0.3, 0.38]),
    (75, 1.912, 1.698, [0.57, 0.32, 0.38, 0.39, 0.41, 0.38]),
    (90, 1.754, 1.427, [0.43, 0.34, 0.5, 0.36, 0.45, 0.68]),
    (105, 1.3, 1.052, [0.68, 0.57, 0.61, 0.48, 0.52, 0.82]),
    (120, 1.329, 0.782, [0.88, 0.66, 0.73, 0.57, 0.79, 0.86]),
    (150, 0.62, 0.41, [0.98, 0.84, 0.84, 0.79, 0.93, 0.95]),
    (210, 0.432, 0.138, [0.96, 0.96, 1.0, 0.95, 0.98, 0.98]),
    (1470, 0.006, 0.093, [0.98, 0.96, 1.0, 0.95, 0.98, 0.98]),
    (1500, 0.046, 0.093, [0.98, 0.96, 1.0, 0.95, 0.98, 0.98]),
]
"""Step, training loss, validation loss and accuracy per position: preset fast on 489 images of a real portal."""


def lines_at(rows: list[tuple[int, float, float, list[float]]]) -> list[Line]:
    return [
        line
        for step, loss, val, shares in rows
        for line in (step_line(step, loss, accuracy=shares[0]), val_line(step, shares, loss=val))
    ]


def test_a_real_run_is_never_accused() -> None:
    """It is at chance for 30 steps, then learning."""
    diagnoses = [doctor(lines_at(REAL[:count])) for count in range(1, len(REAL) + 1)]

    assert [diagnosis.state for diagnosis in diagnoses] == ["plateau"] * 2 + ["learning"] * 10
    assert doctor(lines_at(REAL), state="finished").state == "finished"


@pytest.mark.parametrize(
    ("step", "answers", "state", "worrying"),
    [
        (300, 1, "plateau", False),
        (305, 50, "plateau", True),
        (600, 50, "plateau", True),
        (605, 50, "misaligned", True),
        (305, 2, "constant_reading", True),
        (605, 2, "constant_reading", True),
        (305, 3, "plateau", True),
    ],
)
def test_a_plateau_has_an_expected_end(step: int, answers: int, state: str, worrying: bool) -> None:
    """It is a fifth of the steps. Then the advice changes, and after twice as long the state."""
    lines = [line for at in (step - 15, step) for line in (step_line(at, 2.3), val_line(at, CHANCE, answers=answers))]

    found = doctor(lines)

    assert (found.state, found.worrying) == (state, worrying)
    assert ("This is normal" in found.advice) == (not worrying)
    assert ("by step 300" in found.text) == (state == "plateau")


@pytest.mark.parametrize(("steps", "expected"), [(100, 300), (1500, 300), (4000, 800)])
def test_the_expected_end_follows_from_the_run(steps: int, expected: int) -> None:
    """Longer runs warm up longer."""
    found = diagnose([step_line(50, 2.3)], spec=SIX, config=TrainConfig(), steps=steps)

    assert f" {expected} " in found.advice.replace(".", " ")


def test_a_validation_of_long_ago_does_not_hide_that_the_network_learns() -> None:
    """Between two evaluations, the training figures are newer."""
    lines = [step_line(10, 2.3), val_line(10, CHANCE)]

    assert doctor(lines).state == "plateau"
    assert doctor([*lines, *(step_line(10 + index, 1.0, 0.6) for index in range(1, 30))]).state == "learning"


@pytest.mark.parametrize(
    ("shares", "state", "named"),
    [
        ([0.9, 0.9, 0.1, 0.9, 0.9, 0.9], "dead_head", "Position 3 is"),
        ([0.1, 0.9, 0.9, 0.9, 0.9, 0.2], "dead_head", "Positions 1 and 6 are"),
        ([0.9, 0.9, 0.3, 0.9, 0.9, 0.9], "learning", "80% of the validation characters"),
        ([0.5, 0.5, 0.1, 0.5, 0.5, 0.5], "learning", "43% of the validation characters"),
    ],
)
def test_a_head_is_dead_when_the_others_read(shares: list[float], state: str, named: str) -> None:
    """It is at chance and the others are past halfway, in two consecutive validations."""
    lines = [line for step in (400, 415) for line in (step_line(step, 0.9, 0.8), val_line(step, shares, loss=0.8))]

    found = doctor(lines)

    assert found.state == state
    assert found.sentence.startswith(named)
    assert doctor(lines[:2]).state == "learning"


def few_images(n: int, shares: list[float], *, answers: int = 50) -> Line:
    """Return a validation of n images."""
    return val_line(400, shares, answers=answers) | {"n": n, "correct": int(n * math.prod(shares))}


def at_steps(val: Line, loss: float, accuracy: float = 0.8, steps: tuple[int, ...] = (600, 615)) -> list[Line]:
    """Return this validation at each of the steps, with a training line before it."""
    return [line for step in steps for line in (step_line(step, loss, accuracy), val | {"step": step})]


@pytest.mark.parametrize(("n", "state"), [(3, "learning"), (5, "learning"), (56, "dead_head")])
def test_a_handful_of_images_does_not_show_a_dead_head(n: int, state: str) -> None:
    """0 of 3 right at one position allows 71%, and 3 of 3 at the others allows 29%."""
    found = doctor(at_steps(few_images(n, [1.0, 0.0, 1.0, 1.0, 1.0, 1.0]), 0.5))

    assert found.state == state
    assert ("So few validation images say little" in found.text) == (n < 6)


@pytest.mark.parametrize(("n", "state"), [(3, "learning"), (5, "learning"), (56, "misaligned")])
def test_a_handful_of_images_does_not_show_misaligned_labels(n: int, state: str) -> None:
    """30 labels have 3 in val, and a model that knows its 27 training images often reads none of the 3."""
    lines = at_steps(few_images(n, [0.0] * 6), 0.1, steps=(60, 120, 180, 240))

    found = doctor(lines, steps=240)

    assert found.state == state
    assert ("shifted by a row" in found.text) == (state == "misaligned")


@pytest.mark.parametrize(("n", "state"), [(5, "plateau"), (6, "constant_reading"), (56, "constant_reading")])
def test_a_handful_of_images_does_not_show_a_constant_reading(n: int, state: str) -> None:
    """Their readings may be equal by accident."""
    assert doctor(at_steps(few_images(n, [0.0] * 6, answers=1), 2.3, steps=(400, 415))).state == state


@pytest.mark.parametrize(("n", "state"), [(3, "learning"), (19, "learning"), (20, "overfitting")])
def test_a_handful_of_images_does_not_show_overfitting(n: int, state: str) -> None:
    """One of them decides their mean loss."""
    losses = [0.5, 0.2, 0.25, 0.3, 0.35]
    lines = [
        line
        for index, loss in enumerate(losses)
        for line in (
            step_line(400 + 15 * index, 0.05, 0.99),
            few_images(n, [0.95] * 6) | {"step": 400 + 15 * index, "loss": loss},
        )
    ]

    assert doctor(lines).state == state


def test_a_finished_run_with_a_handful_of_images_asks_for_more() -> None:
    """The result of three images says nothing about the errors that remain."""
    found = doctor(at_steps(few_images(3, [1.0] * 6), 0.01, 1.0), state="finished")

    assert found.state == "finished"
    assert found.advice == "So few validation images say little: label more images."


def test_a_finished_run_that_reads_little_is_worrying() -> None:
    """The page shows it in amber, although the run itself went well."""
    assert not doctor(lines_at(REAL), state="finished").worrying
    lines = [line | ({"correct": int(0.4 * line["n"])} if line["kind"] == "val" else {}) for line in lines_at(REAL)]

    found = doctor(lines, state="finished")
    assert (found.state, found.worrying) == ("finished", True)
    assert found.advice.startswith("Label more images or train longer.")


SKEWED = Guessing(shares=(0.956, 0.11, 0.11, 0.11), loss=1.8)
"""Four positions. The first has the same character in 956 of 1,000 images."""
FOUR = TextSpec(4, "0123456789")


def test_chance_is_the_share_of_the_most_frequent_character() -> None:
    """33% of the characters right is guessing if the most frequent ones give 32%."""
    lines = at_steps(few_images(100, [0.96, 0.13, 0.11, 0.12]), 1.79, steps=(100, 200))

    found = doctor(lines, spec=FOUR, guessing=SKEWED)

    assert doctor(lines, spec=FOUR).state == "learning"
    assert found.state == "plateau"
    assert "33% of the validation characters right (guessing gives 32%)" in found.sentence
    assert "training loss 1.790 (guessing gives 1.800)" in found.sentence


def test_a_position_that_always_gives_its_most_frequent_character_is_named() -> None:
    """94% right looks good, and it is what one constant reading gives."""
    val = few_images(100, [0.94, 0.97, 0.98, 0.97])
    counted = at_steps(val | {"answers_per_position": [1, 10, 10, 10]}, 0.1)
    varied = at_steps(val | {"answers_per_position": [3, 10, 10, 10]}, 0.1)
    few = at_steps(val | {"n": 50, "answers_per_position": [1, 10, 10, 10]}, 0.1)  # only 3 of 50 are misread

    found = doctor(counted, spec=FOUR, guessing=SKEWED)

    assert found.state == "dead_head"
    assert found.sentence.startswith(
        "Position 1 has one reading in all validation images after 615 of 1,500 steps: 94%"
    )
    assert "(guessing gives 96%)" in found.sentence
    assert doctor(varied, spec=FOUR, guessing=SKEWED).state == "learning"
    assert doctor(few, spec=FOUR, guessing=SKEWED).state == "learning"


def test_a_start_at_equal_frequencies_is_not_diverging() -> None:
    """Guessing gives 0.3 where most positions are blank. Every run begins at ln C, 2.3."""
    blank = Guessing(shares=(0.95,) * 4, loss=0.3)
    lines = [step_line(step, 2.3) for step in range(1, 30)]

    assert doctor(lines, spec=FOUR, guessing=blank).state == "plateau"


def test_a_position_that_reads_the_rare_characters_is_not_at_chance() -> None:
    """99% where guessing gives 95% is reading, at length 1 too."""
    one = TextSpec(1, "0123456789N")
    lines = at_steps(few_images(1000, [0.99]), 0.05, 0.99)

    found = doctor(lines, spec=one, guessing=Guessing(shares=(0.95,), loss=0.3), state="finished")

    assert found.state == "finished"


def test_one_character_that_is_always_blank_is_a_constant_reading() -> None:
    """It is right in most images, and wrong in all that show something."""
    one = TextSpec(1, "0123456789N")
    lines = at_steps(few_images(200, [0.95], answers=1), 0.3)

    found = doctor(lines, spec=one, guessing=Guessing(shares=(0.95,), loss=0.3))

    assert found.state == "constant_reading"


@pytest.mark.parametrize(
    ("losses", "accuracy", "state"),
    [
        ([0.5, 0.2, 0.25, 0.3, 0.35], 0.99, "overfitting"),
        ([0.5, 0.2, 0.25, 0.3, 0.35], 0.9, "learning"),
        ([0.5, 0.2, 0.3, 0.21, 0.35], 0.99, "learning"),
        ([0.5, 0.2, 0.205, 0.21, 0.215], 0.99, "learning"),
        ([0.02, 0.002, 0.003, 0.003, 0.004], 0.99, "learning"),
    ],
)
def test_overfitting_is_a_clear_and_lasting_rise(losses: list[float], accuracy: float, state: str) -> None:
    """The validation loss rises, and the training images are known."""
    lines = [
        line
        for index, loss in enumerate(losses)
        for line in (step_line(400 + 15 * index, 0.05, accuracy), val_line(400 + 15 * index, [0.95] * 6, loss=loss))
    ]

    assert doctor(lines).state == state


def test_overfitting_names_the_loss_of_the_weights_that_are_kept() -> None:
    """Usually it is the latest, with the higher loss, or an earlier one that reads clearly more."""
    losses = [0.5, 0.2, 0.25, 0.3, 0.35]
    lines = lines_at([(400 + 15 * index, 0.05, loss, [0.99] * 6) for index, loss in enumerate(losses)])
    val = lines_of_kind(lines, "val")

    for line in val:
        line["kept"] = True
    assert "to 0.350. The selected checkpoint is step 460 with loss 0.350." in doctor(lines).sentence

    for line in val[2:]:
        line["kept"] = False
    assert "to 0.350. The selected checkpoint is step 415 with loss 0.200." in doctor(lines).sentence


@pytest.mark.parametrize(("length", "charset", "n"), [(1, "01", 1), (1, "01", 4), (2, "01", 2), (1, "abc", 2)])
def test_a_few_images_all_read_right_are_not_guessing(length: int, charset: str, n: int) -> None:
    """All right is not guessing, even on few images."""
    lines = [
        line
        for step in (400, 415)
        for line in (step_line(step, 0.001, 1.0), val_line(step, [1.0] * length, loss=0.001) | {"correct": n, "n": n})
    ]

    found = diagnose(lines, spec=TextSpec(length, charset), config=TrainConfig(), steps=415, state="finished")

    assert found.state == "finished"
    assert f"{n} of {plural(n, 'validation image')} right (100.0%)" in found.sentence


def test_one_misread_image_is_not_rounded_away() -> None:
    """2,999 of 3,000 is not 100%, for images and for characters."""
    val = val_line(500, [1.0] * 5 + [2_999 / 3_000], loss=0.01) | {"correct": 2_999, "n": 3_000}
    lines = [step_line(500, 0.01, 0.9999), val]

    assert ">99% of the validation characters and 2,999 of 3,000 images" in doctor(lines).sentence
    assert "2,999 of 3,000 validation images right (99.97%)" in doctor(lines, state="finished").sentence


def test_a_nan_validation_loss_is_reported() -> None:
    """This also holds while the run continues."""
    found = doctor([step_line(400, 0.9, 0.8), val_line(400, [0.9] * 6, loss=None)])

    assert found.state == "non_finite"
    assert "at step 400" in found.sentence


def test_lines_of_an_earlier_version_and_of_a_resumed_run_are_read() -> None:
    """They lack the count of readings, repeat steps, and contain lines of other kinds."""
    lines = [{"kind": "attempt", "pid": 1}]
    for step in (305, 320, 305, 320):
        lines += [step_line(step, 2.3), val_line(step, CHANCE)]
        del lines[-1]["answers"]

    assert doctor(lines).state == "plateau"


@pytest.mark.parametrize("line", [{}, {"step": 1}, {"step": 1, "loss": 1.0, "n": 5}])
def test_a_line_that_lacks_values_is_ignored(line: dict[str, object]) -> None:
    """A failing disk or another program damaged metrics.jsonl."""
    assert lines_of_kind([{"kind": "val", **line}], "val") == []
    assert lines_of_kind([{"kind": "step"}, {"kind": "step", "step": 1}], "step") == []
