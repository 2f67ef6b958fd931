"""The reviewing widget in a real browser: it confirms exactly what was visible and loses no action."""

import random
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, Page, expect

from core.data.labeling import apply_events
from core.images.pixels import split_of
from db import labels, samples
from db.connection import opened
from db.records import LabelEvent, Project, Sample
from tests.helpers.readings import agreeing

if TYPE_CHECKING:
    from tests.helpers.lab import Lab

OpenReview = Callable[..., Page]


@pytest.fixture
def open_review(page: Page) -> OpenReview:
    """Open the Review page of a project and wait until the widget accepts keys, without a click."""

    def opened_review(lab: "Lab", project: Project, query: str = "") -> Page:
        page.goto(f"{lab.url}/review?project={project.name}{query}")
        ready(page)
        return page

    return opened_review


def widget(page: Page) -> Locator:
    return page.get_by_test_id("reviewer")


def ready(page: Page) -> None:
    expect(widget(page)).to_have_attribute("data-ready", "true", timeout=30_000)


def expect_all_saved(page: Page, seconds: float = 30) -> None:
    expect(widget(page)).to_have_attribute("data-unsaved", "0", timeout=seconds * 1000)


def tiles(page: Page) -> list[str]:
    """Return the hashes of the images on the screen, in order."""
    hashes = widget(page).locator(".tile").evaluate_all("tiles => tiles.map(tile => tile.dataset.sample)")
    return [str(sha256) for sha256 in hashes]


def tile(page: Page, sha256: str) -> Locator:
    return widget(page).locator(f".tile[data-sample='{sha256}']")


def go_to(page: Page, sha256: str) -> None:
    """Select a tile with the arrow keys."""
    page.keyboard.press("Home")
    for _ in range(tiles(page).index(sha256)):
        page.keyboard.press("ArrowRight")
    expect(widget(page)).to_have_attribute("data-sample", sha256)


def label_all(lab: "Lab", project: Project, operator: str = "Ann") -> dict[str, str]:
    """Label every image with digits derived from its hash. Return the labels by hash."""
    with opened(lab.home.db) as db:
        texts = {
            sample.sha256: f"{int(sample.sha256[:8], 16) % 10**6:06}"
            for sample in samples.select_samples(db, project.id)
        }
        act(lab, project, operator, *(("label", sha256, 0, text) for sha256, text in texts.items()))
    return texts


def act(lab: "Lab", project: Project, operator: str, *events: tuple[str, str, int, str | None]) -> None:
    """Apply events (action, sample, base, text) as another operator would in another browser."""
    made = [
        {"event": f"{operator} {random.random()}", "action": action, "sample": sample, "base": base, "text": text}
        for action, sample, base, text in events
    ]
    with opened(lab.home.db) as db:
        apply_events(db, project, operator, made)


def state(lab: "Lab", project: Project) -> dict[str, Sample]:
    with opened(lab.home.db) as db:
        return {sample.sha256: sample for sample in samples.select_samples(db, project.id)}


def history(lab: "Lab", sample: Sample) -> list[LabelEvent]:
    with opened(lab.home.db) as db:
        return labels.events_of(db, sample.id)


def walk_on(page: Page, do: Callable[[], None] = lambda: None) -> None:
    """Confirm screen after screen until none remains, calling `do` on each first."""
    message = widget(page).locator(".message", has_text="That was the last one.")
    while not message.count():
        ready(page)
        do()
        before = tiles(page)
        page.keyboard.press("Enter")
        expect(tile(page, before[0])).to_have_count(0)
        expect(widget(page).locator(".tile").or_(message).first).to_be_visible()


def test_images_pushed_below_the_window_are_not_confirmed(lab: "Lab", open_review: OpenReview) -> None:
    """An element above the widget that appears later leaves room for fewer images, and Enter confirms only those."""
    project = lab.make_project("pushed", 40)
    label_all(lab, project)
    page = open_review(lab, project)
    at_first = tiles(page)

    page.evaluate(
        """() => {
            const late = document.createElement("div");
            late.style.flex = "none";
            late.style.height = "150px";
            document.querySelector("[data-testid=stMainBlockContainer]").prepend(late);
        }"""
    )
    expect(tile(page, at_first[-1])).to_have_count(0)
    ready(page)
    shown = tiles(page)
    assert 0 < len(shown) < len(at_first)
    box, window = tile(page, shown[-1]).bounding_box(), page.viewport_size
    assert box is not None
    assert window is not None
    assert box["y"] + box["height"] <= window["height"]
    page.keyboard.press("Enter")
    expect(tile(page, shown[0])).to_have_count(0)
    expect_all_saved(page)

    assert {sha256 for sha256, sample in state(lab, project).items() if sample.checked} == set(shown)


