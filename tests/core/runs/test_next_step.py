"""The next step with a run, from its files."""

import json

from core.data.bulk import skip_samples
from core.home import Home
from core.jobs.jobdir import JobDir
from core.runs.evaluated import load_evaluated
from core.runs.next_step import next_step
from db.connection import write
from db.records import Project
from db.runs import list_runs
from db.samples import select_ids
from db.sqlite import Database


def test_labels_that_nobody_typed_ask_for_no_more_of_them(trained: Project, db: Database, home: Home) -> None:
    """A run on 100 labels of people and 300 verdicts asks for another 100, not for 400."""
    with write(db):
        db.execute("UPDATE runs SET train_n = 400")
    (run,) = list_runs(db, trained.id)
    job = JobDir(home.run(run.job.id))
    (job.path / "metrics.jsonl").write_text(json.dumps({"kind": "step", "step": 5, "accuracy": 1.0}) + "\n")
    job.write("run.json", job.spec() | {"dataset": {"kinds": {"verdict": 300}}})

    found = next_step(db, home, load_evaluated(db, home, run, "val"))

    assert found.sentence.endswith("All images are labeled: import about 100 more, and label them.")


def test_skipped_images_are_not_called_labeled(trained: Project, db: Database, home: Home) -> None:
    """A bulk skip leaves nothing to label, and the sentence says why."""
    skipped = select_ids(db, trained.id, split="val", state="labeled")[:2]
    skip_samples(db, trained, "Ann", skipped, None, request="skip", confirmed=2)
    (run,) = list_runs(db, trained.id)
    metrics = home.run(run.job.id) / "metrics.jsonl"
    metrics.write_text(json.dumps({"kind": "step", "step": 5, "accuracy": 1.0}) + "\n")

    found = next_step(db, home, load_evaluated(db, home, run, "val"))

    assert "All images are labeled, except 2 that are skipped: import about" in found.sentence
