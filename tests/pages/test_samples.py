"""The Samples page."""

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.data.labeling import apply_events
from core.home import Home
from db.connection import opened
from db.labels import events_of
from db.records import Project
from db.samples import select_samples

OpenPage = Callable[..., AppTest]


def button(app: AppTest, label: str) -> Any:
    return next(button for button in app.button if button.label == label)


def test_all_images_are_listed_with_their_split(open_page: OpenPage, portal: Project) -> None:
    """The table holds a row and an image for each sample."""
    app = open_page("samples", project=portal.name)

    table = app.dataframe[0].value
    assert not app.exception
    assert len(table) == 12
    assert all(url.startswith("data:image/png;base64,") for url in table["image"])
    assert set(table["split"]) <= {"train", "val", "test"}


def test_a_search_finds_names_labels_and_hashes(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The search field of the address finds one image by the start of its hash, for links from other pages."""
    with opened(home.db) as db:
        sample = select_samples(db, portal.id)[3]

    app = open_page("samples", project=portal.name, search=sample.sha256)

    assert [sample.name] == list(app.dataframe[0].value["name"])


def test_a_relabel_is_saved_once_with_its_operator(home: Home, open_page: OpenPage, portal: Project) -> None:
    """Correcting a label adds an event to the ledger and changes the label of that image only."""
    app = open_page("samples", project=portal.name)
    app.session_state["operator name"] = "dana"
    app.run()
    field = next(field for field in app.text_input if field.label == "Label")
    field.set_value("424242")
    button(app, "Save label").click().run()

    assert not app.exception
    with opened(home.db) as db:
        first, second = select_samples(db, portal.id)[:2]
        events = events_of(db, first.id)
    assert (first.label, first.operator) == ("424242", "dana")
    assert second.label != "424242"
    assert events[-1].action == "label"


def test_a_label_that_does_not_fit_is_refused(home: Home, open_page: OpenPage, portal: Project) -> None:
    """A label of another length gets a sentence and is not stored."""
    with opened(home.db) as db:
        before = select_samples(db, portal.id)[0]
    app = open_page("samples", project=portal.name)
    field = next(field for field in app.text_input if field.label == "Label")
    field.set_value("42")
    button(app, "Save label").click().run()

    with opened(home.db) as db:
        assert before == select_samples(db, portal.id)[0]
    assert "2 characters" in app.error[0].value


def test_skip_and_undo(home: Home, open_page: OpenPage, portal: Project) -> None:
    """Undo restores a skipped image. The history keeps all events."""
    app = open_page("samples", project=portal.name)
    with opened(home.db) as db:
        before = select_samples(db, portal.id)[0]
    button(app, "Skip").click().run()
    with opened(home.db) as db:
        assert select_samples(db, portal.id)[0].state == "skipped"
    button(app, "Undo").click().run()

    with opened(home.db) as db:
        after = select_samples(db, portal.id)[0]
        assert (before.state, before.label) == (after.state, after.label)
        assert len(events_of(db, after.id)) == before.version + 2


@pytest.mark.parametrize(("state", "count"), [("labeled", 8), ("unlabeled", 4)])
def test_the_state_of_the_address_filters(open_page: OpenPage, portal: Project, state: str, count: int) -> None:
    """A link to a filtered list shows that list."""
    app = open_page("samples", project=portal.name, state=state)

    assert len(app.dataframe[0].value) == count


def test_no_match_says_so(open_page: OpenPage, portal: Project) -> None:
    """A filter without a match is not an error."""
    app = open_page("samples", project=portal.name, search="nothing like this")

    assert not app.exception
    assert "No images match" in app.info[0].value


def test_a_flag_takes_an_image_out_and_is_found_again(home: Home, open_page: OpenPage, portal: Project) -> None:
    """Unreadable is a kind of skip with its own filter and its own state in the table."""
    app = open_page("samples", project=portal.name)
    button(app, "Unreadable").click().run()

    assert not app.exception
    with opened(home.db) as db:
        sample = select_samples(db, portal.id)[0]
        event = events_of(db, sample.id)[-1]
    assert (sample.state, sample.flag) == ("skipped", "unreadable")
    assert (event.action, event.flag, event.origin) == ("skip", "unreadable", "samples")
    assert list(open_page("samples", project=portal.name, state="unreadable").dataframe[0].value["state"]) == [
        "unreadable"
    ]
    assert "No images match" in open_page("samples", project=portal.name, state="not from this portal").info[0].value


def test_a_disputed_image_is_decided_by_saving(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The page shows each opinion. The history has the opinion, its duration and its page."""
    with opened(home.db) as db:
        sample = select_samples(db, portal.id)[0]
        second = {"event": "1", "action": "second", "sample": sample.sha256, "text": "777777", "base": 1, "ms": 2500}
        apply_events(db, portal, "Ben", [second])

    app = open_page("samples", project=portal.name, state="disputed")
    assert list(app.dataframe[0].value["review"]) == ["disputed"]
    assert "Ben gave a second opinion" in app.warning[0].value
    history = app.dataframe[1].value
    assert list(history.iloc[0][["Operator", "Action", "Label", "Seconds", "Page"]]) == [
        "Ben", "second opinion (opinion)", "777777", 2.5, "label",
    ]  # fmt: skip
    next(field for field in app.text_input if field.label == "Label").set_value("777777")
    button(app, "Save label").click().run()

    assert not app.exception
    with opened(home.db) as db:
        after = select_samples(db, portal.id)[0]
        assert [event.action for event in events_of(db, after.id)] == ["import", "second", "resolve"]
    assert (after.label, after.disputed, after.checked) == ("777777", 0, 1)
    assert list(open_page("samples", project=portal.name, state="checked").dataframe[0].value["label"]) == ["777777"]


def test_a_missing_value_is_a_dash(open_page: OpenPage, portal: Project) -> None:
    """Streamlit shows "None" otherwise."""
    table = open_page("samples", project=portal.name, state="unlabeled").dataframe[0]

    assert table.value["label"].isna().all()
    assert table.proto.placeholder == "–"
