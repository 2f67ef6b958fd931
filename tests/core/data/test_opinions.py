"""Second opinions, doubts and resolves: their effect on a sample and its standing."""

from pathlib import Path

import pytest
from sqlite_utils import Database

from core.data.importing import import_images, open_source
from core.data.labeling import apply_events
from core.data.standing import Standing, standing
from db import labels, samples
from db.records import Project, Sample
from tests.helpers.pictures import png, write_files


@pytest.fixture
def sample(db: Database, project: Project, tmp_path: Path) -> Sample:
    """One image that Ann labeled 111111."""
    source = open_source(db, project, "mail", "the team", "ticket 1")
    folder = write_files(tmp_path / "photos", {"1.png": png(1)})
    import_images(db, project, source, folder, "none", operator="import", on_progress=lambda *_: None)
    (imported,) = samples.select_samples(db, project.id)
    act(db, project, imported, "Ann", "label", "111111")
    return samples.get_sample(db, imported.id)


def act(
    db: Database, project: Project, sample: Sample, operator: str, action: str, text: str | None = None,
    **more: object,
) -> str:  # fmt: skip
    """Send an event of `operator` on the current version, or on `base`. Return its id."""
    event_id = f"e{db.execute('SELECT count(*) FROM labels').fetchone()[0]}"
    event = {
        "event": event_id, "action": action, "sample": sample.sha256, "text": text,
        "base": samples.get_sample(db, sample.id).version,
    }  # fmt: skip
    (outcome,) = apply_events(db, project, operator, [event | more], origin="review")
    assert outcome.status in ("saved", "conflict"), outcome
    return event_id


def found(db: Database, sample: Sample) -> Standing:
    """Return the standing from the ledger. The stored one must be equal."""
    now, row = standing(labels.events_of(db, sample.id)), samples.get_sample(db, sample.id)
    assert (bool(now.dissents), now.checked) == (bool(row.disputed), bool(row.checked))
    return now


def texts(db: Database, sample: Sample) -> list[str | None]:
    return [event.text for event in found(db, sample).dissents]


def test_a_second_label_that_agrees_checks_the_first(db: Database, project: Project, sample: Sample) -> None:
    """An opinion has no version. Label, operator and time are unchanged."""
    act(db, project, sample, "Ben", "second", "111111", ms=2100)

    assert found(db, sample) == Standing((), checked=True)
    after = samples.get_sample(db, sample.id)
    assert (after.label, after.operator, after.version) == ("111111", "Ann", 1)
    last = labels.events_of(db, sample.id)[-1]
    assert (last.action, last.text, last.version, last.ms, last.origin) == ("second", "111111", None, 2100, "review")


def test_a_second_label_that_differs_waits_for_a_decision(db: Database, project: Project, sample: Sample) -> None:
    """Both labels are kept, and the first is valid until someone resolves the dispute."""
    act(db, project, sample, "Ben", "second", "222222")

    assert texts(db, sample) == ["222222"]
    assert samples.get_sample(db, sample.id).label == "111111"

    act(db, project, sample, "Cem", "resolve", "222222")

    assert found(db, sample) == Standing((), checked=True)
    assert samples.get_sample(db, sample.id).label == "222222"


def test_the_first_label_can_be_upheld(db: Database, project: Project, sample: Sample) -> None:
    """Resolving to the current label is also an event. Otherwise the dispute would return."""
    act(db, project, sample, "Ben", "second", "222222")
    act(db, project, sample, "Cem", "resolve", "111111")

    assert found(db, sample) == Standing((), checked=True)
    assert samples.get_sample(db, sample.id).version == 2


def test_the_decision_can_be_that_nobody_can_read_it(db: Database, project: Project, sample: Sample) -> None:
    """Resolving without text skips the image, with a reason."""
    act(db, project, sample, "Ben", "second", None, flag="unreadable")
    assert [event.flag for event in found(db, sample).dissents] == ["unreadable"]

    act(db, project, sample, "Cem", "resolve", None, flag="unreadable")

    after = samples.get_sample(db, sample.id)
    assert (after.state, after.label, after.flag) == ("skipped", None, "unreadable")
    assert found(db, sample).dissents == ()


