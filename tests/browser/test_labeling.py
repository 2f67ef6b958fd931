"""The labeling widget in a real browser: the database always holds exactly what was typed."""

import hashlib
import json
import random
import re
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from playwright.sync_api import Browser, Page, expect

from core.backup import removal
from core.data import managing
from core.data.labeling import apply_events
from db.connection import opened
from db.integrity import problems
from db.labels import events_of
from db.samples import find_sample, select_samples
from tests.helpers.command_line import command
from tests.helpers.labeler import OpenLabel, expect_all_saved, shown, typed, widget

if TYPE_CHECKING:
    from tests.helpers.lab import Lab


def type_labels(page: Page, n: int, delay_ms: float = 50) -> dict[str, str]:
    """Type `n` six-digit labels without a pause. Return the text typed for each image."""
    texts = {}
    for _ in range(n):
        sample, text = shown(page), f"{random.randrange(10**6):06}"
        assert sample
        assert sample not in texts
        page.keyboard.type(text, delay=delay_ms)
        texts[sample] = text
    return texts


def test_twenty_keys_a_second_become_exactly_the_labels_typed(lab: "Lab", open_label: OpenLabel) -> None:
    """More labels than one batch of images, without a click or a pause."""
    project = lab.make_project("stream", 26)
    page = open_label(lab, project)
    assert page.evaluate("document.activeElement.matches('[data-testid=labeler] input')")

    texts = type_labels(page, 2, delay_ms=100) | type_labels(page, 22)

    expect_all_saved(page)
    assert texts == lab.labels(project)
    assert lab.actions(project) == ["label"] * 24


def test_a_killed_server_loses_no_label(own_lab: "Lab", open_label: OpenLabel) -> None:
    """Typing continues while the server is down, and the labels are sent when it is back."""
    project = own_lab.make_project("portal", 30)
    own_lab.start()
    page = open_label(own_lab, project)

    texts = type_labels(page, 3)
    own_lab.kill()
    texts |= type_labels(page, 3, delay_ms=20)  # within a few seconds Streamlit covers the page with a dialog
    assert widget(page).get_attribute("data-unsaved") != "0"
    own_lab.start()
    # data-ready may still be from before the dialog. Once all labels are saved, the new server is up.
    expect_all_saved(page, 30)
    expect(page.get_by_role("dialog")).to_have_count(0, timeout=30_000)
    expect(widget(page)).to_have_attribute("data-ready", "true", timeout=30_000)
    texts |= type_labels(page, 3)

    expect_all_saved(page, 30)
    assert texts == own_lab.labels(project)
    assert own_lab.actions(project) == ["label"] * 9
    expect(widget(page).locator(".today")).to_contain_text("Today: 9,")


def test_two_apps_on_one_folder_label_at_once(own_lab: "Lab", open_label: OpenLabel, browser: Browser) -> None:
    """Each app has its operator. No image goes to both, and killing one app loses no label of either."""
    project = own_lab.make_project("portal", 60)
    own_lab.start()
    second = type(own_lab)(own_lab.home.root)
    second.start()
    try:
        pages = []
        for lab, operator in ((own_lab, "Ann"), (second, "Ben")):
            context = browser.new_context()
            context.add_cookies([{"name": "slotlab_operator", "value": operator, "url": lab.url}])
            pages.append(open_label(lab, project, context.new_page()))
        texts = [type_labels(page, 3, delay_ms=20) | type_labels(page, 3, delay_ms=20) for page in pages]
        second.kill()
        texts[1] |= type_labels(pages[1], 2, delay_ms=20)
        second.start()
        texts[0] |= type_labels(pages[0], 3, delay_ms=20)
        for page in pages:
            expect_all_saved(page, 30)
    finally:
        second.kill()

    assert not texts[0].keys() & texts[1].keys()
    assert texts[0] | texts[1] == own_lab.labels(project)
    assert own_lab.actions(project) == ["label"] * 17


