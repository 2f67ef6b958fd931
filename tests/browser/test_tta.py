"""The TTA tab in a real browser: the rows of the editor, which no other test can type into."""

from playwright.sync_api import Page, expect

from tests.helpers.browsing import add_run, open_at, settle
from tests.helpers.lab import Lab

ROW, HEADER, ZOOM = 35, 36, 410
"""Pixels: the height of a row and of what stands above the rows, and where the column Zoom is."""


def type_zoom(page: Page, row: int, text: str) -> None:
    editor = page.get_by_test_id("stDataFrame").last
    editor.scroll_into_view_if_needed()
    box = editor.bounding_box()
    assert box is not None
    page.mouse.dblclick(box["x"] + ZOOM, box["y"] + HEADER + ROW * row + ROW / 2)
    field = page.locator("#portal input")
    expect(field).to_be_visible()
    field.fill(text)
    page.keyboard.press("Enter")
    settle(page)


def test_an_invalid_view_is_reported_until_it_is_corrected(lab: Lab, page: Page) -> None:
    """Until then, no evaluation can use it."""
    project = lab.make_project("views", 40)
    run = add_run(lab, project)
    open_at(page, lab, f"/evaluate?project={project.name}&run={run}&section=tta", "Evaluate")
    # The button's text says which of its two states is meant: while the page is redrawn, both may be there.
    start = page.get_by_role("button", name="Evaluate with these 9 views")
    expect(start).to_be_enabled()

    type_zoom(page, 1, "300")

    expect(page.get_by_text("View 'left' zooms to 300%. Use 80% to 125%.")).to_be_visible()
    expect(page.get_by_role("button", name="Evaluate with these views")).to_be_disabled()
    expect(start).to_have_count(0)

    type_zoom(page, 1, "108")

    expect(page.get_by_text("zooms to")).to_have_count(0)
    expect(start).to_be_enabled()
    expect(page.get_by_test_id("stException")).to_have_count(0)
