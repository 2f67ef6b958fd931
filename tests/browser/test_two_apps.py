"""Two apps on one Slotlab folder, with one operator each."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from db.connection import opened
from tests.helpers.lab import Lab
from tests.helpers.labeler import expect_all_saved, expect_ready, shown, widget


@pytest.fixture
def other_lab(own_lab: Lab, tmp_path: Path) -> Iterator[Lab]:
    """Another app on the folder of `own_lab`."""
    lab = Lab(tmp_path)
    yield lab
    lab.kill()


@pytest.mark.long
def test_two_apps_share_the_images(
    own_lab: Lab, other_lab: Lab, browser: Browser, open_label: Callable[..., Page]
) -> None:
    """Each image is on one screen only, and no label is lost or given twice."""
    project = own_lab.make_project("shared", 40)
    own_lab.start()
    other_lab.start()
    tabs = [open_label(lab, project, browser.new_context().new_page()) for lab in (own_lab, other_lab)]
    labels: dict[str, str] = {}
    for number in range(6):
        for tab, digit in zip(tabs, "12", strict=True):
            sample, text = shown(tab), digit * 5 + str(number)
            assert sample not in labels
            labels[sample] = text
            tab.keyboard.type(text)
            expect(widget(tab)).not_to_have_attribute("data-sample", sample)
            expect_ready(tab)
    for tab in tabs:
        expect_all_saved(tab)

    assert own_lab.labels(project) == labels
    with opened(own_lab.home.db) as db:
        assert db.execute("SELECT count(*) FROM labels").fetchone()[0] == len(labels)
