"""Drift in a browser: from the link on Home to the banner with its images, until the bundle is kept."""

import shutil
from pathlib import Path

from playwright.sync_api import Page, expect

from core.data.importing import open_project
from core.home import Home
from db.connection import opened
from tests.helpers.browsing import open_at
from tests.helpers.drifting import come, inverted, look, new_images, use
from tests.helpers.lab import Lab

JOB_MS = 60_000


def test_an_alarm_is_seen_and_dismissed(own_lab: Lab, page: Page, tmp_path: Path, bundled_home: Home) -> None:
    """Twelve images are drawn, also in a narrow window. The search for drift then runs again by itself."""
    home = own_lab.home
    shutil.copytree(bundled_home.root, home.root, dirs_exist_ok=True)
    with opened(home.db) as db:
        project = open_project(db, "portal", None, None)
    use(home, "0001-bundle")
    come(home, project, tmp_path / "usual", new_images(30))
    come(home, project, tmp_path / "changed", inverted(new_images(30, seed=2)))
    look(home, project)
    own_lab.start()
    open_at(page, own_lab, "/", "Home")

    expect(page.get_by_text("of rendered")).to_be_visible()
    page.get_by_role("link", name="See the change").click()

    expect(page.get_by_role("heading", name="Models", exact=True)).to_be_visible()
    banner = page.get_by_test_id("stAlert").filter(has_text="of rendered")
    expect(banner).to_contain_text("Label some of the new ones and train again.")
    images = page.get_by_role("img", name="the change")
    expect(images).to_have_count(12)
    page.wait_for_function("[...document.querySelectorAll('img[alt$=\"the change\"]')].every(img => img.naturalWidth)")
    page.set_viewport_size({"width": 420, "height": 900})
    expect(images.last).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    page.get_by_role("button", name="Keep this bundle").click()

    expect(page.get_by_text("No drift in 60 answers of 0001-bundle.")).to_be_visible(timeout=JOB_MS)
    expect(banner).to_have_count(0)
    expect(page.get_by_test_id("stException")).to_have_count(0)
