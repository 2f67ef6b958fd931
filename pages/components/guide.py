"""The documentation as the app shows it. Its files are beside `pages`, in a checkout and in the wheel."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

DOCS = Path(__file__).parents[2] / "docs"
OVERVIEW = "index"
_CODE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_PICTURE = re.compile(r"^!\[([^\]]+)\]\(([^)\s]+)\)$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
_KEYS = "| key | effect |"


@dataclass(frozen=True)
class Picture:
    """A picture of the documentation. A wheel has none."""

    light: Path
    text: str

    @property
    def dark(self) -> Path:
        return self.light.with_name(self.light.name.replace("-light.", "-dark."))


@dataclass(frozen=True)
class Keys:
    """A table of keys: pairs of keys and their effect, under the heading of the guide."""

    title: str
    rows: tuple[tuple[str, str], ...]


@cache
def topics() -> dict[str, str]:
    """Return the titles of all documents by name, in the order of the overview."""
    listed = re.findall(r"^\| \[([^\]]+)\]\(([\w/]+)\.md\)", _read(OVERVIEW), re.MULTILINE)
    return {OVERVIEW: "Overview"} | {PurePosixPath(path).name: title for title, path in listed}


@cache
def blocks(name: str) -> tuple[str | Picture, ...]:
    """Return a document without its title: Markdown whose links lead to the Guide page, and pictures between."""
    found: list[str | Picture] = []
    for place, part in enumerate(_CODE.split(_read(name).partition("\n")[2])):
        if place % 2:
            found.append(part)
        else:
            found += _text_and_pictures(name, part)
    return tuple(found)


def _text_and_pictures(name: str, text: str) -> Iterator[str | Picture]:
    end = 0
    for match in _PICTURE.finditer(text):
        yield _LINK.sub(_to_page, text[end : match.start()])
        yield Picture((_path(name).parent / match[2]).resolve(), match[1])
        end = match.end()
    yield _LINK.sub(_to_page, text[end:])


def _to_page(match: re.Match[str]) -> str:
    """Return a link to another document as one to its page. Other files are only named."""
    text, target = match.groups()
    if re.match(r"[a-z]+:|#", target):
        return match[0]
    path, hash_sign, anchor = target.partition("#")
    name = PurePosixPath(path).stem
    return f"[{text}](guide?of={name}{hash_sign}{anchor})" if name in topics() else text


@cache
def keys(name: str) -> tuple[Keys, ...]:
    """Return the tables of keys in the guide of a page."""
    found, title, rows = [], "", list[tuple[str, str]]()
    for line in [*_read(name).splitlines(), ""]:
        if line.startswith("#"):
            title = line.lstrip("# ")
        if line == _KEYS:
            rows = [("", "")]
        elif rows and line.startswith("|"):
            key, effect = (cell.strip() for cell in line.strip("|").split("|"))
            rows.append((key, effect))
        elif rows:
            found.append(Keys(title, tuple(rows[2:])))
            rows = []
    return tuple(found)


def _read(name: str) -> str:
    return _path(name).read_text("utf-8")


def _path(name: str) -> Path:
    return next(
        path for folder in (DOCS / "guide", DOCS, DOCS / "reference") if (path := folder / f"{name}.md").exists()
    )
