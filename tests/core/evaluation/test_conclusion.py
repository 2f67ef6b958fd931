"""The conclusion names the first step that would help, and only one."""

from dataclasses import replace

import numpy as np
import pytest

from core.charset import TextSpec
from core.evaluation.conclusion import Facts, conclude, most_confused, sure_errors
from core.evaluation.predictions import Reading

GOOD = Facts(split="val", reference="people", correct=500, n=500, typed=4000, unlabeled=900, unlabeled_measured=90)
SPEC = TextSpec(3, "0123456789")


@pytest.mark.parametrize(
    ("changes", "step", "part"),
    [
        ({"reference": "readers"}, "measure", "only labels of people"),
        ({"worry": "All positions are at chance.", "correct": 0}, "train", "All positions are at chance."),
        ({"correct": 200, "underfitted": True}, "train", "40.0% is little"),
        ({"correct": 200}, "label", "reads 40.0% of the others. Label about 500 more images."),
        ({"correct": 200, "unlabeled": 0}, "import", "All images are labeled: import about 500 more, and label them."),
        ({"correct": 6, "n": 6, "unlabeled_measured": 0}, "import", "import about 440 more."),
        (
            {"correct": 200, "unlabeled": 0, "skipped": 7},
            "import",
            "All images are labeled, except 7 that are skipped: import about 500 more, and label them.",
        ),
        ({"correct": 200, "unlabeled": 10}, "label", "Label the 10 unlabeled images, and import about 490 more."),
        ({"correct": 200, "unlabeled": 1}, "label", "Label the unlabeled image, and import about 499 more."),
        (
            {"correct": 14, "n": 14, "unlabeled_measured": 10},
            "measure",
            "Label the 10 unlabeled validation and test images, and import about 310 more.",
        ),
        (
            {"correct": 6, "n": 6, "unlabeled_measured": 1},
            "measure",
            "Label the unlabeled validation or test image, and",
        ),
        (
            {"correct": 6, "n": 6, "unlabeled_measured": 0, "skipped_measured": 1},
            "import",
            "All those images are labeled, except 1 that is skipped: import about 440 more.",
        ),
        ({"correct": 6, "n": 6}, "measure", "6 images are few: the true share may be 54.1% to 100.0%. Label about 88"),
        ({"correct": 1, "n": 1}, "measure", "1 image is few"),
        ({"correct": 54, "n": 60, "unlabeled_measured": 120}, "measure", "Label about 120 validation and test images."),
        ({"correct": 6, "n": 6, "has_threshold": True}, "bundle", "with its threshold"),
        ({"correct": 490, "sure_errors": 2}, "errors", "in 2 of 10 errors"),
        ({"correct": 490, "pair": ("1", "7", 5)}, "errors", "1 read as 7: it is in 5 of 10 errors"),
        ({"correct": 480, "sure_errors": 3, "pair": ("1", "7", 7)}, "label", "20 errors left"),
        ({"correct": 489, "pair": ("1", "7", 4)}, "label", "11 errors left. Label about 500 more images."),
        ({"correct": 490, "pair": ("1", "7", 3)}, "confidence", "Choose how sure"),
        ({}, "confidence", "Choose how sure"),
        ({"has_threshold": True}, "bundle", "Make a bundle"),
        ({"has_threshold": True, "bundle": "0018-bundle"}, "use", "0018-bundle"),
        ({"split": "test", "correct": 490, "sure_errors": 9, "pair": ("1", "7", 9)}, "confidence", "hand out"),
        ({"split": "test", "correct": 300}, "label", "reads 60.0%"),
        ({"split": "next", "correct": 450, "has_threshold": True, "bundle": "b"}, "label", "50 errors left"),
    ],
)
def test_the_first_reason_decides(changes: dict[str, object], step: str, part: str) -> None:
    found = conclude(replace(GOOD, **changes))  # type: ignore[arg-type]

    assert (found.step, part in found.sentence) == (step, True), found.sentence


def reading(labels: list[str], texts: list[str], sure: list[float]) -> Reading:
    """Return readings in which each character of a text has that probability."""
    targets_NP = np.array([[int(char) for char in label] for label in labels])
    read_NP = np.array([[int(char) for char in text] for text in texts])
    probs_NPC = np.repeat((1 - np.array(sure))[:, None, None] / 9, 3, axis=1) * np.ones(10)
    for n, row in enumerate(read_NP):
        probs_NPC[n, range(3), row] = sure[n]
    return Reading(targets_NP, np.log(probs_NPC))


def test_an_image_counts_once_for_a_confusion() -> None:
    """111 read as 777 is one image with 1 read as 7, and so is 100 read as 700."""
    read = reading(["111", "100", "555", "556"], ["777", "700", "566", "556"], [0.9] * 4)

    assert most_confused(read, SPEC) == ("1", "7", 2)
    assert most_confused(reading(["123"], ["123"], [0.9]), SPEC) == ("", "", 0)


def test_only_confident_errors_are_sure() -> None:
    """The temperature is fitted, so one error among many sure and right readings stays sure."""
    texts = [f"{n:03}" for n in range(200)]
    labels = ["999", *texts[1:]]

    assert sure_errors(reading(labels, texts, [0.9999] * 200)) == 1
    assert sure_errors(reading(labels, texts, [0.4, *[0.9999] * 199])) == 0
