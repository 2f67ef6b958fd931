"""Conclusion: what to do next with a run, in one sentence, from its result on images that it did not train on.

The first reason that holds decides. Each excludes those after it: a network that has not learned says nothing about
labels, and a wrong label costs a look where a new one costs typing.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.charset import TextSpec
from core.evaluation.metrics import interval95
from core.evaluation.percent import percent, share_and_interval
from core.evaluation.predictions import Reading
from core.evaluation.reference import Reference
from core.images.pixels import SHARES
from core.words import are, plural

Step = Literal["train", "label", "measure", "import", "errors", "confidence", "bundle", "use"]
"""Places of the next step. `label` is any image, `measure` only validation and test images."""
SURE = 0.99
"""Confidence from which an error is more likely one of the label. The temperature fits the same images."""
SURE_SHARE = 0.2
"""Least share of the errors that are sure, to look at labels first."""
PAIR_SHARE, PAIR_ERRORS = 0.4, 5
"""Least share and number of the errors in which one character is read as another, to say so."""
WIDE = 0.1
"""Width of the 95% interval above which more measured images are worth more than a better network."""
GOOD = 0.8
"""Share of right images from which its interval is looked at."""
ENOUGH = 0.98
"""Share of right images from which a reader can be handed out. Its threshold holds back the other readings."""
MEASURED = 50
"""Images that measure a good run: without an error, at least 92.9% are right."""
LEAST_LABELS, MOST_LABELS = 50, 500
"""Bounds of the labels to add. Most people type 500 in a quarter of an hour."""


@dataclass(frozen=True)
class Conclusion:
    """The next step with a run."""

    step: Step
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts about a run and its readings of a split."""

    split: str
    reference: Reference
    correct: int
    n: int
    sure_errors: int = 0
    """Errors in which the run is surer than SURE."""
    pair: tuple[str, str, int] = ("", "", 0)
    """The most frequent confusion: character of the label, character read, images with it."""
    typed: int
    """Training labels of people. Others cost them nothing, so they do not say how many more they can type."""
    unlabeled: int
    """Unlabeled images of any split."""
    unlabeled_measured: int
    """Unlabeled images of validation and test."""
    skipped: int = 0
    """Skipped images of any split. Nobody labels them next."""
    skipped_measured: int = 0
    """Skipped images of validation and test."""
    underfitted: bool = False
    """True if the network has not learned its own training images either."""
    worry: str = ""
    """Diagnosis of the training, if it is worrying."""
    has_threshold: bool = False
    bundle: str = ""
    """Newest bundle of the run, if it has the present checkpoint, views and threshold."""


def conclude(facts: Facts) -> Conclusion:
    """Return the next step. What single errors say is only looked at on val, because test must decide nothing."""
    wrong = facts.n - facts.correct
    value, interval = share_and_interval(facts.correct, facts.n)
    low, high = interval95(facts.correct, facts.n)
    if facts.reference == "readers":
        return Conclusion(
            "measure", "Label validation images: only labels of people measure how many readings are right."
        )
    if facts.worry and facts.split == "val":
        return Conclusion("train", facts.worry)
    if facts.correct < GOOD * facts.n:
        return _improve(facts, value)
    if high - low > WIDE and not facts.has_threshold:  # the portal may have judged more readings than people
        more = max(MEASURED - facts.n, facts.n)
        few = f"{plural(facts.n, 'image')} {are(facts.n)} few"
        return _measure(facts, f"{few}: the true share may be {interval}.", 2 * more)
    if facts.split == "val" and wrong and (errors := _errors(facts, wrong)):
        return errors
    if facts.correct < ENOUGH * facts.n:
        return _label(facts, f"{plural(wrong, 'error')} left.")
    return _hand_out(facts)


