"""The address decides what a page shows, in a new session and in one that had another project open."""

import itertools
import urllib.parse
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, Page, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from core.data import managing
from core.data.importing import open_project
from db.connection import opened, write
from db.jobs import insert_job, set_state
from db.projects import find_project
from db.runs import set_val_correct
from tests.helpers.browsing import add_run, open_at, settle

if TYPE_CHECKING:
    from tests.helpers.lab import Lab

Runs = dict[str, list[str]]
HOLD = """
window.hold = false;
const held = [];
window.WebSocket = class extends WebSocket {
  addEventListener(kind, listener, ...rest) {
    if (kind !== "message") return super.addEventListener(kind, listener, ...rest);
    const late = (event) => (window.hold ? held.push(() => listener.call(this, event)) : listener.call(this, event));
    super.addEventListener(kind, late, ...rest);
  }
};
window.release = () => {
  window.hold = false;
  for (const deliver of held.splice(0)) deliver();
};
"""
"""Lets a test keep back the answers of the server, and deliver all of them at once."""


@pytest.fixture(scope="module")
def runs(lab: "Lab") -> Runs:
    """Two projects with two runs each: the ids by project name, oldest first."""
    names = ("first of two", "second of two")
    projects = {name: lab.make_project(name, 60) for name in names}
    runs = {name: [add_run(lab, project) for _ in range(2)] for name, project in projects.items()}
    with opened(lab.home.db) as db, write(db):
        for _, newest in runs.values():
            set_val_correct(db, newest, 1)
    return runs


def test_a_link_into_the_app_asks_for_nothing_that_is_not_there(lab: "Lab", page: Page) -> None:
    """The browser looks for the server at its root alone. A look below the page's address would cost a tenth second."""
    asked: list[tuple[int, str]] = []
    page.on("response", lambda response: asked.append((response.status, urllib.parse.urlsplit(response.url).path)))
    open_at(page, lab, "/samples", "Samples")
    page.get_by_test_id("stSidebar").get_by_role("link", name="Home").click()
    expect(page.get_by_role("heading", name="Home", exact=True)).to_be_visible()
    settle(page)
    page.go_back()
    expect(page.get_by_role("heading", name="Samples", exact=True)).to_be_visible()

    assert (200, "/_stcore/health") in asked
    assert [each for each in asked if each[0] >= 400] == []


def project_box(page: Page) -> Locator:
    return page.get_by_test_id("stSidebar").get_by_role("combobox", name="Project")


