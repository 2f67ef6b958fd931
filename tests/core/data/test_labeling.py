"""Effects of events on samples; test_labeling_races.py tests lost answers and concurrent operators."""

import pwd
from pathlib import Path

import pytest
from sqlite_utils import Database

from core.data.importing import import_images, open_source
from core.data.labeling import Outcome, apply_events
from core.errors import StorageError
from core.home import default_operator
from db import labels, projects, samples
from db.connection import opened, write
from db.records import Project, Sample
from tests.helpers.pictures import png, write_files


@pytest.fixture
def images(db: Database, project: Project, tmp_path: Path) -> list[Sample]:
    """Five unlabeled images."""
    source = open_source(db, project, "mail", "the team", "ticket 1")
    folder = write_files(tmp_path / "photos", {f"{number}.png": png(number) for number in range(5)})
    import_images(db, project, source, folder, "none", operator="import", on_progress=lambda *_: None)
    return samples.select_samples(db, project.id)


def event(number: str, action: str, sample: Sample, text: str | None = None, base: int = 0) -> dict[str, object]:
    return {"event": number, "action": action, "sample": sample.sha256, "text": text, "base": base}


def act(db: Database, project: Project, *events: dict[str, object], operator: str = "Ann") -> list[Outcome]:
    return apply_events(db, project, operator, events)


def test_a_label_is_saved_with_its_operator(db: Database, project: Project, images: list[Sample]) -> None:
    """The answer has the new content, and another connection sees it."""
    (outcome,) = act(db, project, event("a1", "label", images[0], "000123"))

    assert (outcome.event_id, outcome.sample, outcome.status) == ("a1", images[0].sha256, "saved")
    assert (outcome.version, outcome.state, outcome.label) == (1, "labeled", "000123")
    file = Path(db.execute("PRAGMA database_list").fetchone()[2])
    with opened(file) as other:
        after = samples.get_sample(other, images[0].id)
    assert (after.label, after.operator, after.version) == ("000123", "Ann", 1)


def test_a_repetition_changes_nothing(db: Database, project: Project, images: list[Sample]) -> None:
    """A browser without an answer sends the event again, and so does a double click."""
    first = event("a1", "label", images[0], "111111")

    outcomes = [*act(db, project, first, first), *act(db, project, first)]

    assert [outcome.status for outcome in outcomes] == ["saved", "repeated", "repeated"]
    assert len(labels.events_of(db, images[0].id)) == 1
    assert samples.get_sample(db, images[0].id).version == 1


def test_the_second_operator_learns_who_labeled_first(db: Database, project: Project, images: list[Sample]) -> None:
    """The first label is kept. Both are in the history."""
    act(db, project, event("a1", "label", images[0], "111111"))

    (outcome,) = act(db, project, event("b1", "label", images[0], "222222"), operator="Ben")

    assert (outcome.status, outcome.label, outcome.version) == ("conflict", "111111", 1)
    assert outcome.message == ("Ann labeled this image first ('111111'). Your label was saved in its history.")
    history = [(event.operator, event.text, event.version) for event in labels.events_of(db, images[0].id)]
    assert history == [("Ann", "111111", 1), ("Ben", "222222", None)]


def test_two_operators_who_agree_have_no_conflict(db: Database, project: Project, images: list[Sample]) -> None:
    """The second operator learns who was first."""
    act(db, project, event("a1", "label", images[0], "111111"))

    (outcome,) = act(db, project, event("b1", "label", images[0], "111111"), operator="Ben")

    assert (outcome.status, outcome.message) == ("saved", "Ann already gave the same label.")
    assert samples.get_sample(db, images[0].id).operator == "Ann"


def test_a_label_against_a_skip_is_a_conflict(db: Database, project: Project, images: list[Sample]) -> None:
    """The message says that the image was skipped."""
    act(db, project, event("a1", "skip", images[0]))

    (outcome,) = act(db, project, event("b1", "label", images[0], "222222"), operator="Ben")

    assert (outcome.status, outcome.state) == ("conflict", "skipped")
    assert outcome.message == "Ann skipped this image first. Your label was saved in its history."


