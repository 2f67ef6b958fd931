"""Agreement of readers: what counts as agreed, and when readers can be used."""

import pytest

from core.charset import TextSpec
from core.evaluation.agreement import Texts, agreed, measure, unknown_characters

SPEC = TextSpec(2, "0123456789")


@pytest.mark.parametrize(
    ("texts", "text"),
    [
        (("12", "12"), "12"),
        (("12", "13"), None),
        (("12", None), None),
        ((None, None), None),
        (("12",), None),  # nobody agrees with it
        ((), None),
        (("12", "12", "13"), None),
    ],
)
def test_all_of_at_least_two_readers_must_agree(texts: Texts, text: str | None) -> None:
    assert agreed(texts) == text


def test_differences_are_counted_by_position_and_character() -> None:
    measured = measure([("12", "12"), ("12", "13"), ("72", "12"), (None, "12"), ("11", "11")], length=2, readers=2)

    assert (measured.images, measured.agreed, measured.unread) == (5, 2, [1, 0])
    assert measured.by_position == [3 / 4, 3 / 4]
    assert measured.by_character == {"1": (4, 5), "2": (2, 3), "3": (0, 1), "7": (0, 1)}
    assert measured.confusions == [("2", "3", 1), ("1", "7", 1)]


@pytest.mark.parametrize(
    ("alike", "of", "usable", "sentence"),
    [
        (15, 30, True, "can be used here"),
        (14, 30, False, "nothing is proposed. Check that the images have 2 characters and only 0123456789."),
        (19, 19, False, "At least 20 are needed"),
        (3999, 4000, True, "3,999 of 4,000 images (>99.9%)"),
    ],
)
def test_readers_are_usable_from_half_of_enough_images(alike: int, of: int, usable: bool, sentence: str) -> None:
    measured = measure([("12", "12")] * alike + [("12", "21")] * (of - alike), length=2, readers=2)

    assert measured.usable == usable
    assert sentence in measured.verdict(SPEC)


def test_one_reader_alone_is_never_usable() -> None:
    measured = measure([("12",)] * 50, length=2, readers=1)

    assert (measured.agreed, measured.usable, measured.by_position) == (0, False, [None, None])
    assert "nothing can be accepted" in measured.verdict(SPEC)


def test_characters_that_readers_do_not_know_are_named() -> None:
    """The sentence is empty if they know all."""
    assert unknown_characters({"one": "", "two": ""}) == ""
    assert unknown_characters({"one": "", "two": "m"}) == (
        "two does not know the character m. The readers cannot agree on the right text of an image with it: label such "
        "images by hand."
    )
    assert unknown_characters({"one": "m", "two": "mn"}).startswith(
        "one does not know the character m. two does not know the characters m n. The readers cannot agree on the "
        "right text of an image with one of them"
    )


def test_one_reader_alone_names_characters_that_it_does_not_know() -> None:
    """It has no other one to agree with."""
    assert unknown_characters({"one": "mn"}) == (
        "one does not know the characters m n. Label images with one of them by hand."
    )
