"""Deletion of projects, sources and runs: counted, confirmed, backed up, and all or nothing after a kill."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from core.backup import backups, removal
from core.backup.check import check
from core.backup.restore import restore
from core.data.copying import copy_project
from core.data.labeling import apply_events
from core.errors import JobError, OptionError, StorageError
from core.home import Home
from core.jobs import control
from core.runs.bundles import find_bundle
from core.runs.promotions import promote
from db import evaluations, jobs, labels, projects, removals, runs, samples
from db.connection import opened, write
from db.records import Project, Removal
from tests.helpers.contents import contents
from tests.helpers.repository import ROOT
from tests.helpers.runs import add_finished, start_forever
from tests.helpers.trained import RUN

PLAIN = "0001-bundle"


@pytest.fixture
def db(home: Home, bundled: Project) -> Iterator[Database]:
    """Database with a trained project that has two bundles."""
    with opened(home.db) as db:
        yield db


def rows_of(db: Database, project: Project) -> list[tuple[object, ...]]:
    """Return the samples of a project with their images and histories."""
    return db.execute(
        "SELECT samples.*, bytes, labels.* FROM samples JOIN images ON images.sample_id = samples.id"
        " LEFT JOIN labels ON labels.sample_id = samples.id WHERE project_id = ? ORDER BY samples.id, labels.id",
        [project.id],
    ).fetchall()


def test_a_project_is_deleted_and_another_one_keeps_the_same_images(home: Home, db: Database, bundled: Project) -> None:
    """Its folders go too, the folder stays intact, a backup has it, and no id is used twice."""
    other, _ = copy_project(db, bundled, "other", operator="ann")
    before, counts = rows_of(db, other), removals.count_project(db, bundled)
    last = samples.newest_id(db, other.id)

    done = removal.delete_project(db, home, bundled, typed="portal", operator="ann")

    assert (counts.images, counts.labels, counts.runs, counts.bundles) == (60, 60, 1, 2)
    assert json.loads(done.counts)["images"] == 60
    assert [project.name for project in projects.list_projects(db)] == ["other"]
    assert rows_of(db, other) == before
    assert [*home.runs.glob("0*"), *home.bundles.iterdir()] == []
    report = check(home)
    assert (report.problems, report.notes, report.images) == ([], [], 60)
    assert [jobs.next_number(db, kind) for kind in ("train", "bundle", "import")] == [2, 3, 1]
    assert done.finished_at

    removal.delete_project(db, home, other, typed="other", operator="ann")
    copied = Home(home.root / "restored").create()
    restore(copied, Path(done.backup or ""))
    with opened(copied.db) as restored:
        assert len(rows_of(restored, bundled)) == 60
    with write(db):
        new = projects.insert_project(db, "again", 3, "0123")
        source = projects.insert_source(db, new.id, "mail", "the team", "ticket 1")
        sample_id = samples.insert_sample(
            db, project_id=new.id, source_id=source.id, sha256="a" * 64, name="a", width=1, height=1, split="train",
            image=b"",
        )  # fmt: skip
    assert (sample_id, new.id, source.id) == (last + 1, other.id + 1, other.id + 1)


def test_the_ledger_stays_append_only_after_a_deletion(home: Home, db: Database, bundled: Project) -> None:
    """The permission ends with the transaction."""
    copy_project(db, bundled, "other", operator="ann")
    removal.delete_project(db, home, bundled, typed="portal", operator="ann")

    for statement in ("DELETE FROM labels", "UPDATE samples SET project_id = 1"):
        with pytest.raises(sqlite3.IntegrityError, match=r"append-only|never change"), write(db):
            db.execute(statement)


@pytest.mark.parametrize("typed", ["", "Portal", "portal "])
def test_nothing_is_deleted_unless_the_name_is_typed(home: Home, db: Database, bundled: Project, typed: str) -> None:
    before = contents(db.conn)
    (source,) = projects.list_sources(db, bundled.id)
    run = runs.list_runs(db)[0]

    with pytest.raises(OptionError, match=r"Nothing was deleted\. Type the name of project portal"):
        removal.delete_project(db, home, bundled, typed=typed, operator="ann")
    with pytest.raises(OptionError, match="Type the name of source rendered"):
        removal.delete_source(db, home, bundled, source, typed=typed, operator="ann")
    with pytest.raises(OptionError, match="Type the number of run 0001-fast"):
        removal.delete_run(db, home, run, typed=typed, operator="ann")

    assert contents(db.conn) == before


def test_without_a_backup_nothing_is_deleted(home: Home, db: Database, bundled: Project) -> None:
    """Labels are hours of people."""
    before, lock = contents(db.conn), backups.take_lock(home)
    assert lock is not None

    with pytest.raises(StorageError, match="A backup is already being made"):
        removal.delete_project(db, home, bundled, typed="portal", operator="ann")
    os.close(lock)

    assert contents(db.conn) == before


@pytest.mark.parametrize("kind", ["project", "source"])
@pytest.mark.parametrize("saves", [1, removal.TRIES])
def test_what_is_saved_during_the_backup_is_not_lost(
    home: Home, db: Database, bundled: Project, monkeypatch: pytest.MonkeyPatch, kind: str, saves: int
) -> None:
    """The backup is repeated until it has all that is deleted. If people do not stop, nothing is deleted."""
    (source,) = projects.list_sources(db, bundled.id)
    sample = samples.select_samples(db, bundled.id, state="labeled")[0]
    back_up, made = backups.back_up, []

    def back_up_while_someone_saves(home: Home) -> backups.Backup:
        made.append(back_up(home))
        if len(made) <= saves:
            doubt = {"event": f"e{len(made)}", "action": "doubt", "sample": sample.sha256, "base": sample.version}
            apply_events(db, bundled, "Ben", [doubt], origin="review")
        return made[-1]

    def delete() -> Removal:
        if kind == "project":
            return removal.delete_project(db, home, bundled, typed="portal", operator="ann")
        return removal.delete_source(db, home, bundled, source, typed="rendered", operator="ann")

    monkeypatch.setattr(backups, "back_up", back_up_while_someone_saves)
    if saves == removal.TRIES:
        with pytest.raises(StorageError, match=f"Nothing was deleted, because {kind} .* changed during each of 3 back"):
            delete()
        assert samples.count_samples(db, bundled.id) == 60
        assert removals.list_removals(db) == []
        return
    done = delete()

    assert (len(made), done.backup) == (2, made[1].path)
    copied = Home(home.root / "restored").create()
    restore(copied, Path(made[1].path))
    with opened(copied.db) as restored:
        assert labels.find_event(restored, "e1")


def test_a_project_whose_run_has_a_successor_elsewhere_is_not_deleted(
    home: Home, db: Database, bundled: Project
) -> None:
    """Evaluations of the later run need the images of the earlier one."""
    other, _ = copy_project(db, bundled, "other", operator="ann")
    later = add_finished(db, other, "people", 1, 2)
    with write(db):
        db.execute("UPDATE runs SET config = ? WHERE job_id = ?", [json.dumps({"init": RUN}), later])
    before = contents(db.conn)

    with pytest.raises(
        JobError,
        match=rf"Run {later} of project other began from run {RUN} of project portal\. Delete that one first\.",
    ):
        removal.delete_project(db, home, bundled, typed="portal", operator="ann")

    assert contents(db.conn) == before
    assert not [*home.backups.glob("*.db")]
    _delete_run(db, home, later)
    removal.delete_project(db, home, bundled, typed="portal", operator="ann")


def test_a_running_job_blocks_every_deletion(home: Home, db: Database, bundled: Project, stand_in: None) -> None:
    """One sentence says which job, and what to do."""
    job = start_forever(db, home, bundled)
    (source,) = projects.list_sources(db, bundled.id)
    before = contents(db.conn)

    for what, delete in (
        ("project portal", lambda: removal.delete_project(db, home, bundled, typed="portal", operator="ann")),
        ("source rendered", lambda: removal.delete_source(db, home, bundled, source, typed="rendered", operator="ann")),
        ("run 0002-fast", lambda: _delete_run(db, home, job.id)),
    ):
        with pytest.raises(JobError, match=f"0002-fast is .*Cancel it or wait until it ends, then delete {what}"):
            delete()

    assert [row for row in contents(db.conn) if row[0] != "jobs"] == [row for row in before if row[0] != "jobs"]


def _delete_run(db: Database, home: Home, name: str) -> None:
    run = runs.find_run(db, name)
    assert run is not None
    removal.delete_run(db, home, run, typed=name, operator="ann")


def test_a_source_is_deleted_and_another_one_stays(home: Home, db: Database, bundled: Project) -> None:
    """Runs stay. The counts that the pages show fit, and the folder is intact."""
    (source,) = projects.list_sources(db, bundled.id)
    with write(db):
        other = projects.insert_source(db, bundled.id, "mail", "the team", "ticket 2")
        db.execute("UPDATE samples SET source_id = ? WHERE id > 50", [other.id])
    test = samples.count_samples(db, bundled.id, split="test")
    gone = samples.count_samples(db, bundled.id, split="test", source_id=source.id)

    done = removal.delete_source(db, home, bundled, source, typed="rendered", operator="ann")

    assert (json.loads(done.counts)["images"], json.loads(done.counts)["labels"]) == (50, 50)
    assert [each.name for each in projects.list_sources(db, bundled.id)] == ["mail"]
    assert samples.count_samples(db, bundled.id) == 10
    assert samples.count_samples(db, bundled.id, split="test") == test - gone
    assert runs.find_run(db, RUN)
    report = check(home)
    assert (report.problems, report.notes) == ([], [])


def test_a_deleted_run_leaves_the_uses_of_the_test_set(home: Home, db: Database, bundled: Project) -> None:
    """Its folders and bundles go, its number is not used again, and its result on test stays in the list.

    A restored backup lists jobs whose folders are gone, here an evaluation.
    """
    with write(db):
        job = jobs.insert_job(db, id="0004-evaluate", number=4, kind="evaluate", project_id=bundled.id, request_id="e")
        evaluations.insert_test_use(db, project_id=bundled.id, job_id=job.id, operator="ann")
        evaluations.insert_evaluation(
            db, run_id=RUN, job_id=job.id, split="test", tta=False, n=6, correct=5, result="{}"
        )
        jobs.set_state(db, job, "finished", final=True)
    before = evaluations.list_test_uses(db, bundled.id)
    run = runs.find_run(db, "0001-fast")
    assert run is not None

    done = removal.delete_run(db, home, run, typed="1", operator="ann")

    assert (json.loads(done.counts)["evaluations"], json.loads(done.counts)["bundles"]) == (1, 2)
    assert done.backup is None
    assert (runs.find_run(db, RUN), runs.list_runs(db), jobs.list_jobs(db)) == (None, [], [])
    assert [*home.runs.glob("0*"), *home.bundles.iterdir()] == []
    assert evaluations.list_test_uses(db, bundled.id) == before
    assert before[0].correct == 5
    assert [jobs.next_number(db, kind) for kind in ("train", "evaluate", "bundle")] == [2, 5, 3]
    report = check(home)
    assert (report.problems, report.notes, report.jobs) == ([], [], 0)


def test_a_run_in_use_or_with_a_successor_is_not_deleted(
    home: Home, db: Database, bundled: Project, stand_in: None
) -> None:
    """A later run says where its weights came from, and a bundle in use names its run."""
    bundle = find_bundle(db, home, PLAIN)
    assert bundle is not None
    promote(db, bundle, operator="ann")
    with pytest.raises(JobError, match="0001-bundle is in use, and was made from run 0001-fast"):
        _delete_run(db, home, RUN)
    with write(db):
        db.execute("DELETE FROM promotions")
        number = jobs.next_number(db, "train")
        job = jobs.insert_job(
            db, id=f"{number:04}-fast", number=number, kind="train", project_id=bundled.id, request_id="r"
        )
        runs.insert_run(
            db, job_id=job.id, preset="fast", config=json.dumps({"init": RUN}), dataset_sha256="", train_n=1, val_n=1
        )
        jobs.set_state(db, job, "canceled", final=True)

    with pytest.raises(JobError, match=r"Run 0002-fast began from run 0001-fast\. Delete that one first"):
        _delete_run(db, home, RUN)

    _delete_run(db, home, "0002-fast")
    _delete_run(db, home, RUN)


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from core.backup import removal
from core.home import Home
from core.jobs import control
from db import projects, removals
from db.connection import opened

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "rows":
    delete = removals._delete_samples
    removals._delete_samples = lambda *arguments: (delete(*arguments), die())
else:
    removal.shutil = type("shutil", (), {"rmtree": die})
home = Home(Path(sys.argv[1]))
with opened(home.db) as db:
    removal.delete_project(db, home, projects.find_project(db, "portal"), typed="portal", operator="ann")
"""


