"""What the server sides of the widgets share."""

import re
from collections import Counter

import pytest

from pages.components.widgets.messages import WIDGETS, joined_scripts, widget_files, widget_message

NAMES = [path.parent.name for path in sorted(WIDGETS.glob("*/*.html"))]


def test_a_widget_that_the_session_has_forgotten_has_sent_nothing() -> None:
    """Its callback can still be called, after a restart of the server."""
    assert widget_message("a widget of the session before", "outbox") is None


@pytest.mark.parametrize("name", NAMES)
def test_the_scripts_of_a_widget_are_one_module(name: str) -> None:
    """No import is left in it, one thing is exported, and no two scripts use the same name at their top."""
    script = widget_files(name)["js"]

    assert re.findall(r"^(?:import|export) .{9}", script, re.MULTILINE) == ["export default m"]
    names = re.findall(r"^(?:const|let|function|class) (\w+)", script, re.MULTILINE)
    assert [each for each, n in Counter(names).items() if n > 1] == []


def test_an_imported_script_comes_before_what_needs_it() -> None:
    """A class can only be extended once it is there; a script that many import stands there once."""
    script = joined_scripts(WIDGETS / "reviewer" / "reviewer.js")

    assert script.index("class Widget {") < script.index("class Grid extends Widget {")
    assert script.count("class Outbox {") == 1