def run_box(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Run", exact=True)


def place(address: str) -> dict[str, str]:
    """Return the names and values of an address, each of which stands in it once."""
    pairs = urllib.parse.parse_qsl(urllib.parse.urlsplit(address).query)
    assert len({name for name, _ in pairs}) == len(pairs), address
    return dict(pairs)


def expect_place(page: Page, /, **names: str) -> None:
    """Wait until the address has exactly these names and values, each once, and the page shows its project and run."""
    expect(project_box(page)).to_have_value(names["project"], timeout=60_000)
    if "run" in names:
        expect(run_box(page)).to_have_value(names["run"], timeout=60_000)
    settle(page)
    page.wait_for_url(lambda address: place(address) == names, wait_until="commit", timeout=60_000)


@pytest.mark.parametrize("is_other_way", [False, True])
def test_each_link_opens_what_it_names(lab: "Lab", page: Page, runs: Runs, *, is_other_way: bool) -> None:
    """A card of another project, and then each link of the sidebar, in the same session and in a new one."""
    mine, other = reversed(runs) if is_other_way else runs
    open_at(page, lab, f"/evaluate?{urllib.parse.urlencode({'project': mine})}", "Evaluate")
    expect_place(page, project=mine, run=runs[mine][1])
    sidebar = page.get_by_test_id("stSidebar")
    sidebar.get_by_role("link", name="Home").click()
    expect(page.get_by_role("heading", name="Home", exact=True)).to_be_visible()
    expect_place(page, project=mine)
    cards = page.get_by_test_id("stMain").locator(f'a[href*="project={urllib.parse.quote_plus(other)}"]')
    card = cards.filter(has_text="View errors")
    assert place(card.get_attribute("href") or "") == {"project": other, "run": runs[other][1]}
    card.click()
    expect_place(page, project=other, run=runs[other][1])

    page.go_back()
    expect(page.get_by_role("heading", name="Home", exact=True)).to_be_visible()
    expect_place(page, project=mine)
    project_box(page).click()
    page.get_by_role("option", name=other, exact=True).click()
    expect_place(page, project=other)
    for link in sidebar.get_by_role("link").all():
        assert place(link.get_attribute("href") or "")["project"] == other
    for name in ("Samples", "Compare"):
        link = sidebar.get_by_role("link", name=name)
        link.click()
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
        expect(project_box(page)).to_have_value(other)
        settle(page)
    expect_place(page, project=other, run=runs[other][1], other=runs[other][0])
    open_at(page, lab, f"/{sidebar.get_by_role('link', name='Evaluate').get_attribute('href')}", "Evaluate")
    expect_place(page, project=other, run=runs[other][1])


def test_what_is_chosen_stands_in_the_address(lab: "Lab", page: Page, runs: Runs) -> None:
    """Run, section and split, filter and page. A run that is no longer the newest stays. Back and reload restore."""
    project, (older, newer) = next(iter(runs.items()))
    query = urllib.parse.urlencode({"project": project, "run": int(older.split("-")[0])})
    open_at(page, lab, f"/evaluate?{query}", "Evaluate")
    expect_place(page, project=project, run=older)
    page.get_by_role("tab", name="Slices").click()
    expect_place(page, project=project, run=older, section="slices")
    page.get_by_role("radio", name="test").click(force=True)
    expect_place(page, project=project, run=older, section="slices", split="test")
    page.go_back()
    expect_place(page, project=project, run=older, section="slices")
    page.reload()
    expect_place(page, project=project, run=older, section="slices")
    expect(page.get_by_role("tab", name="Slices")).to_have_attribute("aria-selected", "true")
    run_box(page).click()
    page.get_by_role("option", name=newer).click()
    expect_place(page, project=project, run=newer, section="slices")

    query = urllib.parse.urlencode({"project": project, "state": "labeled", "page": 2})
    open_at(page, lab, f"/samples?{query}", "Samples")
    expect_place(page, project=project, state="labeled", page="2")
    page.get_by_test_id("stSelectbox").filter(has_text="Split").get_by_role("combobox").click()
    page.get_by_role("option", name="train", exact=True).click()
    expect_place(page, project=project, state="labeled", split="train")


def test_a_number_in_the_address_is_that_of_a_run(lab: "Lab", page: Page, runs: Runs) -> None:
    """An evaluation and a bundle of the same project have the same numbers, and are newer."""
    project, (older, newer) = next(iter(runs.items()))
    with opened(lab.home.db) as db, write(db):
        row = find_project(db, project)
        assert row is not None
        for kind, run in itertools.product(("evaluate", "bundle"), (older, newer)):
            number, name = int(run[:4]), f"{run[:4]}-{kind}"
            job = insert_job(db, id=name, number=number, kind=kind, project_id=row.id, request_id=name)
            set_state(db, job, "failed", final=True)
    numbers = {"project": project, "run": int(newer[:4]), "other": int(older[:4])}

    open_at(page, lab, f"/compare?{urllib.parse.urlencode(numbers)}", "Compare")

    expect_place(page, project=project, run=newer, other=older)


def test_the_box_shows_the_name_that_a_run_has_just_got(lab: "Lab", page: Page, runs: Runs) -> None:
    """It keeps the run, and shows the next name too, or none."""
    project, (older, newer) = next(iter(runs.items()))
    open_at(page, lab, f"/train?{urllib.parse.urlencode({'project': project, 'run': older})}", "Train")
    page.get_by_role("button", name="Describe").click()
    for name, shown in (("wide", f"{older} · wide"), ("crop", f"{older} · crop"), ("", older)):
        page.get_by_label("Run name").fill(name)
        page.get_by_role("button", name="Save description").click()
        expect(run_box(page)).to_have_value(shown, timeout=30_000)
        settle(page)
    run_box(page).click()
    page.get_by_role("option", name=newer).click()
    expect_place(page, project=project, run=newer)


def test_the_box_of_recipes_shows_which_one_has_become_the_default(lab: "Lab", page: Page) -> None:
    project = lab.make_project("recipes", 3)
    open_at(page, lab, f"/augment?project={project.name}", "Augment")
    box = page.get_by_role("combobox", name="Recipe")
    box.click()
    page.get_by_role("option", name="off", exact=True).click()
    settle(page)
    page.get_by_role("button", name="Make default").click()
    expect(box).to_have_value("off (project default)", timeout=30_000)


def test_a_bookmark_with_a_former_name_leads_on(lab: "Lab", page: Page) -> None:
    """The address in the browser gets the new name, and the rest of the bookmark holds."""
    project = lab.make_project("June & July", 3)
    with opened(lab.home.db) as db:
        managing.rename_project(db, project, "Summer")

    open_at(page, lab, f"/samples?{urllib.parse.urlencode({'project': 'June & July', 'sort': 'name'})}", "Samples")

    expect_place(page, project="Summer", sort="name")
    expect(page.get_by_text("Project June & July was renamed to Summer.")).to_be_visible()
    with opened(lab.home.db) as db:
        open_project(db, "June & July", 6, "0123456789")
    page.goto(f"{lab.url}/samples?{urllib.parse.urlencode({'project': 'June & July'})}")
    expect(page.get_by_text("This project has no images yet.")).to_be_visible(timeout=30_000)
    expect_place(page, project="June & July")
    expect(page.get_by_text("was renamed to")).to_have_count(0)


def test_a_link_to_the_address_of_a_moment_ago_is_followed(lab: "Lab", page: Page, runs: Runs) -> None:
    """A widget may send the old address, because the browser did not know the new one yet. A link means it."""
    project, (_, newer) = next(iter(runs.items()))
    query = urllib.parse.urlencode({"project": project, "run": newer})
    open_at(page, lab, f"/evaluate?{query}", "Evaluate")
    expect_place(page, project=project, run=newer)
    page.get_by_role("tab", name="Slices").click()
    page.wait_for_url("**section=slices*", wait_until="commit")

    page.get_by_test_id("stSidebar").get_by_role("link", name="Evaluate").click()

    expect_place(page, project=project, run=newer)
    expect(page.get_by_role("tab", name="Errors")).to_have_attribute("aria-selected", "true")


def test_a_box_keeps_its_value_when_a_busy_browser_draws_only_the_second_answer(
    lab: "Lab", page: Page, runs: Runs
) -> None:
    """The value of a box comes with the first answer to two clicks. The box has another default: the newest run."""
    project, (older, _) = next(iter(runs.items()))
    page.add_init_script(HOLD)
    with page.expect_websocket() as socket:
        open_at(page, lab, f"/evaluate?{urllib.parse.urlencode({'project': project, 'run': older})}", "Evaluate")
    expect_place(page, project=project, run=older)
    page.get_by_test_id("stSidebar").get_by_role("link", name="Home").click()
    expect_place(page, project=project)

    page.evaluate("window.hold = true")
    for _ in range(2):
        with socket.value.expect_event("framereceived", ends_run, timeout=60_000):
            page.get_by_test_id("stSidebar").get_by_role("link", name="Evaluate").evaluate("link => link.click()")
    page.evaluate("window.release()")
    expect_place(page, project=project, run=older)
    page.get_by_role("tab", name="Slices").click()

    expect_place(page, project=project, run=older, section="slices")


def ends_run(message: str | bytes) -> bool:
    """Return whether this message of the server says that a script run ended."""
    return isinstance(message, bytes) and ForwardMsg.FromString(message).WhichOneof("type") == "script_finished"


def test_an_unknown_page_is_named_on_home(own_lab: "Lab", page: Page) -> None:
    """It is also the first thing that a server may be asked. No dialog tells of files of the app."""
    own_lab.make_project("known", 1)
    own_lab.start()
    for path in ("nosuchpage", "home2", "a/b"):
        page.goto(f"{own_lab.url}/{path}?project=known")
        expect(page.get_by_text(f"There is no page '{path}'. This is Home.")).to_be_visible(timeout=30_000)
        expect(page.get_by_role("heading", name="Home", exact=True)).to_be_visible()
        expect(page.get_by_role("dialog")).to_have_count(0)
        settle(page)
    page.get_by_test_id("stSidebar").get_by_role("link", name="Samples").click()
    expect(page.get_by_role("heading", name="Samples", exact=True)).to_be_visible()
    expect(page.get_by_text("There is no page")).to_have_count(0)
