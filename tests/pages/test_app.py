"""The router and the components shared by all pages."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from core.home import Home
from db.connection import opened, write
from db.projects import get_project, insert_project, rename_project
from db.removals import delete_project
from pages.components.layout import plain
from tests.helpers.repository import PAGES

OpenPage = Callable[..., AppTest]


@pytest.mark.parametrize("name", PAGES)
def test_each_page_opens_without_a_database(home: Home, open_page: OpenPage, name: str) -> None:
    """On a new machine each page says what to do. Opening it creates no database."""
    app = open_page(name)

    assert not app.exception
    assert [name.capitalize()] == [title.value for title in app.title]
    assert not home.db.exists()


@pytest.mark.parametrize("name", PAGES)
def test_each_page_opens_on_a_project_without_images(home: Home, open_page: OpenPage, name: str) -> None:
    """A project whose import is still running has no images yet."""
    with opened(home.db, create=True) as db, write(db):
        insert_project(db, "portal", 6, "0123456789")

    app = open_page(name)

    assert not app.exception
    assert not app.error


@pytest.mark.parametrize("name", PAGES)
def test_a_fresh_server_brings_a_deep_link_through_the_router(
    home: Home, open_page_first: OpenPage, name: str
) -> None:  # fmt: skip
    """Until app.py has run once, Streamlit runs only the page's file. The page then reruns inside the router."""
    with opened(home.db, create=True) as db, write(db):
        insert_project(db, "portal", 6, "0123456789")
        insert_project(db, "second", 4, "0123456789")

    app = open_page_first(name, project="second")

    assert not app.exception
    assert [title.value for title in app.title] == [name.capitalize()]
    assert app.sidebar.selectbox(key="project").value == "second"


def test_the_project_of_the_address_is_chosen(home: Home, open_page: OpenPage) -> None:
    """A link selects its project."""
    with opened(home.db, create=True) as db, write(db):
        insert_project(db, "portal", 6, "0123456789")
        insert_project(db, "second", 4, "0123456789")

    app = open_page("samples", project="second")

    assert app.sidebar.selectbox(key="project").value == "second"
    assert [title.value for title in app.title] == ["Samples"]


@pytest.mark.parametrize("name", PAGES)
def test_an_unknown_project_in_the_address_is_named(home: Home, open_page: OpenPage, name: str) -> None:
    """A link to an unknown project must not silently show another one. A narrow window hides the sidebar."""
    with opened(home.db, create=True) as db, write(db):
        insert_project(db, "portal", 6, "0123456789")

    app = open_page(name, project="nope*")

    assert [error.value for error in app.main.error] == [r"There is no project 'nope\*'\."]
    assert app.sidebar.selectbox(key="project").value is None


@pytest.mark.parametrize("name", ["home", "evaluate"])
def test_a_former_name_leads_on_to_the_project(home: Home, open_page: OpenPage, name: str) -> None:
    """The address gets the new name and keeps the rest. The sentence survives the page running again on its own."""
    with opened(home.db, create=True) as db, write(db):
        insert_project(db, "first", 6, "0123456789")
        rename_project(db, insert_project(db, "old*", 6, "0123456789").id, "new")

    app = open_page(name, project="old*", tta="true").run()

    assert not app.error
    assert [each.value for each in app.caption if "renamed" in each.value] == [r"Project old\* was renamed to new."]
    assert (app.query_params["project"], app.query_params["tta"]) == ("new", "true")
    assert app.sidebar.selectbox(key="project").value == "new"
    app.sidebar.selectbox(key="project").set_value("first").run()
    assert not [each.value for each in app.caption if "renamed" in each.value]


def test_a_living_project_comes_before_a_former_name(home: Home, open_page: OpenPage) -> None:
    with opened(home.db, create=True) as db, write(db):
        rename_project(db, insert_project(db, "portal", 6, "0123456789").id, "first")
        insert_project(db, "portal", 6, "0123456789")

    app = open_page("samples", project="portal")

    assert app.query_params["project"] == "portal"
    assert app.sidebar.selectbox(key="project").value == "portal"
    assert not [each.value for each in app.caption if "renamed" in each.value]


def test_a_deleted_project_does_not_lead_on(home: Home, open_page: OpenPage) -> None:
    with opened(home.db, create=True) as db, write(db):
        insert_project(db, "portal", 6, "0123456789")
        project = insert_project(db, "old", 6, "0123456789")
        rename_project(db, project.id, "new")
        delete_project(db, get_project(db, project.id))

    app = open_page("samples", project="old")

    assert [error.value for error in app.main.error] == ["There is no project 'old'\\."]


def test_a_damaged_database_is_one_sentence(home: Home, open_page: OpenPage) -> None:
    """A damaged installation is shown as a sentence, not as a traceback."""
    home.db.write_bytes(b"not a database at all" * 100)

    app = open_page("samples")

    assert not app.exception
    assert len(app.error) == 1
    assert "file is not a database" in app.error[0].value


def test_user_text_is_never_formatted() -> None:
    """A file name or label with Markdown is shown literally."""
    assert plain("**a** [x](http://y)\n:smile:") == r"\*\*a\*\* \[x\]\(http\://y\) \:smile\:"
    assert plain("&lt;") == r"\&lt;"
