"""The choice of a round: a confident run and a reader together, or a reader that people proved right."""

from collections import Counter

from core.evaluation.sure_readings import Image, choose, rare_characters, record

NONE = Counter[tuple[str, str, str]]()


def test_a_run_needs_a_reader_and_confidence() -> None:
    images = {
        1: Image("mm", 0.95, {"a": "nm", "b": "mm"}),
        2: Image("mm", 0.89, {"a": "nm", "b": "mm"}),
        3: Image("mm", 0.99, {"a": "nm", "b": "mn"}),
        4: Image("mm", 0.99, {"a": None, "b": "mm"}),
    }

    assert choose(images, NONE, NONE) == ({1: "mm", 4: "mm"}, {})


def test_people_disprove_a_reader_that_the_run_learned_from() -> None:
    """Reader a reads n for m. A run trained on what both agree on does the same."""
    images = {1: Image("nn", 0.99, {"a": "nn", "b": "mn"}), 2: Image("nn", 0.99, {"a": "nn", "b": "nn"})}
    right, wrong = record([("mn", {"a": "nn", "b": "mn"}), ("nm", {"a": "nn", "b": "nm"})])

    assert wrong == {("a", "n", "m"): 2}
    assert choose(images, right, wrong) == ({2: "nn"}, {})


def test_three_labels_prove_a_reader_right_about_a_pair() -> None:
    images = {
        1: Image("nn", 0.99, {"a": "nn", "b": "mn"}),
        2: Image("nn", 0.2, {"a": "nn", "b": "nw"}),  # another pair
    }
    labeled = [(f"m{char}", {"a": f"n{char}", "b": f"m{char}"}) for char in "abc"]

    assert choose(images, *record(labeled[:2])) == ({}, {})
    assert choose(images, *record(labeled)) == ({}, {1: "mn"})


def test_one_counterexample_is_enough_against_a_reader() -> None:
    images = {1: Image("xx", 0.1, {"a": "nn", "b": "mn"})}
    labeled = [("mn", {"a": "nn", "b": "mn"})] * 3

    assert choose(images, *record([*labeled, ("nn", {"a": "nn", "b": "mn"})])) == ({}, {})


def test_a_text_that_the_portal_rejected_is_not_chosen() -> None:
    """Neither of the run, nor of a reader that was proved right."""
    labeled = [(f"m{char}", {"a": f"n{char}", "b": f"m{char}"}) for char in "abc"]
    images = {
        1: Image("nn", 0.99, {"a": "nn", "b": "nn"}, {"nn"}),
        2: Image("nn", 0.2, {"a": "nn", "b": "mn"}, {"mn"}),
        3: Image("nn", 0.99, {"a": "nn", "b": "nn"}, {"mn"}),
    }

    assert choose(images, *record(labeled)) == ({3: "nn"}, {})


def test_characters_that_few_labels_have_are_named() -> None:
    """Half of all readings are m, but only one of 12 characters of the labels."""
    rare = rare_characters(["nnnn", "nnnn", "nnnm"], ["mmmm", "nnnn"])

    assert rare == [{"char": "m", "labels": 1, "expected": 6}]