def test_one_pass_finds_the_wrong_labels(lab: "Lab", open_review: OpenReview) -> None:
    """Thirty labels by keyboard alone: two marked, one corrected, the others confirmed, each exactly once."""
    project = lab.make_project("pass", 30)
    texts = label_all(lab, project)
    marked, retyped = set(list(texts)[3:5]), list(texts)[20]
    page = open_review(lab, project)

    def do() -> None:
        for sha256 in tiles(page):
            if sha256 in marked:
                go_to(page, sha256)
                page.keyboard.press("Space")
                expect(tile(page, sha256)).to_have_attribute("data-state", "marked")
            elif sha256 == retyped:
                go_to(page, sha256)
                page.keyboard.type("424242")
                expect(tile(page, sha256)).to_have_attribute("data-state", "resolved")

    walk_on(page, do)
    expect_all_saved(page)

    after = state(lab, project)
    assert after[retyped].label == "424242"
    assert {sha256 for sha256, sample in after.items() if sample.disputed} == marked
    assert {sha256 for sha256, sample in after.items() if sample.checked} == set(texts) - marked - {retyped}
    actions = lab.actions(project)[30:]
    assert sorted(actions) == ["confirm"] * 27 + ["doubt"] * 2 + ["label"]
    assert all(event.origin == "review" and event.ms is not None for event in history(lab, after[retyped])[1:])
    expect(widget(page).locator(".message")).to_contain_text("2 images are disputed.")
    page.keyboard.press("Backspace")
    ready(page)
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect_all_saved(page)
    expect(widget(page).locator(".message")).to_contain_text("That was the last one.")


def test_marks_and_events_outlive_a_reload_and_a_killed_server(own_lab: "Lab", open_review: OpenReview) -> None:
    """Actions while the server is down are sent when it is back. An unsent mark is kept."""
    project = own_lab.make_project("portal", 40)
    texts = label_all(own_lab, project)
    own_lab.start()
    page = open_review(own_lab, project)
    done = tiles(page)
    own_lab.kill()
    page.keyboard.type("555555")
    page.keyboard.press("Enter")
    expect(tile(page, done[0])).to_have_count(0)
    waiting = tiles(page)[2]
    go_to(page, waiting)
    page.keyboard.press("Space")
    assert widget(page).get_attribute("data-unsaved") == str(len(done))
    own_lab.start()
    page = open_review(own_lab, project)

    expect_all_saved(page)
    assert not set(done) & set(tiles(page))
    expect(tile(page, waiting)).to_have_attribute("data-state", "marked")
    after = state(own_lab, project)
    assert {sha256 for sha256, sample in after.items() if sample.checked} == set(done[1:])
    assert texts | {done[0]: "555555"} == own_lab.labels(project)


def test_a_label_changed_by_someone_else_is_reported_with_both_texts(lab: "Lab", open_review: OpenReview) -> None:
    """A confirmation applies to the label on the screen. A notice shows the new label, which stays unchecked."""
    project = lab.make_project("meanwhile", 3)
    texts = label_all(lab, project)
    page = open_review(lab, project)
    first, second, third = tiles(page)
    act(lab, project, "Ben", ("label", first, 1, "111111"), ("label", second, 1, "222222"))

    go_to(page, second)
    with lab.busy():  # otherwise the answer may arrive first, and Enter would confirm the new label
        page.keyboard.type("333333")
        page.keyboard.press("Enter")

    expect_all_saved(page)
    notices = widget(page).get_by_role("alert")
    expect(notices.locator("li")).to_have_count(2)
    for text in (texts[first], "111111", "222222", "333333"):
        expect(notices).to_contain_text(text)
    after = state(lab, project)
    assert [after[each].label for each in (first, second)] == ["111111", "222222"]
    assert [after[each].checked for each in (first, second, third)] == [0, 0, 1]
    assert after[second].disputed  # the second text makes the image disputed
    notices.get_by_role("button", name="Dismiss").first.click()
    expect(notices.locator("li")).to_have_count(1)
    page.keyboard.press("Backspace")
    expect(tile(page, first).locator(".label")).to_have_text("111111")