@pytest.mark.parametrize("moment", ["rows", "folders"])
def test_a_kill_leaves_all_or_nothing_and_a_second_call_finishes(home: Home, bundled: Project, moment: str) -> None:
    """SIGKILL once while rows are deleted, and once before the folders are."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(home.root), moment], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL

    report = check(home)
    assert report.problems == []
    with opened(home.db) as db:
        if moment == "rows":
            assert (report.images, report.jobs, report.notes) == (60, 3, [])
            removal.delete_project(db, home, bundled, typed="portal", operator="ann")
        else:
            assert (report.images, report.jobs, projects.list_projects(db)) == (0, 0, [])
            assert f"runs/{RUN} is left of a deletion that was killed" in " ".join(report.notes)
            (finished,) = removal.finish(db, home)
            assert finished.name == "portal"
        assert removals.list_removals(db, unfinished=True) == []
    assert [*home.runs.glob("0*"), *home.bundles.iterdir()] == []
    report = check(home)
    assert (report.problems, report.notes, report.images, report.jobs) == ([], [], 0, 0)


def test_a_job_of_a_deleted_project_does_not_start(home: Home, db: Database, bundled: Project) -> None:
    """A page may have been open since before."""
    copy_project(db, bundled, "other", operator="ann")
    other = projects.find_project(db, "other")
    assert other is not None
    removal.delete_project(db, home, other, typed="other", operator="ann")

    with pytest.raises(JobError, match="Project other was renamed or deleted"):
        control.start_job(db, home, other, "import", {})


@pytest.mark.parametrize("kind", ["project", "source", "run"])
def test_of_two_processes_only_one_deletes(
    home: Home, db: Database, bundled: Project, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """The second one began before the first one ended. Nothing is recorded twice."""
    run = runs.find_run(db, RUN)
    source = projects.list_sources(db, bundled.id)[0]
    assert run

    def delete(db: Database) -> Removal:
        if kind == "project":
            return removal.delete_project(db, home, bundled, typed="portal", operator="ann")
        if kind == "source":
            return removal.delete_source(db, home, bundled, source, typed=source.name, operator="ann")
        return removal.delete_run(db, home, run, typed=RUN, operator="ann")

    inner = removal._remove

    def remove_second(*arguments: object, **keywords: object) -> Removal | None:
        monkeypatch.setattr(removal, "_remove", inner)
        with opened(home.db) as other:
            delete(other)
        return inner(*arguments, **keywords)

    monkeypatch.setattr(removal, "_remove", remove_second)
    with pytest.raises(OptionError, match=f"There is no {kind} .* here any more"):
        delete(db)

    assert [each.kind for each in removals.list_removals(db)] == [kind]
