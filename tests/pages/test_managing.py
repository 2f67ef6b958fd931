"""Projects, sources and runs are managed on Home and Train."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlite_utils import Database
from streamlit.testing.v1 import AppTest

from core.backup import removal
from core.data import managing
from core.home import Home
from db import projects, removals, runs, samples
from db.connection import opened, write
from db.records import Project, Source
from tests.helpers.labs import add_images, label
from tests.helpers.runs import add_finished

OpenPage = Callable[..., AppTest]


@pytest.fixture
def labeled(db: Database, project: Project) -> Project:
    """Two images, one of them labeled, and a run; beside another project of the same length and charset."""
    first, _ = add_images(db, project, 2)
    label(db, project, first, 123)
    add_finished(db, project, "people", 5, 10)
    with write(db):
        projects.insert_project(db, "other", 6, "0123456789")
    return project


def shown(text: str) -> str:
    """Return a text without the backslashes that keep it from being Markdown."""
    return text.replace("\\", "")


def field(app: AppTest, title: str) -> Any:
    return next(
        each for each in [*app.main.text_input, *app.main.text_area, *app.main.selectbox] if shown(each.label) == title
    )


def press(app: AppTest, title: str) -> AppTest:
    return next(button for button in app.main.button if button.label == title).click().run()


def open_section(open_page: OpenPage) -> AppTest:
    app = open_page("home", project="portal")
    app.session_state["manage projects"] = True
    return app.run()


def texts(app: AppTest) -> str:
    return shown("\n".join(each.value for each in [*app.main.success, *app.main.error, *app.main.markdown]))


def test_a_project_is_renamed_and_described(home: Home, open_page: OpenPage, labeled: Project) -> None:
    """The page then shows it under its new name."""
    app = open_section(open_page)
    field(app, "Name").set_value("mail portal")
    field(app, "Note").set_value("two fonts")
    field(app, "Tags, separated by commas").set_value("june").run()

    press(app, "Save project")

    with opened(home.db) as db:
        found = projects.get_project(db, labeled.id)
    assert (found.name, found.note, found.tags) == ("mail portal", "two fonts", '["june"]')
    assert not app.exception
    assert not app.error
    assert app.session_state["project"] == "mail portal"
    assert "june · two fonts" in [shown(each.value) for each in app.main.caption]


def test_a_name_that_is_taken_is_refused(open_page: OpenPage, labeled: Project) -> None:
    app = open_section(open_page)
    field(app, "Name").set_value("other").run()

    press(app, "Save project")

    assert "There is already a project 'other'" in texts(app)


def test_an_archived_project_leaves_home_and_an_address_still_opens_it(open_page: OpenPage, labeled: Project) -> None:
    app = press(open_section(open_page), "Archive")

    assert "portal is archived." in texts(app)
    assert "portal" not in [each.value for each in app.main.subheader]
    fresh = open_page("samples", project="portal")
    assert not fresh.error
    assert "portal" not in open_page("home").sidebar.selectbox[0].options

    app = open_section(open_page)
    app = press(app, "Unarchive")
    assert "portal is listed again." in texts(app)


def test_a_project_is_deleted_once_its_name_is_typed(home: Home, open_page: OpenPage, labeled: Project) -> None:
    """The button waits for the name, the sentence counts, and the page shows another project afterwards."""
    app = open_section(open_page)
    assert "This deletes project portal, with 2 images, 1 label and 1 run." in texts(app)
    button = next(each for each in app.main.button if each.label == "Delete this project")
    assert button.disabled

    field(app, "Type portal to confirm").set_value("portal").run()
    app = press(app, "Delete this project")

    assert not app.exception
    with opened(home.db) as db:
        assert [each.name for each in projects.list_projects(db)] == ["other"]
    assert app.session_state["project"] == "other"


def test_sources_are_renamed_moved_and_deleted(home: Home, open_page: OpenPage, labeled: Project) -> None:
    app = open_section(open_page)
    field(app, "Source name").set_value("june").run()
    app = press(app, "Rename source")
    assert "Source noise is now june." in texts(app)
    field(app, "Move to").set_value("other").run()
    app = press(app, "Move this source")
    assert "Moved 2 images of june to other." in texts(app)

    field(app, "Project to manage").set_value(2).run()
    field(app, "Type june to confirm").set_value("june").run()
    app = press(app, "Delete this source")

    assert "Deleted source june, with 2 images and 1 label." in texts(app)
    with opened(home.db) as db:
        assert samples.count_samples(db, 2) == 0


def test_a_run_has_a_name_in_the_table_and_is_deleted(home: Home, open_page: OpenPage, labeled: Project) -> None:
    """The columns appear with the first name, note or tag."""
    app = open_page("train", project="portal", run="0001-fast")
    assert "Name" not in app.main.dataframe[-1].value.columns
    field(app, "Run name").set_value("wide crop").run()
    app = press(app, "Save description")
    assert [*app.main.dataframe[-1].value["Name"]] == ["wide crop"]
    assert "wide crop" in [shown(each.value) for each in app.main.caption]
    box = next(each for each in app.main.selectbox if each.label == "Run")
    assert (box.value, box.options) == ("0001-fast", ["0001-fast · wide crop"])

    field(app, "Type 1 to confirm").set_value("1").run()
    app = press(app, "Delete this run")

    assert "Deleted run 0001-fast." in texts(app)
    with opened(home.db) as db:
        assert runs.list_runs(db) == []


# Clicks


def choose(app: AppTest, title: str, shown_name: str) -> None:
    """Choose in a box of ids."""
    box = field(app, title)
    box.select_index(box.options.index(shown_name)).run()


def source_called(home: Home, project: Project, name: str) -> None:
    with opened(home.db) as db, write(db):
        projects.insert_source(db, project.id, name, "the team", "ticket 1")


def test_a_click_right_after_the_last_key_saves_the_new_texts(
    home: Home, open_page: OpenPage, labeled: Project
) -> None:  # fmt: skip
    """The browser then sends text and click together, before the page has been drawn with the text."""
    app = open_section(open_page)
    field(app, "Note").set_value("two fonts")
    app = press(app, "Save project")
    field(app, "Source name").set_value("june")
    app = press(app, "Rename source")
    assert "Source noise is now june." in texts(app)
    train = open_page("train", project="portal", run="0001-fast")
    field(train, "Run name").set_value("wide crop")
    press(train, "Save description")

    with opened(home.db) as db:
        assert projects.get_project(db, labeled.id).note == "two fonts"
        assert [each.name for each in projects.list_sources(db, labeled.id)] == ["june"]
        assert [each.name for each in runs.list_runs(db)] == ["wide crop"]


def test_a_click_right_after_another_target_moves_nothing(
    home: Home, open_page: OpenPage, labeled: Project
) -> None:  # fmt: skip
    with opened(home.db) as db, write(db):
        projects.insert_project(db, "third", 6, "0123456789")
    app = open_section(open_page)
    field(app, "Move to").set_value("other").run()
    field(app, "Move to").set_value("third")

    app = press(app, "Move this source")

    assert "Nothing was moved, because the target has just changed." in texts(app)
    app = press(app, "Move this source")
    assert "Moved 2 images of noise to third." in texts(app)


def test_a_source_moves_only_to_a_target_that_someone_chose(
    home: Home, open_page: OpenPage, labeled: Project
) -> None:  # fmt: skip
    """The page says how many images would go, and whether those of the target have another size."""
    with opened(home.db) as db, write(db):
        other = projects.find_project(db, "other")
        assert other is not None
        source = projects.insert_source(db, other.id, "mail", "the team", "ticket 1")
        samples.insert_sample(
            db, project_id=other.id, source_id=source.id, sha256="f" * 64, name="f.png", width=152, height=42,
            split="train", image=b"",
        )  # fmt: skip
    app = open_section(open_page)
    button = next(each for each in app.main.button if each.label == "Move this source")
    assert (field(app, "Move to").value, button.disabled) == (None, True)

    field(app, "Move to").set_value("other").run()

    assert "This moves 2 images of noise to other." in texts(app)
    [warning] = [shown(each.value) for each in app.main.warning]
    assert "The images have 96 x 24 pixels, those of project other 152 x 42 pixels." in warning
    app = press(app, "Move this source")
    assert "Moved 2 images of noise to other." in texts(app)


def test_nothing_is_deleted_if_the_typed_name_has_just_changed(
    home: Home, open_page: OpenPage, labeled: Project
) -> None:  # fmt: skip
    app = open_section(open_page)
    field(app, "Type portal to confirm").set_value("portal").run()
    field(app, "Type portal to confirm").set_value("porta")

    app = press(app, "Delete this project")

    assert "Nothing was deleted." in texts(app)
    with opened(home.db) as db:
        assert removals.list_removals(db) == []


@pytest.mark.parametrize("kind", ["project", "source", "run"])
def test_the_second_click_of_a_deletion_gets_the_first_one(
    home: Home, open_page: OpenPage, labeled: Project, kind: str
) -> None:  # fmt: skip
    """There is one record. The second one would name a backup that does not have the project."""
    name = {"project": "portal", "source": "noise", "run": "0001-fast"}[kind]
    app = open_page("train", project="portal", run=name) if kind == "run" else open_section(open_page)
    typed = "1" if kind == "run" else name
    field(app, f"Type {typed} to confirm").set_value(typed).run()
    with opened(home.db) as db:
        [source], [run] = projects.list_sources(db, labeled.id), runs.list_runs(db)
        who = {"typed": name, "operator": "ann"}
        first = {
            "project": lambda: removal.delete_project(db, home, labeled, **who),
            "source": lambda: removal.delete_source(db, home, labeled, source, **who),
            "run": lambda: removal.delete_run(db, home, run, **who),
        }[kind]()

    app = press(app, f"Delete this {kind}")

    with opened(home.db) as db:
        assert removals.list_removals(db) == [first]
    assert not app.exception
    if kind != "project":  # the page of another project has no sentence about this one
        assert removal.done_sentence(first) in texts(app)


def test_a_source_that_is_gone_is_not_taken_for_an_earlier_one(
    home: Home, open_page: OpenPage, labeled: Project
) -> None:  # fmt: skip
    """A source of this name was deleted long ago. The one on the page has been moved in another tab."""
    with opened(home.db) as db:
        [source] = projects.list_sources(db, labeled.id)
        removal.delete_source(db, home, labeled, source, typed="noise", operator="ann")
    source_called(home, labeled, "noise")
    app = open_section(open_page)
    field(app, "Type noise to confirm").set_value("noise").run()
    with opened(home.db) as db:
        [source] = projects.list_sources(db, labeled.id)
        managing.move_source(db, home, labeled, source, projects.get_project(db, 2))

    app = press(app, "Delete this source")

    assert "Nothing was deleted. There is no source noise here any more." in texts(app)


def clicked_twice(project: "Project", source: "Source", target: "Project") -> None:
    """Run the callback of Move source twice, as two clicks before the page is drawn again."""
    import streamlit as st

    from pages.components import layout
    from pages.components.home import managing

    st.session_state["box"] = target.name
    for _ in range(2):
        managing._move_source(project, source, target, "box", "one button")
    layout.show_refusal(managing.PLACE)
    managing._show_outcome()


def test_the_second_click_of_a_move_gets_the_first_one(home: Home, labeled: Project) -> None:
    with opened(home.db) as db:
        [source], target = projects.list_sources(db, labeled.id), projects.find_project(db, "other")

    app = AppTest.from_function(clicked_twice, args=(labeled, source, target), default_timeout=30).run()

    assert not app.exception
    assert not app.error
    assert [shown(each.value) for each in app.success] == ["Moved 2 images of noise to other."]


def test_the_box_keeps_a_project_that_is_archived_or_renamed(
    home: Home, open_page: OpenPage, labeled: Project
) -> None:  # fmt: skip
    """A second click would otherwise archive another one."""
    app = open_section(open_page)
    choose(app, "Project to manage", "other")

    app = press(app, "Archive")
    assert field(app, "Name").value == "other"
    app = press(app, "Unarchive")
    assert field(app, "Name").value == "other"
    field(app, "Name").set_value("mail")
    app = press(app, "Save project")

    assert field(app, "Name").value == "mail"
    with opened(home.db) as db:
        assert all(each.archived_at is None for each in projects.list_projects(db, archived=None))


def test_the_box_keeps_a_source_that_is_renamed(home: Home, open_page: OpenPage, labeled: Project) -> None:
    source_called(home, labeled, "july")
    app = open_section(open_page)
    choose(app, "Source to manage", "july")
    field(app, "Source name").set_value("august").run()

    app = press(app, "Rename source")

    assert field(app, "Source name").value == "august"


def test_the_section_follows_the_project_of_the_sidebar(open_page: OpenPage, labeled: Project) -> None:
    app = open_section(open_page)
    assert field(app, "Name").value == "portal"

    app.sidebar.selectbox[0].set_value("other").run()

    assert field(app, "Name").value == "other"


def test_a_confirmation_is_not_one_for_a_source_of_this_name_elsewhere(
    home: Home, open_page: OpenPage, labeled: Project
) -> None:  # fmt: skip
    with opened(home.db) as db:
        other = projects.get_project(db, 2)
    source_called(home, other, "noise")
    app = open_section(open_page)
    field(app, "Type noise to confirm").set_value("noise").run()

    choose(app, "Project to manage", "other")

    assert field(app, "Type noise to confirm").value == ""
    assert next(button for button in app.main.button if button.label == "Delete this source").disabled


def recipe_after_another(old: "Project", new: "Project") -> None:
    """Show the recipe of the next run of `new`, after one of `old` was chosen."""
    import streamlit as st

    from pages.components.next_recipe import hand_over, next_settings

    hand_over(old, {}, "soft@1")
    st.text(next_settings(new)[0])


def test_a_new_project_does_not_inherit_the_recipe_of_a_deleted_one(home: Home, labeled: Project) -> None:
    """The new one of the same name has no such recipe, and its Train page would end in an error."""
    with opened(home.db) as db:
        removal.delete_project(db, home, labeled, typed="portal", operator="ann")
        with write(db):
            new = projects.insert_project(db, "portal", 6, "0123456789")

    app = AppTest.from_function(recipe_after_another, args=(labeled, new), default_timeout=30).run()

    assert not app.exception
    assert [each.value for each in app.text] == ["default"]


def test_a_project_is_copied_to_another_length(home: Home, open_page: OpenPage, labeled: Project) -> None:
    """The sentence counts what came along. The link leads to the new project."""
    app = open_section(open_page)
    field(app, "New name").set_value("longer").run()
    next(each for each in app.main.number_input if each.label == "Text length" and each.value == 6).set_value(7).run()

    app = press(app, "Make copy")

    assert not app.exception
    assert "longer: 2 images; 0 labels taken over, 1 not fitting" in texts(app)
    with opened(home.db) as db:
        new = projects.find_project(db, "longer")
        assert new
        assert (new.length, new.charset) == (7, labeled.charset)
        assert len(samples.select_samples(db, new.id)) == 2
    links = {link.proto.label: link.proto.query_string for link in app.main.get("page_link")}
    assert links["Train longer"] == "project=longer"


def test_a_copy_with_a_name_that_is_taken_is_refused(open_page: OpenPage, labeled: Project) -> None:
    app = open_section(open_page)
    field(app, "New name").set_value("portal").run()

    app = press(app, "Make copy")

    assert "The new project needs another name than the old one." in texts(app)
