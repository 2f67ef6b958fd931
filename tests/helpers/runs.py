"""Runs on labeled samples, started like the app does. The fixture `stand_in` replaces their worker."""

import numpy as np
from sqlite_utils import Database

from core.home import Home
from core.images.pixels import encode_png
from core.jobs.jobdir import JobDir
from core.model.config import TrainConfig
from core.runs.start import start_training
from db import jobs, labels, projects, runs, samples
from db.connection import write
from db.records import Project, Run
from tests.helpers.waiting import wait_until_working

CPU = TrainConfig(device="cpu")


def add_labeled(db: Database, project: Project, **texts: list[str]) -> None:
    """Add an image per text and split, labeled by Ada."""
    with write(db):
        source = projects.find_source(db, project.id, "images") or projects.insert_source(
            db, project.id, "images", "the team", "ticket 1"
        )
        for split, listed in texts.items():
            for text in listed:
                number = samples.count_samples(db, project.id)
                sample_id = samples.insert_sample(
                    db, project_id=project.id, source_id=source.id, sha256=f"{number:064}", name=f"{text}.png",
                    width=8, height=4, split=split, image=encode_png(np.full((4, 8, 3), number, np.uint8)),
                )  # fmt: skip
                labels.append_event(
                    db, samples.get_sample(db, sample_id), event_id=f"label {number}", operator="ada",
                    action="label", state="labeled", text=text, base_version=0,
                )  # fmt: skip


def add_unlabeled(db: Database, project: Project, **counts: int) -> None:
    """Add the given number of unlabeled images to each split."""
    with write(db):
        source = projects.find_source(db, project.id, "images") or projects.insert_source(
            db, project.id, "images", "the team", "ticket 1"
        )
        for split, count in counts.items():
            for _ in range(count):
                number = samples.count_samples(db, project.id)
                samples.insert_sample(
                    db, project_id=project.id, source_id=source.id, sha256=f"{number:064}", name=f"{number}.png",
                    width=8, height=4, split=split, image=encode_png(np.full((4, 8, 3), number, np.uint8)),
                )  # fmt: skip


def start(db: Database, home: Home, project: Project, request_id: str | None = None) -> Run:
    return start_training(db, home, project, CPU, preset="fast", operator="ada", request_id=request_id)


def start_forever(db: Database, home: Home, project: Project) -> JobDir:
    """Start a run and wait until its stand-in works. The stand-in only ends on request."""
    job = JobDir(home.run(start(db, home, project).job.id))
    wait_until_working(job)
    return job


def add_finished(db: Database, project: Project, reference: str, correct: int | None, n: int) -> str:
    """Add a finished run with its result on val, None for a run without one, and return its id."""
    with write(db):
        number = jobs.next_number(db, "train")
        name = f"{number:04}-fast"
        job = jobs.insert_job(db, id=name, number=number, kind="train", project_id=project.id, request_id=name)
        runs.insert_run(
            db, job_id=job.id, preset="fast", config="{}", dataset_sha256="", train_n=100, val_n=n, reference=reference
        )
        if correct is not None:
            runs.set_val_correct(db, job.id, correct)
        jobs.set_state(db, job, "finished", final=True)
    return job.id
