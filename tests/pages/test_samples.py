"""The Samples page."""

import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.data import selection
from core.data.bulk import new_request, skip_samples
from core.data.labeling import apply_events
from core.data.saved_filters import save_filters
from core.data.tagging import tag_samples, untag_samples
from core.home import Home, default_operator
from db import tags
from db.connection import opened, write
from db.labels import events_of
from db.projects import insert_source
from db.records import Project
from db.removals import delete_project, delete_source
from db.samples import select_ids, select_samples, set_source
from db.saved_filters import list_filters
from tests.helpers.contents import contents

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
    assert app.dataframe[1].proto.placeholder == "–"  # other events have no duration
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


def choose_all(app: AppTest) -> AppTest:
    """Let the actions be about all images that match the filters."""
    return app.button_group[0].set_value("all").run()


def states(home: Home, portal: Project) -> list[str]:
    with opened(home.db) as db:
        return [sample.state for sample in select_samples(db, portal.id)]


def test_all_matches_are_skipped_and_the_skip_is_undone(home: Home, open_page: OpenPage, portal: Project) -> None:
    """Labels of people must be confirmed by their number. The list is empty then, but Undo is still there."""
    app = choose_all(open_page("samples", project=portal.name, state="labeled"))
    assert button(app, "Skip 8 images").disabled
    next(field for field in app.text_input if field.label == "Type 8 to confirm").set_value("8").run()
    button(app, "Skip 8 images").click().run()

    assert not app.exception
    assert app.success[0].value == "Skipped 8 images for later\\."
    assert "No images match" in app.info[0].value
    assert states(home, portal).count("skipped") == 8
    button(app, "Undo skip of 8 images").click().run()

    assert app.success[0].value == "Undid the skip of 8 images\\."
    assert states(home, portal).count("labeled") == 8
    assert not [each for each in app.button if each.label.startswith("Undo skip")]


def test_the_last_skip_can_be_undone_after_a_reload(home: Home, open_page: OpenPage, portal: Project) -> None:
    """On any list, with the number of images that have not changed since."""
    with opened(home.db) as db:
        first, *rest = select_samples(db, portal.id, state="unlabeled")
        ids = [first.id, *(sample.id for sample in rest)]
        skip_samples(db, portal, "dana", ids, None, request=new_request(), confirmed=0)
        apply_events(db, portal, "Ben", [{"event": "1", "action": "undo", "sample": first.sha256, "base": 1}])
    app = open_page("samples", project=portal.name, state="disputed")
    assert not [each for each in app.button if each.label.startswith("Undo skip")]
    app.session_state["operator name"] = "dana"
    app.run()
    assert not app.success
    button(app, "Undo skip of 3 images").click().run()

    assert app.success[0].value == "Undid the skip of 3 images\\. Changed since, so left\\: 1\\."
    assert states(home, portal).count("skipped") == 0


