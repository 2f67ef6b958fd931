"""The length and charset of a project."""

import pytest

from core.charset import MAX_LENGTH, TextSpec
from core.errors import LabelError, OptionError


def test_texts_become_class_numbers_and_come_back() -> None:
    """The order of the charset defines the numbers, for any characters."""
    spec = TextSpec(4, "9876543210")

    assert spec.encode("0099") == [9, 9, 0, 0]
    assert spec.decode([9, 9, 0, 0]) == "0099"
    assert spec.num_classes == 10
    mixed = TextSpec(3, "äß字_=")
    assert mixed.decode(mixed.encode("字ß_")) == "字ß_"


@pytest.mark.parametrize("text", ["00123", "1E500", "00000"])
def test_a_text_that_fits_is_kept_as_it_is(text: str) -> None:
    """Leading zeros stay."""
    assert TextSpec(5, "0123456789E").check(text) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' has 0 characters; this project uses 4."),
        ("1", "'1' has 1 character; this project uses 4."),
        ("12345", "'12345' has 5 characters; this project uses 4."),
        ("12a4", "'12a4' contains 'a', which is not in the charset '0123456789'."),
        ("12 4", "'12 4' contains ' ', which is not in the charset '0123456789'."),
        ("１２３４", "contains '１'"),  # full width: no normalization behind the user's back
        ("12\n4", "contains '\\n'"),
        ("12\ud800", "has 3 characters"),
    ],
)
def test_a_text_that_does_not_fit_is_refused_with_the_reason(text: str, reason: str) -> None:
    """One sentence names the text and the reason."""
    with pytest.raises(LabelError) as caught:
        TextSpec(4, "0123456789").check(text)

    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_case_and_look_alikes_are_distinct() -> None:
    """An O is not a zero, and a Cyrillic A is not a Latin one."""
    spec = TextSpec(2, "ABO0")
    for text in ("ab", "AА", "AΑ", "AО"):
        with pytest.raises(LabelError):
            spec.check(text)


def test_a_sentence_stays_short_however_long_the_text() -> None:
    """A huge text in place of a label must not give a huge error."""
    with pytest.raises(LabelError, match="has 1,000,000 characters") as caught:
        TextSpec(4, "01").check("0" * 1_000_000)

    assert len(str(caught.value)) < 100


@pytest.mark.parametrize("length", [0, -1, MAX_LENGTH + 1])
def test_the_length_is_at_least_one(length: int) -> None:
    """The length is also limited to MAX_LENGTH."""
    with pytest.raises(OptionError, match=f"between 1 and {MAX_LENGTH}, got {length}"):
        TextSpec(length, "01")


@pytest.mark.parametrize(
    ("charset", "reason"),
    [
        ("", "at least two"),
        ("0", "at least two"),
        ("0120", "'0' more than once"),
        ("01 ", "invisible character ' '"),
        ("01\t", "invisible"),
        ("01\u00a0", "invisible"),
        ("01\u200b", "invisible"),
        ("01\x00", "invisible"),
        ("01\ud800", "invisible"),
        ("01\u202e", "invisible"),
    ],
)
def test_a_charset_holds_each_character_once_and_visibly(charset: str, reason: str) -> None:
    """An operator must be able to type and see each character."""
    with pytest.raises(OptionError, match=reason):
        TextSpec(4, charset)


def test_one_position_is_enough() -> None:
    """A project may have single characters as texts."""
    assert TextSpec(1, "01").encode("1") == [1]
