"""Write the parts of the documentation that follow from the code: `python -m core.cli.reference`."""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from typer.main import get_command

from core.bundle.service.app import description
from core.cli.commands import app
from core.images.augment_settings import TRANSFORMS, Param
from core.model.config import MANY_IMAGES, OPTIONS, PRESETS, TrainConfig

ROOT = Path(__file__).parents[2]
README, FOLDER, OPENAPI = ROOT / "README.md", ROOT / "docs" / "reference", ROOT / "docs" / "api" / "openapi.json"
NOTE = "<!-- Written by `python -m core.cli.reference`. Change the code, then run `make docs`. -->\n"

OPTIONS_INTRO = """\
# Training options

Set an option with `--set key=value`, once for each option, or in the form of the Train page.
`auto` and `none` leave an option open.
Slotlab then chooses its value when the run starts and records it in the `run.json` of the run.
"""
TRANSFORMS_INTRO = """\
## Augmentation

Choose augmentation by the name of a recipe (`--set recipe=NAME@VERSION`) or as JSON (`--set augment=...`).
The Augment page shows the JSON of its settings.
Each transform is applied to its share of the images.
A transform that the JSON does not name is off, so `--set augment={}` turns augmentation off.
"""
COMMANDS_INTRO = """\
# Commands

Results go to stdout, progress and errors to stderr.
An error is one sentence and exit code 1.
A wrong option gives exit code 2.
Data are in the folder named by `SLOTLAB_HOME`, by default `./slotlab-data`.
"""


def pages() -> dict[Path, str]:
    """Return the text of every file that this module writes."""
    return {
        README: with_rooms(README.read_text(encoding="utf-8")),
        FOLDER / "options.md": options_page(),
        FOLDER / "commands.md": commands_page(),
        OPENAPI: json.dumps(description(), indent=1, ensure_ascii=False) + "\n",
    }


def with_rooms(text: str) -> str:
    """Return the README with the sentence of each package's `__init__.py` in the row of that package."""

    def row(match: re.Match[str]) -> str:
        source = ROOT / match[1] / "__init__.py"
        return f"| `{match[1]}/` | {ast.get_docstring(ast.parse(source.read_text(encoding='utf-8')))} |"

    return re.sub(r"^\| `((?:core|db|pages|bench)[\w/]*)/` \| .* \|$", row, text, flags=re.MULTILINE)


def options_page() -> str:
    """Return the options of a run, the presets and the transforms as Markdown."""
    presets = [
        [f"`{name}`", preset.backbone, str(preset.stride), f"{preset.auto_lr:g}", f"{preset.auto_steps:,}"]
        for name, preset in PRESETS.items()
    ]  # fmt: skip
    parts = [
        NOTE,
        OPTIONS_INTRO,
        option_table(),
        "",
        "## Presets",
        "",
        "A preset sets these options.",
        "Every other option has the default of the table above.",
        f"With `steps=auto` a run has at least the steps of its preset and {TrainConfig().auto_epochs} epochs.",
        "From initial weights it has at least a third of these steps and two thirds of these epochs.",
        f"With n < {MANY_IMAGES:,} training images, its rate is then the preset's times sqrt(n / {MANY_IMAGES}).",
        "",
        table(["preset", "backbone", "stride", "lr", "steps, at least"], presets),
        "",
        TRANSFORMS_INTRO,
        table(["transform", "share of images", "settings", "meaning"], map(_transform_row, TRANSFORMS)),
    ]
    return "\n".join(parts) + "\n"


def option_table() -> str:
    """Return the keys of `--set` as a Markdown table."""
    rows = [(f"`{it.name}`", it.text(it.default), it.allowed, it.help) for it in OPTIONS.values()]
    return table(["option", "default", "values", "meaning"], rows)


def _transform_row(info: Any) -> list[str]:
    settings = "<br>".join(_param(param) for param in info.params)
    return [f"`{info.key}` ({info.title})", f"{info.p:g}", settings, info.help]


def _param(param: Param) -> str:
    default = param.default if not isinstance(param.default, Sequence) else " to ".join(map(_number, param.default))
    unit = f" {param.unit}" if param.unit else ""
    default = default if isinstance(default, str) else _number(default)
    return f"`{param.key}`: {default}{unit} ({_number(param.low)} to {_number(param.high)})"


def _number(value: float) -> str:
    return f"{value:g}"


def commands_page() -> str:
    """Return every command with its arguments and options as Markdown."""
    group: Any = get_command(app)
    parts = [NOTE, COMMANDS_INTRO]
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            parts += [f"## slotlab {name}", "", *_sentences(command.help or "")]
            for part, each in command.commands.items():
                parts += [f"### slotlab {name} {part}", "", *_command(f"{name} {part}", each)]
        else:
            parts += [f"## slotlab {name}", "", *_command(name, command)]
    return "\n".join(parts).rstrip() + "\n"


def _command(name: str, command: Any) -> Iterator[str]:
    """Yield the lines about one command, without its heading."""
    yield from [*_sentences(command.help or ""), _usage(name, command), ""]
    rows = [_param_row(param) for param in command.params if param.name != "help"]
    if rows:
        yield from [table(["parameter", "default", "meaning"], rows), ""]


def _sentences(text: str) -> Iterator[str]:
    """Yield the paragraphs of a help text, each with one line for each sentence."""
    for paragraph in text.split("\n\n"):
        yield " ".join(paragraph.split()).replace(". ", ".\n")
        yield ""


def _usage(name: str, command: Any) -> str:
    words = [_argument(param) for param in command.params if param.param_type_name == "argument"]
    required = [f"{param.opts[0]} {_value(param)}" for param in command.params if _is_required_option(param)]
    return "\n".join(["```text", " ".join(["slotlab", name, *words, *required, "[OPTIONS]"]), "```"])


def _is_required_option(param: Any) -> bool:
    return bool(param.param_type_name == "option" and param.required)


def _argument(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _value(param: Any) -> str:
    """Return what stands for the value of an option; empty for a switch."""
    if getattr(param, "is_flag", False):
        return ""
    return _argument(param)


def _param_row(param: Any) -> list[str]:
    if param.param_type_name == "argument":
        return [f"`{_argument(param)}`", "required", getattr(param, "help", None) or ""]
    names = "/".join([*param.opts, *param.secondary_opts])
    value = _value(param)
    default = "required" if param.required else "" if param.default in (None, False) else f"`{param.default}`"
    return [f"`{names}{' ' * bool(value)}{value}`".replace("|", "\\|"), default, param.help or ""]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
