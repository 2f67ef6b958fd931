"""A real server, a real Chromium: what only both together can show."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from db.records import Project
from tests.helpers.lab import CHROMIUM, FLAGS, Lab

expect.set_options(timeout=15_000)  # a machine that does other work too is no defect of the app


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and skip them on a machine without Chromium unless it is required."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None and not os.environ.get("SLOTLAB_REQUIRE_BROWSER"):
                item.add_marker(
                    pytest.mark.skip(reason="there is no chromium on this machine (Debian: apt install chromium)")
                )


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Start the system's Chromium instead of a download of Playwright's."""
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": list(FLAGS)}


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running app for tests that leave the server alone; each makes a project of its own."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    lab.start()
    yield lab
    lab.kill(signal.SIGTERM)


@pytest.fixture
def own_lab(tmp_path: Path) -> Iterator[Lab]:
    """An app that is not started yet, for tests that start, kill and restart it."""
    lab = Lab(tmp_path)
    yield lab
    lab.kill()


@pytest.fixture(autouse=True)
def no_mistakes(request: pytest.FixtureRequest) -> Iterator[None]:
    """A traceback in the server's log fails the test, even where the browser showed nothing of it."""
    labs: list[Lab] = [request.getfixturevalue(name) for name in ("lab", "own_lab") if name in request.fixturenames]
    yield
    for lab in labs:
        if lab.log.exists() and (mistakes := lab.mistakes()):
            pytest.fail(f"The server logged:\n{mistakes}")


@pytest.fixture
def open_label(page: Page) -> Callable[..., Page]:
    """Open the label page of a project and wait until the widget takes keys; nothing is clicked."""

    def opened_label(lab: Lab, project: Project, in_page: Page = page) -> Page:
        in_page.goto(f"{lab.url}/label?project={project.name}")
        expect(in_page.get_by_test_id("labeler")).to_have_attribute("data-ready", "true", timeout=30_000)
        return in_page

    return opened_label
