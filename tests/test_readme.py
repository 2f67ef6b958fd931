"""The README says what is there: its tree, its commands and its options are checked against the code."""

import ast
import re
from pathlib import Path

import pytest
from typer.main import get_command

from core.cli.commands import app
from core.cli.reference import with_table
from core.model.config import PRESETS
from tests.helpers.repository import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
ROOMS = sorted(
    path.parent.relative_to(ROOT)
    for folder in ("core", "db", "pages", "bench")
    for path in (ROOT / folder).rglob("__init__.py")
)


def sentence_of(room: Path) -> str:
    return ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or ""


def test_every_room_is_named_with_its_sentence() -> None:
    """The sentence is that of the room's `__init__.py`; folders of one page or widget speak for themselves."""
    rooms = [room for room in ROOMS if room.as_posix() != "core" and (len(room.parts) < 3 or room.name == "widgets")]
    rows = {room.as_posix(): f"| `{room.as_posix()}/` | {sentence_of(ROOT / room)} |" for room in rooms}

    assert [name for name, row in rows.items() if row not in README] == []


def test_every_place_that_is_named_exists() -> None:
    """Nothing is described that is gone."""
    named = re.findall(r"`((?:core|db|pages|bench|tests|docs)/[\w./-]*)`", README)

    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("command", get_command(app).commands)  # type: ignore[attr-defined]
def test_every_command_is_named(command: str) -> None:
    """And says in its help what it does."""
    assert f"slotlab {command}" in README
    assert get_command(app).commands[command].help  # type: ignore[attr-defined]


def test_presets_are_named() -> None:
    """What `--preset` knows."""
    assert [name for name in PRESETS if f"| `{name}` |" not in README] == []


def test_the_option_table_is_written_from_the_options() -> None:
    """`python -m core.cli.reference` would change nothing."""
    assert with_table(README) == README
