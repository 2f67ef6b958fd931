"""The reliability bench in short form: every kind of process is killed a few times, and nothing is lost."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from sqlite_utils import Database

from bench.cells import ROOT
from bench.reliability.kills import SHARES, Plan, measure, scaled
from bench.reliability.scene import Scene
from bench.reliability.verdict import damage, lost, wrong_jobs
from bench.reliability.writers import Acknowledgment
from bench.tables.reliability import kills_table
from core.data.labeling import apply_events
from core.home import Home
from core.jobs import control
from db import jobs
from db.connection import write
from db.records import Project
from tests.helpers.runs import start_forever
from tests.helpers.waiting import wait_until

needs_chromium = pytest.mark.skipif(
    shutil.which("chromium") is None and not os.environ.get("SLOTLAB_REQUIRE_BROWSER"),
    reason="there is no chromium on this machine (Debian: apt install chromium)",
)


@pytest.mark.long
@pytest.mark.browser
@needs_chromium
@pytest.mark.timeout(900)
def test_the_command_kills_everything_a_few_times_and_finds_nothing_wrong() -> None:
    """The short form loses no label, contradicts nothing, and prints its result."""
    command = [sys.executable, "-m", "bench.reliability.kills", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert (result["lost"], result["wrong"]) == ([], [])
    assert result["acknowledged"]["apply_events"] > 20
    assert result["acknowledged"]["browser"] > 5
    assert {victim.split()[0] for victim in result["kills"]} == {"app", "evaluate", "import", "train", "writer"}


@pytest.mark.long
def test_imports_and_runs_beside_killed_writers_end_as_they_should() -> None:
    """Without a browser; an import and a run are killed while two operators label."""
    plan = Plan(writers=2, writer_kills=3, import_kills=3, train_kills=1, evaluate_kills=1)
    result = measure(plan, browser=False)

    assert (result["lost"], result["wrong"]) == ([], [])
    assert result["kills"]["writer"] == 3
    assert sum(n for victim, n in result["kills"].items() if victim.startswith("import")) == 3


def test_kills_are_scaled_to_the_requested_number() -> None:
    """Every kind of process is killed at least once."""
    assert scaled(SHARES, sum(SHARES.values())) == SHARES
    assert min(scaled(SHARES, 1).values()) == 1


def test_the_table_shows_losses_in_bold() -> None:
    """A lost label must stand out."""
    result = {"kills": {"app": 2, "writer": 8}, "acknowledged": {"apply_events": 5000, "browser": 70}, "seconds": 61.2}

    text = kills_table([result | {"lost": [], "wrong": ["a job"]}])

    row = "| 10: 2 app, 8 writer | 5,000 without a browser, 70 in browsers | 0 | **1** | 61 |"
    assert text.splitlines()[-1] == row
    assert "not run" in kills_table([])


# The harness finds what it looks for


def labeled_event(db: Database, project: Project) -> Acknowledgment:
    sample, text = db.execute("SELECT sha256, '321' FROM samples ORDER BY id LIMIT 1").fetchone()
    event = {"event": "e1", "action": "label", "sample": sample, "text": text, "base": 1}
    assert apply_events(db, project, "Ann", [event])[0].status == "saved"
    return Acknowledgment(event="e1", sample=sample, text=text, operator="Ann", status="saved")


@pytest.mark.parametrize("event", ["e1", ""])
def test_a_label_that_is_not_in_the_ledger_is_lost(db: Database, labeled: Project, event: str) -> None:
    """Sample, text and operator must match, whether or not the event's id is known."""
    stored = labeled_event(db, labeled)
    fields = {"event": event, "sample": stored.sample, "operator": "Ann", "status": "saved"}

    assert lost(db, [Acknowledgment(text="321", **fields)]) == []
    assert len(lost(db, [Acknowledgment(text="322", **fields)])) == 1
    assert len(lost(db, [Acknowledgment(text="321", **fields | {"operator": "Ben"})])) == 1


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("UPDATE samples SET label = '999' WHERE id = 1", "unlike its ledger"),
        ("UPDATE samples SET version = 5 WHERE id = 1", "version 5 after 1 changes"),
        ("UPDATE samples SET disputed = 1 WHERE id = 1", "another standing"),
    ],
)
def test_a_sample_that_does_not_follow_from_its_ledger_is_found(
    db: Database, labeled: Project, sql: str, words: str
) -> None:
    """Each column that repeats the ledger is compared with it."""
    assert labeled.name
    assert list(damage(db)) == []
    with write(db):
        db.execute(sql)

    (finding,) = damage(db)
    assert words in finding


@pytest.mark.usefixtures("stand_in")
def test_a_final_row_beside_live_processes_is_wrong(db: Database, home: Home, labeled: Project) -> None:
    """Nobody can cancel a run that is alive but has ended in the database."""
    directory = start_forever(db, home, labeled)
    job = jobs.get_job(db, directory.id)
    with write(db):
        jobs.set_state(db, job, "finished", final=True)

    assert any("its processes are alive" in finding for finding in wrong_jobs(db, home))


@pytest.mark.usefixtures("stand_in")
def test_the_processes_of_a_job_are_killed_by_name(db: Database, home: Home, labeled: Project) -> None:
    """A kill of runner and worker leaves neither."""
    directory = start_forever(db, home, labeled)
    scene = Scene(home, 0)

    assert scene.kill_job(directory.path, "runner and worker", scene.rng("test"))
    wait_until(lambda: not directory.observe().active)
    control.reconcile(db, home)
    assert jobs.get_job(db, directory.id).state == "lost"
    assert not scene.kill_job(directory.path, "worker", scene.rng("test"))
    assert (scene.kills.total(), scene.missed.total()) == (1, 1)
