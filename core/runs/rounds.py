"""Rounds: a run reads the unlabeled images, sure readings become labels, and a new run trains on them too.

Agreement of the general readers leaves out just the characters that one of them cannot tell apart. A round brings those
images back in two ways (core.evaluation.sure_readings). The run is confident, and one reader agrees with it. Or labels
of people show which of two readers is right about a pair of characters.

The gain of a round is measured on the same images with the same labels. People may label images of val between two
runs, and then the earlier run is evaluated again.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.data.proposals import rule_of
from core.errors import JobError, OptionError
from core.evaluation.predictions import Predictions
from core.home import Home
from core.jobs import control
from core.jobs.jobdir import JobStatus
from core.model.config import preset
from core.runs.start import held_out, start_evaluation, start_training
from core.runs.unseen import source_held_out_of
from core.words import plural
from db import evaluations, jobs, runs
from db.records import ACTIVE, Job, Project, Run
from db.sqlite import Database

RESUMES = "Start the round again to resume it."


def start_round(
    db: Database, home: Home, project: Project, run: Run, *, operator: str, request_id: str | None = None
) -> Job:
    """Start a round with a finished run. Return the existing job if a round of the project is active.

    The newest round with the same run continues if it was interrupted, because it may have labeled images already.
    So does its next run: a canceled or failed one resumes. Without its files, a new round trains on the same labels.
    Raises OptionError if the readers have read nothing, or cannot be used for this portal.
    """
    if running := control.find_active(db, home, project, "round"):
        return running
    if run.job.state != "finished":
        raise OptionError(f"Run {run.job.id} is {run.job.state}. A round needs a finished run.")
    if not rule_of(db, project).usable:
        raise OptionError("A round needs general readers that can read this portal. Run `slotlab propose` first.")
    newest = jobs.find_newest(db, project.id, "round")
    spec: dict[str, Any] = {"run": run.job.id, "operator": operator}
    if newest and newest.state != "finished" and control.spec(home, newest.id).get("run") == run.job.id:
        return control.resume(db, home, newest.id)
    if newest and newest.state == "finished" and (next_run := _unfinished_run(db, newest, run)):
        if next_run.job.state in ACTIVE:
            return newest
        if control.spec(home, next_run.job.id):
            control.resume(db, home, next_run.job.id)
            return newest
        spec["retry"] = True  # its labels have had no run, however few the new ones are
    return control.start_job(db, home, project, "round", spec, request_id=request_id, single=True)


def _unfinished_run(db: Database, newest: Job, run: Run) -> Run | None:
    """Return the next run of a finished round with `run`, if it has not finished."""
    result = json.loads(newest.result or "{}")
    if result.get("run") != run.job.id or result["next_run"] is None:
        return None
    next_run = runs.find_run(db, result["next_run"])
    return next_run if next_run and next_run.job.state != "finished" else None


@dataclass(frozen=True)
class Line:
    """One round, for people and programs."""

    run: str
    accepted: int
    """Readings of the run that became labels."""
    proved: int
    """Readings of one reader that became labels."""
    next_run: str | None
    """None if there was too little to train on."""
    before: tuple[int, int] | None
    """Images of val that the run reads like the reference, and all of them. None if it has not been measured so."""
    after: tuple[int, int] | None
    """The same of the next run; None until it has ended."""
    reference: str
    """people or readers"""
    next_state: str | None = None
    """State of the next run. None if there is none, or if it was deleted."""
    is_run_deleted: bool = False

    @property
    def is_stopped(self) -> bool:
        """True if the next run was canceled, failed or lost. The round can then continue."""
        return self.next_state is not None and self.next_state not in (*ACTIVE, "finished")

    @property
    def helped(self) -> bool:
        """True if the next run reads a larger share of val right, by the same reference."""
        if self.before is None or self.after is None:
            return False
        return self.after[0] * self.before[1] > self.before[0] * self.after[1]

    def sentence(self) -> str:
        """Return what the round did and gained."""
        taken = f"{self.run}: {plural(self.accepted + self.proved, 'more label')}"
        if self.next_run is None:
            return f"{taken}. That is too little for another run."
        if self.next_state is None:
            return f"{taken}. {self.next_run} trained on them and was deleted."
        if self.is_stopped:
            return f"{taken}. {self.next_run} trains on them, but is {self.next_state}. {RESUMES}"
        if self.after is None:
            return f"{taken}. {self.next_run} trains on them."
        name = "Exact match on val" if self.reference == "people" else "Agreement with readers on val"
        after, of_after = self.after
        if self.before is None:
            cause = "was deleted" if self.is_run_deleted else "has not been evaluated on the same labels"
            return (
                f"{taken}. {name}: {after:,} of {of_after:,} ({self.next_run}). {self.run} {cause}, so the gain is "
                "unknown."
            )
        before, of = self.before
        return f"{taken}. {name}: {before:,} of {of:,} before, {after:,} of {of_after:,} after ({self.next_run})."


def run_rounds(
    db: Database, home: Home, project: Project, *, most: int, operator: str, follow: Callable[[JobStatus], None]
) -> Iterator[Line]:
    """Do up to `most` rounds, and stop where one does not help. Yield each when it has ended.

    Raises JobError with the reason of a job that failed, OptionError or TrainingError if a round cannot start.
    """
    run = best_run(db, project)
    if run is None:
        started = start_training(db, home, project, preset("fast"), preset="fast", operator=operator)
        control.finish(db, home, started.job.id, follow)
        run = get_run(db, started.job.id)
    for _ in range(most):
        job = start_round(db, home, project, run, operator=operator)
        line = _finish_round(db, home, control.finish(db, home, job.id, follow), follow)
        yield line
        if line.next_run is None or not line.helped:
            return
        run = get_run(db, line.next_run)


def measure_again(db: Database, home: Home, project: Project, run: Run, *, operator: str) -> Job | None:
    """Evaluate a run on the validation images of a run that starts now. None if it was measured on the same labels."""
    chosen, reference = held_out(db, project, "val", source_held_out_of(db, run))
    own = Predictions.load(home.run(run.job.id) / "predictions-val.npz")
    labels = {sample.sha256: sample.label for sample in chosen}
    if own.reference == reference and labels == dict(zip(own.sha256, own.labels, strict=True)):
        return None
    # Without TTA, as in the result of a training.
    return start_evaluation(db, home, run, "val", tta=False, operator=operator)


def _finish_round(db: Database, home: Home, job: Job, follow: Callable[[JobStatus], None]) -> Line:
    """Wait for the jobs that a round started, and return the round."""
    result = json.loads(job.result or "{}")
    for job_id in (result.get("evaluation"), result["next_run"]):
        if job_id is not None:
            stopped = control.follow(db, home, job_id, follow)
            if stopped.state != "finished":
                raise JobError(" ".join(filter(None, [f"{job_id} is {stopped.state}.", stopped.reason, RESUMES])))
    return line_of(db, result)


def line_of(db: Database, result: Mapping[str, Any]) -> Line:
    """Return a round from its job's result. Its runs may have been deleted since."""
    run = runs.find_run(db, result["run"])
    next_run = None if result["next_run"] is None else runs.find_run(db, result["next_run"])
    before = None if run is None else _measured(db, run, result.get("evaluation"))
    after = None if next_run is None else _measured(db, next_run)
    measured = next_run or run
    reference = "people" if measured is None else measured.reference
    return Line(
        run=result["run"],
        accepted=result["accepted"],
        proved=result["proved"],
        next_run=result["next_run"],
        before=before.counts if before and before.reference == reference else None,
        after=after.counts if after else None,
        reference=reference,
        next_state=next_run.job.state if next_run else None,
        is_run_deleted=run is None,
    )


