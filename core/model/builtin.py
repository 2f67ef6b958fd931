"""The built-in reader: the network trained on rendered text, as a reader of any project that it can read."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import torch

from core.charset import TextSpec
from core.evaluation.views import WITHOUT_RUN, fingerprint
from core.images.frame import WHOLE, Frame, image_size
from core.images.pixels import Pixels
from core.model.predictor import Predictor
from core.model.warm_start import load_rendered, rendered_card
from core.readers.builtin import NAME, check_spec, known_part, unknown_part
from core.readers.decoder import Reading

HEIGHT = 56
"""Height of the network's input. Runs have 48.

Of 351 validation images of digits4, 342 are right, and 337 at 48 and at 64. Of 400 of the hard style, it is 364, and
348 and 369.
"""


def enlarged(size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the reader's input, where a run would choose `size`."""
    height, width = size
    return HEIGHT, round(width * HEIGHT / height / 16) * 16


def version_of(sha256: str) -> str:
    """Return 8 characters that change with the weights, the height and the views. Stored readings have them."""
    return hashlib.sha256(f"{sha256} {HEIGHT} {fingerprint(WITHOUT_RUN.views)}".encode()).hexdigest()[:8]


class Builtin:
    """A reader of 1 to 10 digits and Latin letters that no image of a portal has trained."""

    name = NAME

    def __init__(self) -> None:
        self._network = load_rendered()
        self.sha256 = rendered_card()["sha256"]
        self.version = version_of(self.sha256)
        self._predictors: dict[tuple[TextSpec, tuple[int, int]], Predictor] = {}

    def missing(self, spec: TextSpec) -> str:
        """Return the allowed characters that the reader does not know, and so never reads."""
        return unknown_part(spec)

    def predictor(self, spec: TextSpec, frame: Frame) -> Predictor:
        """Return the reader for one length and the characters of a charset that it knows, with larger images.

        Raises OptionError if it cannot read them.
        """
        check_spec(spec)
        frame = replace(frame, size=enlarged(frame.size))
        known = TextSpec(spec.length, known_part(spec))
        model = self._network.for_length(known.length, known.charset, frame.size)
        model.to(memory_format=torch.channels_last).eval()
        return Predictor(model, known, frame, device=torch.device("cpu"), layout=torch.channels_last, step=0)

    def read(self, images: Sequence[Pixels], spec: TextSpec) -> list[Reading]:
        """Return a reading for each image, in order. It depends on no other image."""
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for place, image in enumerate(images):
            groups[image_size(image.shape[1] / image.shape[0], spec.length, self._network.stride)].append(place)
        readings: dict[int, Reading] = {}
        for size, places in groups.items():
            if (spec, size) not in self._predictors:  # a job reads many batches of few sizes
                self._predictors[spec, size] = self.predictor(spec, Frame(WHOLE, size))
            predictions = self._predictors[spec, size].predict([images[place] for place in places])
            for place, read in zip(places, predictions, strict=True):
                readings[place] = Reading(read.text, read.confidence, tuple(share for _, share in read.positions))
        return [readings[place] for place in range(len(images))]
