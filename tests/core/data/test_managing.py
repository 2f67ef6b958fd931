"""Names, notes, tags and archives of projects and runs, and sources that get another name or project."""

import json

import pytest
from sqlite_utils import Database

from core.backup.check import check
from core.data import managing
from core.errors import OptionError
from core.home import Home
from core.runs.unseen import source_held_out_of
from db import evaluations, jobs, labels, projects, proposals, removals, runs, samples
from db.connection import write
from db.records import Project, Run
from tests.helpers.labs import add_images, label
from tests.helpers.runs import add_finished


@pytest.fixture
def run(db: Database, project: Project) -> Run:
    """A finished run that held out the source `noise`."""
    name = add_finished(db, project, "people", 5, 10)
    with write(db):
        db.execute("UPDATE runs SET config = ? WHERE job_id = ?", [json.dumps({"hold_out_source": "noise"}), name])
    found = runs.find_run(db, name)
    assert found is not None
    return found


def test_a_project_is_renamed_and_its_runs_follow(db: Database, project: Project, run: Run) -> None:
    """A worker finds its project by its job, so a rename does not stop it."""
    renamed = managing.rename_project(db, project, "mail portal")

    assert (renamed.id, renamed.name) == (project.id, "mail portal")
    assert projects.find_project(db, "portal") is None
    assert projects.project_of_job(db, run.job.id) == renamed


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("other", "There is already a project 'other'"), (" x", "is not a valid project name"), ("", "1 to 64 visible")],
)
def test_a_name_that_is_taken_or_invalid_is_refused(db: Database, project: Project, name: str, sentence: str) -> None:
    with write(db):
        projects.insert_project(db, "other", 6, "0123456789")

    with pytest.raises(OptionError, match=sentence):
        managing.rename_project(db, project, name)


def test_an_archived_project_is_hidden_and_comes_back(db: Database, project: Project) -> None:
    """Nothing of it is lost, and it is found by its name."""
    add_images(db, project, 2)

    managing.archive_project(db, project, archived=True)

    assert (projects.list_projects(db), [each.name for each in projects.list_projects(db, archived=True)]) == (
        [], ["portal"],
    )  # fmt: skip
    assert projects.find_project(db, "portal")
    assert samples.count_samples(db, project.id) == 2

    managing.archive_project(db, project, archived=False)

    assert projects.list_projects(db) == [project]
    assert projects.list_projects(db, archived=None) == [project]


