"""Projects, sources and runs are managed on Home and Train."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlite_utils import Database
from streamlit.testing.v1 import AppTest

from core.home import Home
from db import projects, runs, samples
from db.connection import opened, write
from db.records import Project
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
    app = press(app, "Move source")
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

    field(app, "Type 0001-fast to confirm").set_value("0001-fast").run()
    app = press(app, "Delete this run")

    assert "Deleted run 0001-fast." in texts(app)
    with opened(home.db) as db:
        assert runs.list_runs(db) == []