def test_two_operators_label_while_verdicts_come_in(own_lab: "Lab", open_label: OpenLabel, browser: Browser) -> None:
    """No image goes to both, no typed label is lost, and whoever saves an image first has its label."""
    project = own_lab.make_project("portal", 80)
    with opened(own_lab.home.db) as db:
        images = [sample.sha256 for sample in select_samples(db, project.id)]
    lines = [
        {"sha256": sha256, "text": f"{number:06}", "accepted": number % 2 == 0}
        | ({"reason": "captcha"} if number % 2 else {})
        for number, image in enumerate(images)
        for sha256 in (image, *(hashlib.sha256(f"{image} {other}".encode()).hexdigest() for other in range(60)))
    ]
    log = own_lab.home.root.with_name("portal.jsonl")
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    own_lab.start()
    pages = []
    for operator in ("Ann", "Ben"):
        context = browser.new_context()
        context.add_cookies([{"name": "slotlab_operator", "value": operator, "url": own_lab.url}])
        pages.append(open_label(own_lab, project, context.new_page()))

    with ThreadPoolExecutor(1) as pool:
        intake = pool.submit(command, own_lab.home.root, "verdicts", log, "--project", "portal")
        texts = [dict[str, str](), dict[str, str]()]
        while not intake.done():
            for page, typed_here in zip(pages, texts, strict=True):
                sample, text = shown(page), f"{random.randrange(10**6):06}"
                page.keyboard.type(text, delay=20)
                if shown(page) != sample:  # else the widget refused it, because the image before had gone
                    typed_here[sample] = text
        assert intake.result().returncode == 0, intake.result().stderr
    for page in pages:
        expect_all_saved(page, 30)

    assert len(texts[0]) > 1
    assert len(texts[1]) > 1
    assert not texts[0].keys() & texts[1].keys()
    with opened(own_lab.home.db) as db:
        for operator, typed_here in zip(("Ann", "Ben"), texts, strict=True):
            for sha256, text in typed_here.items():
                sample = find_sample(db, project.id, sha256)
                assert sample
                first, *others = events_of(db, sample.id)
                assert sample.label == first.text
                if first.operator == "portal":  # before or while the operator typed
                    assert [event.text for event in others if event.operator == operator] in ([], [text])
                else:
                    assert (first.operator, first.text) == (operator, text)
        assert problems(db) == []


def test_a_server_restarted_while_nobody_types_takes_labels_again(own_lab: "Lab", open_label: OpenLabel) -> None:
    """The new session does not know the widget until the browser requests the whole page."""
    project = own_lab.make_project("portal", 3)
    own_lab.start()
    page = open_label(own_lab, project)

    own_lab.kill()
    own_lab.start()
    expect(widget(page)).to_have_attribute("data-ready", "true", timeout=30_000)
    texts = type_labels(page, 1)

    expect_all_saved(page)
    assert texts == own_lab.labels(project)


def test_a_closed_tab_leaves_its_labels_to_the_next(own_lab: "Lab", open_label: OpenLabel) -> None:
    """The browser stores the outbox. The next tab sends it and does not show its images again."""
    project = own_lab.make_project("portal", 12)
    own_lab.start()
    page = open_label(own_lab, project)
    own_lab.kill()
    texts = type_labels(page, 2, delay_ms=20)
    context = page.context
    page.close()
    own_lab.start()

    page = open_label(own_lab, project, context.new_page())
    assert shown(page) not in texts
    texts |= type_labels(page, 1)

    expect_all_saved(page)
    assert texts == own_lab.labels(project)


def test_a_change_of_page_right_after_typing_loses_nothing(lab: "Lab", open_label: OpenLabel) -> None:
    """The last label may still be unsent when the widget is removed."""
    project = lab.make_project("pages", 12)
    page = open_label(lab, project)

    texts = type_labels(page, 2, delay_ms=10)
    page.get_by_role("link", name="Samples").click()
    expect(page.get_by_role("heading", name="Samples")).to_be_visible()
    page.get_by_role("link", name="Label", exact=True).click()
    expect(widget(page)).to_have_attribute("data-ready", "true")
    assert shown(page) not in texts
    texts |= type_labels(page, 2)

    expect_all_saved(page)
    assert texts == lab.labels(project)


def test_a_deep_link_opens_on_a_freshly_started_server(own_lab: "Lab", open_label: OpenLabel) -> None:
    """The first request to the server is for the Label page."""
    own_lab.make_project("first", 2)
    second = own_lab.make_project("second", 2)
    own_lab.start()

    page = open_label(own_lab, second)
    texts = type_labels(page, 1)

    expect_all_saved(page)
    assert texts == own_lab.labels(second)


def test_keys_typed_in_another_field_are_ignored(lab: "Lab", open_label: OpenLabel) -> None:
    """Digits typed into the operator field stay there. A click on the image returns the keyboard to the widget."""
    project = lab.make_project("fields", 5)
    page = open_label(lab, project)
    field = page.get_by_role("combobox", name="Operator")

    field.fill("")
    field.press_sequentially("Ann 123456789")

    expect(field).to_have_value("Ann 123456789")
    expect(widget(page)).to_have_attribute("data-ready", "false")
    assert typed(page) == "......"

    widget(page).locator("img").click()
    expect(widget(page)).to_have_attribute("data-ready", "true")
    texts = type_labels(page, 1)
    expect_all_saved(page)
    assert texts == lab.labels(project)


