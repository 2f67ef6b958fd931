"""Cells become the labels that were meant, or say why not."""

import pytest

from core.charset import TextSpec
from core.data.tables.cleaning import cleaned, unwrapped, with_formula_guard, without_formula_guard
from core.errors import LabelError

FOUR, UPPER, BOTH = TextSpec(4, "0123456789"), TextSpec(4, "ABCDEF0123456789"), TextSpec(4, "ABab")


@pytest.mark.parametrize("text", ["9999", "9999 ", " 9999", "9999\t", "'9999", "9999.0", "9999.00", "'9999.0"])
def test_marks_of_spreadsheets_come_off(text: str) -> None:
    assert cleaned(text, FOUR) == "9999"


def test_a_character_of_the_charset_is_never_a_mark() -> None:
    assert cleaned("'123", TextSpec(4, "'123")) == "'123"
    assert cleaned("12.0", TextSpec(4, "012.")) == "12.0"


@pytest.mark.parametrize(
    ("text", "spec", "reason"),
    [
        ("420", FOUR, "'420' has 3 characters; this project uses 4. Spreadsheets remove leading zeros."),
        ("420.0", FOUR, "Spreadsheets remove leading zeros."),
        ("12345", FOUR, "'12345' has 5 characters; this project uses 4."),
        ("１２３４", FOUR, "which is not in the charset '0123456789'."),
        ("ab12", UPPER, "Ignore the case of letters (--fold-case) to accept it."),
        ("aC12", BOTH, "which is not in the charset 'ABab'."),
    ],
)
def test_what_does_not_fit_is_refused_with_a_hint(text: str, spec: TextSpec, reason: str) -> None:
    """Nothing is padded or cut."""
    with pytest.raises(LabelError) as caught:
        cleaned(text, spec)

    assert reason in str(caught.value)
    assert str(caught.value).count(". ") == reason.count(". ") or "leading zeros" in reason or "--fold-case" in reason


def test_the_case_of_letters_is_folded_on_request_if_the_charset_has_one() -> None:
    assert cleaned(" ab12", UPPER, fold_case=True) == "AB12"
    assert cleaned("AB", TextSpec(2, "abc"), fold_case=True) == "ab"
    with pytest.raises(LabelError):
        cleaned("ABXb", BOTH, fold_case=True)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ('["1234"]', "1234"), ('[{"transcription": "1234", "points": []}]', "1234"), ("[12", "[12"), ("1234", "1234"),
        ('["1", "2"]', '["1", "2"]'), ("[" * 5000, "[" * 5000), ("[1]", "1"),
    ],
)  # fmt: skip
def test_a_list_of_one_is_its_text(cell: str, text: str) -> None:
    assert unwrapped(cell) == text


@pytest.mark.parametrize(
    "value", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "'=1", "''", "'", "''=1", "a=1", "", "'a"]
)
def test_the_guard_against_formulas_comes_off_again(value: str) -> None:
    """A spreadsheet shows text, and an import reads the original value."""
    cell = with_formula_guard(value)

    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert without_formula_guard(cell) == value