def test_an_undone_decision_opens_the_question_again(db: Database, project: Project, sample: Sample) -> None:
    """All opinions that it resolved return."""
    act(db, project, sample, "Ben", "second", "222222")
    act(db, project, sample, "Cem", "resolve", "333333")
    act(db, project, sample, "Cem", "undo")

    assert texts(db, sample) == ["222222"]
    assert samples.get_sample(db, sample.id).label == "111111"


def test_an_opinion_can_be_undone(db: Database, project: Project, sample: Sample) -> None:
    """The undo refers to the opinion, is in the ledger, and keeps the label."""
    second = act(db, project, sample, "Ben", "second", "222222")
    undo = act(db, project, sample, "Ben", "undo", after=second)

    assert found(db, sample) == Standing((), checked=False)
    assert samples.get_sample(db, sample.id).version == 1

    act(db, project, sample, "Ben", "second", "111111", after=undo)

    assert found(db, sample) == Standing((), checked=True)


def test_only_the_last_word_of_an_operator_counts(db: Database, project: Project, sample: Sample) -> None:
    """Each operator has one opinion."""
    for operator, text in (("Ben", "222222"), ("Cem", "333333"), ("Ben", "444444")):
        act(db, project, sample, operator, "second", text)

    assert texts(db, sample) == ["333333", "444444"]

    act(db, project, sample, "Cem", "second", "111111")

    assert (texts(db, sample), found(db, sample).checked) == (["444444"], True)


def test_a_label_that_lost_is_a_dissent(db: Database, project: Project, sample: Sample) -> None:
    """Two operators labeled the image. The later label counts as an opinion."""
    act(db, project, sample, "Ben", "label", "222222", base=0)

    assert texts(db, sample) == ["222222"]

    act(db, project, sample, "Ann", "label", "222222")

    assert texts(db, sample) == []


def test_an_ignored_import_label_is_a_dissent(db: Database, project: Project, sample: Sample, tmp_path: Path) -> None:
    """A file name contradicts an operator, so the image is disputed."""
    source = open_source(db, project, "mail", "the team", "ticket 1")
    folder = write_files(tmp_path / "named", {"222222.png": png(1)})

    import_images(db, project, source, folder, "filename", operator="import", on_progress=lambda *_: None)

    assert texts(db, sample) == ["222222"]


def test_a_doubt_is_about_the_label_it_saw(db: Database, project: Project, sample: Sample) -> None:
    """A doubt applies to one label. It returns when that label returns."""
    act(db, project, sample, "Ben", "doubt")
    assert [event.action for event in found(db, sample).dissents] == ["doubt"]

    act(db, project, sample, "Ann", "label", "222222")
    assert found(db, sample).dissents == ()

    act(db, project, sample, "Ann", "undo")
    assert [event.action for event in found(db, sample).dissents] == ["doubt"]


def test_a_restored_label_reopens_the_dispute(db: Database, project: Project, sample: Sample) -> None:
    """For a while the label was Ben's. Nobody resolved the dispute."""
    act(db, project, sample, "Ben", "second", "222222")
    act(db, project, sample, "Ann", "label", "222222")
    assert texts(db, sample) == []

    act(db, project, sample, "Ann", "undo")
    assert texts(db, sample) == ["222222"]


def test_a_newer_word_is_not_replaced_by_an_undone_decision(db: Database, project: Project, sample: Sample) -> None:
    """A resolved opinion returns only if its operator has given no newer one."""
    act(db, project, sample, "Ben", "second", "222222")
    act(db, project, sample, "Cem", "resolve", "444444")
    act(db, project, sample, "Ben", "second", "333333")
    act(db, project, sample, "Cem", "undo")

    assert texts(db, sample) == ["333333"]


