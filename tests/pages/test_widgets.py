"""The code shared by the server sides of the widgets."""

import re
from collections import Counter

import pytest

from pages.components.widgets.messages import WIDGETS, join_scripts, widget_files, widget_message

NAMES = [path.parent.name for path in sorted(WIDGETS.glob("*/*.html"))]


def test_a_widget_that_the_session_has_forgotten_has_sent_nothing() -> None:
    """After a server restart, its callback may still run."""
    assert widget_message("a widget of the session before", "outbox") is None


@pytest.mark.parametrize("name", NAMES)
def test_the_scripts_of_a_widget_are_one_module(name: str) -> None:
    """It has no imports and one export, and no two scripts define the same top-level name."""
    script = widget_files(name)["js"]

    assert re.findall(r"^(?:import|export) .{9}", script, re.MULTILINE) == ["export default m"]
    names = re.findall(r"^(?:const|let|function|class) (\w+)", script, re.MULTILINE)
    assert [each for each, n in Counter(names).items() if n > 1] == []


def test_an_imported_script_comes_before_its_importers() -> None:
    """A class must be defined before it is extended. A script imported several times appears once."""
    script = join_scripts(WIDGETS / "reviewer" / "reviewer.js")

    assert script.index("class Widget {") < script.index("class Grid extends Widget {")
    assert script.count("class Outbox {") == 1
