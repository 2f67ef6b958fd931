"""Start without a label: the built-in reader on Predict, and the walk from a folder of images to a run."""

import io
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.images import renderer
from core.images.pixels import decode, pixel_hash, split_of
from db import samples
from db.connection import opened
from db.projects import find_project
from db.runs import list_runs
from tests.helpers.browsing import import_zip, open_at
from tests.helpers.lab import Lab
from tests.helpers.labeler import expect_all_saved, expect_ready, shown
from tests.helpers.pictures import KEPT_OUT

READING, FILE = 1, 3
"""Columns of the table on Predict."""
COUNT = 80
BLIND = 6
"""Validation and test images that the operator labels."""
JOB_MS = 180_000
"""Timeout for a job on two cores that other tests share."""


def rendered_zip() -> tuple[bytes, dict[str, str]]:
    """Return a zip of images with names that say nothing, and the text of each image by pixel hash."""
    buffer, texts = io.BytesIO(), {}
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, (_, text, png) in enumerate(renderer.samples(COUNT, seed=5)):
            archive.writestr(f"{number:03}.png", png)
            texts[pixel_hash(decode(png))] = text
    return buffer.getvalue(), texts


def type_labels(page: Page, texts: dict[str, str], n: int) -> list[str]:
    """Type the text of the next `n` images and return their hashes."""
    typed = []
    for _ in range(n):
        expect_ready(page)
        typed.append(shown(page))
        page.keyboard.type(texts[typed[-1]], delay=30)
        expect(page.get_by_test_id("labeler")).not_to_have_attribute("data-sample", typed[-1])
    expect_all_saved(page)
    return typed


def shown_readings(page: Page) -> dict[str, str]:
    """Return the readings in the visible rows of Predict, by file name. Its canvas holds a table for screen readers."""
    rows = page.get_by_test_id("stDataFrame").locator("canvas tbody tr").all()
    names, texts = ([row.locator("td").nth(column).text_content() or "" for row in rows] for column in (FILE, READING))
    return dict(zip(names, texts, strict=True))


def test_a_new_project_is_read_without_a_run(own_lab: Lab, page: Page) -> None:
    """The built-in reader reads unlabeled images and uploads. Most readings are right, and none becomes a label."""
    paths = sorted(KEPT_OUT.glob("*.png"))
    uploads, stored = paths[:6], paths[6:]
    names = {f"{number:02}.png": path.stem for number, path in enumerate(stored)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, path in zip(names, stored, strict=True):
            archive.write(path, name)
    own_lab.start()
    open_at(page, own_lab, "/", "Home")
    import_zip(page, buffer.getvalue(), "new")
    expect(page.get_by_text("Duplicates")).to_be_visible(timeout=JOB_MS)

    page.get_by_test_id("stSidebar").get_by_role("link", name="Predict").click()
    expect(page.get_by_text("No trained model yet. The built-in reader")).to_be_visible()
    expect(page.get_by_test_id("glide-cell-1-0")).to_be_attached(timeout=60_000)
    readings = {names[name]: text for name, text in shown_readings(page).items()}

    page.get_by_test_id("stMain").get_by_role("radio", name="upload").click()
    page.locator("input[type=file]").set_input_files(uploads)
    expect(page.get_by_test_id(f"glide-cell-{FILE + 1}-0")).to_have_text(uploads[0].name)
    readings |= {Path(name).stem: text for name, text in shown_readings(page).items()}

    assert len(readings) >= 10
    assert sum(text == reading for text, reading in readings.items()) >= 0.75 * len(readings), readings
    with opened(own_lab.home.db) as db:
        project = find_project(db, "new")
        assert project is not None
        assert list_runs(db, project.id) == []
    assert own_lab.actions(project) == []


@pytest.mark.long
def test_a_reader_without_a_label(own_lab: Lab, page: Page) -> None:
    """Real readers read rendered images. People prove them on blind images, then a run trains on their readings."""
    lab = own_lab
    lab.start()
    archive, texts = rendered_zip()
    open_at(page, lab, "/", "Home")
    import_zip(page, archive, "zero")
    expect(page.get_by_text("Duplicates")).to_be_visible(timeout=JOB_MS)

    open_at(page, lab, "/propose?project=zero", "Propose")
    page.get_by_role("button", name=f"Read {COUNT} images").click()
    expect(page.get_by_text("can be used here")).to_be_visible(timeout=JOB_MS)
    expect(page.get_by_text("No validation or test image with an agreed reading has a label")).to_be_visible()

    page.get_by_role("link", name="Label blind images").click()
    expect(page.get_by_role("heading", name="Label", exact=True)).to_be_visible()
    blind = type_labels(page, texts, BLIND)
    assert {split_of(sha256) for sha256 in blind} <= {"val", "test"}

    open_at(page, lab, "/propose?project=zero", "Propose")
    expect(page.get_by_text("labeled validation and test images, and were right on")).to_be_visible()
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_role("button", name="Remove readers' labels")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("button", name="Accept")).to_have_count(0)

    open_at(page, lab, "/label?project=zero", "Label")
    with opened(lab.home.db) as db:
        project = find_project(db, "zero")
        assert project is not None
        left = samples.count_samples(db, project.id, state="unlabeled", split="train")
        counts = samples.label_counts(db, project.id)
    assert counts["train", "readers"] > COUNT / 3
    if left:
        expect(page.get_by_text(f"Training images on which the readers disagree come first: {left}.")).to_be_visible()
        type_labels(page, texts, 1)

    page.get_by_test_id("stSidebar").get_by_role("link", name="Train").click()
    minutes = page.get_by_role("textbox", name="Max minutes")
    minutes.fill("0.2")
    minutes.press("Enter")
    page.get_by_role("button", name="Start training").click()
    page.get_by_role("main").get_by_role("link", name="Evaluate").click(timeout=JOB_MS)
    with opened(lab.home.db) as db:
        (run,) = list_runs(db, project.id)
    title = "Exact match on val" if run.reference == "people" else "Agreement with readers"
    expect(page.get_by_text(title, exact=True)).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)
