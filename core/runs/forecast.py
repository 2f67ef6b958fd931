"""Forecast of a run: how long it will take, and what its labels are likely worth, before it starts."""

import json
from dataclasses import dataclass
from itertools import islice

from core.evaluation.percent import percent
from core.home import Home
from core.jobs import control
from core.jobs.jobdir import JobDir, duration
from core.model.config import TrainConfig
from core.runs import initial
from core.runs.label_curve import hardest
from core.runs.start import FEW, count_training, labels_of_people
from core.runs.unseen import held_out_source
from core.training.doctor import lines_of_kind
from core.words import are, plural
from db.records import Project, Run
from db.runs import list_runs
from db.sqlite import Database

SECONDS_PER_STEP = {"resnet10t": 0.28, "eca_nfnet_l0": 8.0}
"""On one core of a server, with 32 images of 48 x 192 and of 64 x 288 pixels. Used until a run has shown better."""
SAME = ("backbone", "stride", "batch_size", "head", "width", "device")
"""Settings on which the time of a step depends most."""
LOOKED_AT = 20
"""Newest runs of the project that are searched for one with the same settings."""
KNOWN_LABELS = 100
"""Labels of the runs whose result is named."""
WARM_LABELS, COLD_LABELS = 50, 1000
"""Labels below which a run from the rendered weights, or from scratch, is unlikely to be of use."""


@dataclass(frozen=True)
class Forecast:
    """Duration of a run that has not started, what it waits for, and its weak points."""

    steps: int
    """Steps that fit into `max_minutes`, if the time of a step is known."""
    seconds: float | None
    """Time for these steps; None if it is unknown."""
    max_minutes: float | None
    """Minutes that may end the run before its last step; None if they do not."""
    is_measured: bool
    """True if the time comes from a run on this machine."""
    after: str | None
    """The run that has to end before this one starts; None if it starts at once."""
    warnings: tuple[str, ...]

    @property
    def sentence(self) -> str:
        queued = f" Starts after run {self.after}." if self.after else ""
        return f"{self._length}.{queued}"

    @property
    def _length(self) -> str:
        steps = plural(self.steps, "step")
        limit = f"in at most {self.max_minutes:g} min" if self.max_minutes else ""
        if self.seconds is None:
            return f"At most {steps} {limit}" if limit else steps
        source = (
            "as the last run of this kind" if self.is_measured else "on one core; no such run has finished here yet"
        )
        return f"About {steps} {limit}, {source}" if limit else f"{steps} in about {duration(self.seconds)}, {source}"


def forecast(db: Database, home: Home, project: Project, config: TrainConfig) -> Forecast:
    """Return the forecast of a run that is started now. Raises SlotlabError if it could not start."""
    without = held_out_source(db, project, config)
    train = count_training(db, project, without)
    config, init = initial.resolve(db, home, project, config)
    steps, _ = config.planned_steps(train, starts_warm=init != "scratch")
    measured = _measured(db, home, project, config)
    per_step = measured or SECONDS_PER_STEP.get(config.backbone)
    limit = config.max_minutes
    if limit and per_step:
        fitting = max(1, int(60 * limit / per_step))
        limit, steps = (limit, fitting) if fitting < steps else (None, steps)
    return Forecast(
        steps=steps, seconds=per_step * steps if per_step else None, max_minutes=limit,
        is_measured=measured is not None, after=control.starts_after(home, config.device),
        warnings=tuple(_warnings(db, project, train, init)),
    )  # fmt: skip


def _measured(db: Database, home: Home, project: Project, config: TrainConfig) -> float | None:
    """Return the seconds of a step in the newest run with the same settings."""
    for run in islice(list_runs(db, project.id), LOOKED_AT):
        if _is_alike(run, config) and (seconds := _seconds_per_step(home, run)):
            return seconds
    return None


def _is_alike(run: Run, config: TrainConfig) -> bool:
    known = json.loads(run.config)
    return all(known.get(name) == getattr(config, name) for name in SAME)


def _seconds_per_step(home: Home, run: Run) -> float | None:
    lines = lines_of_kind(JobDir(home.run(run.job.id)).metrics(), "step")
    timed = [line for line in lines if isinstance(line.get("seconds"), int | float)]
    if len(timed) < 2 or timed[-1]["step"] == timed[0]["step"]:
        return None
    return float((timed[-1]["seconds"] - timed[0]["seconds"]) / (timed[-1]["step"] - timed[0]["step"]))


def _warnings(db: Database, project: Project, train: int, init: str) -> list[str]:
    """Return what the labels are too few for. The figures are those of docs/benchmarks.md."""
    found, is_cold = [], init == "scratch"
    if train < (COLD_LABELS if is_cold else WARM_LABELS):
        share = hardest("scratch" if is_cold else "rendered", KNOWN_LABELS).share
        found.append(
            f"{plural(train, 'training label')} {are(train)} few{' for a run from scratch' * is_cold}. With "
            f"{KNOWN_LABELS}, a run reads {percent(share)} of the harder of two real portals."
        )
    if (val := labels_of_people(db, project, "val")) < FEW:
        found.append(f"{plural(val, 'validation label')} {are(val)} few: the result will be rough.")
    return found
