"""Changes in a stream of images: a rule with a stated rate of false alarms.

Each score of an image is ranked among the scores before it: those of the run's validation images, and those earlier in
the stream. While nothing changes, every rank is equally likely, whatever the scores are and however few came before. So
the ranks give independent normal numbers, and a sum of them that only a change makes high. A limit for normal numbers
then holds for heavy tails, ties and a baseline of few images.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scores = Mapping[str, Floats]
"""Values of the images of a stream N, in order of time, by the name of the score. NaN if an image has none."""
Expected = tuple[tuple[float, float], tuple[float, float]]
"""Mean and standard deviation of the distance, then of the surprise, of images as usual."""

CHARTS = (
    ("unfamiliar", 1), ("distance", 1), ("distance", -1), ("surprise", 1), ("surprise", -1), ("confidence", -1),
    ("rejected", 1),
)  # fmt: skip
"""Scores, each with 1 to notice higher values and -1 to notice lower ones. The first of two that notice counts."""
NAMES = tuple(dict.fromkeys(name for name, _ in CHARTS))
FALSE_ALARM = 1 / 50_000
"""False alarms per image of a stream."""
ALLOWANCE = 0.5
"""Change of the mean, in standard deviations, that is not drift. Changes of 0.75 are noticed within 50 images."""
ENOUGH = 50
"""Known images with which a change at the very start of a stream is noticed. Ranks among ten images say little."""
BLOCK = 1000
"""Images that are ranked together. More take more memory, fewer more time."""
NEAREST = 1e-9
"""Distance of a rank from 0 and 1, where normal numbers are infinite."""


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """A change that was noticed."""

    score: str
    """The score that gave the alarm, one of NAMES."""
    rises: bool
    onset: int
    """Place in the stream of the first image of the change, as far as the scores tell."""
    noticed: int
    """Place of the image that gave the alarm."""
    rank: float
    """Median rank of the images between, among those before them: 0 is lowest, 1 is highest."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A stream that was looked at."""

    heights_N: Floats
    """The highest chart at each image, as a share of its limit."""
    alarm: Alarm | None


def limit(images: float) -> float:
    """Return the height that a chart of normal numbers exceeds once in this many images, on average.

    Siegmund's approximation of the run length of a cumulative sum.
    """
    height = 1.0
    for _ in range(50):
        height = math.log(2 * ALLOWANCE**2 * images + 2 * ALLOWANCE * height + 1) / (2 * ALLOWANCE)
    return height - 1.166


LIMIT = limit(len(CHARTS) / FALSE_ALARM)


def look(scores: Scores, before: Scores) -> Found:
    """Look for the first change in a stream. `before` has scores of images that are as usual, perhaps none."""
    lengths = {len(scores_N) for scores_N in scores.values()}
    heights_N, first = np.zeros(max(lengths, default=0)), None
    for name in NAMES:
        if name not in scores:
            continue
        places_V = np.flatnonzero(~np.isnan(scores[name]))
        ranks_V = ranks(scores[name][places_V], _known(before, name))
        normal_V = _normal(ranks_V)
        for sign in (sign for each, sign in CHARTS if each == name):
            heights_V = chart(sign * normal_V)
            # A place without a score keeps the height before it.
            known_N = np.searchsorted(places_V, np.arange(len(heights_N)), side="right")
            heights_N = np.maximum(heights_N, np.concatenate([[0.0], heights_V])[known_N])
            above_V = np.flatnonzero(heights_V > LIMIT)
            if len(above_V) and (first is None or places_V[above_V[0]] < first.noticed):
                first = _alarm(name, sign, (sign * normal_V)[: above_V[0] + 1], ranks_V, places_V)
    return Found(heights_N=heights_N / LIMIT, alarm=first)


def filled(before: Scores, expected: Expected | None) -> Scores:
    """Return the scores of known images, and of imagined ones as far as there are fewer than ENOUGH.

    These have normal looks as expected (core.bundle.reader.Familiar.expected), and are not unfamiliar. A bundle of few
    labels knows more about looks than its few validation images show.
    """
    from scipy.special import ndtri  # slow to import

    missing = ENOUGH - len(before["distance"])
    if missing <= 0 or expected is None:
        return before
    normal_M = ndtri((np.arange(missing) + 0.5) / missing)
    (distance, width), (surprise, spread) = expected
    imagined = {
        "distance": distance + width * normal_M,
        "surprise": surprise + spread * normal_M,
        "unfamiliar": np.zeros(missing),
    }
    return {name: np.concatenate([before[name], imagined.get(name, np.zeros(0))]) for name in before}


def usual_after(scores: Scores, before: Scores) -> dict[str, Floats]:
    """Return what is as usual once someone has dismissed the alarm of a stream: the images since the change.

    Without an alarm it is all images.
    """
    alarm = look(scores, before).alarm
    if alarm:
        return {name: scores_N[alarm.onset :] for name, scores_N in scores.items()}
    return {name: np.concatenate([_known(before, name), scores_N]) for name, scores_N in scores.items()}


def _known(scores: Scores, name: str) -> Floats:
    found_N = scores.get(name, np.zeros(0))
    return found_N[~np.isnan(found_N)]


def ranks(scores_N: Floats, before_M: Floats) -> Floats:
    """Return the rank of each score among those before it, between 0 and 1. Equal scores share theirs by lot."""
    lots_N = np.random.default_rng(0).random(len(scores_N))  # the same for the same stream
    past_M, parts = np.sort(before_M), [np.zeros(0)]
    for start in range(0, len(scores_N), BLOCK):
        block_B = scores_N[start : start + BLOCK]
        count = len(block_B)
        is_earlier_BB = np.tri(count, k=-1, dtype=bool)
        lower_B = np.searchsorted(past_M, block_B, "left")
        equal_B = np.searchsorted(past_M, block_B, "right") - lower_B
        lower_B = lower_B + (is_earlier_BB & (block_B < block_B[:, None])).sum(axis=1)
        equal_B = equal_B + (is_earlier_BB & (block_B == block_B[:, None])).sum(axis=1)
        places_B = lower_B + lots_N[start : start + count] * (equal_B + 1)
        parts.append(places_B / (len(past_M) + np.arange(count) + 1))
        past_M = np.sort(np.concatenate([past_M, block_B]), kind="stable")
    return np.concatenate(parts)


def _normal(ranks_N: Floats) -> Floats:
    from scipy.special import ndtri  # slow to import

    normal_N: Floats = ndtri(ranks_N.clip(NEAREST, 1 - NEAREST))
    return normal_N


def chart(normal_N: Floats) -> Floats:
    """Return the cumulative sum of normal numbers above ALLOWANCE, which starts again whenever it falls below 0."""
    sums_N = np.cumsum(normal_N - ALLOWANCE)
    heights_N: Floats = sums_N - np.minimum.accumulate(np.minimum(sums_N, 0))
    return heights_N


def _alarm(name: str, sign: int, normal_V: Floats, ranks_V: Floats, places_V: NDArray[np.intp]) -> Alarm:
    """Return the alarm of a chart that ends above its limit. V are the places of the stream that have the score.

    The change is most likely to start where the sum to the end is highest for its number of images.
    """
    count = len(normal_V)
    onset = count - 1 - int(np.argmax(normal_V[::-1].cumsum() / np.sqrt(np.arange(count) + 1)))
    return Alarm(
        score=name,
        rises=sign > 0,
        onset=int(places_V[onset]),
        noticed=int(places_V[count - 1]),
        rank=float(np.median(ranks_V[onset:count])),
    )
