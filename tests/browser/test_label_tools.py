"""The Label page beyond plain typing: several operators, corrections, view keys, flags, touch, bad storage."""

import json
import re
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, Page, expect

from core.data.labeling import apply_events
from db.connection import opened, write
from db.samples import select_samples
from tests.helpers.browsing import open_at, settle
from tests.helpers.labeler import OpenLabel, expect_all_saved, expect_ready, shown, typed, widget
from tests.helpers.readings import agreeing
from tests.helpers.waiting import wait_until

if TYPE_CHECKING:
    from db.records import Project
    from tests.helpers.lab import Lab


def at_box(page: Page) -> int | None:
    """Return the 0-based index of the box at the cursor, or None after the last box."""
    indices = [
        place
        for place, slot in enumerate(widget(page).locator(".slot").all())
        if "next" in (slot.get_attribute("class") or "")
    ]
    return indices[0] if indices else None


def rows(lab: "Lab", sql: str, *values: object) -> list[tuple[Any, ...]]:
    with opened(lab.home.db) as db:
        return db.execute(sql, values).fetchall()


def ledger(lab: "Lab", project: "Project") -> list[tuple[Any, ...]]:
    """Return (action, text, flag) of each event, oldest first."""
    sql = "SELECT action, text, labels.flag FROM labels JOIN samples s ON s.id = sample_id WHERE project_id = ?"
    return rows(lab, f"{sql} ORDER BY labels.id", project.id)


def leased(lab: "Lab", project: "Project") -> dict[str, str]:
    """Return the holder of each lease by image hash."""
    sql = "SELECT sha256, holder FROM leases JOIN samples ON samples.id = sample_id WHERE project_id = ?"
    return dict(rows(lab, sql, project.id))


def change(lab: "Lab", sql: str, *values: object) -> None:
    with opened(lab.home.db) as db, write(db):
        db.execute(sql, values)


def bring_to_front(page: Page) -> None:
    """Simulate the tab coming to the front."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


# ---- several operators and tabs --------------------------------------------------------------------------------------


def test_two_operators_never_get_the_same_image(lab: "Lab", open_label: OpenLabel, browser: Browser) -> None:
    """Both type as fast as they can. Every image is labeled once, by one of them."""
    project = lab.make_project("hands", 40)
    pages = [open_label(lab, project), open_label(lab, project, browser.new_page())]
    texts: list[dict[str, str]] = [{}, {}]

    for number in range(12):
        for page, own in zip(pages, texts, strict=True):
            expect_ready(page)
            own[shown(page)] = f"{len(texts[0]) + len(texts[1]) + number:06}"
            page.keyboard.type(own[shown(page)], delay=5)

    for page in pages:
        expect_all_saved(page)
    assert not texts[0].keys() & texts[1].keys()
    assert texts[0] | texts[1] == lab.labels(project)
    assert [action for action, _, _ in ledger(lab, project)] == ["label"] * 24
    pages[1].context.close()


@pytest.mark.long
def test_the_images_of_a_closed_tab_come_back(lab: "Lab", open_label: OpenLabel, browser: Browser) -> None:
    """Until the leases expire, the next operator reads where the images are, then gets them without a reload."""
    project = lab.make_project("closed", 3)
    first = browser.new_page()
    open_label(lab, project, first)
    assert len(leased(lab, project)) == 3

    second = browser.new_page()
    second.goto(f"{lab.url}/label?project=closed")
    expect(widget(second)).to_contain_text("The remaining images are open on other screens.", timeout=15_000)
    expect(widget(second)).to_have_attribute("data-ready", "false")
    first.context.close()
    change(lab, "UPDATE leases SET until = 1")

    expect_ready(second)
    assert len(set(leased(lab, project).values())) == 1
    second.context.close()


def test_a_reload_keeps_the_image_and_a_duplicate_gets_another(lab: "Lab", open_label: OpenLabel) -> None:
    """A duplicated tab starts with a copy of the first tab's storage but must not share its images."""
    project = lab.make_project("tabs", 40)
    page = open_label(lab, project)
    page.keyboard.type("111111")
    sample = shown(page)
    expect_all_saved(page)

    page.reload()
    expect_ready(page)
    assert shown(page) == sample
    with page.expect_popup() as popup:
        page.evaluate("void window.open(location.href)")
    duplicate = popup.value
    expect_ready(duplicate)
    assert shown(duplicate) != sample
    page.keyboard.type("222222")
    duplicate.keyboard.type("333333")

    expect_all_saved(page)
    expect_all_saved(duplicate)
    assert len(lab.labels(project)) == 3
    assert len(set(leased(lab, project).values())) == 2


