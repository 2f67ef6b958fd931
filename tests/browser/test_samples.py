"""Samples in a browser: rows are ticked, many images are changed at once, and filters are saved."""

import csv
import io
import urllib.parse
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from core.data.labeling import apply_events
from db import samples, tags
from db.connection import opened
from db.records import Project
from tests.helpers.browsing import open_at, settle
from tests.helpers.lab import Lab

HEADER, ROW = 38, 48
"""Heights of the table's head and of a row, in pixels."""


def tick(page: Page, row: int, *modifiers: str) -> None:
    """Click the box of a row."""
    grid = page.get_by_test_id("stDataFrame").first.locator(".dvn-scroller")
    grid.click(position={"x": 15, "y": HEADER + ROW * row + ROW // 2}, modifiers=[*modifiers])  # type: ignore[list-item]


def action(page: Page, name: str) -> Locator:
    """Open the popover of an action and return it."""
    page.get_by_test_id("stPopover").filter(has_text=name).get_by_role("button").click()
    return page.get_by_test_id("stPopoverBody")


def states(lab: Lab, project: Project) -> list[str]:
    with opened(lab.home.db) as db:
        return [sample.state for sample in samples.select_samples(db, project.id)]


def label_all(lab: Lab, project: Project) -> None:
    with opened(lab.home.db) as db:
        events = [
            {"event": f"label {sample.id}", "action": "label", "sample": sample.sha256, "text": "123456", "base": 0}
            for sample in samples.select_samples(db, project.id)
        ]
        apply_events(db, project, "Ann", events)


def test_many_images_are_tagged_and_skipped(lab: Lab, page: Page) -> None:
    """Rows are ticked one by one and as a range; the whole list is chosen; a skip of labels is confirmed and undone."""
    project = lab.make_project("many", 55)
    with opened(lab.home.db) as db:
        first, *_ = samples.select_samples(db, project.id)
        apply_events(
            db, project, "Ann",
            [{"event": "many", "action": "label", "sample": first.sha256, "text": "123456", "base": 0}],
        )  # fmt: skip
    open_at(page, lab, f"/samples?project={project.name}", "Samples")
    tick(page, 0)
    expect(page.get_by_text("1 image selected.")).to_be_visible()
    tick(page, 2, "Shift")
    expect(page.get_by_text("3 images selected.")).to_be_visible()
    body = action(page, "Tag")
    body.get_by_role("combobox").fill("blurry")
    body.get_by_role("combobox").press("Enter")
    body.get_by_role("button", name="Tag 3 images", exact=True).click()
    expect(page.get_by_text("Tagged 3 images: blurry.")).to_be_visible()
    with opened(lab.home.db) as db:
        given = tags.tags_of(db, samples.select_ids(db, project.id))
        assert [[tag.name for tag in each] for each in given.values()] == [["blurry"]] * 3

    page.keyboard.press("Escape")
    page.get_by_role("radio", name="All matches").click(force=True)
    expect(page.get_by_text("55 images selected.")).to_be_visible()
    body = action(page, "Skip")
    expect(body.get_by_role("button", name="Skip 55 images")).to_be_disabled()
    body.get_by_label("Type 1 to confirm").fill("1")
    body.get_by_role("button", name="Skip 55 images").click()
    expect(page.get_by_text("Skipped 55 images for later.")).to_be_visible(timeout=30_000)
    assert set(states(lab, project)) == {"skipped"}
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Undo skip").click()
    expect(page.get_by_text("Undid the skip of 55 images.")).to_be_visible(timeout=30_000)
    assert sorted({*states(lab, project)}) == ["labeled", "unlabeled"]


def test_images_are_downloaded_only_with_their_owner(lab: Lab, page: Page) -> None:
    """Streamlit's download of a table has no owner, so tables of images and labels have none. Ours is under Export."""
    project = lab.make_project("owned", 2)
    label_all(lab, project)
    open_at(page, lab, f"/samples?project={project.name}", "Samples")
    toolbar = page.get_by_role("button", name="Download as CSV")
    expect(page.get_by_test_id("stDataFrame")).to_have_count(2)
    images, history = page.get_by_test_id("stDataFrame").all()
    for table in (history, images):
        table.hover()
        expect(table.get_by_role("button", name="Fullscreen")).to_be_visible()
        expect(toolbar).to_have_count(0)
    images.get_by_role("button", name="Fullscreen").click()
    expect(page.get_by_role("button", name="Close fullscreen")).to_be_visible()
    expect(toolbar).to_have_count(0)
    page.keyboard.press("Escape")

    page.get_by_role("radio", name="All matches").click(force=True)
    body = action(page, "Export")
    body.get_by_role("button", name="Prepare export").click()
    expect(page.get_by_text("Exported 2 images as CSV.")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download labels.csv (2 images)").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert [(row["label"], row["owner"], row["authorization"]) for row in rows] == [
        ("123456", "tests", "own images")
    ] * 2
    assert not any("image" in row for row in rows)


def test_saved_filters_are_picked_from_a_list(lab: Lab, page: Page) -> None:
    """They are saved under a name, and another session finds them. The address has what they name, and nothing else."""
    project = lab.make_project("filters", 3)
    open_at(page, lab, f"/samples?project={project.name}&sort=largest", "Samples")
    page.get_by_test_id("stSelectbox").filter(has_text="State").get_by_role("combobox").click()
    page.get_by_role("option", name="unlabeled", exact=True).click()
    settle(page)
    body = action(page, "Save filters")
    body.get_by_role("textbox", name="Name").fill("big ones")
    body.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("combobox", name="Saved filters")).to_have_value("big ones")

    page.context.clear_cookies()
    open_at(page, lab, f"/samples?project={project.name}&search=0001", "Samples")
    box = page.get_by_role("combobox", name="Saved filters")
    box.click()
    page.get_by_role("option", name="big ones").click()
    settle(page)
    named = {"project": project.name, "state": "unlabeled", "sort": "largest"}
    page.wait_for_url(
        lambda address: dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(address).query)) == named,
        wait_until="commit",
    )
    expect(page.get_by_text("3 of 3 images")).to_be_visible()
    expect(box).to_have_value("big ones")