def test_typing_can_be_canceled_and_rejects_invalid_text(lab: "Lab", open_review: OpenReview) -> None:
    """Escape keeps the label. A flag excludes the image, and typing a label includes it again."""
    project = lab.make_project("typing", 3)
    texts = label_all(lab, project)
    page = open_review(lab, project)
    first = tiles(page)[0]
    status = widget(page).get_by_role("status")

    page.keyboard.type("12x")
    expect(status).to_have_text("“x” is not an allowed character (0123456789).")
    page.keyboard.press("Enter")
    expect(status).to_have_text("4 more characters needed. Escape cancels.")
    page.set_viewport_size({"width": 600, "height": 800})  # the layout changes while the field is open
    expect(page.get_by_role("textbox", name="Corrected label")).to_be_focused()
    page.keyboard.press("Escape")
    expect(status).to_have_text("Not saved: 12")
    assert len(tiles(page)) == 3
    expect(tile(page, first).locator(".label")).to_have_text(texts[first])
    page.keyboard.press("Alt+u")
    expect(tile(page, first)).to_have_attribute("data-state", "unreadable")
    expect_all_saved(page)
    assert (state(lab, project)[first].state, state(lab, project)[first].flag) == ("skipped", "unreadable")
    page.keyboard.type(texts[first])

    expect_all_saved(page)
    assert state(lab, project)[first].label == texts[first]
    assert lab.actions(project)[3:] == ["skip", "label"]


def test_the_mouse_marks_and_corrects(lab: "Lab", open_review: OpenReview) -> None:
    """A click marks, a double click opens the field, and a paste fills it. The history panel shows the change."""
    project = lab.make_project("mouse", 3)
    label_all(lab, project)
    page = open_review(lab, project)
    first, second, _ = tiles(page)

    tile(page, first).locator("img").click()
    expect(tile(page, first)).to_have_attribute("data-state", "marked")
    tile(page, second).locator("img").dblclick()
    page.get_by_role("textbox", name="Corrected label").fill("787878")
    expect(tile(page, second)).to_have_attribute("data-state", "resolved")
    page.get_by_role("button", name="History").click()

    expect(widget(page).get_by_label("Image history")).to_contain_text("labeled 787878")
    expect(widget(page).get_by_label("Image history")).to_contain_text("Ann labeled")
    expect_all_saved(page)
    assert lab.actions(project)[3:] == ["label"]
    expect(page.get_by_role("button", name="Done, 1 wrong")).to_be_visible()


def test_keys_typed_in_another_field_are_ignored(lab: "Lab", open_review: OpenReview) -> None:
    """Digits, spaces and Enter typed into a filter stay there."""
    project = lab.make_project("grid fields", 3)
    texts = label_all(lab, project)
    page = open_review(lab, project)
    field = page.get_by_role("textbox", name="Label contains")

    field.press_sequentially("12 3")
    expect(field).to_have_value("12 3")
    expect(widget(page)).to_have_attribute("data-ready", "false")
    field.press("Backspace")
    field.press("Enter")
    expect(field).to_have_value("12 ")
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")

    assert lab.labels(project) == texts
    assert lab.actions(project) == ["label"] * 3


@pytest.mark.parametrize("size", [(1280, 720), (1280, 520), (420, 800)])
def test_nothing_below_the_edge_is_confirmed(lab: "Lab", open_review: OpenReview, size: tuple[int, int]) -> None:
    """A screen has as many labels as fit the window, and at least one row."""
    project = lab.make_project(f"window {size}", 40)
    label_all(lab, project)
    page = open_review(lab, project)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    ready(page)
    page.wait_for_timeout(300)

    boxes = [each.bounding_box() for each in widget(page).locator(".tile").all()]
    tops = {box["y"] for box in boxes if box}
    assert len(tops) == 1 or all(box and box["y"] + box["height"] <= size[1] for box in boxes)


def test_marks_are_of_one_operator(lab: "Lab", open_review: OpenReview) -> None:
    """The next reviewer in the same browser starts without marks. They return with their operator."""
    project = lab.make_project("marks", 3)
    label_all(lab, project)
    page = open_review(lab, project)
    wrong = tiles(page)[0]
    page.keyboard.press("Space")
    expect(tile(page, wrong)).to_have_attribute("data-state", "marked")
    field = page.get_by_role("combobox", name="Operator")
    before = field.input_value()

    for name, state in (("Zoe", "unchecked"), (before, "marked")):
        field.fill(name)
        field.press("Enter")
        expect(tile(page, wrong)).to_have_attribute("data-state", state)


