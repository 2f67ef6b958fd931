"""The user's loop: label ten images, start a run, watch its curve, and view its errors."""

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from core.data.labeling import apply_events
from db.connection import opened
from db.records import Project
from db.samples import select_samples
from tests.helpers.lab import Lab

RUN_MS = 180_000
"""Timeout for a run of 30 seconds on two cores shared with the browser."""


def points_of_the_loss_curve(page: Page) -> int:
    script = "plot => plot.data ? Math.max(...plot.data.map(trace => (trace.x || []).length)) : 0"
    plots = page.locator(".js-plotly-plot")
    return int(plots.first.evaluate(script)) if plots.count() else 0


def label_all_but_ten(lab: Lab, project: Project) -> None:
    with opened(lab.home.db) as db:
        samples = select_samples(db, project.id)[10:]
        events = [
            {
                "event": f"seed-{index}",
                "action": "label",
                "sample": sample.sha256,
                "text": f"{index * 7919 % 10**6:06}",
                "base": 0,
            }
            for index, sample in enumerate(samples)
        ]
        apply_events(db, project, "colleague", events)


@pytest.mark.long
def test_label_train_watch_evaluate(lab: Lab, page: Page, open_label: Callable[..., Page]) -> None:
    """Ten labels arrive as typed, the curve grows automatically, and the evaluation shows k of n."""
    project = lab.make_project("whole-loop", 80)
    label_all_but_ten(lab, project)
    before = lab.labels(project)
    typed = [f"{number:06}" for number in np.random.default_rng(0).integers(0, 10**6, 10)]

    open_label(lab, project)
    labeler = page.get_by_test_id("labeler")
    shown = []
    for text in typed:
        shown.append(labeler.get_attribute("data-sample"))
        page.keyboard.type(text, delay=60)
        expect(labeler).not_to_have_attribute("data-sample", shown[-1] or "")
    expect(labeler).to_have_attribute("data-unsaved", "0")
    labels = lab.labels(project)
    assert [labels[sha256 or ""] for sha256 in shown] == typed
    assert len(labels) == len(before) + 10

    page.get_by_test_id("stSidebar").get_by_role("link", name="Train").click()
    minutes = page.get_by_role("textbox", name="Max minutes")
    minutes.fill("0.5")
    minutes.press("Enter")
    page.get_by_role("button", name="Start training").click()
    plots = page.locator(".js-plotly-plot")
    expect(plots.first).to_be_visible(timeout=RUN_MS)
    first = points_of_the_loss_curve(page)
    page.wait_for_function(
        "n => Math.max(...document.querySelector('.js-plotly-plot').data.map(trace => (trace.x || []).length)) > n",
        arg=first,
        timeout=RUN_MS,
    )
    page.get_by_role("main").get_by_role("link", name="Evaluate").click(timeout=RUN_MS)

    expect(page.get_by_role("heading", name="Evaluate", exact=True)).to_be_visible()
    expect(page.get_by_text("Exact match on val")).to_be_visible()
    expect(page.get_by_text("Position 6")).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)