@pytest.mark.parametrize(
    "text", ["12345", "1234567", "12345a", "", "１２３４５６", None, 123456, "12345\ud800", ["1"] * 6]
)
def test_a_text_that_does_not_fit_is_refused(
    db: Database, project: Project, images: list[Sample], text: object
) -> None:
    """It is not stored, and the other events are saved."""
    bad = event("a1", "label", images[0]) | {"text": text}

    outcomes = act(db, project, bad, event("a2", "label", images[1], "111111"))

    assert [outcome.status for outcome in outcomes] == ["refused", "saved"]
    assert outcomes[0].message
    assert labels.events_of(db, images[0].id) == []
    assert samples.get_sample(db, images[0].id).version == 0


def test_undo_goes_back_one_version(db: Database, project: Project, images: list[Sample]) -> None:
    """Undo creates a new version. The history is complete."""
    outcomes = act(
        db,
        project,
        event("a1", "label", images[0], "111111"),
        event("a2", "label", images[0], "222222", base=1),
        event("a3", "undo", images[0], base=2),
        event("a4", "label", images[1], "333333"),
        event("a5", "undo", images[1], base=1),
    )

    assert [outcome.status for outcome in outcomes] == ["saved"] * 5
    assert [(outcome.state, outcome.label, outcome.version) for outcome in outcomes[2::2]] == [
        ("labeled", "111111", 3),
        ("unlabeled", None, 2),
    ]
    assert len(labels.events_of(db, images[0].id)) == 3
    assert samples.get_sample(db, images[1].id).state == "unlabeled"


def test_a_skip_can_be_undone(db: Database, project: Project, images: list[Sample]) -> None:
    """The image returns to the queue or gets its label back."""
    act(db, project, event("a1", "skip", images[0]), event("a2", "label", images[1], "111111"))
    act(db, project, event("a3", "skip", images[1], base=1))
    assert [samples.get_sample(db, image.id).state for image in images[:2]] == ["skipped", "skipped"]

    outcomes = act(db, project, event("a4", "undo", images[0], base=1), event("a5", "undo", images[1], base=2))

    assert [(outcome.status, outcome.state, outcome.label) for outcome in outcomes] == [
        ("saved", "unlabeled", None),
        ("saved", "labeled", "111111"),
    ]


def test_an_undo_of_an_undo_is_a_redo(db: Database, project: Project, images: list[Sample]) -> None:
    """It restores the content before the undo."""
    act(db, project, event("a1", "label", images[0], "111111"), event("a2", "undo", images[0], base=1))

    (outcome,) = act(db, project, event("a3", "undo", images[0], base=2))

    assert (outcome.state, outcome.label) == ("labeled", "111111")


def test_there_is_nothing_to_undo_on_a_fresh_image(db: Database, project: Project, images: list[Sample]) -> None:
    """The sender gets a message, and the ledger stays empty."""
    (outcome,) = act(db, project, event("a1", "undo", images[0]))

    assert (outcome.status, outcome.message) == ("refused", "There is nothing to undo on this image.")
    assert labels.events_of(db, images[0].id) == []


def test_an_undo_that_another_operator_preceded_is_a_conflict(
    db: Database, project: Project, images: list[Sample]
) -> None:
    """It would undo a correction that the sender has not seen."""
    act(db, project, event("a1", "label", images[0], "111111"))
    act(db, project, event("b1", "label", images[0], "222222", base=1), operator="Ben")

    (outcome,) = act(db, project, event("a2", "undo", images[0], base=1))

    assert (outcome.status, outcome.label) == ("conflict", "222222")


