"""Review: labels, answers, choices and history."""

from typing import Any

import pytest
from sqlite_utils import Database

from core.data.labeling import apply_events
from core.data.reviewing import apply_review, choices_of, history_of, next_labeled
from core.images.pixels import pixel_hash, split_of
from db import labels, samples
from db.connection import write
from db.projects import insert_source
from db.records import Project, Sample
from db.reviews import Review
from tests.helpers.pictures import pixels, png


@pytest.fixture
def hashes(db: Database, project: Project) -> list[str]:
    """Forty images that Ann labeled 000000 to 000039."""
    with write(db):
        source = insert_source(db, project.id, "mail", "the team", "ticket 1")
        found = []
        for number in range(40):
            sha256 = pixel_hash(pixels(number))
            samples.insert_sample(
                db, project_id=project.id, source_id=source.id, sha256=sha256, name=f"{number}.png", width=40,
                height=16, split=split_of(sha256), image=png(number),
            )  # fmt: skip
            found.append(sha256)
    apply_events(db, project, "Ann", [event("label", sha, 0, text=f"{i:06}") for i, sha in enumerate(found)])
    return found


def event(action: str, sample: str, base: int, **more: Any) -> dict[str, Any]:
    return {"event": f"{action} {sample} {more}", "action": action, "sample": sample, "base": base, **more}


def sample_of(db: Database, project: Project, sha256: str) -> Sample:
    sample = samples.find_sample(db, project.id, sha256)
    assert sample is not None
    return sample


def walk(db: Database, project: Project, operator: str, n: int) -> list[str]:
    found: list[str] = []
    after = None
    while True:
        batch, after = next_labeled(db, project, Review(), operator, after=after, n=n)
        found += [sample.sha256 for sample in batch]
        if len(batch) < n:
            return found


def test_everybody_walks_all_labels_from_another_start(db: Database, project: Project, hashes: list[str]) -> None:
    """The random order wraps around, and two reviewers start at different places."""
    ann, eve = walk(db, project, "Ann", 7), walk(db, project, "Eve", 40)

    assert sorted(ann) == sorted(eve) == sorted(hashes)
    assert ann[:7] != eve[:7]
    assert ann == walk(db, project, "Ann", 1)


def test_confirm_and_doubt_are_kept_with_their_page(db: Database, project: Project, hashes: list[str]) -> None:
    """A confirmed label is checked, a doubted one disputed. No label changes, and there is no notice."""
    right, wrong = hashes[:2]
    done = [event("confirm", right, 1, shown="000000", ms=500), event("doubt", wrong, 1, shown="000001")]
    answers = apply_review(db, project, "Ben", done)

    assert [answer.notice for answer in answers] == [None, None]
    one, two = sample_of(db, project, right), sample_of(db, project, wrong)
    assert (one.label, one.checked, one.disputed) == ("000000", 1, 0)
    assert (two.label, two.checked, two.disputed) == ("000001", 0, 1)
    assert [(line.did, line.standing, line.origin, line.ms) for line in history_of(answers[0].events)] == [
        ("labeled", "", "label", None),
        ("confirmed", "opinion", "review", 500),
    ]


def test_an_opinion_on_a_skipped_image_has_no_notice(db: Database, project: Project, hashes: list[str]) -> None:
    """The operator saw the reason of the skip, and nobody changed it."""
    apply_events(db, project, "Ann", [event("skip", hashes[0], 1, flag="not_ours")])

    (answer,) = apply_review(db, project, "Ben", [event("confirm", hashes[0], 2, shown="not from this portal")])

    assert answer.notice is None
    assert sample_of(db, project, hashes[0]).checked


def test_a_label_changed_by_someone_else_is_reported_with_both_texts(
    db: Database, project: Project, hashes: list[str]
) -> None:
    """An opinion applies to the label on screen, so the new one is not checked. A late correction is a conflict."""
    apply_events(db, project, "Ann", [event("label", hashes[0], 1, text="777777")])

    confirmed, corrected = apply_review(
        db, project, "Ben",
        [event("confirm", hashes[0], 1, shown="000000"), event("resolve", hashes[0], 1, text="888888", shown="000000")],
    )  # fmt: skip

    assert confirmed.notice is not None
    assert "from 000000 to" in confirmed.notice
    assert "Ann changed this label from 000000 to 777777" in confirmed.notice
    assert confirmed.sample is not None
    assert not confirmed.sample.checked
    assert corrected.notice is not None
    assert "777777" in corrected.notice
    assert sample_of(db, project, hashes[0]).label == "777777"


def test_a_repeated_message_changes_nothing(db: Database, project: Project, hashes: list[str]) -> None:
    """The answer was lost, so a confirmation and a correction are sent again."""
    events = [
        event("confirm", hashes[0], 1, shown="000000"),
        event("resolve", hashes[0], 1, text="888888", shown="000000"),
    ]
    first = apply_review(db, project, "Ben", events)
    again = apply_review(db, project, "Ben", events)

    assert [answer.notice for answer in [*first, *again]] == [None] * 4
    assert [answer.outcome.status for answer in again] == ["repeated", "repeated"]
    assert len(again[0].events) == 3


