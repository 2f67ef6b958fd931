"""Words for counts and characters."""

import pytest

from core.words import plural, unknown


@pytest.mark.parametrize(("n", "text"), [(0, "0 images"), (1, "1 image"), (1200, "1,200 images")])
def test_one_is_singular(n: int, text: str) -> None:
    assert plural(n, "image") == text


def test_a_sentence_names_few_of_many_characters() -> None:
    assert unknown("It", "é") == "It does not know the character é"
    assert unknown("It", "é漢") == "It does not know the characters é 漢"
    assert len(unknown("It", "漢" * 5000)) < 200
