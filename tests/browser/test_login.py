"""Login through a real OpenID Connect provider, in a real browser."""

import urllib.parse
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from db import projects, samples
from db.connection import opened
from tests.helpers.repository import PAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser.provider import Provider
    from tests.helpers.lab import Lab

pytest.importorskip("authlib", reason="login needs the extra `auth`")


@pytest.fixture
def provider() -> "Iterator[Provider]":
    """A provider that accepts everyone."""
    from tests.browser.provider import Provider

    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture
def closed_lab(own_lab: "Lab", provider: "Provider", monkeypatch: pytest.MonkeyPatch) -> "Lab":
    """A running app that requires a login, with a project `secret` that is not the default."""
    secrets = own_lab.home.root / "secrets.toml"
    secrets.write_text(provider.secrets(own_lab.port))
    monkeypatch.setenv("STREAMLIT_SECRETS_FILES", str(secrets))
    own_lab.make_project("secret other", 1)
    own_lab.make_project("secret", 4)
    own_lab.start()
    return own_lab


def log_in(page: Page) -> None:
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible(timeout=30_000)


def signed(lab: "Lab") -> list[tuple[str, str]]:
    """Return operator and text of each event, oldest first."""
    with opened(lab.home.db) as db:
        return [(name, text) for name, text in db.execute("SELECT operator, text FROM labels ORDER BY id")]


@pytest.mark.long
def test_nothing_is_shown_before_the_login(closed_lab: "Lab", page: Page) -> None:
    """On every page, also for a deep link that is the first request to a fresh server."""
    for name in [*PAGES, ""]:
        page.goto(f"{closed_lab.url}/{name if name != 'home' else ''}?project=secret")
        expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=30_000)
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        assert "secret" not in page.locator("body").inner_text()
        assert page.get_by_test_id("labeler").count() == 0
        assert page.get_by_role("combobox").count() == 0


def test_labels_carry_the_name_of_the_login(closed_lab: "Lab", provider: "Provider", page: Page) -> None:
    """The login leads to the requested page. After logout, nothing is visible."""
    provider.claims = {"sub": "1", "email": "ann@portal.example", "email_verified": True, "name": "Ann"}
    page.goto(f"{closed_lab.url}/label?project=secret")
    log_in(page)

    expect(page.get_by_test_id("labeler")).to_have_attribute("data-ready", "true", timeout=30_000)
    assert page.url == f"{closed_lab.url}/label?project=secret"
    expect(page.get_by_test_id("stSidebar")).to_contain_text("ann@portal.example")
    expect(page.get_by_test_id("stSidebar").get_by_label("Operator")).to_have_count(0)
    page.keyboard.type("123456")
    expect(page.get_by_test_id("labeler")).to_have_attribute("data-unsaved", "0", timeout=30_000)
    assert signed(closed_lab) == [("ann@portal.example", "123456")]

    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=30_000)
    assert "secret" not in page.locator("body").inner_text()
    page.goto(f"{closed_lab.url}/samples?project=secret")
    expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=30_000)


@pytest.mark.long
def test_labels_left_in_a_shared_browser_wait_for_their_own_login(
    closed_lab: "Lab", provider: "Provider", page: Page
) -> None:
    """They are not saved under another name. The current operator sees a sentence about them."""
    with opened(closed_lab.home.db) as db:
        project = projects.find_project(db, "secret")
        assert project
        sample = samples.select_samples(db, project.id)[3].sha256
    event = {"event": "e1", "action": "label", "sample": sample, "text": "777777", "base": 0, "at": 1}
    event["operator"] = "ann@portal.example"
    key = f"slotlab/outbox/{project.id}/{urllib.parse.quote(project.created_at, safe='')}/e1"
    provider.claims = {"sub": "2", "email": "bo@portal.example", "email_verified": True}
    page.goto(f"{closed_lab.url}/label?project=secret")
    page.evaluate("([key, event]) => localStorage.setItem(key, JSON.stringify(event))", [key, event])
    log_in(page)
    labeler = page.get_by_test_id("labeler")
    expect(labeler).to_have_attribute("data-ready", "true", timeout=30_000)

    expect(labeler).to_contain_text("1 label by ann@portal.example will be saved when ann@portal.example logs in.")
    page.keyboard.type("123456")
    expect(labeler).to_have_attribute("data-unsaved", "0", timeout=30_000)
    assert signed(closed_lab) == [("bo@portal.example", "123456")]

    page.get_by_role("button", name="Log out").click()
    provider.claims = {"sub": "1", "email": "ann@portal.example", "email_verified": True}
    expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=30_000)
    page.goto(f"{closed_lab.url}/label?project=secret")
    log_in(page)
    expect(labeler).to_have_attribute("data-ready", "true", timeout=30_000)
    expect(labeler).to_have_attribute("data-unsaved", "0", timeout=30_000)
    expect(labeler).not_to_contain_text("will be saved when")
    assert signed(closed_lab) == [("bo@portal.example", "123456"), ("ann@portal.example", "777777")]


def test_a_link_followed_after_the_login_is_kept(closed_lab: "Lab", provider: "Provider", page: Page) -> None:
    """The address from before the login is used only once, so Home can be opened afterwards."""
    provider.claims = {"sub": "7", "name": "Bo"}
    page.goto(f"{closed_lab.url}/samples?project=secret&search=0003")
    log_in(page)
    expect(page.get_by_text("1 of 4 images")).to_be_visible(timeout=30_000)
    expect(page.get_by_test_id("stSidebar")).to_contain_text("Bo (7)")

    page.goto(closed_lab.url)

    expect(page.get_by_role("heading", name="Home", exact=True)).to_be_visible(timeout=30_000)
