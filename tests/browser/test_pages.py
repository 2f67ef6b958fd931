"""The pages in a real browser, beyond AppTest: uploads, addresses, navigation."""

import io
import os
import shutil
import subprocess
import sys
import urllib.parse
import zipfile
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from core.images import renderer
from db import jobs
from db.connection import opened
from tests.helpers.browsing import add_run, import_zip, open_at, settle
from tests.helpers.outside import Recorder
from tests.helpers.repository import PAGES, ROOT
from tests.helpers.trained import RUN

if TYPE_CHECKING:
    from core.home import Home
    from tests.helpers.lab import Lab


def test_each_page_may_be_the_first_thing_a_server_is_asked(own_lab: "Lab", page: Page, browser: Browser) -> None:
    """A bookmark opened right after a start leads to its page and query, also for a second visitor."""
    own_lab.make_project("first", 1)
    project = own_lab.make_project("second", 4)
    run = add_run(own_lab, project)
    second = browser.new_page()
    for name in PAGES:
        own_lab.start()
        path = "/" if name == "home" else f"/{name}"
        for visitor in (page, second) if name == "label" else (page,):
            open_at(visitor, own_lab, f"{path}?project=second&run={run}&mark=7", name.capitalize())
            expect(visitor.get_by_test_id("stSidebar")).to_contain_text("Predict")
            expect(visitor.get_by_role("dialog")).to_have_count(0)
            expect(visitor.get_by_test_id("stSidebar").get_by_role("combobox", name="Project")).to_have_value("second")
            address = urllib.parse.urlsplit(visitor.url)
            assert address.path == path
            assert {"project=second", "mark=7"} <= set(address.query.split("&")), name
            expect(visitor.get_by_test_id("stException")).to_have_count(0)
        own_lab.kill()
    second.close()


@pytest.mark.long
def test_an_address_that_leads_nowhere_says_so_in_one_sentence(lab: "Lab", page: Page) -> None:
    """An unknown page, an unknown project, the run of another project."""
    mine, other = lab.make_project("nowhere mine", 80), lab.make_project("nowhere other", 80)
    run, others_run = add_run(lab, mine), add_run(lab, other)

    page.goto(f"{lab.url}/nothing?project={mine.name}")
    expect(page.get_by_text("There is no page 'nothing'. This is Home.")).to_be_visible(timeout=30_000)

    open_at(page, lab, "/samples?project=nobody", "Samples")
    alerts = page.get_by_test_id("stAlert")
    expect(alerts.filter(has_text="There is no project 'nobody'.")).to_have_count(1)
    expect(page.get_by_test_id("stDataFrame")).to_have_count(0)

    for name in ("evaluate", "predict"):
        open_at(page, lab, f"/{name}?project={mine.name}&run={others_run}", name.capitalize())
        sentence = f"This project has no run '{others_run}' with a model. Choose another one."
        expect(page.get_by_text(sentence)).to_be_visible()
        expect(page.get_by_role("combobox", name="Run", exact=True)).to_have_value("")
        expect(page.get_by_text(run)).to_have_count(0)


