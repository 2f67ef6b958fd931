"""Another run as the start of a new one."""

import json
from dataclasses import replace
from pathlib import Path

from core.errors import JobError, OptionError
from core.home import Home
from core.jobs import control
from core.model.config import TrainConfig
from core.model.init_choice import NAMES, check_fit, choose_init
from db import runs
from db.records import ACTIVE, Project
from db.sqlite import Database


def resolve(db: Database, home: Home, project: Project, config: TrainConfig) -> TrainConfig:
    """Return `config` with the directory of the run that `init` names, because a worker has no database.

    Raises OptionError or CheckpointError if the initial weights do not exist or do not fit.
    """
    if config.init not in NAMES and not Path(config.init).is_absolute():
        config = replace(config, init=str(_directory(db, home, project, config).resolve()))
    choose_init(config, project.length)
    return config


def _directory(db: Database, home: Home, project: Project, config: TrainConfig) -> Path:
    try:
        job = control.find_job(db, config.init)
    except JobError as error:
        raise OptionError(f"init={config.init}: {error}") from None
    run, directory = runs.find_run(db, job.id), home.run(job.id)
    if run is None:
        raise OptionError(f"init={config.init}: {job.id} is not a training run. `slotlab runs` lists the runs.")
    if job.state in ACTIVE:
        raise OptionError(f"init={config.init}: the run is {job.state}. Wait until it has finished, or cancel it.")
    if not list(directory.glob("checkpoints/*.json")):
        raise OptionError(f"init={config.init}: the run has no checkpoint. Resume it, or use another run.")
    check_fit(config, project.length, TrainConfig.from_dict(json.loads(run.config)))
    return directory
