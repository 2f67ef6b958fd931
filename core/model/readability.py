"""Whether a trained model can still read what a recipe makes of training images; where it cannot, labels become wrong.

The images are those that the model learned from, so how many it reads says nothing about new ones. What counts is the
difference between an image as it is and its variant.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import TrainingError
from core.images.augment_settings import check_augment
from core.images.frame import WHOLE, Frame
from core.images.pixels import Pixels

if TYPE_CHECKING:
    from core.model.predictor import Predictor

Read = Callable[[Sequence[Pixels]], list[str]]
"""Images as the network sees them, each to its text."""
RECIPE = ""
"""Key of the recipe as a whole, each transform at its share of the images."""
SHOWN = 6
"""Misread variants kept of each, to look at."""
LOSS = 0.10
"""Drop from which a warning is due, as a fraction of the images. On 200 that a demo model has learned, the default
recipe costs 5 in 100; lines alone, on every image, cost 9, each other of its transforms at most 1. At their outermost
settings holes cost 31 and lines 22: strokes are then gone, not varied."""
JUDGE = 0.5
"""Fraction of the plain images that a model must read to be asked at all."""


@dataclass(frozen=True, kw_only=True)
class Misread:
    """A variant that was read wrong though the image as it is was read right."""

    label: str
    text: str
    variant: Pixels


@dataclass(frozen=True, kw_only=True)
class VariantReading:
    """How a model reads the variants that one transform, or the whole recipe, makes of some images."""

    key: str
    n: int
    right: int
    lost: int
    """Images read right as they are and wrong as a variant."""
    gained: int
    """The other way round."""
    misread: list[Misread]

    @property
    def drop(self) -> float:
        """By how much fewer are read right, as a fraction of the images."""
        return (self.lost - self.gained) / self.n

    @property
    def drop95(self) -> tuple[float, float]:
        """Its 95% interval, for pairs: Bonett and Price (2012), Wald's with one pair more on either side."""
        lost, gained = (self.lost + 1) / (self.n + 2), (self.gained + 1) / (self.n + 2)
        middle = lost - gained
        half = 1.959964 * math.sqrt((lost + gained - middle**2) / (self.n + 2))
        return max(-1.0, middle - half), min(1.0, middle + half)

    @property
    def worrying(self) -> bool:
        """The drop is large, and no chance of these images."""
        return self.drop > LOSS and self.drop95[0] > 0


@dataclass(frozen=True, kw_only=True)
class Readability:
    """What a model reads of images as they are, of a recipe's variants, and of each of its transforms' alone."""

    n: int
    right: int
    """Of the images as they are."""
    readings: list[VariantReading]
    """The whole recipe first, then each transform applied to every image."""

    @property
    def can_judge(self) -> bool:
        return self.right >= JUDGE * self.n


def check(
    read: Read,
    images: Sequence[Pixels],
    labels: Sequence[str],
    settings: Mapping[str, Any],
    *,
    seed: int,
    on_progress: Callable[[float], object] = lambda _: None,
) -> Readability:
    """Read framed images plain, under the recipe, and under each of its transforms alone on every image.

    The draws are those of a run with this seed in its first epoch. `on_progress` hears the fraction that is done.
    Raises TrainingError without images, OptionError for settings that cannot be.
    """
    if not images:
        raise TrainingError("There are no labeled training images to read.")
    checked = check_augment(settings)
    asked = {RECIPE: checked} | {key: {key: values | {"p": 1.0}} for key, values in checked.items()}
    plain = read(images)
    right_before = [text == label for text, label in zip(plain, labels, strict=True)]
    readings = []
    for place, (key, alone) in enumerate(asked.items(), 1):
        on_progress(place / (len(asked) + 1))
        variants = list(_variants(images, alone, seed))
        texts = read(variants)
        right = [text == label for text, label in zip(texts, labels, strict=True)]
        pairs = list(zip(right_before, right, strict=True))
        lost = [index for index, pair in enumerate(pairs) if pair == (True, False)]
        misread = [Misread(label=labels[i], text=texts[i], variant=variants[i]) for i in lost[:SHOWN]]
        readings.append(
            VariantReading(
                key=key,
                n=len(images),
                right=sum(right),
                lost=len(lost),
                gained=pairs.count((False, True)),
                misread=misread,
            )
        )
    return Readability(n=len(images), right=sum(right_before), readings=readings)


def _variants(images: Sequence[Pixels], settings: Mapping[str, Any], seed: int) -> Iterator[Pixels]:
    from core.images.augmenter import Augmenter

    augment = Augmenter(settings, seed)
    for index, image in enumerate(images):
        yield augment(image, index)


def reader(predictor: "Predictor") -> Read:
    """The model as a reader of images that have its frame already, without test-time augmentation."""
    framed = copy.copy(predictor)
    framed.frame = Frame(WHOLE, predictor.frame.size)

    def read(images: Sequence[Pixels]) -> list[str]:
        answers_NP = framed.log_probs(images, tta=False)[0].argmax(axis=2)
        return [framed.spec.decode(answer_P.tolist()) for answer_P in answers_NP]

    return read
