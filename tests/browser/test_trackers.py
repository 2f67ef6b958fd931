"""The TensorBoard events of a run, downloaded in a browser."""

import zipfile
from pathlib import Path

from playwright.sync_api import Page
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from core.jobs.jobdir import JobDir
from tests.helpers.browsing import add_run, open_at
from tests.helpers.lab import Lab

PATIENCE_MS = 120_000


def test_the_events_of_a_run_are_downloaded(lab: Lab, page: Page, tmp_path: Path) -> None:
    """TensorBoard reads what is in the zip."""
    project = lab.make_project("tracked", 20)
    run = add_run(lab, project)
    job = JobDir(lab.home.run(run))
    line = {"kind": "step", "step": 1, "epoch": 1, "loss": 0.5, "accuracy": 0.5, "lr": 0.001, "seconds": 1}
    job.append_metrics(line)
    job.write("status.json", {"state": "running", "step": 1, "steps": 1})
    job.write("run.json", {"format": 1, "kind": "train"})
    job.write("result.json", {"best_step": 1})
    open_at(page, lab, f"/train?project={project.name}&run={run}", "Train")
    page.get_by_text("Settings and data of this run").click()

    with page.expect_download(timeout=PATIENCE_MS) as download:  # the app first imports TensorBoard
        page.get_by_role("button", name="TensorBoard events").click()

    assert download.value.suggested_filename == f"{run}-tensorboard.zip"
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(tmp_path)
    events = EventAccumulator(str(tmp_path / run))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 0.5)]