def test_project_and_operator_stay(lab: "Lab", page: Page) -> None:
    """The project persists across pages, Back and reload. The browser remembers the operator."""
    lab.make_project("keeps first", 1)
    project = lab.make_project("keeps", 1)
    open_at(page, lab, f"/samples?project={project.name}", "Samples")
    operator = page.get_by_test_id("stSidebar").get_by_role("combobox", name="Operator")
    operator.fill("dana")
    operator.press("Enter")
    settle(page)
    page.get_by_role("link", name="Augment").click()
    expect(page.get_by_role("heading", name="Augment", exact=True)).to_be_visible()
    assert page.url.endswith("/augment?project=keeps")
    page.go_back()
    expect(page.get_by_role("heading", name="Samples", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Samples", exact=True)).to_be_visible()

    expect(page.get_by_test_id("stSidebar").get_by_role("combobox", name="Project")).to_have_value("keeps")
    expect(operator).to_have_value("dana")


def test_an_upload_is_imported(own_lab: "Lab", page: Page) -> None:
    """On a fresh machine, the form imports a zip. The report appears automatically, the images in the table."""
    own_lab.start()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, _, data in renderer.samples(5, seed=1):
            archive.writestr(name, data)
        archive.writestr("broken.png", b"no image")
    open_at(page, own_lab, "/", "Home")
    import_zip(page, buffer.getvalue(), "uploaded")

    expect(page.get_by_text("Duplicates")).to_be_visible(timeout=30_000)
    expect(page.get_by_test_id("stSidebar").get_by_role("combobox", name="Project")).to_have_value("uploaded")
    with opened(own_lab.home.db) as db:
        assert jobs.list_jobs(db, kind="import")[0].state == "finished"
    page.get_by_role("link", name="Samples").click()
    expect(page.get_by_text("5 of 5 images")).to_be_visible()


@pytest.mark.long
def test_nothing_is_asked_of_other_machines(
    own_lab: "Lab", page: Page, trained_home: "Home", tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The images are private: neither a page nor the server or a training involves another host."""
    recorder = Recorder(tmp_path_factory.mktemp("recorder"))
    shutil.copytree(trained_home.root, own_lab.home.root, dirs_exist_ok=True)
    own_lab.env = recorder.env
    own_lab.start()
    asked: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith((own_lab.url, "data:", "blob:")):
            asked.append(request.url)

    page.on("request", note)
    for name in PAGES:
        open_at(page, own_lab, f"/{name.replace('home', '')}?project=portal&run={RUN}", name.capitalize())
    settings = ("pretrained=none", "max_steps=2", "batch_size=8", "image_size=32x96", "device=cpu")
    command = [sys.executable, "-m", "core.cli", "train", "--project", "portal", "--preset", "fast"]
    command += [f"--set={setting}" for setting in settings]
    env = os.environ | {"SLOTLAB_HOME": str(own_lab.home.root)} | recorder.env
    subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=True)
    settle(page)

    assert asked == []
    assert recorder.path.exists()
    assert recorder.outside() == []


def test_the_browser_cannot_ask_another_machine(lab: "Lab", page: Page, violations: list[str]) -> None:
    """The content security policy blocks images, requests, frames and scripts of other hosts, and inline scripts."""
    project = lab.make_project("blocked", 1)
    open_at(page, lab, f"/samples?project={project.name}", "Samples")
    page.evaluate(
        """async () => {
            const add = (tag, values) => document.body.append(Object.assign(document.createElement(tag), values));
            add("img", { src: "http://192.0.2.1/image.png" });
            add("iframe", { src: "http://192.0.2.1/" });
            add("script", { src: "http://192.0.2.1/script.js" });
            add("script", { textContent: "window.inline = true" });
            await fetch("http://192.0.2.1/").catch(() => null);
        }"""
    )

    assert page.evaluate("window.inline") is None
    for directive in ("img-src", "default-src", "script-src", "connect-src"):
        assert any(f"{directive} 'self'" in violation for violation in violations), directive
    violations.clear()


def test_a_question_mark_shows_the_keys_of_a_page(lab: "Lab", page: Page) -> None:
    """It opens a dialog that Escape closes, never while a field is typed in. The guide opens in another tab."""
    project = lab.make_project("helped", 1)
    open_at(page, lab, f"/samples?project={project.name}", "Samples")
    keys = page.get_by_role("dialog", name="Keys of Samples")
    search = page.get_by_role("textbox", name="Search")

    search.click()
    page.keyboard.type("a?")
    expect(search).to_have_value("a?")
    expect(keys).to_be_hidden()
    search.blur()
    page.keyboard.press("?")
    expect(keys).to_be_visible()
    expect(keys).to_be_focused()
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()

    page.get_by_role("button", name="Keys").click()
    with page.context.expect_page() as opened_page:
        keys.get_by_role("link", name="guide").click()
    expect(opened_page.value.get_by_role("heading", name="Guide", exact=True)).to_be_visible(timeout=30_000)
    expect(opened_page.value.get_by_text("Samples lists every image of a project.")).to_be_visible()


@pytest.mark.parametrize("width", [1280, 420])
def test_the_menu_changes_the_theme(lab: "Lab", page: Page, width: int) -> None:
    """The title beside it stays clickable, and a reload keeps the theme."""
    page.set_viewport_size({"width": width, "height": 800})
    open_at(page, lab, "/guide", "Guide")
    app = page.get_by_test_id("stApp")
    expect(app).to_have_css("background-color", "rgb(255, 255, 255)")

    page.get_by_test_id("stMainMenuButton").click()
    page.get_by_role("menuitemradio", name="Dark").click()
    expect(app).to_have_css("background-color", "rgb(17, 21, 28)")
    page.reload()
    expect(app).to_have_css("background-color", "rgb(17, 21, 28)")
    page.get_by_role("button", name="Keys").click()
    expect(page.get_by_role("dialog", name="Keys of Guide")).to_be_visible()


def test_one_choice_of_the_theme_is_for_all_pages(lab: "Lab", page: Page) -> None:
    """Dark chosen on Samples, which was reached by a link, is dark on Train and Home by address, and can be undone."""
    lab.make_project("themes", 1)
    open_at(page, lab, "/guide?project=themes", "Guide")
    page.get_by_test_id("stSidebar").get_by_role("link", name="Samples").click()
    expect(page.get_by_role("heading", name="Samples", exact=True)).to_be_visible()
    app = page.get_by_test_id("stApp")
    for choice, color in (("Dark", "rgb(17, 21, 28)"), ("Light", "rgb(255, 255, 255)")):
        page.get_by_test_id("stMainMenuButton").click()
        page.get_by_role("menuitemradio", name=choice).click()
        expect(app).to_have_css("background-color", color)
        for path, title in (("/train?project=themes", "Train"), ("/", "Home"), ("/samples?project=themes", "Samples")):
            open_at(page, lab, path, title)
            expect(app).to_have_css("background-color", color)
        page.reload()
        settle(page)
        expect(app).to_have_css("background-color", color)


def test_a_narrow_window_shows_the_project_beside_the_title(lab: "Lab", page: Page) -> None:
    """It hides the sidebar, which shows the project otherwise."""
    lab.make_project("narrow window", 1)
    open_at(page, lab, "/samples?project=narrow+window", "Samples")
    name = page.get_by_test_id("open-project")
    expect(name).to_have_text("narrow window")
    expect(name).to_be_hidden()

    page.set_viewport_size({"width": 420, "height": 800})
    expect(name).to_be_visible()
