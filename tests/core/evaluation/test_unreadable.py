"""Unreadable images: their count and the exact match with them counted as wrong."""

from core.evaluation.unreadable import Unreadable


def test_unreadable_images_count_as_wrong() -> None:
    """The rate and its interval are of all images that people looked at."""
    result = Unreadable(split="test", count=3, correct=397, n=400)

    assert result.exact_match == 397 / 403
    assert result.sentence == (
        "3 test images were skipped as unreadable. Counted as wrong: 397/403 = 98.5% (96.8% to 99.5%)."
    )


def test_nothing_is_said_where_none_is_unreadable() -> None:
    """The rate is then the exact match."""
    result = Unreadable(split="val", count=0, correct=9, n=10)

    assert (result.sentence, result.exact_match) == ("", 0.9)


def test_an_agreement_with_readers_has_no_such_rate() -> None:
    """Readers cannot say which images are unreadable."""
    result = Unreadable(split="val", count=1, correct=9, n=10, reference="readers")

    assert (result.sentence, result.exact_match) == ("1 val image was skipped as unreadable.", None)
