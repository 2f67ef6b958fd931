"""The Guide page, and the keys that the help of a page lists."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.components import guide
from tests.helpers.repository import PAGES, ROOT

OpenPage = Callable[..., AppTest]


def test_every_document_is_a_topic() -> None:
    """A document that the overview does not name cannot be reached."""
    assert {*guide.topics()} == {path.stem for path in (ROOT / "docs").rglob("*.md")}


@pytest.mark.parametrize("name", [name for name in PAGES if name != "guide"])
def test_every_page_has_a_guide(name: str) -> None:
    assert name in guide.topics()


@pytest.mark.parametrize("name", guide.topics())
def test_links_between_documents_lead_to_the_page(name: str) -> None:
    """A link to a file would leave the app. Code keeps its brackets."""
    for block in guide.blocks(name):
        if isinstance(block, guide.Picture):
            assert block.light.is_file()
            assert block.text
        elif not block.startswith("```"):
            assert not re.search(r"\]\([^)]*\.md", block)


def test_a_guide_is_shown_with_its_pictures(open_page: OpenPage) -> None:
    app = open_page("guide", of="label")
    assert not app.exception
    assert len(app.image) == 1
    assert app.selectbox(key="of").value == "label"
    shown = "\n".join(block.value for block in app.main.markdown)
    assert "Label shows one image at a time." in shown
    assert "[Review](guide?of=review)" in shown


def test_an_unknown_guide_is_named(open_page: OpenPage) -> None:
    app = open_page("guide", of="labels")

    assert [error.value for error in app.main.error] == [r"There is no guide 'labels'\."]
    assert app.selectbox(key="of").value == "index"


def test_the_keys_of_a_page_are_those_of_its_guide() -> None:
    """Review has three lists. A table of something else is not one of keys."""
    titles = [table.title for table in guide.keys("review")]

    assert titles == ["Labels", "Disputed images", "Suspected labels"]
    assert dict(guide.keys("label")[0].rows)["Alt+I"] == "invert the colors"
    assert guide.keys("predict") == ()


def test_a_wheel_shows_texts_only(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It has no pictures."""
    (tmp_path / "docs" / "guide").mkdir(parents=True)
    for path in (ROOT / "docs").glob("*.md"):
        shutil.copy(path, tmp_path / "docs")
    shutil.copy(ROOT / "docs" / "guide" / "label.md", tmp_path / "docs" / "guide")
    monkeypatch.setattr(guide, "DOCS", tmp_path / "docs")
    guide.blocks.cache_clear()

    app = open_page("guide", of="label")

    guide.blocks.cache_clear()
    assert not app.exception
    assert not app.image
    assert any("Label shows one image" in block.value for block in app.main.markdown)


def test_the_longest_document_is_shown(open_page: OpenPage) -> None:
    """It has drawings beside pictures."""
    app = open_page("guide", of="benchmarks")

    assert not app.exception
    assert app.image