def test_nobody_disputes_himself(db: Database, project: Project, sample: Sample) -> None:
    """If an operator's label was too late and they label again, only the latest counts."""
    act(db, project, sample, "Ben", "label", "222222", base=0)
    act(db, project, sample, "Ann", "undo")
    act(db, project, sample, "Ben", "label", "333333")

    assert texts(db, sample) == []


def test_an_undo_that_came_too_late_takes_no_opinion_back(db: Database, project: Project, sample: Sample) -> None:
    """The undo concerned a label, not the doubt."""
    act(db, project, sample, "Ann", "label", "222222")
    act(db, project, sample, "Ben", "doubt")
    act(db, project, sample, "Ben", "undo", base=1)

    assert [event.action for event in found(db, sample).dissents] == ["doubt"]


def test_a_decision_that_missed_an_opinion_comes_too_late(db: Database, project: Project, sample: Sample) -> None:
    """Its author did not see Dan's opinion. All opinions stay, and so does the dispute."""
    act(db, project, sample, "Ben", "second", "222222")
    shown = len(labels.events_of(db, sample.id))
    act(db, project, sample, "Dan", "second", "333333")

    act(db, project, sample, "Cem", "resolve", "222222", seen=shown)

    assert texts(db, sample) == ["222222", "333333", "222222"]
    assert samples.get_sample(db, sample.id).label == "111111"

    act(db, project, sample, "Cem", "resolve", "222222", seen=shown + 2)

    assert (texts(db, sample), samples.get_sample(db, sample.id).label) == ([], "222222")


def test_confirming_an_outdated_label_confirms_nothing(db: Database, project: Project, sample: Sample) -> None:
    """The base is the version on screen."""
    act(db, project, sample, "Ann", "label", "222222")
    act(db, project, sample, "Ben", "confirm", base=1)

    assert found(db, sample) == Standing((), checked=False)

    act(db, project, sample, "Ben", "confirm", base=2)

    assert found(db, sample) == Standing((), checked=True)


def test_a_new_label_is_not_checked(db: Database, project: Project, sample: Sample) -> None:
    """The check applied to the old label."""
    act(db, project, sample, "Ben", "confirm")
    act(db, project, sample, "Ann", "label", "222222")

    assert found(db, sample).checked is False


def test_a_repeated_opinion_changes_nothing(db: Database, project: Project, sample: Sample) -> None:
    """The browser may have missed the answer."""
    second = {"event": "s1", "action": "second", "sample": sample.sha256, "text": "222222", "base": 1}
    undo = {"event": "u1", "action": "undo", "sample": sample.sha256, "base": 1, "after": "s1"}

    first = apply_events(db, project, "Ben", [second, undo])
    again = apply_events(db, project, "Ben", [second, undo])

    assert [outcome.status for outcome in first + again] == ["saved", "saved", "repeated", "repeated"]
    assert {outcome.message for outcome in first + again} == {"Saved."}
    assert len(labels.events_of(db, sample.id)) == 3


def test_a_flag_goes_with_a_skip_and_comes_back_with_an_undo(db: Database, project: Project, sample: Sample) -> None:
    """Other events of the sample do not matter."""
    act(db, project, sample, "Ann", "skip", flag="not_ours")
    act(db, project, sample, "Ann", "skip", flag="unreadable")
    act(db, project, sample, "Ann", "undo")
    assert samples.get_sample(db, sample.id).flag == "not_ours"

    (outcome,) = apply_events(
        db, project, "Ann", [{"event": "x", "action": "skip", "sample": sample.sha256, "base": 4, "flag": "ugly"}]
    )
    assert outcome.status == "refused"


@pytest.mark.parametrize("ms", [-1, 10**12, "soon", None, 1.5])
def test_a_time_that_cannot_be_is_left_out(db: Database, project: Project, sample: Sample, ms: object) -> None:
    """A clock change or a suspended laptop must not block a label."""
    act(db, project, sample, "Ann", "label", "222222", ms=ms)

    assert labels.events_of(db, sample.id)[-1].ms is None