def test_an_image_outside_the_project_is_reported(db: Database, project: Project, hashes: list[str]) -> None:
    """The image belongs to another project, or the hash is invalid."""
    answers = apply_review(db, project, "Ben", [event("confirm", "0" * 64, 1), event("confirm", "\ud800", 1)])

    assert [answer.notice for answer in answers] == ["This image is not in the project."] * 2
    assert [answer.sample for answer in answers] == [None, None]


def test_a_text_that_does_not_fit_is_reported(db: Database, project: Project, hashes: list[str]) -> None:
    """The browser checks while typing, and the server checks again."""
    (answer,) = apply_review(db, project, "Ben", [event("resolve", hashes[0], 1, text="12", shown="000000")])

    assert "2 characters" in (answer.notice or "")
    assert sample_of(db, project, hashes[0]).label == "000000"


def test_every_opinion_on_a_disputed_image_is_a_choice(db: Database, project: Project, hashes: list[str]) -> None:
    """The current label comes first. A late label, a second opinion, a flag and a doubt follow, grouped by text."""
    image = hashes[0]
    for operator, one in (
        ("Ben", event("label", image, 0, text="111111")),
        ("Eve", event("second", image, 1, text="111111")),
        ("Flo", event("second", image, 1, flag="unreadable")),
        ("Gus", event("doubt", image, 1)),
        ("Hal", event("confirm", image, 1)),
    ):
        apply_events(db, project, operator, [one])
    sample = sample_of(db, project, image)

    assert sample.disputed
    assert [(choice.shown, choice.current, choice.voices) for choice in choices_of(sample, events(db, sample))] == [
        ("000000", True, ("Ann labeled it", "Hal confirmed it", "Gus doubted it")),
        ("111111", False, ("Ben labeled it, too late", "Eve gave a second opinion")),
        ("unreadable", False, ("Flo gave a second opinion",)),
    ]
    flag = choices_of(sample, events(db, sample))[2]
    assert (flag.text, flag.flag) == (None, "unreadable")


def events(db: Database, sample: Sample) -> list[Any]:
    return labels.events_of(db, sample.id)


def test_a_missing_label_is_not_a_choice(db: Database, project: Project, hashes: list[str]) -> None:
    """The label was undone, so the second opinion is the only choice."""
    apply_events(db, project, "Ben", [event("second", hashes[0], 1, text="111111")])
    apply_events(db, project, "Ann", [event("undo", hashes[0], 1)])
    sample = sample_of(db, project, hashes[0])

    assert sample.disputed
    assert [(choice.shown, choice.current) for choice in choices_of(sample, events(db, sample))] == [("111111", False)]


@pytest.mark.parametrize("text", ["000000", "111111"])
def test_a_decision_that_missed_an_opinion_decides_nothing(
    db: Database, project: Project, hashes: list[str], text: str
) -> None:
    """A repeat gets the same answer. A resolve that has seen all events succeeds."""
    image = hashes[0]
    apply_events(db, project, "Ben", [event("label", image, 0, text="111111")])
    apply_events(db, project, "Flo", [event("second", image, 1, text="222222")])
    decide = event("resolve", image, 1, text=text, shown="000000", seen=2)

    for _ in range(2):
        (answer,) = apply_review(db, project, "Eve", [decide])
        assert answer.outcome.status == "conflict"
        assert answer.notice
        assert (sample_of(db, project, image).label, sample_of(db, project, image).disputed) == ("000000", 1)

    (answer,) = apply_review(db, project, "Eve", [{**decide, "event": "again", "seen": len(answer.events)}])
    assert (answer.outcome.status, answer.notice) == ("saved", None)
    assert (sample_of(db, project, image).label, sample_of(db, project, image).disputed) == (text, 0)


def test_a_decision_ends_a_dispute_and_its_undo_opens_it_again(
    db: Database, project: Project, hashes: list[str]
) -> None:
    """The history includes late events and opinions."""
    image = hashes[0]
    apply_events(db, project, "Ben", [event("label", image, 0, text="111111")])
    decide = event("resolve", image, 1, text="111111", shown="000000")
    apply_review(db, project, "Eve", [decide])
    assert (sample_of(db, project, image).label, sample_of(db, project, image).disputed) == ("111111", 0)

    apply_review(db, project, "Eve", [event("undo", image, 1, after=decide["event"])])
    sample = sample_of(db, project, image)

    assert (sample.label, sample.disputed) == ("000000", 1)
    assert [(line.operator, line.did, line.what, line.standing) for line in history_of(events(db, sample))] == [
        ("Ann", "labeled", "000000", ""),
        ("Ben", "labeled", "111111", "lost"),
        ("Eve", "resolved", "111111", ""),
        ("Eve", "undid", "000000", ""),
    ]
