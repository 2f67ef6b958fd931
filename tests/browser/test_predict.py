"""Predict in a browser: all unlabeled images, their download, uploads, and a narrow window."""

import csv
import io
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from db.connection import opened
from db.samples import image_bytes, select_samples
from tests.helpers.browsing import open_at, settle
from tests.helpers.lab import Lab

READ_MS = 120_000
"""Timeout for the start of torch and for a hundred readings."""


def downloaded(page: Page) -> list[dict[str, str]]:
    """Press the button, and return the rows of the file."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    return list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))


@pytest.mark.long
def test_all_unlabeled_images_are_read_and_downloaded(lab: Lab, page: Page) -> None:
    """The built-in reader reads them. The large answer is that of the table, which the file has, too."""
    project = lab.make_project("unlabeled", 60)
    with opened(lab.home.db) as db:
        samples = select_samples(db, project.id, split="train")
        stored = image_bytes(db, [sample.id for sample in samples[:30]])
    open_at(page, lab, f"/predict?project={project.name}", "Predict")
    download = page.get_by_role("button", name="Download CSV")
    expect(download).to_be_visible(timeout=READ_MS)
    assert len(downloaded(page)) == 24

    page.get_by_role("button", name="Read all").click()
    expect(page.get_by_role("button", name="Read all")).to_have_count(0, timeout=READ_MS)
    settle(page)

    rows = downloaded(page)
    assert [row["sha256"] for row in rows] == [sample.sha256 for sample in samples]
    assert {len(row["text"]) for row in rows} == {6}
    assert {(row["source"], row["owner"], row["authorization"]) for row in rows} == {
        ("rendered", "tests", "own images")
    }
    expect(page.get_by_test_id("stMetricValue")).to_have_text(rows[0]["text"])

    page.get_by_role("radio", name="upload").click()
    page.locator("input[type=file]").set_input_files(
        [
            {"name": f"{number}.png", "mimeType": "image/png", "buffer": data}
            for number, data in enumerate(stored.values())
        ]
    )
    expect(download).to_be_visible(timeout=READ_MS)
    settle(page)
    uploaded = downloaded(page)
    assert {row["owner"] for row in uploaded} == {""}
    assert [row["text"] for row in uploaded] == [row["text"] for row in rows[:30]]

    page.set_viewport_size({"width": 420, "height": 900})
    expect(download).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
