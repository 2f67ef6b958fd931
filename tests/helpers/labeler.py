"""The labeling widget in browser tests."""

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

OpenLabel = Callable[..., Page]


def widget(page: Page) -> Locator:
    return page.get_by_test_id("labeler")


def shown(page: Page) -> str:
    """Return the hash of the image on screen."""
    return widget(page).get_attribute("data-sample") or ""


def typed(page: Page) -> str:
    """Return the text in the boxes, with a dot for an empty one."""
    return "".join(text or "." for text in widget(page).locator(".slot").all_inner_texts())


def expect_ready(page: Page) -> None:
    expect(widget(page)).to_have_attribute("data-ready", "true", timeout=15_000)


def expect_all_saved(page: Page, seconds: float = 20) -> None:
    expect(widget(page)).to_have_attribute("data-unsaved", "0", timeout=seconds * 1000)
