"""The documentation agrees with the code: its tree, commands, options, links and generated pages."""

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from core.cli import reference
from core.cli.commands import app
from core.images import renderer
from core.model.config import PRESETS
from tests.helpers.repository import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *DOCS]}
LINKED = [*TEXTS, "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]
EXAMPLES = {"docs/guide/sources.md", "pages/components/sources/", "pages/sources.py", "tests/pages/test_sources.py"}
"""Files that a recipe of CONTRIBUTING makes."""
NAV = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
ROOMS = sorted(
    path.parent.relative_to(ROOT)
    for folder in ("core", "db", "pages", "bench")
    for path in (ROOT / folder).rglob("__init__.py")
)
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
NOT_RUN = {
    "sudo": "needs root",
    "git": "needs the address of a repository",
    "cd": "changes the folder of the reader's shell",
    "journalctl": "needs the service of Operating",
    "sqlite3": "needs the database of a server",
    "nvidia-smi": "needs a GPU",
    "pip": "installs from a package registry",
    "pipx": "installs from a package registry",
    "uvx": "installs from a package registry",
    "python": "runs the reader of a bundle",
    "curl": "asks a running service",
    "python3": "makes an environment, or asks an installed torch",
    ".": "activates an environment",
    "export": "sets a variable of the reader's shell",
}
"""Commands that the pages show and no test runs, with the reason."""


def sentence_of(room: Path) -> str:
    return ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or ""


# README


def test_the_readme_is_short() -> None:
    """Details belong to docs/."""
    assert len(README.encode()) <= 8000


def test_every_room_is_named_with_its_sentence() -> None:
    """The sentence is in the room's `__init__.py`. Folders of one page or widget need none."""
    rooms = [room for room in ROOMS if room.as_posix() != "core" and (len(room.parts) < 3 or room.name == "widgets")]
    rows = {room.as_posix(): f"| `{room.as_posix()}/` | {sentence_of(ROOT / room)} |" for room in rooms}

    assert [name for name, row in rows.items() if row not in README] == []


@pytest.mark.parametrize("text_of", LINKED)
def test_every_path_exists(text_of: str) -> None:
    """Every path in the docs exists, except those that examples make."""
    named = re.findall(r"`((?:core|db|pages|bench|tests|docs)/[\w./-]*)`", (ROOT / text_of).read_text(encoding="utf-8"))

    assert named or text_of != "README.md"
    assert [path for path in {*named} - EXAMPLES if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_named(command: str) -> None:
    """Its help has a text."""
    assert f"slotlab {command}" in README
    assert COMMANDS[command].help


# Generated pages


def test_presets_are_named() -> None:
    """Every value of `--preset` has a row."""
    assert [name for name in PRESETS if f"| `{name}` |" not in TEXTS["docs/reference/options.md"]] == []


def test_the_reference_is_written_from_the_code() -> None:
    """The pages equal the output of `make docs`."""
    assert [path.name for path, text in reference.pages().items() if path.read_text(encoding="utf-8") != text] == []


def test_the_reference_lists_every_option_of_every_command() -> None:
    """Read the options from the parser, because an incomplete generator would match its own output."""
    text = TEXTS["docs/reference/commands.md"]
    single = [each for command in COMMANDS.values() for each in getattr(command, "commands", {"": command}).values()]
    names = [name for command in single for param in command.params for name in param.opts if "--" in name]

    assert len(names) > 20
    assert [name for name in names if name not in text and name != "--help"] == []


# Links


@pytest.mark.parametrize("text_of", LINKED)
def test_every_local_link_has_a_target(text_of: str) -> None:
    """Check files, images and anchors."""
    text = without_code((ROOT / text_of).read_text(encoding="utf-8"))
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / text_of).parent / name if name else ROOT / text_of
        if not path.exists() or (anchor and anchor not in anchors_of(path)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("text_of", TEXTS)
def test_every_image_has_alternative_text(text_of: str) -> None:
    """Screen readers need it."""
    assert re.findall(r"!\[\s*\]\(", TEXTS[text_of]) == []


def test_every_page_is_in_the_navigation() -> None:
    """Every entry of the navigation has a page."""
    assert sorted(NAV) == [path.relative_to(ROOT / "docs").as_posix() for path in DOCS]


def test_every_picture_is_shown() -> None:
    """One of its two color schemes is enough."""
    shown = set(re.findall(r"images/([\w-]+?)-(?:light|dark)\.png", "".join(TEXTS.values())))
    pictures = {path.stem.rpartition("-")[0] for path in (ROOT / "docs" / "images").glob("*.png")}

    assert pictures == shown


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors_of(path: Path) -> set[str]:
    """Return the anchors of a Markdown file's headings, as forges and MkDocs make them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


# Text


@pytest.mark.parametrize("text_of", TEXTS)
def test_each_sentence_is_on_its_own_line(text_of: str) -> None:
    """A diff then shows the changed sentence instead of a paragraph."""
    lines = [line for line in without_code(TEXTS[text_of]).splitlines() if not line.startswith(("|", "#", "<!--"))]
    texts = [re.sub(r"^\s*(\d+\.|\*) ", "", line) for line in lines]

    assert [text for text in texts if re.search(r"[a-z0-9)*][.?!] [A-Z]", text)] == []


# Commands


def shell_lines(text: str) -> Iterator[str]:
    """Yield the commands of all shell blocks, each on one line and without its comment."""
    for block in re.findall(r"^```(?:sh|bash)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            yield from (part.strip() for part in re.split(r"&&|\|\s", line.split("  #")[0]) if part.strip(" #"))


@pytest.mark.parametrize("text_of", LINKED)
def test_every_command_that_is_shown_exists(text_of: str) -> None:
    """Slotlab parses its own commands. Others are make targets, modules, or listed with a reason."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    unknown = []
    for line in shell_lines((ROOT / text_of).read_text(encoding="utf-8")):
        words = shlex.split(line)
        while words and re.fullmatch(r"\w+=.*", words[0]):
            words = words[1:]
        if not words or line.startswith("#"):
            continue
        if words == ["slotlab", "--version"]:
            continue
        if words[0] == "slotlab":
            command, rest = COMMANDS[words[1]], words[2:]
            if hasattr(command, "commands"):
                command, rest = command.commands[words[2]], words[3:]
            command.make_context(f"slotlab {words[1]}", rest)  # raises on invalid arguments
        elif words[0] == "make":
            unknown += [word for word in words[1:] if "=" not in word and word not in targets]
        elif words[:2] == ["python", "-m"]:
            unknown += [words[2]] * (importlib.util.find_spec(words[2]) is None)
        elif words[0] not in NOT_RUN:
            unknown.append(line)

    assert unknown == []


def test_every_unit_starts_a_command() -> None:
    """Slotlab parses the arguments of each `ExecStart`."""
    lines = re.findall(r"^ExecStart=\S*/slotlab (.+)$", TEXTS["docs/operating.md"], re.MULTILINE)

    assert len(lines) == 2
    for command, *arguments in map(shlex.split, lines):
        COMMANDS[command].make_context(f"slotlab {command}", arguments)


@pytest.mark.long
def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    """Run them in order on rendered images. Training is shortened, and the app is not started."""
    for folder, seed in (("images", 0), ("new", 1)):
        (tmp_path / folder).mkdir()
        for name, _, data in renderer.samples(60 if folder == "images" else 2, seed=seed):
            (tmp_path / folder / name).write_bytes(data)
    lines = [line for line in shell_lines(README) if line.startswith("slotlab ") and "slotlab app" not in line]

    assert len(lines) >= 5
    for line in lines:
        short = " --set max_steps=2 --set image_size=32x96 --set pretrained=none" if "slotlab train" in line else ""
        command = line.replace("slotlab", f"{shlex.quote(sys.executable)} -m core.cli", 1) + short
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False,
            env=os.environ | {"SLOTLAB_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, f"{line}: {done.stderr}"


def test_windows_is_refused_in_one_sentence() -> None:
    """Jobs need Unix locks and signals, and a traceback would not explain that."""
    code = "import sys; sys.platform = 'win32'; import core.cli.commands"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == "slotlab: Slotlab runs on Linux and macOS. On Windows, run it inside WSL.\n"
