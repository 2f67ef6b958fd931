"""The Errors section in a real browser: click a cell, view its images, correct a label and undo it."""

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from playwright.sync_api import Locator, Page, expect

from core.charset import TextSpec
from core.data.labeling import apply_events
from core.evaluation.predictions import Predictions
from core.model import checkpoint
from core.model.config import TrainConfig
from core.model.network import QueryPool, build_model
from db.connection import opened
from db.labels import events_of
from db.records import LabelEvent, Project
from db.samples import find_sample
from tests.helpers.browsing import SECOND_DIGIT_WRONG, add_run, open_at, settle
from tests.helpers.lab import Lab

COLUMNS = [4, 8, 12, 1, 20, 23]
"""The column, of 24 in the map, that each position of the run looks at."""


@pytest.fixture
def evaluated(lab: Lab, page: Page, request: pytest.FixtureRequest) -> Iterator[tuple[Project, str]]:
    """A new project on the screen, with a run that misreads the second digit of three images."""
    project = lab.make_project(f"errors {request.node.name}", 80)
    run = add_run(lab, project)
    open_at(page, lab, f"/evaluate?project={project.name}&run={run}", "Evaluate")
    expect(page.get_by_text("Statistics")).to_be_visible()  # the last on the page, so nothing moves any more
    yield project, run
    expect(page.get_by_test_id("stException")).to_have_count(0)


def cell(page: Page, position: str, true: int, read: int) -> tuple[float, float]:
    """Return the screen coordinates of a cell in the matrix of a position."""
    matrix = page.locator(f"[data-testid=matrix][data-position='{position}']")
    matrix.scroll_into_view_if_needed()
    box = matrix.bounding_box()
    assert box is not None
    numbers = {name: float(matrix.get_attribute(f"data-{name}") or 0) for name in ("size", "axis", "top", "left")}
    size = numbers["size"]
    x = box["x"] + numbers["axis"] + size * (read - numbers["left"] + 0.5)
    return x, box["y"] + size * (true - numbers["top"] + 0.5)


def tile(page: Page, place: int = 0) -> Locator:
    return page.get_by_test_id("tile").nth(place)


def field(page: Page, place: int = 0) -> Locator:
    return tile(page, place).get_by_role("textbox")


def history(lab: Lab, project: Project, sha256: str | None) -> list[LabelEvent]:
    with opened(lab.home.db) as db:
        sample = find_sample(db, project.id, sha256 or "")
        assert sample is not None
        return events_of(db, sample.id)


def saved(page: Page) -> None:
    expect(page.get_by_test_id("gallery")).to_have_attribute("data-unsaved", "0")


def test_a_click_shows_the_images_and_their_labels_can_be_corrected(
    lab: Lab, page: Page, evaluated: tuple[Project, str]
) -> None:
    """Click a cell, correct labels, undo: each step is in the ledger, and each image keeps its place."""
    project, _ = evaluated
    page.mouse.move(*cell(page, "3", 0, 7))
    readouts = page.locator(".matrices .readout")
    n = lab_val(page)
    expect(readouts.nth(0)).to_contain_text(f"0 read as 7: {SECOND_DIGIT_WRONG} of {6 * n}")
    expect(readouts.nth(2)).to_contain_text(f"0 read as 7: {SECOND_DIGIT_WRONG} of {n}")
    expect(readouts.nth(4)).to_contain_text(f"0 read as 7: 0 of {n}")

    page.mouse.click(*cell(page, "1", 0, 7))
    expect(page.get_by_text(f"{SECOND_DIGIT_WRONG} images with 0 read as 7 at position 2.")).to_be_visible()
    expect(page.get_by_test_id("tile")).to_have_count(SECOND_DIGIT_WRONG)
    expect(tile(page)).to_be_in_viewport(ratio=0.95)
    expect(page.locator(".gallery .found")).to_have_text(f"Images below: {SECOND_DIGIT_WRONG}")
    expect(page.get_by_test_id("matrices")).to_have_attribute("data-chosen", "1 0 7")
    page.mouse.click(*cell(page, "all", 0, 7))
    expect(page.get_by_text(f"{SECOND_DIGIT_WRONG} images with 0 read as 7 at any position.")).to_be_visible()
    expect(tile(page)).to_be_in_viewport(ratio=0.95)
    expect(page.get_by_role("radio", name="one cell")).to_be_checked()
    page.wait_for_url("**cell=all-07*", wait_until="commit")
    page.reload()
    expect(page.get_by_text(f"{SECOND_DIGIT_WRONG} images with 0 read as 7 at any position.")).to_be_visible()
    expect(page.get_by_test_id("matrices")).to_have_attribute("data-chosen", "all 0 7")
    settle(page)

    hashes = [tile(page, place).get_attribute("data-sample") for place in range(SECOND_DIGIT_WRONG)]
    field(page).fill("12")
    field(page).press("Enter")
    expect(tile(page).get_by_role("alert")).to_have_text("2 characters entered; a label has 6.")
    field(page).fill("123456")
    field(page).press("Enter")
    expect(tile(page)).to_contain_text("now 123456")
    expect(field(page, 1)).to_be_focused()
    page.keyboard.type("654321")
    page.keyboard.press("Enter")
    saved(page)
    assert [lab.labels(project)[sha256 or ""] for sha256 in hashes] == ["123456", "654321", "000000"]
    last = history(lab, project, hashes[0])[-1]
    assert (last.action, last.origin, last.version) == ("label", "evaluate", 2)

    tile(page).get_by_role("button", name="Undo").click()
    saved(page)
    expect(tile(page).get_by_role("button", name="Undo")).to_be_hidden()
    assert lab.labels(project)[hashes[0] or ""] == "000000"
    assert [event.action for event in history(lab, project, hashes[0])] == ["label", "label", "undo"]
    tile(page, 2).get_by_role("button", name="Unreadable").click()
    saved(page)
    assert hashes[2] not in lab.labels(project)
    assert history(lab, project, hashes[2])[-1].flag == "unreadable"
    assert [tile(page, place).get_attribute("data-sample") for place in range(SECOND_DIGIT_WRONG)] == hashes


