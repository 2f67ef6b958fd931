"""Another run as the start of a new one: its name is kept, or is refused in one sentence."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sqlite_utils import Database

from core.errors import OptionError
from core.home import Home
from core.jobs import control
from core.jobs.jobdir import JobDir
from core.model.config import TrainConfig, preset, with_options
from core.runs import initial
from core.runs.folds import start_folds
from core.runs.start import start_training
from db import jobs
from db.connection import opened
from db.records import Project
from tests.helpers.runs import start_forever
from tests.helpers.trained import RUN, SETTINGS
from tests.helpers.working import work_here

CONFIG = with_options(preset("fast"), SETTINGS)


@pytest.mark.parametrize("name", ["1", "0001", RUN])
def test_the_full_name_of_a_run_is_kept(home: Home, trained: Project, name: str) -> None:
    with opened(home.db) as db:
        config, _ = initial.resolve(db, home, trained, replace(CONFIG, init=name))

    assert config.init == RUN


def test_the_name_of_a_run_outlives_a_move_of_the_folder(home: Home, trained: Project, tmp_path: Path) -> None:
    """A clone starts from the same run there, and so does a resumed run that has saved nothing."""
    job = JobDir(home.run("0002-fast"))
    job.path.mkdir()
    shutil.copy(home.run(RUN) / "dataset.npz", job.path)
    spec = JobDir(home.run(RUN)).spec()
    del spec["choices"]
    job.write("run.json", spec | {"config": replace(CONFIG, init=RUN).to_dict()})
    assert work_here(job) == 0

    moved = Home(home.root.rename(tmp_path / "moved"))
    job = JobDir(moved.run("0002-fast"))
    with opened(moved.db) as db:
        clone, _ = initial.resolve(db, moved, trained, TrainConfig.from_dict(job.spec()["config"]))
    shutil.rmtree(job.path / "checkpoints")
    job.remove("result.json", "status.json")

    assert clone.init == RUN
    assert work_here(job) == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"init": "nothing"}, "There is no run or job 'nothing'"),
        ({"init": "99"}, "There is no run or job '99'"),
        ({"init": RUN, "width": 64}, "`width=32` and this run has `width=64`"),
        ({"init": RUN, "head": "pool"}, "`head=query` and this run has `head=pool`"),
        ({"init": RUN, "pretrained": "hub"}, "both set weights"),
        ({"init": "/nowhere"}, "no such file or run"),
        ({"init": "rendered"}, "`backbone=resnet10t` and this run has `backbone=test_resnet"),
    ],
)
def test_a_start_that_cannot_work_is_refused(
    home: Home, trained: Project, changes: dict[str, object], sentence: str
) -> None:
    """No run is written."""
    config = replace(CONFIG, **changes)  # type: ignore[arg-type]
    with opened(home.db) as db:
        with pytest.raises(OptionError, match=sentence) as error:
            start_training(db, home, trained, config, preset="fast", operator="ada")
        assert len(jobs.list_jobs(db)) == 1

    assert str(error.value).startswith("`init=")


@pytest.mark.usefixtures("stand_in")
def test_a_run_without_weights_or_at_work_is_refused(db: Database, home: Home, labeled: Project) -> None:
    """Its weights would change, or it has none."""
    job = start_forever(db, home, labeled)
    control.reconcile(db, home)
    with pytest.raises(OptionError, match="the run is running"):
        initial.resolve(db, home, labeled, TrainConfig(init="1"))
    control.cancel(db, home, job.id)
    control.follow(db, home, job.id, lambda _: None)
    for path in job.path.glob("checkpoints/*"):
        path.unlink()

    with pytest.raises(OptionError, match="the run has no checkpoint"):
        initial.resolve(db, home, labeled, TrainConfig(init="1"))


@pytest.mark.usefixtures("stand_in")
def test_a_job_that_is_not_a_training_run_is_refused(home: Home, trained: Project) -> None:
    with opened(home.db) as db:
        job = start_folds(db, home, trained, CONFIG, operator="ada")
        with pytest.raises(OptionError, match=f"{job.id} is not a training run"):
            initial.resolve(db, home, trained, replace(CONFIG, init=job.id))


def test_folds_do_not_start_from_a_run(db: Database, home: Home, labeled: Project) -> None:
    """That run may have learned the labels that a fold checks."""
    with pytest.raises(OptionError, match="suspected labels need `init=auto`, rendered or scratch"):
        start_folds(db, home, labeled, replace(CONFIG, init="1"), operator="ada")


@pytest.mark.long
def test_a_run_starts_from_another_one_in_its_worker(home: Home, trained: Project) -> None:
    """The log and the choices say so."""
    with opened(home.db) as db:
        run = start_training(db, home, trained, replace(CONFIG, init=RUN), preset="fast", operator="ada")
        done = control.follow(db, home, run.job.id, lambda _: None)
    job = JobDir(home.run(run.job.id))

    assert done.state == "finished", done.reason
    choices = job.spec()["choices"]
    assert choices["init"] == str(home.run(RUN).resolve())
    assert f"Initial weights: run {RUN}, SHA-256 {choices['init_sha256']}." in job.log_tail(100)