def test_enter_without_characters_does_nothing(lab: "Lab", open_label: OpenLabel) -> None:
    """Pressing Enter after the last character, out of habit, must not skip or label the next image."""
    project = lab.make_project("enter", 5)
    page = open_label(lab, project)

    for _ in range(3):
        page.keyboard.press("Enter")
    texts = type_labels(page, 1)
    page.keyboard.press("Enter")
    sample = shown(page)
    page.keyboard.type("123")
    page.keyboard.press("Enter")

    expect(widget(page).get_by_role("status")).to_have_text("3 more characters needed.")
    assert (sample, "123...") == (shown(page), typed(page))
    expect_all_saved(page)
    assert texts == lab.labels(project)
    assert lab.actions(project) == ["label"]


def test_backspace_erases_and_then_goes_back(lab: "Lab", open_label: OpenLabel) -> None:
    """On an empty label it undoes the last one: image and text return, to be corrected and saved again."""
    project = lab.make_project("undo", 5)
    page = open_label(lab, project)
    first = shown(page)

    page.keyboard.type("1234567")
    page.keyboard.press("Backspace")
    assert (typed(page), shown(page) != first) == ("......", True)
    page.keyboard.press("Backspace")
    assert (typed(page), shown(page)) == ("123456", first)
    page.get_by_role("heading", name="Label").click()
    page.keyboard.press("Enter")
    assert (typed(page), shown(page) != first) == ("......", True)
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    page.keyboard.type("9")
    assert shown(page) != first

    expect_all_saved(page)
    assert {first: "123459"} == lab.labels(project)
    assert lab.actions(project) == ["label", "undo"] * 2 + ["label"]

    page.keyboard.press("Backspace")
    page.keyboard.type("000000")

    expect_all_saved(page)
    assert {first: "000000"} == lab.labels(project)


def test_skipped_images_wait_in_their_own_queue(lab: "Lab", open_label: OpenLabel) -> None:
    """Escape skips an image. Once nothing else is left, the widget offers the skipped images."""
    project = lab.make_project("skip", 3)
    page = open_label(lab, project)
    skipped = shown(page)

    page.keyboard.press("Escape")
    texts = type_labels(page, 2)

    expect_all_saved(page)
    expect(widget(page)).to_have_attribute("data-ready", "false")
    assert texts == lab.labels(project)
    assert lab.actions(project) == ["skip", "label", "label"]
    expect(page.get_by_role("button", name="Give second opinions")).to_have_count(0)

    page.get_by_role("button", name="Label skipped images").click()
    expect(widget(page)).to_have_attribute("data-sample", skipped)
    expect(widget(page)).to_have_attribute("data-ready", "true")
    texts |= type_labels(page, 1)

    expect_all_saved(page)
    expect(widget(page)).to_contain_text("3 of 3 labeled")
    assert texts == lab.labels(project)
    page.get_by_role("button", name="Show unlabeled images").click()
    page.get_by_role("link", name="Train a model").click()
    expect(page.get_by_role("heading", name="Train", exact=True)).to_be_visible()
    expect(page.get_by_text("Labeled: 3")).to_be_visible()


def test_a_foreign_character_is_refused_in_words(lab: "Lab", open_label: OpenLabel) -> None:
    """A character that is not allowed is refused with a sentence."""
    project = lab.make_project("digits", 3)
    page = open_label(lab, project)

    page.keyboard.type("12c")

    expect(widget(page).get_by_role("status")).to_have_text("“c” is not an allowed character (0123456789).")
    assert typed(page) == "12...."
    page.keyboard.type("3456")
    expect_all_saved(page)
    assert list(lab.labels(project).values()) == ["123456"]


def test_letters_get_the_case_of_the_charset(lab: "Lab", open_label: OpenLabel) -> None:
    """A charset of capitals needs no Shift key."""
    project = lab.make_project("letters", 3, length=5, charset="ABCRXYZ2345")
    page = open_label(lab, project)

    page.keyboard.type("cr2Xa")

    expect_all_saved(page)
    assert list(lab.labels(project).values()) == ["CR2XA"]


def test_a_pasted_label_waits_for_enter(lab: "Lab", open_label: OpenLabel) -> None:
    """A paste of a whole label fills the boxes. Any other paste is refused."""
    project = lab.make_project("paste", 3)
    page = open_label(lab, project)

    def paste(text: str) -> None:
        page.evaluate(
            "text => { const clipboardData = new DataTransfer(); clipboardData.setData('text', text);"
            " document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true })) }",
            text,
        )

    paste("1234")
    expect(widget(page).get_by_role("status")).to_have_text("Pasted 4 characters; a label has 6.")
    assert typed(page) == "......"
    paste(" 654321\n")
    assert (typed(page), {}) == ("654321", lab.labels(project))
    page.keyboard.press("Enter")

    expect_all_saved(page)
    assert list(lab.labels(project).values()) == ["654321"]


