"""The filter language: selections, compared with Python itself, and error messages."""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from core.errors import OptionError, SlotlabError
from core.evaluation.filters import MAX_CHARS, select
from tests.helpers.python_lines import python_lines

RNG = np.random.default_rng(0)
LABELS = ["".join(map(str, row)) for row in RNG.integers(0, 10, (300, 4))]
READ = [label if place % 5 else label[::-1] for place, label in enumerate(LABELS)]
ROWS = [
    {
        "label": label,
        "reading": read,
        "wrong": label != read,
        "confidence": float(confidence),
        "margin": float(confidence * 5 - 1),
        "width": float(width),
        "height": 50.0,
        "source": source,
        "operator": operator,
        "day": day,
    }
    for label, read, confidence, width, source, operator, day in zip(
        LABELS, READ, RNG.random(300), RNG.integers(100, 200, 300), RNG.choice(["portal", "über <b>"], 300),
        RNG.choice(["ann", "bob", "nobody"], 300), RNG.choice(["2026-10-30", "2026-11-01", "2026-11-05"], 300),
        strict=True,
    )
]  # fmt: skip
COLUMNS: dict[str, Callable[[], Any]] = {
    name: (lambda name=name: np.array([row[name] for row in ROWS])) for name in ROWS[0]
}


def chars(texts: list[str]) -> np.ndarray:
    return np.array([list(text) for text in texts])


def selected(text: str) -> np.ndarray:
    return select(text, COLUMNS, chars(LABELS), chars(READ))


@pytest.mark.parametrize(
    "text",
    [
        'confidence < 0.9 and source == "portal" and char(1) == "7"',
        "reading != label",
        "wrong",
        "not wrong or confidence >= 0.5",
        '"00" in label',
        '"7" not in label',
        "width > 150",
        "100 < width <= 150",
        "width / height > 3 and -margin > 0.5",
        "margin < 2",
        'operator in ("ann", "bob")',
        'operator not in ["ann"]',
        "width in {100, 150, 151}",
        'day >= "2026-11-01"',
        'source == "über <b>" and reading_char(4) != char(4)',
        "char(2) in label and char(2) == reading_char(3)",
        "wrong == True",
        'source == "über <b>" and\n width > 120',
        "(width - 100) * 2 + 1 > height",
    ],
)
def test_a_filter_selects_like_python(text: str) -> None:
    """Evaluate each row with Python, which is safe because the filters are constants."""
    by_python = [
        eval(
            " ".join(text.split()),
            {},
            row | {"char": lambda place, row=row: row["label"][place - 1],
                   "reading_char": lambda place, row=row: row["reading"][place - 1]},
        )
        for row in ROWS
    ]  # fmt: skip

    assert selected(text).tolist() == by_python
    assert 0 < sum(by_python) < len(ROWS)


def test_a_filter_without_a_column_holds_for_all_or_none() -> None:
    """The result still has one value per sample."""
    assert selected("1 < 2").tolist() == [True] * 300
    assert selected('"a" == "b"').tolist() == [False] * 300
    assert selected("width / 0 > 1").all()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The filter is empty"),
        ("confidence <", "syntax error"),
        ("confidence < 0.9 und wrong", "at character 18 (und wrong): syntax error"),
        ("width > 100 and color == 1", "at character 17 (color == 1): unknown name 'color'"),
        ("source == portal", "at character 11 (portal): unknown name 'portal'. Put text in quotes"),
        ('"ü" == source and x', "at character 19 (x)"),
        ("confidence", "expected a condition, got a number"),
        ("label and wrong", "expected a condition, got text"),
        ('width > "100"', 'at character 9 ("100"): cannot compare a number with text'),
        ("label < 5", "cannot compare text with a number"),
        ("operator in (1, 2)", "cannot compare text with a number"),
        ("1 in label", "finds text in text"),
        ("label + 1 > 2", "expected a number, got text"),
        ("char == '1'", "char needs a position, such as char(1)"),
        ("char(0) == '1'", "char takes one position, from 1 to 4"),
        ("char(5) == '1'", "char takes one position, from 1 to 4"),
        ("char(1, 2) == '1'", "char takes one position"),
        ("char('1') == '1'", "char takes one position"),
        ("char(1 + 1) == '1'", "char takes one position"),
        ("char(k=1) == '1'", "char takes one position"),
        ("open('/etc/passwd')", "only char(1) and reading_char(1) can be called"),
        ("label.upper() == 'A'", "only char(1) and reading_char(1) can be called"),
        ("().__class__ == 1", "this is not supported"),
        ("label.size > 1", "this is not supported"),
        ("label[0] == '1'", "this is not supported"),
        ("width ** 9 > 1", "this is not supported"),
        ("[x for x in label]", "this is not supported"),
        ("lambda: 1", "this is not supported"),
        ("f'{label}' == label", "this is not supported"),
        ("(y := 3) > 1", "this is not supported"),
        ("wrong if wrong else wrong", "this is not supported"),
        ("b'a' == label", "this is not supported"),
        ("None == label", "this is not supported"),
        ("label is label", "compare with ==, !="),
        (f"width > 1{'0' * 292}", "Use at most 300"),
        ("width > 1" + "0" * (MAX_CHARS - 9), None),
        ("-" * 280 + "1 > 0", None),
        ("(" * 290, "filter"),
        ("not " * 70 + "wrong", None),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_with_its_place(text: str, sentence: str | None) -> None:
    """Long or deep filters may be answered or rejected, but raise nothing except SlotlabError."""
    try:
        found = selected(text)
    except SlotlabError as error:
        said = str(error)
        assert sentence is None or sentence in said or sentence == "filter"
        assert said.endswith(".")
        assert "\n" not in said
    else:
        assert sentence is None
        assert found.shape == (300,)


def test_nonsense_is_refused_and_never_raises_anything_else() -> None:
    """2,000 random combinations of filter, Python and noise fragments."""
    pieces = [
        *COLUMNS, "char(1)", "reading_char(", "(", ")", "[", "]", "{", "}", "'", '"', "==", "!=", "<", "in", "not",
        "and", "or", "1", "0.5", "1e999", "9" * 40, "True", "None", "...", ".", ",", ":", ":=", "*", "**", "/", "-",
        "~", "@", "lambda", "__import__('os')", "x", "\\", "\x00", "\ud800", "é", "\U0001f600", "#", ";", "\n", "\t",
        "f'{", "}'", "0x1g", "1_0", "1j", "b''", "is", "if", "else", "for", "yield", "await", "*a",
    ]  # fmt: skip
    chance = random.Random(0)
    answered = 0
    for _ in range(2000):
        text = " ".join(chance.choices(pieces, k=chance.randint(1, 7)))
        with suppress(OptionError):
            answered += selected(text).shape == (300,)
    assert answered


def test_a_hundred_thousand_samples_are_filtered_at_once() -> None:
    """Columns are filtered as arrays: far less than one line of Python per sample."""
    numbers, texts = RNG.random(100_000), RNG.integers(0, 10, (100_000, 6)).astype(str)
    labels = texts.view("U1") if texts.dtype == "U1" else texts.astype("U1")
    columns = {"confidence": lambda: numbers, "label": lambda: labels.view("U6").ravel()}

    question, found = 'confidence < 0.5 and "00" in label and char(1) == "7"', []
    lines = python_lines(lambda: found.append(select(question, columns, labels, labels)))

    assert lines < 1000
    assert found[0].sum() == sum(
        number < 0.5 and "00" in "".join(row) and row[0] == "7"
        for number, row in zip(numbers, labels.tolist(), strict=True)
    )
