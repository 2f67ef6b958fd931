"""The label ledger and the current label derived from it."""

import pytest
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from core.data.labeling import apply_events
from db import labels, projects, samples
from db.connection import write
from db.records import Project, Sample, now
from tests.db.conftest import AddSample


@pytest.fixture
def sample(add_sample: AddSample) -> Sample:
    """Return an unlabeled sample."""
    return add_sample(1)


def append(db: Database, sample: Sample, event: str, text: str | None, base: int, operator: str = "Ann") -> int | None:
    state = "skipped" if text is None else "labeled"
    action = "skip" if text is None else "label"
    with write(db):
        return labels.append_event(
            db, sample, event_id=event, operator=operator, action=action, state=state, text=text, base_version=base
        )


def test_an_event_that_knows_the_newest_version_is_applied(db: Database, sample: Sample) -> None:
    """The sample then has the content of the event."""
    assert append(db, sample, "a1", "111111", 0) == 1
    assert append(db, sample, "b1", None, 1, operator="Ben") == 2
    assert append(db, sample, "a2", "000123", 2) == 3

    after = samples.get_sample(db, sample.id)
    assert (after.state, after.label, after.version, after.operator) == ("labeled", "000123", 3, "Ann")
    assert after.labeled_at is not None


@pytest.mark.parametrize("base", [0, 2, -1])
def test_an_event_with_another_version_is_kept_and_changes_nothing(db: Database, sample: Sample, base: int) -> None:
    """Both texts are in the history, in order."""
    append(db, sample, "a1", "111111", 0)
    before = samples.get_sample(db, sample.id)

    assert append(db, sample, "b1", "222222", base, operator="Ben") is None

    assert samples.get_sample(db, sample.id) == before
    events = [(event.operator, event.text, event.version) for event in labels.events_of(db, sample.id)]
    assert events == [("Ann", "111111", 1), ("Ben", "222222", None)]


def test_events_are_found_by_id(db: Database, sample: Sample) -> None:
    """This includes events that were not applied."""
    append(db, sample, "a1", "111111", 0)
    append(db, sample, "b1", "222222", 0)

    lost = labels.find_event(db, "b1")
    assert lost is not None
    assert (lost.text, lost.version) == ("222222", None)
    assert labels.find_event(db, "c1") is None


def test_an_event_is_stored_once(db: Database, sample: Sample) -> None:
    """A second event with the same id fails, and its change of the sample is rolled back."""
    append(db, sample, "a1", "111111", 0)

    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        append(db, sample, "a1", "222222", 1)

    assert samples.get_sample(db, sample.id).label == "111111"


@pytest.mark.parametrize("operator", ["", None])
def test_an_event_has_an_operator(db: Database, sample: Sample, operator: str) -> None:
    """Every label has an operator."""
    with pytest.raises(sqlite3.IntegrityError):
        append(db, sample, "a1", "111111", 0, operator=operator)


def test_every_operator_in_the_ledger_is_listed_once(db: Database, add_sample: AddSample) -> None:
    """Each operator is listed once; an empty ledger has none."""
    assert labels.list_operators(db) == []
    for number, operator in enumerate(["Cem", "Ann", "Ben", "Ann"]):
        append(db, add_sample(number + 1), f"e{number}", "111111", 0, operator=operator)

    assert labels.list_operators(db) == ["Ann", "Ben", "Cem"]


def test_the_work_of_an_operator_lists_events_since_a_time(
    db: Database, project: Project, add_sample: AddSample
) -> None:
    """It lists only this operator's events in one project, in order."""
    append(db, add_sample(1), "e1", "111111", 0, operator="Ann")
    append(db, add_sample(2), "e2", "111111", 0, operator="Ben")

    assert [action for _, action, _ in labels.work_of(db, project.id, "Ann", "2000-01-01")] == ["label"]
    assert labels.work_of(db, project.id, "Ann", "2999-01-01") == []
    skipped = add_sample(3)
    with write(db):
        labels.append_event(
            db, skipped, event_id="s", operator="Ann", action="skip", state="skipped", text=None, base_version=0
        )
        for number, sample_id in enumerate((1, 3)):
            labels.append_event(
                db, samples.get_sample(db, sample_id), event_id=f"u{number}", operator="Ann", action="undo",
                state="unlabeled", text=None, base_version=1,
            )  # fmt: skip
    done = [action for _, action, _ in labels.work_of(db, project.id, "Ann", "2000-01-01")]
    assert done == ["label", "skip", "undo label", "undo skip"]
    assert labels.work_of(db, project.id + 1, "Ann", "2000-01-01") == []


def test_recent_labels_are_read_from_the_end_of_the_ledger(
    db: Database, project: Project, add_sample: AddSample
) -> None:
    """It returns current labels, without old events and without other projects."""
    old, new, skipped, third = (add_sample(number) for number in range(1, 5))
    with write(db):
        other = projects.insert_project(db, "other", project.length, project.charset)
    append(db, old, "long ago", "111111", 0)
    db.conn.executescript("DROP TRIGGER labels_are_never_changed; UPDATE labels SET at = '2020-01-01T00:00:00+00:00'")
    append(db, new, "first", "222222", 0)
    append(db, new, "second", "333333", 1)
    append(db, skipped, "pass", None, 0)
    append(db, third, "once", "444444", 0)

    assert labels.labels_since(db, project.id, now()) == {
        new.sha256: "333333", skipped.sha256: None, third.sha256: "444444",
    }  # fmt: skip
    assert labels.labels_since(db, other.id, now()) == {}
    assert old.sha256 in labels.labels_since(db, project.id, "2020-01-01T00:30:00+00:00")


def test_second_opinions_of_others_are_counted(db: Database, project: Project, add_sample: AddSample) -> None:
    """Opinions on the operator's own labels are compared; a skip differs from any label."""
    images = [add_sample(number).sha256 for number in range(4)]
    for number, sample in enumerate(images):
        operator = "Ben" if number == 3 else "Ann"
        label = {"event": f"a{number}", "action": "label", "sample": sample, "text": "123456", "base": 0}
        apply_events(db, project, operator, [label])
    for number, (sample, text) in enumerate(zip(images, ("123456", "123457", None, "123456"), strict=True)):
        opinion = {"event": f"b{number}", "action": "second", "sample": sample, "text": text, "base": 1}
        apply_events(db, project, "Cora", [opinion])

    assert labels.count_second_opinions(db, project.id, "Ann", "2000") == (1, 3)
    assert labels.count_second_opinions(db, project.id, "Ben", "2000") == (1, 1)
    assert labels.count_second_opinions(db, project.id, "Ann", "9000") == (0, 0)
