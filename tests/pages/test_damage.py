"""Pages of a damaged or lost database: a sentence on every page, no traceback, nothing written."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from core.home import Home
from db import damage
from db.records import Project
from tests.helpers.damaging import digests, overwrite_page, start_over
from tests.helpers.repository import PAGES

OpenPage = Callable[..., AppTest]
WHAT_TO_DO = "slotlab restore BACKUP"


def plain(text: str) -> str:
    return text.replace("\\", "")


@pytest.mark.parametrize(
    "table", ["labels", *(pytest.param(table, marks=pytest.mark.long) for table in ("samples", "projects"))]
)
@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_that_the_database_is_damaged(
    open_page: OpenPage, portal: Project, home: Home, page: str, table: str
) -> None:
    """It shows what can be read, and changes no byte."""
    overwrite_page(home.db, table)
    start_over()
    before = digests(home.db)

    app = open_page(page)

    assert not app.exception
    assert WHAT_TO_DO in plain(app.error[0].value)
    assert digests(home.db) == before


def test_a_start_on_a_damaged_database_is_refused(open_page: OpenPage, labeled: Project, home: Home) -> None:
    """Another process found the damage after the page was drawn."""
    app = open_page("train")
    damage.record(home.db, "table labels")

    app.button[0].click().run()

    assert not app.exception
    assert any("Nothing was saved" in plain(error.value) for error in app.error)
    assert not list(home.runs.glob("*-fast"))


def test_a_lost_database_is_not_shown_as_an_empty_lab(open_page: OpenPage, portal: Project, home: Home) -> None:
    """The pages would otherwise offer to import images, as in a new lab."""
    home.run("0001-fast").mkdir()
    home.db.unlink()

    app = open_page("home")

    assert not app.exception
    assert "missing or empty" in plain(app.error[0].value)
    assert not home.db.exists()


def test_the_guide_can_be_read_without_the_database(open_page: OpenPage, portal: Project, home: Home) -> None:
    """It says how to restore one."""
    home.run("0001-fast").mkdir()
    home.db.unlink()

    app = open_page("guide")

    assert "missing or empty" in plain(app.error[0].value)
    assert any("There is one page for each page" in text.value for text in app.markdown)


def test_a_backup_of_a_lost_database_is_refused(open_page: OpenPage, portal: Project, home: Home) -> None:
    """The file was deleted after the page was drawn."""
    app = open_page("home")
    home.run("0001-fast").mkdir()
    home.db.unlink()

    app.button(key="back up now").click().run()

    assert "missing or empty" in plain(app.error[0].value)
    assert "Stop the app, then run" in plain(app.error[0].value)
    assert not home.db.exists()
