"""Out-of-fold readings with the real worker, on a toy portal that a tiny network learns in seconds."""

import pytest
from sqlite_utils import Database

from core.errors import TrainingError
from core.home import Home
from core.jobs import control
from core.runs.folds import MIN_LABELS, newest_out_of_fold, start_folds, unfinished_folds
from core.runs.suspects import find_suspects
from db import labels, projects, samples
from db.connection import write
from db.records import Project
from tests.helpers import toy
from tests.helpers.runs import CPU, add_labeled
from tests.helpers.waiting import wait_until

FLIPPED = {5: "--", 23: "x|", 47: "|x"}
"""Wrong labels by image. The texts of these images are other ones."""


@pytest.fixture
def toys(db: Database) -> Project:
    """Images of the toy portal, three of them with a wrong label."""
    with write(db):
        project = projects.insert_project(db, "toys", toy.SPEC.length, toy.SPEC.charset)
        source = projects.insert_source(db, project.id, "toys", "the team", "ticket 1")
        for number, (sha256, split, text, name, image) in enumerate(toy.rows(108)):
            sample_id = samples.insert_sample(
                db, project_id=project.id, source_id=source.id, sha256=sha256, name=name, width=64, height=32,
                split=split, image=image,
            )  # fmt: skip
            given = FLIPPED.get(number, text)
            assert (given != text) == (number in FLIPPED)
            labels.append_event(
                db, samples.get_sample(db, sample_id), event_id=name, operator="ada", action="label",
                state="labeled", text=given, base_version=0,
            )  # fmt: skip
    return project


@pytest.mark.long
def test_wrong_labels_are_found_although_the_job_was_canceled_between(db: Database, home: Home, toys: Project) -> None:
    """A resumed job keeps the folds that are done. No network has seen the labels that it reads."""
    job = start_folds(db, home, toys, toy.LEARNED, operator="ada")
    assert start_folds(db, home, toys, toy.LEARNED, operator="ben").id == job.id
    first = home.run(job.id) / "fold-1.npz"
    wait_until(first.exists, 120)
    control.cancel(db, home, job.id)
    assert control.follow(db, home, job.id, lambda _: None).state == "canceled"
    assert newest_out_of_fold(db, home, toys) is None
    written = first.stat().st_mtime_ns

    stopped = unfinished_folds(db, toys)
    assert stopped is not None
    control.resume(db, home, stopped.id)
    ended = control.finish(db, home, job.id, lambda _: None)

    assert first.stat().st_mtime_ns == written
    assert not list(home.run(job.id).glob("fold-*/"))
    assert ended.result is not None
    assert '"n": 108' in ended.result
    suspects = find_suspects(db, home, toys)
    by_name = {suspect.sample.name: suspect for suspect in suspects.entries}
    assert {f"{number}.png" for number in FLIPPED} <= by_name.keys()
    assert len(by_name) <= len(FLIPPED) + 1
    assert suspects.without_fold == 0
    truth = {name: text for _, _, text, name, _ in toy.rows(108)}
    assert all(by_name[f"{number}.png"].suggested == truth[f"{number}.png"] for number in FLIPPED)


def test_too_few_labels_are_refused(db: Database, home: Home, labeled: Project) -> None:
    """Nothing is written."""
    with pytest.raises(TrainingError, match=rf"The project has 6 labeled images.*at least {MIN_LABELS}"):
        start_folds(db, home, labeled, CPU, operator="ada")

    assert list(home.runs.iterdir()) == []


@pytest.mark.usefixtures("stand_in")
def test_test_images_take_part_only_on_request(db: Database, home: Home, short_project: Project) -> None:
    """The test set stays unused otherwise."""
    texts = [f"{number:03}" for number in range(60)]
    add_labeled(db, short_project, train=texts[:45], val=texts[45:55], test=texts[55:])

    for with_test, images in ((False, 55), (True, 60)):
        job = start_folds(db, home, short_project, CPU, operator="ada", with_test=with_test)
        assert control.spec(home, job.id)["images"] == images
        assert control.finish(db, home, job.id, lambda _: None).state == "finished"
