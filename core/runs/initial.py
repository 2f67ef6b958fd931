"""Another run as the start of a new one."""

import json
from dataclasses import replace

from core.errors import JobError, OptionError
from core.home import Home
from core.jobs import control
from core.model.config import TrainConfig
from core.model.init_choice import check_fit, choose_init, is_run_name, located
from db import runs
from db.records import ACTIVE, Project
from db.sqlite import Database


def resolve(db: Database, home: Home, project: Project, config: TrainConfig) -> tuple[TrainConfig, str]:
    """Return `config` with the full name of the run that `init` names, and `scratch`, `rendered` or a path.

    The Slotlab folder may move, so `config` does not get the path.
    Raises OptionError or CheckpointError if the initial weights do not exist or do not fit.
    """
    if is_run_name(config.init):
        config = replace(config, init=_full_name(db, home, project, config))
    return config, choose_init(located(config, home.runs), project.length)[0]


def _full_name(db: Database, home: Home, project: Project, config: TrainConfig) -> str:
    try:
        job = control.find_job(db, config.init)
    except JobError as error:
        raise OptionError(f"`init={config.init}`: {error}") from None
    run = runs.find_run(db, job.id)
    if run is None:
        raise OptionError(f"`init={config.init}`: {job.id} is not a training run. `slotlab runs` lists the runs.")
    if job.state in ACTIVE:
        raise OptionError(f"`init={config.init}`: the run is {job.state}. Wait until it has finished, or cancel it.")
    if not list(home.run(job.id).glob("checkpoints/*.json")):
        raise OptionError(f"`init={config.init}`: the run has no checkpoint. Resume it, or use another run.")
    check_fit(config, project.length, TrainConfig.from_dict(json.loads(run.config)))
    return job.id
