"""Check that a trained model can still read augmented images. If it cannot, augmentation makes labels wrong.

The model was trained on these images, so its accuracy says nothing about new ones. The check compares each image with
its variant.
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
"""Function from images at the network's input size to their texts."""
RECIPE = ""
"""Key of the whole recipe, each transform with its own probability."""
MAX_EXAMPLES = 6
"""Misread variants returned per reading."""
MAX_DROP = 0.10
"""Larger drops, as a fraction of the images, give a warning. On 200 images of a demo model, the default recipe drops
5%, and its lines alone 9%. At their maximum, holes drop 31% and lines 22%, because they erase strokes."""
MIN_ACCURACY = 0.5
"""Fraction of the plain images that a model must read for the check to mean anything."""


@dataclass(frozen=True, kw_only=True)
class Misread:
    """A variant read wrong whose original image was read right."""

    label: str
    text: str
    variant: Pixels


@dataclass(frozen=True, kw_only=True)
class VariantReading:
    """Result for the variants from one transform or from the whole recipe."""

    key: str
    n: int
    right: int
    lost: int
    """Images read right unchanged and wrong as a variant."""
    gained: int
    """Images read wrong unchanged and right as a variant."""
    misread: list[Misread]

    @property
    def drop(self) -> float:
        """Return the loss in images read right, as a fraction of all."""
        return (self.lost - self.gained) / self.n

    @property
    def drop95(self) -> tuple[float, float]:
        """Return the 95% interval of `drop` for paired data (Bonett and Price 2012, adjusted Wald)."""
        lost, gained = (self.lost + 1) / (self.n + 2), (self.gained + 1) / (self.n + 2)
        middle = lost - gained
        half = 1.959964 * math.sqrt((lost + gained - middle**2) / (self.n + 2))
        return max(-1.0, middle - half), min(1.0, middle + half)

    @property
    def worrying(self) -> bool:
        """Return whether the drop is large and significant."""
        return self.drop > MAX_DROP and self.drop95[0] > 0


@dataclass(frozen=True, kw_only=True)
class Readability:
    """Results for unchanged images, for a whole recipe, and for each of its transforms alone."""

    n: int
    right: int
    """Unchanged images read right."""
    readings: list[VariantReading]
    """The whole recipe first, then each transform, applied to every image."""

    @property
    def can_judge(self) -> bool:
        return self.right >= MIN_ACCURACY * self.n


def check(
    read: Read,
    images: Sequence[Pixels],
    labels: Sequence[str],
    settings: Mapping[str, Any],
    *,
    seed: int,
    on_progress: Callable[[float], object] = lambda _: None,
) -> Readability:
    """Read framed images unchanged, under the recipe, and under each of its transforms alone.

    The random draws are those of the first epoch of a run with this seed. `on_progress` receives the fraction done.
    Raises TrainingError without images, and OptionError for invalid settings.
    """
    if not images:
        raise TrainingError("There are no labeled training images. Label some first.")
    checked = check_augment(settings)
    recipes = {RECIPE: checked} | {key: {key: values | {"p": 1.0}} for key, values in checked.items()}
    plain = read(images)
    right_before = [text == label for text, label in zip(plain, labels, strict=True)]
    readings = []
    for place, (key, alone) in enumerate(recipes.items(), 1):
        on_progress(place / (len(recipes) + 1))
        variants = list(_variants(images, alone, seed))
        texts = read(variants)
        right = [text == label for text, label in zip(texts, labels, strict=True)]
        pairs = list(zip(right_before, right, strict=True))
        lost = [index for index, pair in enumerate(pairs) if pair == (True, False)]
        misread = [Misread(label=labels[i], text=texts[i], variant=variants[i]) for i in lost[:MAX_EXAMPLES]]
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
    """Return a function that reads images already cropped to the frame, without TTA."""
    framed = copy.copy(predictor)
    framed.frame = Frame(WHOLE, predictor.frame.size)

    def read(images: Sequence[Pixels]) -> list[str]:
        readings_NP = framed.log_probs(images, tta=False)[0].argmax(axis=2)
        return [framed.spec.decode(reading_P.tolist()) for reading_P in readings_NP]

    return read