def test_a_click_on_an_opinion_discards_the_typing(lab: "Lab", page: Page) -> None:
    """It decides its own image. Further typing applies to the next image on the screen."""
    project = lab.make_project("click", 2)
    images = list(label_all(lab, project))
    act(lab, project, "Ben", *(("label", image, 0, "111111") for image in images))
    page.goto(f"{lab.url}/review?project=click&show=Disputed")
    ready(page)

    page.keyboard.type("12")
    widget(page).get_by_role("option").nth(1).click()
    expect(widget(page)).to_have_attribute("data-sample", images[1])
    expect(page.get_by_role("textbox", name="Corrected label")).to_have_count(0)
    ready(page)
    page.keyboard.type("999999")

    expect_all_saved(page)
    assert lab.labels(project) == {images[0]: "111111", images[1]: "999999"}


def test_a_new_opinion_is_shown_before_the_decision(lab: "Lab", page: Page) -> None:
    """A decision without the new opinion is rejected: the image comes again, with all opinions."""
    project = lab.make_project("late opinion", 2)
    images = list(label_all(lab, project))
    act(lab, project, "Ben", *(("label", image, 0, "111111") for image in images))
    page.goto(f"{lab.url}/review?project=late+opinion&show=Disputed")
    ready(page)
    act(lab, project, "Eve", ("second", images[0], 1, "222222"))

    page.keyboard.press("Enter")
    expect(widget(page)).to_have_attribute("data-sample", images[1])
    expect(widget(page).get_by_role("alert").locator("li")).to_have_count(1)
    assert state(lab, project)[images[0]].disputed
    ready(page)
    page.keyboard.press("Enter")
    expect(widget(page)).to_have_attribute("data-sample", images[0])
    expect(widget(page).get_by_role("option").filter(has_text="222222")).to_contain_text("Eve gave a second opinion")
    ready(page)
    page.keyboard.type("222222")

    expect_all_saved(page)
    expect(widget(page)).to_contain_text("All disputed images are decided.")
    assert state(lab, project)[images[0]].label == "222222"
    assert not any(sample.disputed for sample in state(lab, project).values())


def test_disputed_images_are_decided_by_keyboard(own_lab: "Lab", page: Page) -> None:
    """A deep link on a fresh server: accept an opinion, keep the current label, type another, undo a step."""
    project = own_lab.make_project("portal", 4)
    texts = label_all(own_lab, project)
    images = list(texts)
    act(own_lab, project, "Ben", *(("label", image, 0, "111111") for image in images[:3]))
    act(own_lab, project, "Eve", ("doubt", images[1], 1, None))
    own_lab.start()
    page.goto(f"{own_lab.url}/review?project=portal&show=Disputed")
    ready(page)

    expect(widget(page)).to_contain_text("0 of 3 decided")
    expect(widget(page)).to_have_attribute("data-sample", images[0])
    opinions = widget(page).get_by_role("option")
    expect(opinions.nth(0)).to_contain_text("Ann labeled it")
    expect(opinions.nth(1)).to_contain_text("Ben labeled it, too late")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(widget(page)).to_have_attribute("data-sample", images[1])
    expect(opinions.nth(0)).to_contain_text("Eve doubted it")
    ready(page)
    page.keyboard.press("Enter")
    expect(widget(page)).to_have_attribute("data-sample", images[2])
    ready(page)
    page.keyboard.type("999999")
    expect(widget(page)).to_contain_text("3 of 3 decided")
    page.keyboard.press("Backspace")
    expect(widget(page)).to_contain_text("2 of 3 decided")
    expect_all_saved(page)
    assert state(own_lab, project)[images[2]].disputed
    page.keyboard.press("Alt+o")

    expect_all_saved(page)
    expect(widget(page)).to_contain_text("All disputed images are decided.")
    after = state(own_lab, project)
    assert [after[image].label for image in images] == ["111111", texts[images[1]], None, texts[images[3]]]
    assert after[images[2]].flag == "not_ours"
    assert not any(sample.disputed for sample in after.values())
    page.get_by_role("button", name="Review labels").click()
    expect(widget(page)).to_have_attribute("data-mode", "labels", timeout=15_000)