def lab_val(page: Page) -> int:
    """Return the number of validation images, from the first matrix of a position."""
    title = page.locator(".matrices h4").nth(1).inner_text()
    return int(title.rsplit(" ", 1)[1])


def test_the_second_operator_sees_who_labeled_first(lab: Lab, page: Page, evaluated: tuple[Project, str]) -> None:
    """The first label stays. The second is kept in the ledger, and its tile names the other operator."""
    project, _ = evaluated
    sha256 = tile(page).get_attribute("data-sample")
    with opened(lab.home.db) as db:
        apply_events(
            db, project, "ben", [{"event": "first", "action": "label", "sample": sha256, "text": "111111", "base": 1}]
        )

    field(page).fill("222222")
    field(page).press("Enter")

    expect(tile(page).get_by_role("alert")).to_contain_text("ben labeled this image first")
    expect(tile(page)).to_contain_text("now 111111 by ben")
    expect(tile(page).get_by_role("button", name="Undo")).to_be_hidden()
    assert lab.labels(project)[sha256 or ""] == "111111"
    assert [(event.text, event.version) for event in history(lab, project, sha256)[1:]] == [
        ("111111", 2), ("222222", None),
    ]  # fmt: skip


def test_only_a_current_label_can_be_undone(lab: Lab, page: Page, evaluated: tuple[Project, str]) -> None:
    """Also after a reload. After a change by someone else, Undo is not offered."""
    project, _ = evaluated
    sha256 = tile(page).get_attribute("data-sample")
    expect(tile(page).get_by_role("button", name="Use")).to_be_hidden()  # labels of val are typed
    field(page).fill("070000")
    field(page).press("Enter")
    saved(page)
    expect(tile(page)).to_contain_text("now 070000")
    undo = tile(page).get_by_role("button", name="Undo")
    expect(undo).to_be_visible()
    expect(page.get_by_text("1 label has changed since this evaluation.")).to_be_visible()
    page.reload()
    expect(undo).to_be_visible()
    with opened(lab.home.db) as db:
        apply_events(
            db, project, "ben", [{"event": "later", "action": "label", "sample": sha256, "text": "111111", "base": 2}]
        )
    page.get_by_text("Probabilities", exact=True).click()
    settle(page)

    expect(tile(page)).to_contain_text("now 111111 by ben")
    expect(undo).to_be_hidden()
    expect(tile(page).locator("small").nth(2)).to_have_text("7 67")
    assert lab.labels(project)[sha256 or ""] == "111111"


def test_a_tile_shows_the_current_reading(lab: Lab, page: Page, evaluated: tuple[Project, str]) -> None:
    """Another view changes the reading: the tile shows it with its confidence."""
    project, run = evaluated
    path = lab.home.run(run) / "predictions-val.npz"
    predictions = Predictions.load(path)
    second_NPC = predictions.log_probs_VNPC[0].copy()
    second_NPC[:SECOND_DIGIT_WRONG, 1] = -20
    second_NPC[:SECOND_DIGIT_WRONG, 1, 8] = 0
    views = np.stack([predictions.log_probs_VNPC[0], second_NPC])
    replace(predictions, views=["as it is", "left"], log_probs_VNPC=views).save(path)
    open_at(page, lab, f"/evaluate?project={project.name}&run={run}", "Evaluate")
    expect(tile(page).get_by_role("img")).to_have_attribute("alt", re.compile("read as 070000"))
    figures = tile(page).locator(".figures").inner_text()
    sha256 = tile(page).get_attribute("data-sample")

    page.get_by_text("Test-time augmentation", exact=True).click()
    settle(page)

    expect(tile(page)).to_have_attribute("data-sample", sha256 or "")
    expect(tile(page).locator(".figures")).not_to_have_text(figures, use_inner_text=True)
    expect(tile(page).get_by_role("img")).to_have_attribute("alt", re.compile("read as 080000"))