@dataclass(frozen=True)
class _Measured:
    """The result of a run on val."""

    counts: tuple[int, int]
    """Images that it reads like the reference, and all of them."""
    reference: str


def _measured(db: Database, run: Run, evaluation: str | None = None) -> _Measured | None:
    """Return the result of a run's own validation, or of an evaluation job on val. None before it has ended."""
    if evaluation is None:
        return None if run.val_correct is None else _Measured((run.val_correct, run.val_n), run.reference)
    for each in evaluations.list_evaluations(db, run.job.id, "val"):
        if each.job_id == evaluation:
            return _Measured((each.correct, each.n), each.reference)
    return None


def list_rounds(db: Database, project: Project) -> list[Line]:
    """Return the finished rounds of a project, newest first."""
    finished = [job for job in jobs.list_jobs(db, project_id=project.id, kind="round") if job.state == "finished"]
    return [line_of(db, json.loads(job.result or "{}")) for job in finished]


def best_run(db: Database, project: Project) -> Run | None:
    """Return the finished run that is best on val. Runs measured against people come before those against readers."""

    def place(run: Run) -> tuple[bool, float, int]:
        score = run.score
        if score is None:
            return run.reference == "people", 0.0, run.job.number
        return score.reference == "people", score.correct / score.n, run.job.number

    finished = [run for run in runs.list_runs(db, project.id) if run.job.state == "finished" and run.val_n]
    return max(finished, key=place, default=None)


def get_run(db: Database, run_id: str) -> Run:
    run = runs.find_run(db, run_id)
    if run is None:
        raise OptionError(f"Run {run_id} no longer exists.")
    return run
