"""The English of code, screen and docs keeps the rules of CONTRIBUTING that a pattern can see."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from core.model.config import OPTIONS
from tests.helpers.repository import ROOT

SKIP = ("tests/old_home/", "tests/test_english.py", "bench/results/", "core/images/fonts/")

WORDS = {
    "is not a": r"(?<!there )\b(is|are|was|were) no\b(?! longer| more| fewer| less| later| earlier)",
    "a plainer word": r"\b(anew|as a rule|none such|from which on|to be had|shall|whilst|thereof|what for)\b",
    "someone": r"\bsomebody\b",
    "fix": r"\bmend(s|ed|ing)?\b",
    "confidence": r"\b(surest|sureness|surely worse)\b",
    "held out": r"\bsealed\b",
    "second opinion": r"\bsecond looks?\b",
    "is set, is asked": r"\b(is|are|was|were|be|been) told\b",
    "slice": r"\bparts of a split\b",
    "from this portal": r"\bnot ours\b",
}
NAMES = WORDS | {
    "resumes, continues": r"\bgo(es)? on\b",
    "is reported": r"\btold\b",
    "lists, reports": r"\btells of\b",
    "most confident, certain": r"\b(surer|(a|equally) sure)\b",
    "saved threshold": r"\bkept threshold\b",
    "overlaid": r"\b(laid|lies?) over\b",
    "uses of the test set": r"\b(opened once|openings)\b",
    "learned": r"\blearnt\b",
    "readings": r"\b(constant|right|sure|wrong) answers?\b",
}
"""The names of tests are sentences too."""
OPENING = r"^(What|Where|How|Who|Whose|Whether|Of|With|From|As|Those|Such)\b"
LONGEST = 25
"""Words of a sentence. The rule asks for 20; a list of names or values may need more."""


@cache
def files(*suffixes: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [ROOT / name for name in listed if name.endswith(suffixes) and not name.startswith(SKIP)]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring, those of constants and fields included."""
    for node in ast.walk(parsed(path)):
        body = getattr(node, "body", [])
        for after, statement in zip([node, *body], body, strict=False) if isinstance(body, list) else ():
            if (
                isinstance(statement, ast.Expr)
                and isinstance(statement.value, ast.Constant)
                and isinstance(statement.value.value, str)
                and isinstance(
                    after,
                    ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign | ast.AnnAssign,
                )
            ):
                yield statement.lineno, statement.value.value


@cache
def prose(path: Path) -> list[tuple[int, str]]:
    """Return line and text of each comment, docstring and sentence in a string."""
    return list(_prose(path))


def _prose(path: Path) -> Iterator[tuple[int, str]]:
    text = path.read_text()
    if path.suffix == ".py":
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string.lstrip("# ")
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                yield node.lineno, node.value
    elif path.suffix == ".md":
        for number, line in enumerate(
            re.sub(r"(?ms)^```.*?^```", lambda code: "\n" * code[0].count("\n"), text).split("\n"), 1
        ):
            yield number, re.sub(r"`[^`]*`", "`", line)
    else:
        for number, line in enumerate(text.split("\n"), 1):
            yield number, line


@cache
def names() -> list[str]:
    """Return place and name of each function and class of the tests."""
    return [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}"
        for path in files(".py")
        if path.is_relative_to(ROOT / "tests")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]


@pytest.mark.parametrize("better", WORDS)
def test_each_thing_has_its_plain_word(better: str) -> None:
    """Comments, docstrings, strings of the screen and docs."""
    pattern = re.compile(WORDS[better], re.IGNORECASE)
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {match[0]}"
        for path in files(".py", ".js", ".html", ".css", ".md")
        for line, text in prose(path)
        for match in pattern.finditer(" ".join(text.split()))
    ]
    assert wrong == [], f"Write: {better}"


@pytest.mark.parametrize("better", NAMES)
def test_names_of_tests_use_plain_words(better: str) -> None:
    """Read `_` as a space in functions and classes of tests."""
    wrong = [name for name in names() if re.search(NAMES[better], name.partition(": ")[2].replace("_", " "))]
    assert wrong == [], f"Write: {better}"


def test_sentences_name_options_between_backticks() -> None:
    """Pages replace what is between them by the title of the field. `slotlab train --set` takes options as they are."""
    option = re.compile(rf"(?<![`\w.-])({'|'.join(OPTIONS)})=(?!=)")
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}"
        for path in files(".py")
        if path.is_relative_to(ROOT / "core") or path.is_relative_to(ROOT / "pages")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if option.search(node.value) and "--set" not in node.value
    ]
    assert wrong == []


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    """A clause in place of a subject makes a reader start over."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {text.strip().splitlines()[0]}"
        for path in files(".py")
        for line, text in docstrings(path)
        if re.match(OPENING, text.strip())
    ]
    assert wrong == []


def test_sentences_of_docstrings_are_short() -> None:
    """One idea a sentence."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {sentence}"
        for path in files(".py")
        for line, text in docstrings(path)
        for block in re.split(r"\n\s*\n|\n\s*\* |\n\s{4,}", text)
        for sentence in re.split(r"(?<=[.!?:;])\s+", " ".join(block.split()))
        if len(sentence.split()) > LONGEST
    ]
    assert wrong == []