def _errors(facts: Facts, wrong: int) -> Conclusion | None:
    """Return what the errors have in common, if they have."""
    if facts.sure_errors >= max(1.0, SURE_SHARE * wrong):
        return Conclusion(
            "errors",
            f"Check labels first: in {facts.sure_errors:,} of {plural(wrong, 'error')}, the run is surer than "
            f"{percent(SURE, 0)} of another text.",
        )
    label, read, count = facts.pair
    if count >= max(PAIR_ERRORS, PAIR_SHARE * wrong):
        return Conclusion(
            "errors",
            f"Look at {label} read as {read}: it is in {count:,} of {plural(wrong, 'error')}. Label more images "
            "with both characters.",
        )
    return None


def _improve(facts: Facts, value: str) -> Conclusion:
    if facts.underfitted:
        return Conclusion(
            "train", f"Train longer: {value} is little, and the run has not learned its own training images yet."
        )
    return _label(facts, f"The run knows its own training images, and reads {value} of the others.")


def _label(facts: Facts, reason: str) -> Conclusion:
    """Say how many labels to add before another run: as many as people gave, and at most a few hours' work."""
    more = min(max(facts.typed, LEAST_LABELS), MOST_LABELS)
    left = facts.unlabeled
    if not left:
        all_done = _all_done("images", facts.skipped)
        return Conclusion("import", f"{reason} {all_done}: import about {more:,} more, and label them.")
    if left < more:
        rest = f"{left:,} unlabeled images" if left > 1 else "unlabeled image"
        return Conclusion("label", f"{reason} Label the {rest}, and import about {more - left:,} more.")
    return Conclusion("label", f"{reason} Label about {more:,} more images.")


def _measure(facts: Facts, reason: str, more: int) -> Conclusion:
    """Say how many labels of validation and test images to add, or how many images that takes."""
    left = facts.unlabeled_measured
    images = round(max(more - left, 0) * sum(SHARES.values()) / (SHARES["val"] + SHARES["test"]))
    if not left:
        all_done = _all_done("those images", facts.skipped_measured)
        return Conclusion("import", f"{reason} {all_done}: import about {images:,} more.")
    if left < more:
        rest = f"{left:,} unlabeled validation and test images" if left > 1 else "unlabeled validation or test image"
        return Conclusion("measure", f"{reason} Label the {rest}, and import about {images:,} more.")
    return Conclusion("measure", f"{reason} Label about {more:,} validation and test images.")


def _all_done(images: str, skipped: int) -> str:
    """Say that no image is left to label, without the end of the sentence."""
    return f"All {images} are labeled" + (f", except {skipped:,} that {are(skipped)} skipped" if skipped else "")


def _hand_out(facts: Facts) -> Conclusion:
    if not facts.has_threshold:
        return Conclusion("confidence", "Good enough to hand out. Choose how sure a reading must be to be accepted.")
    if not facts.bundle:
        return Conclusion("bundle", "Good enough to hand out, with its threshold. Make a bundle of it.")
    return Conclusion("use", f"{facts.bundle} reads as this run does. Use it, and bring the portal's verdicts back.")


def sure_errors(reading: Reading) -> int:
    """Return in how many wrong readings the fitted confidence is above SURE."""
    return int((~reading.right_N & (reading.fitted_N > SURE)).sum())


def most_confused(reading: Reading, spec: TextSpec) -> tuple[str, str, int]:
    """Return the most frequent confusion: character of the label, character read, and images with it."""
    wrong_NP = ~reading.right_NP
    images_N = np.broadcast_to(np.arange(len(wrong_NP))[:, None], wrong_NP.shape)[wrong_NP]
    classes = spec.num_classes
    pairs = reading.targets_NP[wrong_NP] * classes + reading.predicted_NP[wrong_NP]
    unique = np.unique(np.stack([images_N, pairs]), axis=1)[1]  # an image counts once
    if not len(unique):
        return "", "", 0
    values, counts = np.unique(unique, return_counts=True)
    label, read = divmod(int(values[counts.argmax()]), classes)
    return spec.charset[label], spec.charset[read], int(counts.max())
