"""The README says what is there: its tree, its commands and its options are checked against the code."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from core.cli import app
from core.config import OPTIONS, PRESETS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FOLDERS = ("pages", "core", "db", "tests", "bench")
LEFT_OUT = {"__init__.py", "__pycache__"}


def tree_entries() -> dict[str, str]:
    """Path and phrase of each line of the tree; two spaces of indentation a level."""
    block = README.split("```text\n")[1].split("```")[0]
    entries: dict[str, str] = {}
    parents: list[str] = []
    for line in block.splitlines():
        match = re.fullmatch(r"( *)(\S+)(?: +(.*))?", line)
        assert match, line
        depth = len(match[1]) // 2
        parents = [*parents[:depth], match[2].rstrip("/")]
        entries["/".join(parents)] = match[3] or ""
    return entries


def mirrors(path: Path) -> bool:
    """Whether a file is the test of the module of the same name in the folder of the same name."""
    return path.name.startswith("test_") and (ROOT / path.parent.name / path.name.removeprefix("test_")).exists()


def test_every_file_of_the_tree_exists() -> None:
    """Nothing is described that is gone."""
    assert [path for path in tree_entries() if not (ROOT / path).exists()] == []


def test_every_file_is_in_the_tree_with_a_phrase() -> None:
    """Who adds a file says in one phrase what it is for. Fonts are described where they lie, results in themselves."""
    entries = tree_entries()
    found = [
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
        and not LEFT_OUT & set(path.parts)
        and "fonts" not in path.parts
        and not mirrors(path)
        and not (folder == "bench" and path.suffix == ".json")
    ]

    assert [path for path in [*found, "app.py", "pyproject.toml", "Makefile"] if not entries.get(path)] == []


@pytest.mark.parametrize("command", get_command(app).commands)  # type: ignore[attr-defined]
def test_every_command_is_named(command: str) -> None:
    """And says in its help what it does."""
    assert f"slotlab {command}" in README
    assert get_command(app).commands[command].help  # type: ignore[attr-defined]


def test_presets_and_options_are_named() -> None:
    """What `--preset` and `--set` know."""
    assert [name for name in [*PRESETS, *OPTIONS] if f"| `{name}` |" not in README] == []
