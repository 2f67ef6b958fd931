"""The scores of guessing: from labels, and from the choices of a run."""

import math
from typing import Any

import pytest

from core.charset import TextSpec
from core.training.guessing import Guessing

SPEC = TextSpec(2, "abcd")


def test_guessing_gives_the_most_frequent_character_of_each_position() -> None:
    """Position 1 is a in three of four labels, position 2 differs."""
    guessing = Guessing.of_labels(["aa", "ab", "ac", "bd"])

    assert guessing.shares == (0.75, 0.25)
    assert guessing.share == 0.5
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert guessing.loss == pytest.approx((entropy + math.log(4)) / 2)


def test_it_comes_back_from_the_choices_of_a_run() -> None:
    """JSON has lists."""
    guessing = Guessing.of_labels(["aa", "ab", "ba"])

    assert Guessing.from_choices({"guessing": guessing.to_dict()}, SPEC) == guessing


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"guessing": None},
        {"guessing": {"shares": [0.5], "loss": 1.0}},
        {"guessing": {"shares": ["a", "b"], "loss": 1.0}},
        {"guessing": {"shares": [0.5, 0.5]}},
    ],
)
def test_without_it_all_characters_are_equally_frequent(choices: dict[str, Any]) -> None:
    """Runs of earlier versions did not record it, and a disk may damage it."""
    assert Guessing.from_choices(choices, SPEC) == Guessing(shares=(0.25, 0.25), loss=math.log(4))
