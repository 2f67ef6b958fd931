"""Words about a run before it starts: its time, and labels that are too few."""

import json
from dataclasses import replace

import pytest

from core.evaluation.percent import percent
from core.home import Home
from core.jobs.jobdir import JobDir
from core.model.config import TrainConfig, preset
from core.runs.forecast import SECONDS_PER_STEP, forecast
from core.runs.label_curve import hardest
from db import runs
from db.records import Project
from db.sqlite import Database


@pytest.fixture
def config(trained: Project, db: Database) -> TrainConfig:
    """Return the settings of the run of `trained`, which started from scratch, for 100 steps."""
    run = next(iter(runs.list_runs(db, trained.id)))
    return replace(TrainConfig.from_dict(json.loads(run.config)), steps=100, max_steps=None)


def test_the_time_is_that_of_the_last_run_of_this_kind(
    trained: Project, db: Database, home: Home, config: TrainConfig
) -> None:
    """Its first line comes late, because it loads and measures. Only the steps after it count."""
    lines = [
        {"kind": "step", "step": 5, "loss": 1, "seconds": 90},
        {"kind": "step", "step": 25, "loss": 1, "seconds": 100},
    ]
    path = JobDir(home.run("0001-fast")).path / "metrics.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    expected = forecast(db, home, trained, config)
    assert (expected.steps, expected.seconds, expected.is_measured) == (100, 50, True)
    assert expected.sentence == "100 steps in about 50 s, as the last run of this kind."
    assert not forecast(db, home, trained, replace(config, batch_size=16)).is_measured

    path.write_text(f"{json.dumps(lines[0])}\n")
    assert not forecast(db, home, trained, config).is_measured


def test_a_run_that_the_clock_ends_has_no_longer_forecast(
    trained: Project, db: Database, home: Home, config: TrainConfig
) -> None:  # fmt: skip
    """It says the steps that fit, if their time is known. Minutes that are enough say nothing."""
    path = JobDir(home.run("0001-fast")).path / "metrics.jsonl"
    lines = [{"kind": "step", "step": step, "loss": 1, "seconds": step / 2} for step in (5, 25)]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    short = forecast(db, home, trained, replace(config, max_minutes=0.51))
    assert (short.steps, short.seconds) == (61, 30.5)
    assert short.sentence == "About 61 steps in at most 0.51 min, as the last run of this kind."
    enough = forecast(db, home, trained, replace(config, max_minutes=2))
    assert enough.sentence == "100 steps in about 50 s, as the last run of this kind."
    unknown = forecast(db, home, trained, replace(config, backbone="resnet18", max_minutes=2))
    assert unknown.sentence == "At most 100 steps in at most 2 min."


def test_without_a_run_the_time_is_that_of_our_machine(trained: Project, db: Database, home: Home) -> None:
    expected = forecast(db, home, trained, replace(preset("fast"), steps=100))

    assert expected.seconds == pytest.approx(100 * SECONDS_PER_STEP["resnet10t"])
    assert expected.sentence == "100 steps in about 28 s, on one core; no such run has finished here yet."
    unknown = forecast(db, home, trained, replace(preset("fast"), steps=100, backbone="resnet18"))
    assert unknown.sentence == "100 steps."


def test_few_labels_are_said_before_the_start(trained: Project, db: Database, home: Home, config: TrainConfig) -> None:
    """Fewer are enough with rendered weights than from scratch."""
    cold, few = forecast(db, home, trained, config).warnings
    warm, _ = forecast(db, home, trained, preset("fast")).warnings

    assert "few for a run from scratch. With 100, a run reads " in cold
    assert "few. With 100, a run reads " in warm
    assert all(f"reads {percent(hardest(start, 100).share)} of" in text for start, text in
               (("scratch", cold), ("rendered", warm)))  # fmt: skip
    assert few.startswith("5 validation labels are few")


def test_a_run_may_begin_from_another_by_its_number(
    trained: Project, db: Database, home: Home, config: TrainConfig
) -> None:
    """The form accepts what `start_training` accepts. Such a run starts warm, in fewer steps."""
    cold, warm = (forecast(db, home, trained, replace(config, steps=None, init=init)) for init in ("scratch", "1"))

    assert warm.steps < cold.steps