def test_suspected_labels_are_checked_by_keyboard(own_lab: "Lab", page: Page) -> None:
    """A deep link: accept a suggestion, keep a label, type another one, undo, skip. Nothing is suspected twice."""
    project = own_lab.make_project("portal", 30)
    texts = label_all(own_lab, project)
    # A suggestion for a validation or test image is not offered.
    images = [sha256 for sha256 in sorted(texts) if split_of(sha256) == "train"][:5]
    suggested = {sha256: ("1" if texts[sha256][0] != "1" else "2") + texts[sha256][1:] for sha256 in images}
    with opened(own_lab.home.db) as db:
        chosen = samples.select_samples(db, project.id)
        agreeing(db, project, chosen, [suggested.get(each.sha256, texts[each.sha256]) for each in chosen])
        images = [sample.sha256 for sample in chosen if sample.sha256 in suggested]
    own_lab.start()
    page.goto(f"{own_lab.url}/review?project=portal&show=Suspected")
    ready(page)

    expect(widget(page)).to_contain_text("0 of 5 suspected labels decided")
    expect(widget(page)).to_have_attribute("data-sample", images[0])
    choices = widget(page).get_by_role("option")
    expect(choices.nth(0)).to_contain_text(f"both readers read {suggested[images[0]]}")
    expect(choices.nth(0).locator("mark")).to_have_text(suggested[images[0]][0])
    expect(choices.nth(1)).to_contain_text("current label")
    expect(choices.nth(1).locator("mark")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(widget(page)).to_have_attribute("data-sample", images[1])
    ready(page)
    page.keyboard.press("Space")
    expect(widget(page)).to_have_attribute("data-sample", images[2])
    ready(page)
    page.keyboard.type("999999")
    expect(widget(page)).to_have_attribute("data-sample", images[3])
    ready(page)
    page.keyboard.press("Enter")
    expect(widget(page)).to_have_attribute("data-sample", images[4])
    page.keyboard.press("Backspace")
    expect(widget(page)).to_have_attribute("data-sample", images[3])
    ready(page)
    expect_all_saved(page)
    assert state(own_lab, project)[images[3]].label == texts[images[3]]
    page.keyboard.press("Alt+u")
    expect(widget(page)).to_have_attribute("data-sample", images[4])
    expect_all_saved(page)

    after = state(own_lab, project)
    assert [after[image].label for image in images] == [
        suggested[images[0]], texts[images[1]], "999999", None, texts[images[4]],
    ]  # fmt: skip
    assert after[images[1]].checked
    assert after[images[3]].flag == "unreadable"
    page.reload()
    ready(page)
    expect(widget(page)).to_contain_text("0 of 1 suspected label decided")
    expect(widget(page)).to_have_attribute("data-sample", images[4])
    expect(page.get_by_role("button", name="Train folds")).to_be_visible()


@pytest.mark.parametrize("tab", ["Labels", "Disputed", "Suspected"])
def test_keys_work_after_a_click_on_the_tab_of_the_view(lab: "Lab", open_review: OpenReview, tab: str) -> None:
    """The second click leaves the focus on the tab. Enter goes to the widget all the same."""
    project = lab.make_project(f"tab {tab}", 30)
    texts = label_all(lab, project)
    images = sorted(texts)[:3]
    with opened(lab.home.db) as db:
        chosen = samples.select_samples(db, project.id)
        changed = {each: ("1" if texts[each][0] != "1" else "2") + texts[each][1:] for each in images}
        agreeing(db, project, chosen, [changed.get(each.sha256, texts[each.sha256]) for each in chosen])
    act(lab, project, "Ben", *(("label", image, 0, "111111") for image in images if tab == "Disputed"))
    page = open_review(lab, project)
    radio = page.get_by_role("radio", name=tab)
    actions = lab.actions(project)

    radio.click()
    expect(widget(page)).to_have_attribute("data-mode", tab.lower())
    ready(page)
    radio.click()
    expect(radio).to_be_focused()
    page.keyboard.press("Enter")
    expect_all_saved(page)

    assert len(lab.actions(project)) > len(actions)


def test_a_focused_button_keeps_enter_and_the_widget_says_so(lab: "Lab", open_review: OpenReview) -> None:
    project = lab.make_project("elsewhere", 3)
    label_all(lab, project)
    page = open_review(lab, project)
    page.get_by_role("radio", name="Suspected").focus()
    expect(widget(page)).to_have_class(re.compile("elsewhere"))

    tile(page, tiles(page)[0]).locator("img").click()

    expect(widget(page)).not_to_have_class(re.compile("elsewhere"))
