"""Kinds of labels in a real browser: filtered in Review, and removed on Samples."""

from playwright.sync_api import Page, expect

from db import samples
from db.connection import opened
from db.records import Project
from tests.helpers.browsing import open_at
from tests.helpers.kinds import give_all_kinds
from tests.helpers.lab import Lab
from tests.helpers.waiting import wait_until


def make_mixed(lab: Lab, name: str) -> Project:
    """Make a project with 4 labels of people and 20 of readers, all in train."""
    project = lab.make_project(name, 40)
    with opened(lab.home.db) as db:
        give_all_kinds(db, project, person=4, readers=20)
    return project


def kinds(lab: Lab, project: Project) -> dict[str, tuple[str | None, bool]]:
    with opened(lab.home.db) as db:
        chosen = samples.select_samples(db, project.id, state="labeled")
        return {sample.sha256: (sample.kind, bool(sample.checked)) for sample in chosen}


def test_readings_are_reviewed_apart(lab: Lab, page: Page) -> None:
    """Each tile names its kind. Retyping makes a label of a person, and Enter confirms the others."""
    project = make_mixed(lab, "kinds-review")
    page.goto(f"{lab.url}/review?project={project.name}&kind=readers")
    widget = page.get_by_test_id("reviewer")
    expect(widget).to_have_attribute("data-ready", "true", timeout=30_000)
    tiles = widget.locator(".tile")
    expect(widget).to_contain_text("of 20 labels")
    expect(tiles.first.locator(".kind")).to_have_text("readers")

    page.keyboard.type("987654")
    expect(tiles.first.locator(".kind")).to_be_hidden()
    expect(widget).to_have_attribute("data-ready", "true")
    # Elements above that arrive late leave room for fewer images, so the images are read right before Enter.
    shown = [str(sha256) for sha256 in tiles.evaluate_all("tiles => tiles.map(tile => tile.dataset.sample)")]
    before = kinds(lab, project)
    assert {before[sha256] for sha256 in shown[1:]} == {("readers", False)}
    page.keyboard.press("Enter")
    expect(widget).to_have_attribute("data-unsaved", "0", timeout=30_000)

    expected = {shown[0]: ("person", False)} | dict.fromkeys(shown[1:], ("readers", True))
    wait_until(lambda: kinds(lab, project).items() >= expected.items())

    page.get_by_label("Kind").click()
    page.get_by_role("option", name="people").click()
    expect(widget).to_contain_text("of 5 labels")
    page.wait_for_url(lambda address: "kind=people" in address, wait_until="commit")
    expect(widget.locator(".kind:visible")).to_have_count(0)


def test_labels_of_readers_are_removed_on_samples(lab: Lab, page: Page) -> None:
    """The button works only after the number of labels is typed."""
    project = make_mixed(lab, "kinds-removal")
    open_at(page, lab, f"/samples?project={project.name}", "Samples")
    page.get_by_role("button", name="Remove readers' labels").click()
    remove = page.get_by_role("button", name="Remove labels", exact=True)
    expect(remove).to_be_disabled()

    page.get_by_label("Type 20 to confirm").fill("20")
    expect(remove).to_be_enabled()
    remove.click()

    expect(page.get_by_text("Removed 20 labels of readers.")).to_be_visible()
    assert {kind for kind, _ in kinds(lab, project).values()} == {"person"}
    expect(page.get_by_role("button", name="Remove readers' labels")).to_have_count(0)