@pytest.mark.long
def test_a_label_entered_while_the_server_is_away_is_not_lost(own_lab: Lab, page: Page) -> None:
    """The browser keeps it, says so, and sends it when the page is back."""
    own_lab.start()
    project = own_lab.make_project("away", 80)
    run = add_run(own_lab, project)
    address = f"/evaluate?project={project.name}&run={run}"
    open_at(page, own_lab, address, "Evaluate")
    expect(field(page)).to_be_visible()
    sha256 = tile(page).get_attribute("data-sample")
    own_lab.kill()
    field(page).fill("123456")
    field(page).press("Enter")
    expect(page.get_by_test_id("gallery")).to_contain_text("Unsaved: 1")
    own_lab.start()
    page.on("dialog", lambda dialog: dialog.accept())

    open_at(page, own_lab, address, "Evaluate")

    expect(tile(page)).to_contain_text("now 123456")
    saved(page)
    assert own_lab.labels(project)[sha256 or ""] == "123456"


def test_a_zoom_moves_every_matrix(page: Page, evaluated: tuple[Project, str]) -> None:
    """A drag and the keyboard zoom all matrices. A click still selects the cell under the pointer."""
    assert evaluated
    page.mouse.move(*cell(page, "0", 5, 5))
    page.mouse.down()
    page.mouse.move(*cell(page, "0", 8, 9))
    page.mouse.up()
    matrices = page.get_by_test_id("matrix")
    for place in range(7):
        expect(matrices.nth(place)).to_have_attribute("data-top", "5")
        expect(matrices.nth(place)).to_have_attribute("data-left", "5")
    matrices.nth(2).focus()
    page.keyboard.press("0")
    expect(matrices.nth(6)).to_have_attribute("data-top", "0")
    for key in ["ArrowDown"] * 1 + ["ArrowUp"] + ["ArrowRight"] * 7 + ["Enter"]:
        page.keyboard.press(key)
    expect(page.get_by_text(f"{SECOND_DIGIT_WRONG} images with 0 read as 7 at position 2.")).to_be_visible()


def test_attention_is_drawn_over_the_position_in_the_image(
    lab: Lab, page: Page, evaluated: tuple[Project, str]
) -> None:
    """The light is on the column that the position reads, inside the crop. Everything else is dark."""
    _, run = evaluated
    box = add_weights(lab, run)
    page.get_by_text("Attention", exact=True).click()
    expect(page.locator(".tile.has-attention").first).to_be_visible(timeout=60_000)
    settle(page)

    for position, column in enumerate(COLUMNS):
        tile(page).locator(".characters button").nth(position).hover()
        canvas = tile(page).locator("canvas")
        expect(canvas).to_have_attribute("data-shown", str(position))
        dark = canvas.evaluate(
            "canvas => [...canvas.getContext('2d').getImageData(0, canvas.height / 2, canvas.width, 1).data]"
            ".filter((_, at) => at % 4 === 3)"
        )
        lit = (int(np.argmin(dark)) + 0.5) / len(dark)
        assert lit == pytest.approx(box[0] + (column + 0.5) / 24 * (box[2] - box[0]), abs=0.025)
        assert max(dark) > 150


def add_weights(lab: Lab, run: str) -> tuple[float, float, float, float]:
    """Give the run a checkpoint whose positions each look at one column of a crop. Return the crop."""
    torch.manual_seed(0)
    spec, box = TextSpec(6, "0123456789"), (0.1, 0.0, 0.7, 1.0)
    config = TrainConfig(device="cpu", backbone="test_resnet", stride=8, width=32, pretrained="none")
    choices = {
        "centers": [(column + 0.5) / 24 for column in COLUMNS], "sigma": 0.01, "image_size": [48, 192],
        "box": list(box), "layout": "channels_last",
    }  # fmt: skip
    model = build_model(config, spec, choices, weights=None)
    assert isinstance(model.pool, QueryPool)
    state = {
        "format": checkpoint.FORMAT, "length": 6, "charset": spec.charset, "choices": choices, "step": 1,
        "config": config.to_dict(), "model": model.state_dict(),
    }  # fmt: skip
    checkpoint.save(lab.home.run(run) / "checkpoints", "best", 1, state, {})
    return box
