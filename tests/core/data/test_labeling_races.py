"""Events with lost or pending answers while another operator works on the same image."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_utils import Database

from core.data.labeling import Outcome, apply_events
from db import projects
from db.connection import connect, write
from db.records import Project
from db.samples import find_sample, insert_sample

SHA256 = "0" * 64


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    db = connect(tmp_path / "slotlab.db", create=True)
    yield db
    db.conn.close()


@pytest.fixture
def project(db: Database) -> Project:
    """A project with six digits and one image."""
    with write(db):
        project = projects.insert_project(db, "portal", 6, "0123456789")
        source = projects.insert_source(db, project.id, "mail", "owner", "reference")
        insert_sample(
            db,
            project_id=project.id,
            source_id=source.id,
            sha256=SHA256,
            name="a.png",
            width=200,
            height=60,
            split="train",
            image=b"image",
        )
    return project


def act(
    db: Database, project: Project, operator: str, event: str, action: str, text: str | None = None, *,
    base: int = 0, after: str | None = None,
) -> Outcome:  # fmt: skip
    fields = {"event": event, "action": action, "sample": SHA256, "text": text, "base": base, "after": after}
    return apply_events(db, project, operator, [fields])[0]


def label(db: Database, project: Project) -> str | None:
    sample = find_sample(db, project.id, SHA256)
    assert sample is not None
    return sample.label


def test_a_repeated_event_is_answered_as_at_first(db: Database, project: Project) -> None:
    """The first answer may be lost. The repeat must still report the conflict."""
    act(db, project, "Ann", "a1", "label", "111111")
    first = act(db, project, "Ben", "b1", "label", "222222")

    assert act(db, project, "Ann", "a1", "label", "111111").status == "repeated"
    assert act(db, project, "Ben", "b1", "label", "222222") == first
    assert first.status == "conflict"


def test_events_in_a_row_follow_each_other_without_waiting_for_answers(db: Database, project: Project) -> None:
    """A browser that knows only version 0 may send label, undo and label in one message."""
    outcomes = [
        act(db, project, "Ann", "a1", "label", "111111"),
        act(db, project, "Ann", "a2", "undo", after="a1"),
        act(db, project, "Ann", "a3", "label", "333333", after="a2"),
    ]

    assert [outcome.status for outcome in outcomes] == ["saved"] * 3
    assert label(db, project) == "333333"


def test_an_undo_of_a_label_that_came_second_leaves_the_first_alone(db: Database, project: Project) -> None:
    """Only one of both labels can be version 1."""
    act(db, project, "Ann", "a1", "label", "111111")
    act(db, project, "Ben", "b1", "label", "222222")

    undo = act(db, project, "Ben", "b2", "undo", base=1, after="b1")
    again = act(db, project, "Ben", "b3", "label", "333333", base=2, after="b2")

    assert (undo.status, again.status) == ("refused", "conflict")
    assert label(db, project) == "111111"
