"""Steps that browser tests share across pages."""

import re

import numpy as np
from playwright.sync_api import Page, expect

from core.charset import TextSpec
from core.data.labeling import apply_events
from core.evaluation.predictions import Predictions
from core.training.snapshot import write_snapshot
from db import jobs, runs, samples
from db.connection import opened, write
from db.records import Project
from tests.helpers.lab import Lab

SECOND_DIGIT_WRONG = 3
"""Validation images of `add_run` with a misread second digit."""


def open_at(page: Page, lab: Lab, path: str, title: str) -> None:
    page.goto(lab.url + path)
    expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible(timeout=30_000)
    settle(page)


def settle(page: Page) -> None:
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning", timeout=30_000)


def add_run(lab: Lab, project: Project) -> str:
    """Label all images with zeros, and add a finished run that reads some second digits as 7."""
    spec = TextSpec(project.length, project.charset)
    with opened(lab.home.db) as db:
        rows = samples.select_samples(db, project.id)
        zeros = "0" * project.length
        events = [
            {"event": f"{row.id}", "action": "label", "sample": row.sha256, "text": zeros, "base": 0} for row in rows
        ]
        apply_events(db, project, "tests", events)
        with write(db):
            number = jobs.next_number(db, "train")
            name = f"{number:04}-fast"
            job = jobs.insert_job(db, id=name, number=number, kind="train", project_id=project.id, request_id=name)
            runs.insert_run(db, job_id=job.id, preset="fast", config="{}", dataset_sha256="", train_n=1, val_n=1)
            jobs.set_state(db, job, "finished", final=True)
    folder = lab.home.run(job.id)
    (folder / "checkpoints").mkdir(parents=True)
    write_snapshot(folder / "dataset.npz", [(row.sha256, row.split, zeros, row.name, b"") for row in rows])
    val = [row.sha256 for row in rows if row.split == "val"]
    probs_NPC = np.full((len(val), spec.length, spec.num_classes), 0.01)
    probs_NPC[:, :, 0] = 0.91
    probs_NPC[:SECOND_DIGIT_WRONG, 1, 7] = 2.0
    log_probs_NPC = np.log(probs_NPC / probs_NPC.sum(axis=2, keepdims=True))
    Predictions(
        sha256=val, labels=[zeros] * len(val), views=["as it is"], log_probs_VNPC=log_probs_NPC[None].astype(np.float32)
    ).save(folder / "predictions-val.npz")
    return job.id


def import_zip(page: Page, archive: bytes, project: str) -> None:
    """Fill the import form of Home on a fresh machine, and press its button."""
    page.locator("input[type=file]").first.set_input_files(
        {"name": "images.zip", "mimeType": "application/zip", "buffer": archive}
    )
    for title, value in (
        ("Project name", project),
        ("Source name", "login page"),
        ("Portal owner", "tests"),
        ("Authorization reference", "own images"),
    ):
        field = page.get_by_role("textbox", name=title)
        field.fill(value)
        field.press("Tab")
        settle(page)
    page.get_by_role("button", name=re.compile("^Import .* into ")).click()
