"""Fixtures for tests with a real server and a real Chromium."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

from db.records import Project
from tests.helpers.lab import CHROMIUM, FLAGS, Lab

expect.set_options(timeout=15_000)  # allow for a busy machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder. Without Chromium, skip them unless it is required."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None and not os.environ.get("SLOTLAB_REQUIRE_BROWSER"):
                item.add_marker(pytest.mark.skip(reason="Chromium is not installed (Debian: apt install chromium)"))


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Use the system's Chromium instead of Playwright's download."""
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": list(FLAGS)}


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running app shared by tests that do not stop the server. Each test creates its own project."""
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
    """Fail the test on a traceback in the server log, even if the browser showed nothing."""
    labs: list[Lab] = [request.getfixturevalue(name) for name in ("lab", "own_lab") if name in request.fixturenames]
    yield
    for lab in labs:
        if lab.log.exists() and (mistakes := lab.mistakes()):
            pytest.fail(f"The server logged:\n{mistakes}")


@pytest.fixture
def violations() -> list[str]:
    """Reports of the browser about the content security policy. A test that provokes some clears the list."""
    return []


@pytest.fixture(autouse=True)
def no_violations(request: pytest.FixtureRequest, violations: list[str]) -> Iterator[None]:
    """Fail the test if the content security policy blocked something on its page."""
    if "page" not in request.fixturenames:
        yield
        return

    def note(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            violations.append(message.text)

    request.getfixturevalue("page").on("console", note)
    yield
    assert violations == []


@pytest.fixture
def open_label(page: Page) -> Callable[..., Page]:
    """Open the Label page of a project and wait until the widget accepts keys, without a click."""

    def opened_label(lab: Lab, project: Project, in_page: Page = page) -> Page:
        in_page.goto(f"{lab.url}/label?project={project.name}")
        expect(in_page.get_by_test_id("labeler")).to_have_attribute("data-ready", "true", timeout=30_000)
        return in_page

    return opened_label
