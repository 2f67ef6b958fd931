"""The built-in reader: the network trained on rendered text, as a reader of any project that it can read."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from core.charset import TextSpec
from core.images.frame import WHOLE, Frame, image_size
from core.images.pixels import Pixels
from core.model.any_length import AnyLength
from core.model.network import Recognizer
from core.model.predictor import Predictor
from core.model.warm_start import load_rendered, rendered_card
from core.readers.builtin import NAME, check_spec, known_part
from core.readers.decoder import Reading

NEVER = -30.0
"""Logit of characters that the network does not know."""


class Builtin:
    """A reader of 1 to 10 digits and Latin letters that no image of a portal has trained."""

    name = NAME

    def __init__(self) -> None:
        self._network = load_rendered()
        self.sha256 = rendered_card()["sha256"]
        self.version = self.sha256[:8]

    def missing(self, spec: TextSpec) -> str:
        """Return the allowed characters that the reader does not know, and so never reads."""
        known = known_part(spec)
        return "".join(char for char in spec.charset if char not in known)

    def predictor(self, spec: TextSpec, frame: Frame) -> Predictor:
        """Return the reader for one length and charset. Raises OptionError if it cannot read them."""
        check_spec(spec)
        model = recognizer(self._network, spec, frame.size)
        return Predictor(
            model, spec, frame, device=torch.device("cpu"), layout=torch.channels_last, step=0, run_dir=None
        )

    def read(self, images: Sequence[Pixels], spec: TextSpec) -> list[Reading]:
        """Return a reading for each image, in order. It depends on no other image."""
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for place, image in enumerate(images):
            groups[image_size(image.shape[1] / image.shape[0], spec.length, self._network.stride)].append(place)
        readings: dict[int, Reading] = {}
        for size, places in groups.items():
            log_probs_VNPC = self.predictor(spec, Frame(WHOLE, size)).log_probs([images[place] for place in places])
            for place, probs_PC in zip(places, np.exp(log_probs_VNPC[0]), strict=True):
                tops_P = probs_PC.max(axis=1).astype(float)
                text = spec.decode(probs_PC.argmax(axis=1))
                readings[place] = Reading(text, float(tops_P.prod()), tuple(tops_P.tolist()))
        return [readings[place] for place in range(len(images))]


def recognizer(network: AnyLength, spec: TextSpec, size: tuple[int, int]) -> Recognizer:
    """Return the network for one length, charset and image size of height x width. It reads no unknown character."""
    config = network.config
    known = known_part(spec)
    state = network.part(spec.length, known, size)
    places = [spec.charset.index(char) for char in known]
    for name, unknown in (("heads.shared.weight", 0.0), ("heads.shared.bias", NEVER)):
        whole = torch.full((spec.num_classes, *state[name].shape[1:]), unknown)
        whole[places] = state[name]
        state[name] = whole
    state["heads.own"] = torch.zeros(spec.length, spec.num_classes, config.width)
    state["heads.own_bias"] = torch.zeros(spec.length, spec.num_classes)
    model = Recognizer(
        positions=spec.length,
        classes=spec.num_classes,
        image_size=size,
        backbone=config.backbone,
        stride=config.stride,
        head="query",
        width=config.width,
        ink=False,
        centers=[0.5] * spec.length,
        sigma=0.5,
    )
    model.load_state_dict(state)
    return model.to(memory_format=torch.channels_last).eval()