def test_images_without_a_label_need_no_confirmation(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The reason is that of the box."""
    app = choose_all(open_page("samples", project=portal.name, state="unlabeled"))
    next(box for box in app.selectbox if box.label == "Reason").set_value("unreadable").run()
    button(app, "Skip 4 images").click().run()

    assert app.success[0].value == "Skipped 4 images as unreadable\\."
    with opened(home.db) as db:
        assert len(select_ids(db, portal.id, flag="unreadable")) == 4


def test_a_second_click_skips_no_other_images(home: Home, open_page: OpenPage, portal: Project) -> None:
    """Nothing is selected on a new page, nor after images have left a list."""
    app = open_page("samples", project=portal.name)
    assert any("Tick rows" in caption.value for caption in app.caption)
    choose_all(app)
    assert any(caption.value == "12 images selected." for caption in app.caption)
    next(field for field in app.text_input if field.label == "Type 8 to confirm").set_value("8").run()
    button(app, "Skip 12 images").click().run()

    assert states(home, portal) == ["skipped"] * 12
    assert not app.warning
    assert any("Tick rows" in caption.value for caption in app.caption)


def test_images_are_tagged_and_found_by_the_tag(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The address filters by it, in any spelling, until its last image is untagged. The image names who gave it."""
    with opened(home.db) as db, write(db):
        tagged = select_ids(db, portal.id, state="unlabeled")
        tags.add(db, tags.open_tag(db, portal.id, "Blurry"), tagged, operator="ann", at="2026-11-30T08:00:00+00:00")
        tags.add(db, tags.open_tag(db, portal.id, "old"), tagged[:1], operator=None, at=None)
    app = choose_all(open_page("samples", project=portal.name, tag="BLURRY"))
    assert len(app.dataframe[0].value) == 4
    assert "Tags: Blurry \\(ann, 2026\\-11\\-30\\), old" in [caption.value for caption in app.caption]
    box = next(box for box in app.selectbox if box.proto.placeholder == "Choose or type a tag")
    box.set_value("old").run()
    button(app, "Tag 4 images").click().run()
    with opened(home.db) as db:
        given = tags.tags_of(db, tagged)
    assert [given[each][1].operator for each in tagged] == [None, *[default_operator()] * 3]
    box = next(box for box in app.selectbox if box.proto.placeholder == "Choose or type a tag")
    box.set_value("Blurry").run()
    button(app, "Untag 4 images").click().run()

    assert app.success[0].value == "Untagged 4 images\\: Blurry\\."
    assert len(app.dataframe[0].value) == 12
    assert "tag" not in app.query_params
    assert not app.warning
    assert not app.error
    with opened(home.db) as db:
        assert [tag.name for tag in tags.list_tags(db, portal.id)] == ["old"]


def test_images_are_moved_to_another_source(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The page names owner and authorization of the new source before."""
    with opened(home.db) as db, write(db):
        june = insert_source(db, portal.id, "june", "the portal", "ticket 2")
    app = choose_all(open_page("samples", project=portal.name, state="unlabeled"))
    next(box for box in app.selectbox if box.label == "To source").set_value("june").run()
    assert any("owner **the portal**, authorization **ticket 2**" in each.value for each in app.markdown)
    button(app, "Move 4 images").click().run()

    assert app.success[0].value == "Moved 4 images to june\\."
    with opened(home.db) as db:
        assert select_ids(db, portal.id, source_id=june.id) == select_ids(db, portal.id, state="unlabeled")


def test_an_image_has_an_address(open_page: OpenPage, portal: Project) -> None:
    """The link leads to the list with this image alone, where it is not repeated."""
    app = open_page("samples", project=portal.name, sort="label")
    (link,) = [each for each in app.get("page_link") if each.proto.label == "Link to this image"]
    query = dict(urllib.parse.parse_qsl(link.proto.query_string))
    name = app.text[-1].value

    app = open_page("samples", **query)
    assert query["project"] == portal.name
    assert app.dataframe[0].value["name"].tolist() == [name]
    assert not [each for each in app.get("page_link") if each.proto.label == "Link to this image"]


def test_a_selection_is_exported(open_page: OpenPage, portal: Project) -> None:
    """The file has the labeled images of the selection, and the sentence counts the others."""
    app = choose_all(open_page("samples", project=portal.name))
    button(app, "Prepare export").click().run()

    assert not app.exception
    assert "Exported 8 images as CSV" in app.success[0].value
    assert "4 without a label are not in it" in app.success[0].value
    assert app.get("download_button")[0].proto.label == "Download labels.csv (8 images)"


def test_a_move_into_a_deleted_source_is_refused(home: Home, open_page: OpenPage, portal: Project) -> None:
    """It was deleted after it was chosen. The page stays."""
    with opened(home.db) as db, write(db):
        june = insert_source(db, portal.id, "june", "the portal", "ticket 2")
    app = choose_all(open_page("samples", project=portal.name, state="unlabeled"))
    next(box for box in app.selectbox if box.label == "To source").set_value("june").run()
    with opened(home.db) as db, write(db):
        delete_source(db, june)
    button(app, "Move 4 images").click().run()

    assert not app.exception
    assert [error.value for error in app.error] == ["Nothing was saved\\. What it belongs to has been deleted since\\."]
    assert len(app.dataframe[0].value) == 4


def test_filters_of_a_deleted_project_are_not_saved(home: Home, open_page: OpenPage, portal: Project) -> None:
    app = open_page("samples", project=portal.name, state="unlabeled")
    next(field for field in app.text_input if field.label == "Name").set_value("mine").run()
    with opened(home.db) as db, write(db):
        delete_project(db, portal)
    button(app, "Save").click().run()

    assert not app.exception
    with opened(home.db) as db:
        assert list_filters(db, portal.id) == []


def test_images_that_were_deleted_are_not_tagged(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The sentence would count them as tagged already."""
    with opened(home.db) as db, write(db):
        june = insert_source(db, portal.id, "june", "the portal", "ticket 2")
        set_source(db, select_ids(db, portal.id, state="unlabeled")[:1], june.id)
        tags.add(db, tags.open_tag(db, portal.id, "blurry"), select_ids(db, portal.id), operator=None, at=None)
    app = open_page("samples", project=portal.name, state="unlabeled")
    app.button_group[0].set_value("page").run()
    box = next(box for box in app.selectbox if box.proto.placeholder == "Choose or type a tag")
    box.set_value("blurry").run()
    with opened(home.db) as db, write(db):
        delete_source(db, june)
    button(app, "Tag 4 images").click().run()

    assert [error.value for error in app.error] == [
        "The list has changed, so nothing was done\\: it no longer has 1 image of these\\."
    ]
    assert not app.success


def test_too_many_images_are_not_skipped(open_page: OpenPage, portal: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says so before, and tags them still."""
    monkeypatch.setattr(selection, "MAX_SELECTED", 3)
    app = choose_all(open_page("samples", project=portal.name, state="unlabeled"))

    assert any(each.value == "At most 3 images at once. Narrow the filters." for each in app.markdown)
    assert not [each for each in app.button if each.label == "Skip 4 images"]
    assert [each for each in app.button if each.label == "Tag 4 images"]


@pytest.mark.parametrize("action", ["Skip", "Tag", "Untag", "Move", "Export"])
def test_an_action_takes_the_images_that_were_shown(
    home: Home, open_page: OpenPage, portal: Project, action: str
) -> None:
    """A list that changed since is refused, also with as many images. The button then has the new number."""
    with opened(home.db) as db, write(db):
        insert_source(db, portal.id, "june", "the portal", "ticket 2")
    with opened(home.db) as db:
        before = select_ids(db, portal.id, state="unlabeled")
        tag_samples(db, portal, "blurry", before[:3], operator="ann")
        tag_samples(db, portal, "other", before, operator="ann")
    app = choose_all(open_page("samples", project=portal.name, tag="blurry"))
    next(box for box in app.selectbox if box.proto.placeholder == "Choose or type a tag").set_value("other").run()
    next(box for box in app.selectbox if box.label == "To source").set_value("june").run()
    with opened(home.db) as db:
        untag_samples(db, portal, "blurry", before[:1])
        tag_samples(db, portal, "blurry", before[3:], operator="ann")
        then = contents(db.conn)
    button(app, "Prepare export" if action == "Export" else f"{action} 3 images").click().run()

    assert [error.value for error in app.error] == [
        "The list has changed, so nothing was done\\: it has 3 images now\\."
    ]
    assert not app.success
    with opened(home.db) as db:
        assert contents(db.conn) == then
        tag_samples(db, portal, "blurry", before, operator="ann")
    if action == "Export":
        return
    button(app, f"{action} 3 images").click().run()
    assert "it has 4 images now" in app.error[0].value
    button(app, f"{action} 4 images").click().run()
    assert not app.error
    assert app.success


def test_a_list_that_is_empty_now_says_so(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The sentence stands above the list, which is not drawn."""
    app = choose_all(open_page("samples", project=portal.name, state="unlabeled"))
    with opened(home.db) as db:
        apply_events(
            db, portal, "Ben",
            [
                {"event": sample.sha256, "action": "label", "sample": sample.sha256, "text": "777777", "base": 0}
                for sample in select_samples(db, portal.id, state="unlabeled")
            ],
        )  # fmt: skip
    button(app, "Skip 4 images").click().run()

    assert "it has 0 images now" in app.error[0].value
    assert "No images match" in app.info[0].value


def test_a_filter_that_vanishes_clears_the_selection(home: Home, open_page: OpenPage, portal: Project) -> None:
    """All matches of a tag are not all images of the project once the tag is gone."""
    with opened(home.db) as db:
        tag_samples(db, portal, "blurry", select_ids(db, portal.id, state="unlabeled"), operator="ann")
    app = choose_all(open_page("samples", project=portal.name, tag="blurry"))
    assert any(caption.value == "4 images selected." for caption in app.caption)
    with opened(home.db) as db:
        untag_samples(db, portal, "blurry", select_ids(db, portal.id))
    app.run()

    assert app.error[0].value == "There is no tag 'blurry' here\\."
    assert app.button_group[0].value == "ticked"
    assert any("Tick rows" in caption.value for caption in app.caption)
    choose_all(app)
    assert any(caption.value == "12 images selected." for caption in app.caption)


@pytest.mark.parametrize(("name", "asked"), [("source", "july"), ("kind", "robots"), ("state", "new"), ("tag", "red")])
def test_an_unknown_filter_is_named(open_page: OpenPage, portal: Project, name: str, asked: str) -> None:
    """Also that of a box which the project does not need, having one source and labels of people."""
    app = open_page("samples", project=portal.name, **{name: asked})

    assert [error.value for error in app.error] == [f"There is no {name} '{asked}' here\\."]
    assert len(app.dataframe[0].value) == 12


def test_a_failed_action_hides_what_the_one_before_did(home: Home, open_page: OpenPage, portal: Project) -> None:
    with opened(home.db) as db:
        tag_samples(db, portal, "blurry", select_ids(db, portal.id, state="unlabeled"), operator="ann")
    app = choose_all(open_page("samples", project=portal.name))
    next(box for box in app.selectbox if box.proto.placeholder == "Choose or type a tag").set_value("blurry").run()
    button(app, "Tag 12 images").click().run()
    assert app.success
    with opened(home.db) as db:
        untag_samples(db, portal, "blurry", select_ids(db, portal.id))
    button(app, "Untag 12 images").click().run()

    assert ["has no tag 'blurry'" in error.value for error in app.error] == [True]
    assert not app.success


def test_saved_filters_set_the_address(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The box shows the filters of the address, however they came there. Another choice replaces all of them."""
    with opened(home.db) as db:
        save_filters(db, portal, "mine", {"state": "unlabeled", "sort": "newest"}, operator="Ann")
    app = open_page("samples", project=portal.name, search="1", page="1")

    def box() -> Any:
        return next(box for box in app.selectbox if box.label == "Saved filters")

    assert box().value is None
    box().set_value("mine").run()

    assert dict(app.query_params.items()) == {"project": "portal", "state": "unlabeled", "sort": "newest"}
    assert len(app.dataframe[0].value) == 4
    assert box().value == "mine"
    box().set_value(None).run()
    assert len(app.dataframe[0].value) == 12
    assert box().value is None


def test_filters_are_saved_and_deleted(home: Home, open_page: OpenPage, portal: Project) -> None:
    """A name that is taken is refused in a sentence."""
    app = open_page("samples", project=portal.name, state="unlabeled")
    for name in ("mine", "mine"):
        next(field for field in app.text_input if field.label == "Name").set_value(name).run()
        button(app, "Save").click().run()
        if name not in [each.value for each in app.text_input]:
            app = open_page("samples", project=portal.name, state="labeled")
    assert "There are already filters" in app.error[0].value
    with opened(home.db) as db:
        assert [(each.name, each.filters) for each in list_filters(db, portal.id)] == [
            ("mine", '{"state": "unlabeled"}'),
        ]  # fmt: skip
    app = open_page("samples", project=portal.name, state="unlabeled")
    button(app, "Delete filters").click().run()

    assert not app.exception
    with opened(home.db) as db:
        assert list_filters(db, portal.id) == []
    assert len(app.dataframe[0].value) == 4