def test_a_missing_database_is_reported_and_retried(own_lab: "Lab", open_label: OpenLabel) -> None:
    """Unstored events get no answer, so the browser keeps and resends them."""
    project = own_lab.make_project("portal", 5)
    own_lab.start()
    page = open_label(own_lab, project)
    aside = own_lab.home.db.with_name("aside.db")

    own_lab.home.db.rename(aside)
    texts = type_labels(page, 1)
    expect(widget(page)).to_contain_text("There is no database")
    expect(widget(page)).to_have_attribute("data-unsaved", "1")
    aside.rename(own_lab.home.db)

    expect_all_saved(page)
    expect(widget(page)).not_to_contain_text("There is no database")
    assert texts == own_lab.labels(project)


def test_a_label_that_came_second_is_shown_with_its_text(lab: "Lab", open_label: OpenLabel) -> None:
    """Another operator labels the same image first: that label stays, and a notice quotes both texts."""
    project = lab.make_project("race", 3)
    page = open_label(lab, project)
    sample = shown(page)
    with opened(lab.home.db) as db:
        event = {"event": "other", "action": "label", "sample": sample, "text": "111111", "base": 0}
        apply_events(db, project, "Ben", [event])

    page.keyboard.type("222222")

    expect_all_saved(page)
    notice = widget(page).get_by_role("alert")
    expect(notice).to_contain_text("222222")
    expect(notice).to_contain_text("111111")
    assert {sample: "111111"} == lab.labels(project)


def test_another_project_takes_the_place_of_the_first(lab: "Lab", open_label: OpenLabel) -> None:
    """After a choice in the sidebar, the next key goes to the new project without a click."""
    left, right = lab.make_project("left", 3), lab.make_project("right", 3)
    page = open_label(lab, left)
    texts = type_labels(page, 1, delay_ms=10)
    before = shown(page)

    page.get_by_role("combobox", name="Project").click()
    page.get_by_role("option", name="right").click()
    expect(widget(page)).not_to_have_attribute("data-sample", before)
    expect(widget(page)).to_have_attribute("data-ready", "true")
    others = type_labels(page, 2)

    expect_all_saved(page)
    assert texts == lab.labels(left)
    assert others == lab.labels(right)


def test_the_outbox_of_one_project_is_never_sent_to_another(lab: "Lab", open_label: OpenLabel) -> None:
    """Events wait in the browser until their own project is opened again."""
    here, there = lab.make_project("here", 3), lab.make_project("there", 3)
    page = open_label(lab, there)
    sample = shown(page)
    event = {"event": "e1", "action": "label", "sample": sample, "text": "777777", "base": 0, "at": 1, "delta": 1}

    other = {**event, "event": "e2", "text": "888888"}
    elsewhere = f"{there.name}/{urllib.parse.quote('2020-01-01T00:00:00+00:00', safe='')}"  # in another Slotlab folder
    keys = [f"slotlab/outbox/{there.name}/{urllib.parse.quote(there.created_at, safe='')}/e1"]
    keys.append(f"slotlab/outbox/{elsewhere}/e2")
    for key, value in zip(keys, (event, other), strict=True):
        page.evaluate("([key, value]) => localStorage.setItem(key, value)", [key, json.dumps(value)])
    page = open_label(lab, here)
    texts = type_labels(page, 1)
    expect_all_saved(page)
    assert texts == lab.labels(here)
    assert lab.labels(there) == {}

    page = open_label(lab, there)
    expect_all_saved(page)
    assert shown(page) != sample
    assert {sample: "777777"} == lab.labels(there)
    assert page.evaluate("keys => keys.map(key => localStorage.getItem(key) !== null)", keys) == [False, True]


def test_labels_follow_a_renamed_project(lab: "Lab", open_label: OpenLabel) -> None:
    """The open page leads on to the new name, and typing continues. A deleted project is one sentence."""
    project = lab.make_project("First portal", 12)
    page = open_label(lab, project)
    texts = type_labels(page, 2)
    with opened(lab.home.db) as db:
        renamed = managing.rename_project(db, project, "Main portal")
    texts |= type_labels(page, 2)
    expect_all_saved(page)
    expect(page).to_have_url(re.compile("project=Main"))
    texts |= type_labels(page, 2)
    expect_all_saved(page)
    texts |= type_labels(open_label(lab, renamed), 1)
    expect_all_saved(page)
    assert texts == lab.labels(renamed)

    with opened(lab.home.db) as db:
        removal.delete_project(db, lab.home, renamed, typed="Main portal", operator="Ann")
    type_labels(page, 1)
    expect(page.get_by_text("Project Main portal has been deleted.")).to_contain_text("stay in this browser")
    expect(widget(page)).to_have_count(0)
    expect(page.get_by_text("There is no project")).to_have_count(0)
    assert page.evaluate("Object.keys(localStorage).filter(key => key.startsWith('slotlab/outbox/')).length") == 1