def test_an_image_of_another_project_is_refused(db: Database, project: Project, images: list[Sample]) -> None:
    """An unknown image is also refused. The answer lets the sender delete the event."""
    with write(db):
        other = projects.insert_project(db, "other", 6, "0123456789")
    unknown = event("a2", "label", images[0], "111111") | {"sample": "f" * 64}

    (elsewhere,) = act(db, other, event("a1", "label", images[0], "111111"))
    (nowhere,) = act(db, project, unknown)

    assert elsewhere == Outcome("a1", images[0].sha256, "refused", "This image is not in the project.")
    assert nowhere == Outcome("a2", "f" * 64, "refused", "This image is not in the project.")


@pytest.mark.parametrize(
    "change",
    [
        {"event": None},
        {"event": ""},
        {"event": "half \ud800"},
        {"action": None},
        {"action": "import"},
        {"action": "delete"},
        {"action": ["label"]},
        {"base": None},
        {"base": "0"},
        {"base": 0.0},
        {"base": -1},
        {"base": 2**64},
        {"sample": None},
        {"sample": "\ud800"},
        {"sample": {"sha256": 1}},
        {"after": "\ud800"},
    ],
)
def test_an_event_that_cannot_be_read_is_refused(
    db: Database, project: Project, images: list[Sample], change: dict[str, object]
) -> None:
    """It must not block later events, because a browser resends all events without an answer."""
    bad = event("a1", "label", images[0], "111111") | change

    outcomes = act(db, project, bad, event("a2", "label", images[1], "222222"))

    assert [outcome.status for outcome in outcomes] == ["refused", "saved"]
    assert labels.events_of(db, images[0].id) == []


def test_an_event_without_fields_is_refused(db: Database, project: Project, images: list[Sample]) -> None:
    """An empty object is invalid."""
    assert [outcome.status for outcome in act(db, project, {})] == ["refused"]


def test_the_id_of_another_images_event_is_refused(db: Database, project: Project, images: list[Sample]) -> None:
    """If it counted as a repeat, it would be answered as saved and be lost."""
    act(db, project, event("a1", "label", images[0], "111111"))

    (outcome,) = act(db, project, event("a1", "label", images[1], "222222"))

    assert outcome.status == "refused"
    assert samples.get_sample(db, images[1].id).label is None


def test_a_batch_is_stored_whole_or_not_at_all(db: Database, project: Project, images: list[Sample]) -> None:
    """If the disk is full, no event gets an answer, so the sender keeps them all."""
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    events = [event(f"a{number}", "label", images[0], f"{number:06}", base=number) for number in range(100)]

    with pytest.raises(StorageError, match=r"Nothing was saved.*full"):
        act(db, project, *events)

    assert samples.get_sample(db, images[0].id).version == 0
    assert labels.events_of(db, images[0].id) == []
    db.execute(f"PRAGMA max_page_count = {pages + 100}")
    assert {outcome.status for outcome in act(db, project, *events)} == {"saved"}
    assert samples.get_sample(db, images[0].id).label == "000099"


def test_there_is_always_an_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may use a user id without a name. The error depends on the Python version."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    for error in (KeyError, OSError):

        def unknown(uid: int, error: type[Exception] = error) -> None:
            raise error(uid)

        monkeypatch.setattr(pwd, "getpwuid", unknown)
        assert default_operator() == "operator"
    monkeypatch.setenv("LOGNAME", "ann")
    assert default_operator() == "ann"


def test_a_persons_label_wins_over_a_reading_that_came_first(
    db: Database, project: Project, images: list[Sample]
) -> None:
    """The reading became a label while the operator typed. This is not a conflict. The label is a person's."""
    with write(db):
        labels.append_event(
            db, images[0], event_id="accept:1", operator="readers", action="accept", state="labeled", text="111111",
            kind="readers", base_version=0, origin="accept",
        )  # fmt: skip

    (outcome,) = act(db, project, event("a1", "label", images[0], "222222"))
    after = samples.get_sample(db, images[0].id)
    act(db, project, event("a2", "undo", images[0], base=2))
    undone = samples.get_sample(db, images[0].id)

    assert (outcome.status, outcome.version, after.label, after.kind) == ("saved", 2, "222222", "person")
    assert (undone.label, undone.kind) == ("111111", "readers")
