"""Suggestions of the readers in the boxes of the Label page, and the order that shows disagreement first."""

import json
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page, expect

from core.data.labeling import apply_events
from core.data.priorities import update
from core.data.suggestions import is_withheld
from core.images.pixels import split_of
from db.connection import opened
from db.samples import select_samples
from tests.helpers.labeler import OpenLabel, expect_all_saved, expect_ready, shown, typed, widget
from tests.helpers.readings import add_proposals

if TYPE_CHECKING:
    from db.records import Project
    from tests.helpers.lab import Lab

READING = "907142"
READ_MS = 350
"""Milliseconds after which Enter accepts a suggestion, and a few more."""


def propose(lab: "Lab", project: "Project", differing: int = 0) -> set[str]:
    """Let both readers read all images alike, but for the first training images. Return the hashes of those."""
    with opened(lab.home.db) as db:
        images = select_samples(db, project.id)
        apart = [sample for sample in images if sample.split == "train"][:differing]
        add_proposals(db, project, {s.id: (READING, "907143" if s in apart else READING) for s in images})
        update(db, project)
    return {sample.sha256 for sample in apart}


def ghost(page: Page) -> str:
    return "".join(slot.get_attribute("data-ghost") or "" for slot in widget(page).locator(".slot").all())


def has_suggestion(sample: str) -> bool:
    return split_of(sample) == "train" and not is_withheld(sample)


def read_image(page: Page) -> str:
    """Wait until Enter may accept the suggestion, and return the hash of the image."""
    expect_ready(page)
    page.wait_for_timeout(READ_MS)
    return shown(page)


def next_suggestion(page: Page) -> str:
    """Type labels until an image has a suggestion, and return its hash."""
    while not has_suggestion(read_image(page)):
        page.keyboard.type("000000")
    return shown(page)


def suggested(lab: "Lab", project: "Project", sample: str) -> list[tuple[Any, ...]]:
    """Return (text, suggestion, whether it was shown) of the labels of an image."""
    sql = (
        "SELECT text, suggestion, suggestion_shown FROM labels JOIN samples ON samples.id = sample_id"
        " WHERE project_id = ? AND sha256 = ? AND action = 'label'"
    )
    with opened(lab.home.db) as db:
        return db.execute(sql, [project.id, sample]).fetchall()


@pytest.mark.long
def test_enter_accepts_a_suggestion(lab: "Lab", open_label: OpenLabel) -> None:
    """Also while the server does not answer. One image in ten has none, and there Enter does nothing."""
    project = lab.make_project("ghost", 80)
    propose(lab, project)
    page = open_label(lab, project)
    accepted, withheld = [], []
    while len(accepted) < 3 or not withheld:
        sample = read_image(page)
        assert ghost(page) == (READING if has_suggestion(sample) else "")
        assert typed(page) == "......"
        page.keyboard.press("Enter")
        if has_suggestion(sample):
            accepted.append(sample)
            expect(widget(page)).not_to_have_attribute("data-sample", sample)
            continue
        assert shown(page) == sample
        page.keyboard.type("654321")
        if split_of(sample) == "train":
            withheld.append(sample)
    expect_all_saved(page)
    last = next_suggestion(page)
    expect_all_saved(page)
    with lab.busy():
        page.keyboard.press("Enter")
        expect(widget(page)).to_have_attribute("data-unsaved", "1")
        (event,) = page.evaluate("Object.values(localStorage).filter((value) => value.includes('suggested'))")
    assert json.loads(event)["suggested"] is True

    expect_all_saved(page)
    for sample in (*accepted, last):
        assert suggested(lab, project, sample) == [(READING, READING, 1)]
    assert suggested(lab, project, withheld[0]) == [("654321", READING, 0)]


def test_typing_replaces_a_suggestion(lab: "Lab", open_label: OpenLabel) -> None:
    """The first character hides it; erasing that shows it again. The least sure character is marked."""
    project = lab.make_project("over", 40)
    propose(lab, project)
    page = open_label(lab, project)
    sample = next_suggestion(page)
    expect(widget(page).locator(".slot.unsure")).to_have_count(1)
    expect(widget(page).get_by_role("button", name="Accept")).to_be_enabled()

    page.keyboard.type("9")
    assert (typed(page), ghost(page)) == ("9.....", "")
    expect(widget(page).locator(".slot.unsure")).to_have_count(0)
    expect(widget(page).get_by_role("button", name="Save")).to_be_disabled()
    page.keyboard.press("Enter")
    assert shown(page) == sample
    page.keyboard.press("Backspace")
    assert (typed(page), ghost(page)) == ("......", READING)
    page.keyboard.type("987654")

    expect_all_saved(page)
    assert suggested(lab, project, sample) == [("987654", READING, 1)]


def test_an_enter_after_the_last_character_accepts_nothing(lab: "Lab", open_label: OpenLabel) -> None:
    """It is a habit, and the suggestion of the next image has not been read yet."""
    project = lab.make_project("habit", 40)
    propose(lab, project)
    page = open_label(lab, project)
    next_suggestion(page)

    page.evaluate("for (const key of [...'111111', 'Enter']) dispatchEvent(new KeyboardEvent('keydown', { key }))")

    expect_all_saved(page)
    assert READING not in lab.labels(project).values()


def test_an_accepted_suggestion_can_be_undone(lab: "Lab", open_label: OpenLabel) -> None:
    project = lab.make_project("undone", 40)
    propose(lab, project)
    page = open_label(lab, project)
    sample = next_suggestion(page)
    page.keyboard.press("Enter")
    page.keyboard.press("Backspace")
    assert (shown(page), typed(page)) == (sample, READING)

    page.keyboard.type("777777")

    expect_all_saved(page)
    assert lab.labels(project)[sample] == "777777"


@pytest.mark.long
def test_validation_and_test_images_show_no_suggestion(lab: "Lab", open_label: OpenLabel) -> None:
    """Ten of them in a row: an operator who judges the readers must not see their reading."""
    project = lab.make_project("blind", 100)
    propose(lab, project)
    with opened(lab.home.db) as db:
        train = select_samples(db, project.id, split="train")
        events = [{"event": s.sha256, "action": "label", "sample": s.sha256, "text": READING, "base": 0} for s in train]
        apply_events(db, project, "Ben", events)
    page = open_label(lab, project)

    for _ in range(10):
        sample = read_image(page)
        assert split_of(sample) != "train"
        assert ghost(page) == ""
        page.keyboard.press("Enter")
        assert shown(page) == sample
        page.keyboard.type("000000")

    expect_all_saved(page)
    assert READING not in page.content()


@pytest.mark.long
def test_images_on_which_readers_disagree_come_first(lab: "Lab", open_label: OpenLabel) -> None:
    """The page gives the reason. These images show no suggestion, because a person should read them."""
    project = lab.make_project("apart", 80)
    apart = propose(lab, project, differing=30)
    page = open_label(lab, project)
    expect(page.get_by_text("Training images on which the readers disagree come first: 30.")).to_be_visible()

    first = []
    for _ in range(12):
        expect_ready(page)
        first.append(shown(page))
        if first[-1] in apart:
            assert ghost(page) == ""
        page.keyboard.type("000000")

    expect_all_saved(page)
    assert apart & set(first)
    page.reload()
    left = 30 - len(apart & set(first))
    expect(page.get_by_text(f"Training images on which the readers disagree come first: {left}.")).to_be_visible()