def test_a_sleeping_tab_renews_its_leases_and_drops_lost_images(lab: "Lab", open_label: OpenLabel) -> None:
    """An image that someone else has leased meanwhile is removed, unless something is typed for it."""
    project = lab.make_project("sleep", 40)
    page = open_label(lab, project)
    page.keyboard.type("12")
    sample = shown(page)
    holder = leased(lab, project)[sample]
    change(lab, "UPDATE leases SET until = 1")
    bring_to_front(page)
    wait_until(lambda: not rows(lab, "SELECT * FROM leases WHERE until = 1"))
    assert leased(lab, project)[sample] == holder

    change(lab, "UPDATE leases SET holder = 'another'")
    bring_to_front(page)
    wait_until(lambda: holder in leased(lab, project).values())
    assert (shown(page), typed(page)) == (sample, "12....")
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    bring_to_front(page)

    expect(widget(page)).not_to_have_attribute("data-sample", sample)
    expect(widget(page)).to_contain_text("Someone else took that image.")


def test_a_key_meant_for_a_replaced_image_is_ignored(lab: "Lab", open_label: OpenLabel) -> None:
    """Typing immediately after returning to a tab is meant for the old image and must not label the new one."""
    project = lab.make_project("swap", 40)
    page = open_label(lab, project)
    sample = shown(page)
    page.evaluate(
        "before => { const root = document.querySelector('[data-testid=labeler]');"
        " new MutationObserver((_, observer) => { if (['', before].includes(root.dataset.sample)) return;"
        " observer.disconnect();"
        " for (const [key, altKey] of [['7', false], ['u', true], ['Escape', false]])"
        " dispatchEvent(new KeyboardEvent('keydown', { key, altKey, cancelable: true })) })"
        ".observe(root, { attributes: true, attributeFilter: ['data-sample'] }) }",
        sample,
    )

    change(lab, "UPDATE leases SET holder = 'another'")
    bring_to_front(page)
    expect(widget(page)).not_to_have_attribute("data-sample", sample)
    status = widget(page).get_by_role("status")
    expect(status).to_have_text("Someone else took that image. This is the next one: please type again.")
    sample = shown(page)
    assert typed(page) == "......"
    expect_ready(page)
    page.keyboard.type("12345", delay=5)
    assert (shown(page), typed(page)) == (sample, "12345.")
    assert ledger(lab, project) == []


# ---- the boxes ------------------------------------------------------------------------------------------------------


