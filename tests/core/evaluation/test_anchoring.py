"""The effect of a suggestion on labels."""

import pytest

from core.evaluation.anchoring import Anchoring


def test_the_interval_is_newcombes() -> None:
    """The worked example of Newcombe 1998, table II: 56/70 and 48/80, method 10."""
    anchoring = Anchoring(shown=70, shown_equal=56, withheld=80, withheld_equal=48)

    assert anchoring.difference == pytest.approx(0.2)
    assert anchoring.interval == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_a_difference_within_chance_is_not_a_sign() -> None:
    """The sentence gives both shares with counts and intervals."""
    sentence = Anchoring(shown=900, shown_equal=890, withheld=100, withheld_equal=98).sentence

    assert "890/900 = 98.9%" in sentence
    assert "98/100 = 98.0%" in sentence
    assert "The difference is +0.9 points (95% interval" in sentence
    assert sentence.endswith("No sign that people repeat it without reading.")


def test_people_who_repeat_the_suggestion_are_reported() -> None:
    sentence = Anchoring(shown=900, shown_equal=900, withheld=100, withheld_equal=90).sentence

    assert "+10.0 points" in sentence
    assert sentence.endswith("People may repeat it without reading.")


def test_a_few_labels_are_not_compared() -> None:
    """Without any of one group there is no difference either."""
    none = Anchoring(shown=40, shown_equal=40, withheld=0, withheld_equal=0)

    assert none.difference is None
    assert none.interval is None
    assert none.sentence == ("40 labels with a suggestion and 0 without one. 20 of each are needed to compare them.")