def test_a_project_and_a_run_have_a_note_and_tags(db: Database, project: Project, run: Run) -> None:
    """Each tag is there once, and what is not given stays."""
    managing.describe_project(db, project, note=" The portal of June.\nTwo fonts. ", tags=["mail", " june", "mail", ""])
    managing.describe_run(db, run, name="wide crop", note="Learned well.")
    found, described = projects.get_project(db, project.id), runs.find_run(db, run.job.id)
    assert described is not None

    assert (found.note, managing.tags_of(found)) == ("The portal of June.\nTwo fonts.", ["june", "mail"])
    managing.describe_run(db, described, tags=["best"])
    described = runs.find_run(db, run.job.id)
    assert described is not None
    assert (described.name, described.note, managing.tags_of(described)) == ("wide crop", "Learned well.", ["best"])
    managing.describe_run(db, described, name="")
    assert runs.list_runs(db)[0].name == ""


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"note": "x" * 2001}, "has 2,001 characters; the limit is 2,000"),
        ({"note": "a\x1b[2J"}, "control characters"),
        ({"tags": ["a,b"]}, "has a comma"),
        ({"tags": ["x" * 41]}, "is not a valid tag"),
        ({"tags": [str(number) for number in range(21)]}, "There are 21 tags; the limit is 20"),
        ({"name": "two\nlines"}, "is not a valid run name"),
    ],
)
def test_an_invalid_description_is_refused(db: Database, run: Run, values: dict[str, object], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        managing.describe_run(db, run, **values)  # type: ignore[arg-type]


def test_a_renamed_source_is_still_held_out_of_its_runs(home: Home, db: Database, project: Project, run: Run) -> None:
    """Runs name the source that they held out, and results the source that they are about."""
    add_images(db, project, 3)
    source = managing.find_source(db, project, "noise")
    with write(db):
        job = jobs.insert_job(db, id="0002-evaluate", number=2, kind="evaluate", project_id=project.id, request_id="e")
        evaluations.insert_evaluation(
            db, run_id=run.job.id, job_id=job.id, split="next", tta=False, n=3, correct=1, result='{"source": "noise"}'
        )
        jobs.set_state(db, job, "finished", final=True)

    managing.rename_source(db, home, project, source, "june")

    renamed, found = projects.find_source(db, project.id, "june"), runs.find_run(db, run.job.id)
    assert renamed is not None
    assert found is not None
    assert (renamed.id, renamed.owner) == (source.id, source.owner)
    assert source_held_out_of(db, found) == renamed
    assert [each.source for each in evaluations.list_evaluations(db, run.job.id)] == ["june"]
    with pytest.raises(OptionError, match=r"has no source 'noise'\. Its sources: june"):
        managing.find_source(db, project, "noise")


def test_a_source_moves_with_its_labels_and_their_history(home: Home, db: Database, project: Project) -> None:
    """Its owner and authorization come along, the counts of both projects fit, and the folder is intact."""
    first, second, _ = add_images(db, project, 3)
    label(db, project, first, 1)
    label(db, project, second, 2)
    with write(db):
        other = projects.insert_project(db, "other", 6, "9876543210")
    source, sample = managing.find_source(db, project, "noise"), samples.find_sample(db, project.id, first)
    assert sample is not None
    history = labels.events_of(db, sample.id)

    moved = managing.move_source(db, home, project, source, other)

    assert (moved.images, moved.stay) == (3, 0)
    assert (projects.list_sources(db, project.id), samples.counts(db, project.id)) == ([], {})
    (new,) = projects.list_sources(db, other.id)
    assert (new.name, new.owner, new.authorization) == ("noise", "the team", "ticket 1")
    assert samples.count_samples(db, other.id, state="labeled") == 2
    found = samples.find_sample(db, other.id, first)
    assert found is not None
    assert (found.id, found.label, found.split, found.source_id) == (sample.id, "000001", sample.split, new.id)
    assert labels.events_of(db, found.id) == history
    assert check(home).problems == []


def test_readings_of_a_run_do_not_move_with_the_images(home: Home, db: Database, project: Project, run: Run) -> None:
    """Readings of general readers do, and the project with the run can be deleted."""
    add_images(db, project, 1)
    (sample,) = samples.select_samples(db, project.id)
    with write(db):
        other = projects.insert_project(db, "other", 6, "0123456789")
        for kind, name in (("general", "ddddocr"), ("run", run.job.id)):
            reader = proposals.open_reader(db, kind=kind, name=name, version="1", sha256=name[0] * 64)
            proposals.insert_proposal(db, sample.id, reader, text="000001", confidence=0.5, positions=[])

    managing.move_source(db, home, project, managing.find_source(db, project, "noise"), other)

    assert [reader.name for reader, _ in proposals.readings_of(db, [sample.id])[sample.id]] == ["ddddocr"]
    with write(db):  # as a move by an earlier version has left it
        proposals.insert_proposal(db, sample.id, reader, text="000001", confidence=0.5, positions=[])
        removals.delete_project(db, project)
    assert [reader.name for reader, _ in proposals.readings_of(db, [sample.id])[sample.id]] == ["ddddocr"]


def test_images_that_the_other_project_has_stay(home: Home, db: Database, project: Project) -> None:
    """They stay with their labels, which may be others."""
    with write(db):
        other = projects.insert_project(db, "other", 6, "0123456789")
    first, *_ = add_images(db, project, 3)
    add_images(db, other, 1)  # the same first image
    label(db, project, first, 1)
    with write(db):
        projects.rename_source(db, managing.find_source(db, other, "noise"), "mail")

    moved = managing.move_source(db, home, project, managing.find_source(db, project, "noise"), other)

    assert (moved.images, moved.stay) == (2, 1)
    (left,) = samples.select_samples(db, project.id)
    assert (left.sha256, left.label) == (first, "000001")
    assert [source.name for source in projects.list_sources(db, project.id)] == ["noise"]
    assert samples.count_samples(db, other.id) == 3
    assert check(home).problems == []


def test_a_source_does_not_move_where_it_does_not_fit(home: Home, db: Database, project: Project) -> None:
    add_images(db, project, 1)
    source = managing.find_source(db, project, "noise")
    with write(db):
        short = projects.insert_project(db, "short", 4, "0123456789")
        same = projects.insert_project(db, "same", 6, "0123456789")
        projects.insert_source(db, same.id, "noise", "the team", "ticket 9")

    for target, sentence in (
        (project, "is in project portal already"),
        (short, "has another length or charset than portal"),
        (same, "already has a source 'noise'. Rename one of them first"),
    ):
        with pytest.raises(OptionError, match=sentence):
            managing.move_source(db, home, project, source, target)
    assert samples.count_samples(db, project.id) == 1