def test_one_character_can_be_corrected_in_its_box(lab: "Lab", open_label: OpenLabel) -> None:
    """After an undo, arrows move into the label. Typing replaces one character and waits for Enter."""
    project = lab.make_project("mend", 5)
    page = open_label(lab, project)
    first = shown(page)

    page.keyboard.type("123456")
    page.keyboard.press("Backspace")
    assert (typed(page), at_box(page)) == ("123456", None)
    for key in ("ArrowLeft", "ArrowLeft", "Home", "ArrowRight"):
        page.keyboard.press(key)
    assert at_box(page) == 1
    page.keyboard.type("9")
    assert (shown(page), typed(page), at_box(page)) == (first, "193456", 2)
    expect(widget(page).locator(".hint")).to_have_text("Press Enter to save.")
    page.keyboard.press("Delete")
    page.keyboard.press("Backspace")
    assert (typed(page), at_box(page)) == ("1..456", 1)
    page.keyboard.press("Enter")
    expect(widget(page).get_by_role("status")).to_have_text("2 more characters needed.")
    page.keyboard.press("End")
    assert at_box(page) == 1
    page.keyboard.type("78")
    widget(page).locator(".slot").nth(4).click(force=True)
    assert (typed(page), at_box(page)) == ("178456", 4)
    page.keyboard.type("0")
    page.keyboard.press("Enter")

    expect_all_saved(page)
    assert {first: "178406"} == lab.labels(project)
    sample = shown(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.type("23456")
    assert (shown(page), typed(page), at_box(page)) == (sample, ".23456", 0)


def test_a_key_that_is_held_is_typed_once(lab: "Lab", open_label: OpenLabel) -> None:
    """Holding a key types one character. Holding Backspace erases but does not undo."""
    project = lab.make_project("held", 5)
    page = open_label(lab, project)
    page.keyboard.type("123456")
    sample = shown(page)

    for _ in range(4):
        page.keyboard.down("7")
    page.keyboard.up("7")
    assert typed(page) == "7....."
    page.keyboard.type("8")
    for _ in range(5):
        page.keyboard.down("Backspace")
    page.keyboard.up("Backspace")

    assert (shown(page), typed(page)) == (sample, "......")


# ---- other ways to type ---------------------------------------------------------------------------------------------


def test_a_composition_counts_when_it_ends(lab: "Lab", open_label: OpenLabel) -> None:
    """Only the final text of an input method is typed. Full-width digits become normal digits."""
    project = lab.make_project("compose", 5)
    page = open_label(lab, project)
    sample = shown(page)
    keyboard = page.context.new_cdp_session(page)

    keyboard.send("Input.imeSetComposition", {"text": "１２", "selectionStart": 2, "selectionEnd": 2})
    assert typed(page) == "......"
    keyboard.send("Input.insertText", {"text": "１２"})
    assert typed(page) == "12...."
    keyboard.send("Input.imeSetComposition", {"text": "に", "selectionStart": 1, "selectionEnd": 1})
    keyboard.send("Input.insertText", {"text": "二"})
    expect(widget(page).get_by_role("status")).to_have_text("“二” is not an allowed character (0123456789).")
    page.keyboard.type("3456")

    expect_all_saved(page)
    assert {sample: "123456"} == lab.labels(project)


def test_a_keyboard_that_never_ends_its_composition_is_ended(lab: "Lab", open_label: OpenLabel) -> None:
    """Touch keyboards compose words. Reaching the last box ends the composition."""
    project = lab.make_project("words", 5, length=3, charset="abcdef")
    page = open_label(lab, project)
    sample = shown(page)
    keyboard = page.context.new_cdp_session(page)

    for text in ("f", "fa", "fad"):
        keyboard.send("Input.imeSetComposition", {"text": text, "selectionStart": len(text), "selectionEnd": len(text)})

    expect(widget(page)).not_to_have_attribute("data-sample", sample)
    expect_all_saved(page)
    assert {sample: "fad"} == lab.labels(project)
    assert typed(page) == "..."


def test_a_touch_screen_labels(lab: "Lab", open_label: OpenLabel, browser: Browser) -> None:
    """A tap opens a numeric keyboard. Its text goes into the boxes, never into two images."""
    project = lab.make_project("touch", 5)
    context = browser.new_context(has_touch=True, is_mobile=True, viewport={"width": 420, "height": 800})
    page = open_label(lab, project, context.new_page())
    field = widget(page).get_by_role("textbox")
    sample = shown(page)

    assert field.get_attribute("inputmode") == "numeric"
    field.tap()
    expect(field).to_be_focused()
    for char in "1２3":
        page.keyboard.insert_text(char)
    assert (typed(page), field.input_value()) == ("123...", "123")
    page.keyboard.insert_text("456789")
    expect(widget(page).locator(".hint")).to_have_text("6 characters entered; there is room for 3.")
    page.keyboard.insert_text("456")
    expect(widget(page)).not_to_have_attribute("data-sample", sample)
    widget(page).get_by_role("button", name="Undo").tap()
    expect(widget(page)).to_have_attribute("data-sample", sample)
    expect(field).to_be_focused()
    # Touch keyboards erase without a key event.
    field.evaluate(
        "field => { field.value = '12345';"
        " field.dispatchEvent(new InputEvent('input', { inputType: 'deleteContentBackward' })) }"
    )
    assert typed(page) == "12345."
    page.keyboard.insert_text("0")

    expect_all_saved(page)
    assert {sample: "123450"} == lab.labels(project)
    context.close()


def test_a_screen_reader_announces_names_and_results(lab: "Lab", open_label: OpenLabel) -> None:
    """The field and the buttons have names. A live region announces each result and the images left."""
    project = lab.make_project("reader", 5)
    page = open_label(lab, project)
    field = widget(page).get_by_role("textbox", name="Label, 6 characters of 0123456789")
    status = widget(page).get_by_role("status")

    expect(field).to_be_focused()
    expect(field).to_have_accessible_description("")
    page.keyboard.type("123456")
    expect(status).to_have_text("Labeled 123456. 4 left.")
    expect(widget(page).get_by_role("progressbar", name="Labeled images")).to_have_attribute("aria-valuenow", "1")
    page.keyboard.press("Backspace")
    expect(status).to_have_text("Undone: 123456. 5 left.")
    expect(field).to_have_value("123456")
    page.keyboard.press("Escape")
    expect(status).to_have_text("Skipped. 4 left.")
    page.keyboard.press("x")
    expect(status).to_have_text("“x” is not an allowed character (0123456789).")
    expect(field).to_have_accessible_description("“x” is not an allowed character (0123456789).")
    for name in ("Undo", "Skip", "Unreadable", "Not from this portal", "Save", "Zoom", "Invert", "Contrast"):
        expect(widget(page).get_by_role("button", name=name)).to_be_visible()
    expect(widget(page).get_by_role("img")).to_have_attribute("alt", "The image to label")


# ---- view and commands ----------------------------------------------------------------------------------------------


def test_the_keys_are_shown_and_nothing_is_typed_behind_them(lab: "Lab", open_label: OpenLabel) -> None:
    """F1 and `?` open the keys, and so does their button. Escape closes them and does nothing else."""
    project = lab.make_project("keys", 5)
    page = open_label(lab, project)
    sample = shown(page)
    page.keyboard.type("12")
    keys = page.get_by_role("dialog", name="Keys of Label")

    for key in ("F1", "?"):
        page.keyboard.press(key)
        expect(keys).to_be_visible()
        expect(keys).to_contain_text("skip the image; it comes back in the queue of skipped images")
        expect(widget(page)).to_have_attribute("data-ready", "false")
        page.keyboard.type("345678?")
        page.keyboard.press("Escape")
        expect(keys).to_be_hidden()
        expect_ready(page)
    page.get_by_role("button", name="Keys").click()
    expect(keys).to_be_visible()
    keys.get_by_role("button", name="Close").click()
    expect(keys).to_be_hidden()
    expect_ready(page)

    page.keyboard.type("3")
    assert (shown(page), typed(page)) == (sample, "123...")
    assert ledger(lab, project) == []


def test_a_question_mark_can_be_a_character_of_labels(lab: "Lab", open_label: OpenLabel) -> None:
    """Then it is typed, and F1 shows the keys."""
    project = lab.make_project("question marks", 5, length=6, charset="0123456789?")
    page = open_label(lab, project)
    keys = page.get_by_role("dialog", name="Keys of Label")

    page.keyboard.type("12?")

    assert typed(page) == "12?..."
    expect(keys).to_be_hidden()
    page.keyboard.press("F1")
    expect(keys).to_be_visible()


def test_zoom_invert_and_contrast_stay_on(lab: "Lab", open_label: OpenLabel) -> None:
    """They persist for later images and reloads. Keys work by layout letter or by key code."""
    project = lab.make_project("view", 5, length=6, charset="abcdefghijklmnopqrstuvwxyz")
    page = open_label(lab, project)
    stage = widget(page).locator(".stage")
    style = "image => [getComputedStyle(image).filter, getComputedStyle(image).transform]"

    page.keyboard.press("Alt+i")
    page.keyboard.press("Alt+z")
    # Option+Z of a Mac.
    page.evaluate("dispatchEvent(new KeyboardEvent('keydown', { key: 'Ω', code: 'KeyZ', altKey: true }))")
    widget(page).get_by_role("button", name="Contrast").click()
    assert typed(page) == "......"
    page.keyboard.type("abcdef")
    page.reload()
    expect_ready(page)

    for name in ("Zoom 3x", "Invert", "Contrast"):
        expect(widget(page).get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")
    assert stage.locator("img").evaluate(style) == ["invert(1) contrast(2.5)", "matrix(3, 0, 0, 3, 0, 0)"]
    box = stage.bounding_box()
    assert box
    origin = "stage => Number(stage.style.getPropertyValue('--x'))"
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 10)
    assert stage.evaluate(origin) == pytest.approx(0.9, abs=0.02)
    page.keyboard.type("a")
    assert stage.evaluate(origin) == pytest.approx(1.5 / 6)
    for key in ("Alt+z", "Alt+i", "Alt+c"):
        page.keyboard.press(key)
    assert stage.locator("img").evaluate(style) == ["none", "matrix(1, 0, 0, 1, 0, 0)"]


def test_flags_say_why_an_image_is_skipped(lab: "Lab", open_label: OpenLabel) -> None:
    """Each flag has a key and a button. A link opens the skipped images with a flag, where passing changes nothing."""
    project = lab.make_project("flags", 6)
    page = open_label(lab, project)
    unreadable = shown(page)
    page.keyboard.press("Alt+u")
    widget(page).get_by_role("button", name="Not from this portal").click()
    page.keyboard.press("Alt+o")
    page.keyboard.press("Backspace")
    page.keyboard.press("Escape")
    expect_all_saved(page)
    events: list[tuple[Any, ...]] = [
        ("skip", None, "unreadable"),
        ("skip", None, "not_ours"),
        ("skip", None, "not_ours"),
    ]
    events += [("undo", None, None), ("skip", None, None)]
    assert ledger(lab, project) == events

    page.goto(f"{lab.url}/label?project=flags&queue=Skipped&flag=unreadable")
    expect_ready(page)
    expect(page.get_by_role("button", name="Filter: unreadable")).to_be_visible()
    assert shown(page) == unreadable
    page.keyboard.press("Escape")
    expect(widget(page)).to_contain_text("No more images match the filter.")
    page.keyboard.press("Backspace")
    expect_ready(page)
    page.keyboard.type("777777")

    expect_all_saved(page)
    assert ledger(lab, project) == [*events, ("label", "777777", None)]
    assert {unreadable: "777777"} == lab.labels(project)


def test_a_second_opinion_does_not_show_the_first_label(lab: "Lab", page: Page) -> None:
    """A second opinion leaves the label unchanged, can be undone, and makes the image disputed if it differs."""
    project = lab.make_project("second", 3)
    samples = [sample for (sample,) in rows(lab, "SELECT sha256 FROM samples WHERE project_id = ?", project.id)]
    with opened(lab.home.db) as db:
        labels = [
            {"event": f"first {sample}", "action": "label", "sample": sample, "text": "135790", "base": 0}
            for sample in samples
        ]
        apply_events(db, project, "Ben", labels)
    page.goto(f"{lab.url}/label?project=second&queue=Second+opinion")
    expect_ready(page)
    first = shown(page)

    assert "135790" not in page.content()
    page.keyboard.type("246801")
    page.keyboard.press("Backspace")
    assert (shown(page), typed(page)) == (first, "246801")
    page.keyboard.type("246802")
    page.keyboard.press("Alt+u")
    page.keyboard.press("Escape")
    expect_all_saved(page)

    expect(widget(page)).to_contain_text("No labels are waiting for a second opinion.")
    expect(widget(page).get_by_role("link", name="2 disputed")).to_have_attribute("href", "review?project=second")
    assert ledger(lab, project)[3:] == [
        ("second", "246801", None),
        ("undo", None, None),
        ("second", "246802", None),
        ("second", None, "unreadable"),
    ]
    assert lab.labels(project) == dict.fromkeys(samples, "135790")


def test_the_queue_is_chosen_and_narrowed_by_the_address(lab: "Lab", open_label: OpenLabel) -> None:
    """Source, day and order appear on the button and in the address, and survive a reload."""
    project = lab.make_project("narrow", 4)
    one = rows(lab, "SELECT id, sha256 FROM samples WHERE project_id = ?", project.id)[2]
    source = [project.id, "july", "the team", "ticket 2", "2026-07-01T00:00:00+00:00"]
    columns = "project_id, name, owner, authorization, created_at"
    change(lab, f"INSERT INTO sources ({columns}) VALUES (?, ?, ?, ?, ?)", *source)
    change(lab, "UPDATE samples SET source_id = (SELECT max(id) FROM sources) WHERE id = ?", one[0])
    page = open_label(lab, project)

    page.get_by_role("button", name="Filter").click()
    page.get_by_role("combobox", name="Order").click()
    page.get_by_role("option", name="random").click()
    expect(page.get_by_text("Filter: random")).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    page.get_by_role("combobox", name="Source").click()
    page.get_by_role("option", name="july").click()
    expect(widget(page)).to_have_attribute("data-sample", one[1])
    expect(page).to_have_url(re.compile("source=july"))
    page.reload()
    expect_ready(page)

    expect(page.get_by_role("button", name="Filter: july, random")).to_be_visible()
    page.keyboard.type("123456")
    expect(widget(page)).to_contain_text("No more images match the filter.")
    expect_all_saved(page)
    assert {one[1]: "123456"} == lab.labels(project)


# ---- figures --------------------------------------------------------------------------------------------------------


def test_the_operator_sees_his_day_and_his_week(lab: "Lab", open_label: OpenLabel) -> None:
    """Labels, time per label, and agreement with others. Times are stored in milliseconds."""
    project = lab.make_project("figures", 4)
    page = open_label(lab, project)
    samples = []
    for text in ("111111", "222222"):
        samples.append(shown(page))
        page.wait_for_timeout(300)
        page.keyboard.type(text)
    expect_all_saved(page)
    with opened(lab.home.db) as db:
        second = {"event": "look", "action": "second", "sample": samples[0], "text": "111111", "base": 1}
        apply_events(db, project, "Ben", [second])

    times = [ms for (ms,) in rows(lab, "SELECT ms FROM labels WHERE ms IS NOT NULL ORDER BY id DESC LIMIT 2")]
    assert all(300 <= ms < 5000 for ms in times)
    expect(widget(page)).to_contain_text("2 of 4 labeled")
    expect(widget(page)).to_contain_text("Today: 2")
    page.get_by_role("button", name="My week").click()
    expect(page.get_by_text("2 labels", exact=True)).to_be_visible()
    expect(page.get_by_text("Second opinions that agree: 1 of 1")).to_be_visible()


# ---- a bad browser, a bad server ------------------------------------------------------------------------------------


def test_damaged_storage_does_not_stop_the_widget(lab: "Lab", open_label: OpenLabel) -> None:
    """Unreadable values are ignored, and labels are saved as usual."""
    project = lab.make_project("damaged", 12)
    page = open_label(lab, project)
    prefix = f"slotlab/outbox/{project.id}/{urllib.parse.quote(project.created_at, safe='')}/"
    damaged = {"a": "{", "b": '"text"', "c": "null", "d": json.dumps({"event": "d"}), "e": "[1]"}
    page.evaluate(
        "([prefix, entries]) => { for (const [key, value] of Object.entries(entries))"
        " localStorage.setItem(prefix + key, value);"
        " localStorage.setItem('slotlab/view', '7'); sessionStorage.setItem('slotlab/tab', '{\"id\": 3}');"
        " sessionStorage.setItem('slotlab/session/damaged', '[') }",
        [prefix, damaged],
    )

    page.reload()
    expect_ready(page)
    sample = shown(page)
    page.keyboard.type("123456")

    expect_all_saved(page)
    assert {sample: "123456"} == lab.labels(project)


@pytest.mark.parametrize("how", ["full", "forbidden"])
def test_a_browser_without_storage_warns_about_unsent_labels(
    lab: "Lab", open_label: OpenLabel, page: Page, how: str
) -> None:
    """Labels wait in the open tab and are sent as soon as the server accepts them."""
    project = lab.make_project(how, 5)
    page.add_init_script(
        "Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError') }"
        if how == "full"
        else "for (const kind of ['localStorage', 'sessionStorage'])"
        " Object.defineProperty(window, kind, { get() { throw new DOMException('', 'SecurityError') } })"
    )
    open_label(lab, project)
    with opened(lab.home.db) as db, write(db):  # the server has to wait
        page.keyboard.type("111111" + "222222", delay=5)
        expect(widget(page)).to_contain_text("This browser cannot store labels. Closing this tab now loses 2.")
        page.wait_for_timeout(1000)
        # Streamlit fades elements that wait for a script. The image must stay readable.
        faded = "widget => getComputedStyle(widget.closest('[data-testid=stElementContainer]')).opacity"
        assert widget(page).evaluate(faded) == "1"
        page.get_by_role("radio", name="Skipped").click()

    expect_all_saved(page)
    wait_until(lambda: len(lab.labels(project)) == 2)
    expect(widget(page)).not_to_contain_text("cannot store")


def test_the_widget_reports_and_survives_a_server_error(own_lab: "Lab", open_label: OpenLabel) -> None:
    """The widget stays on the page, keeps the labels, and continues when the server works again."""
    project = own_lab.make_project("portal", 40)
    own_lab.start()
    page = open_label(own_lab, project)
    change(own_lab, "ALTER TABLE samples RENAME COLUMN flag TO flug")

    page.keyboard.type("111111" + "222222", delay=5)
    expect(widget(page)).to_contain_text("Server error")
    expect(widget(page)).to_have_attribute("data-unsaved", "2")
    change(own_lab, "ALTER TABLE samples RENAME COLUMN flug TO flag")

    expect_all_saved(page)
    assert sorted(own_lab.labels(project).values()) == ["111111", "222222"]
    assert "flug" in own_lab.mistakes()


def test_a_link_opens_exactly_the_queue_it_names(lab: "Lab", page: Page) -> None:
    """The filter and queue of an earlier visit do not return, neither with the sidebar nor with a link."""
    project = lab.make_project("links", 30)
    with opened(lab.home.db) as db:
        agreeing(db, project, (chosen := select_samples(db, project.id)), ["123456"] * len(chosen))
    sidebar = page.get_by_test_id("stSidebar")
    unlabeled, second = (page.get_by_role("radio", name=name) for name in ("Unlabeled", "Second opinion"))

    def expect_queue(*, is_blind: bool) -> None:
        expect_ready(page)
        expect(unlabeled).to_be_checked()
        expect(page.get_by_role("button", name="Filter: validation and test")).to_have_count(int(is_blind))
        expect(page.get_by_role("button", name="Filter")).to_have_count(1)

    def open_home() -> None:
        """Wait for Home. A page that is left before its script runs was never visited."""
        sidebar.get_by_role("link", name="Home").click()
        expect(page.get_by_role("heading", name="Home", exact=True)).to_be_visible()
        settle(page)

    open_at(page, lab, "/propose?project=links", "Propose")
    page.get_by_role("link", name="Label blind images").click()
    expect_queue(is_blind=True)
    open_home()
    sidebar.get_by_role("link", name="Label").click()
    expect_queue(is_blind=False)
    second.click()
    expect(second).to_be_checked()
    sidebar.get_by_role("link", name="Propose").click()
    page.get_by_role("link", name="Label blind images").click()
    expect_queue(is_blind=True)
    open_home()
    page.get_by_test_id("stMain").get_by_role("link", name="Label 30 images").click()
    expect_queue(is_blind=False)
