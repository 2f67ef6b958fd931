"""Read images with a trained run."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from core.bundle.reader import Familiar, aggregate, at_temperature, spell
from core.charset import TextSpec
from core.evaluation import familiarity
from core.evaluation.acceptance import Acceptance
from core.evaluation.metrics import Floats
from core.evaluation.temperatures import temperature_of
from core.evaluation.views import ORIGINAL, View, ViewChoice, choice_of, move_image
from core.images.frame import Frame
from core.images.pixels import Pixels
from core.model import checkpoint
from core.model.config import TrainConfig
from core.model.network import Recognizer, ink_normalize, load_model, memory_format, pick_device, read_batch, to_input
from core.model.tta import apply_view


@dataclass(frozen=True, kw_only=True)
class ViewPrediction:
    """Reading of one view of an image."""

    name: str
    text: str
    confidence: float
    """Product over the positions: the probability that all are right if they are independent."""
    positions: list[tuple[str, float]]
    """Character and probability per position."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Reading of an image, over all its views."""

    text: str
    confidence: float
    positions: list[tuple[str, float]]
    views: list[ViewPrediction]
    probs_PC: Floats
    accepted: bool | None
    """True if the confidence reaches the threshold and the image is familiar. None without a threshold for these views.
    """
    unfamiliar: str | None
    """Why the image is unlike those of training. None if it is not, or if the run cannot tell."""


class Predictor:
    """Reader of H x W x 3 RGB images of any size. Create one with `Predictor.load`."""

    def __init__(
        self,
        model: Recognizer,
        spec: TextSpec,
        frame: Frame,
        *,
        device: torch.device,
        layout: torch.memory_format,
        step: int,
        run_dir: Path | None = None,
        threads: int | None = None,
    ) -> None:
        self.model, self.spec, self.frame = model, spec, frame
        self.device, self.layout, self.step = device, layout, step
        self.run_dir = run_dir
        self.threads = threads
        """Threads that were fastest in training. None if nobody measured."""

    @property
    def acceptance(self) -> Acceptance | None:
        """Return the run's current threshold. Raises StorageError if its file is damaged."""
        return Acceptance.load(self.run_dir) if self.run_dir else None

    @cached_property
    def familiar(self) -> Familiar | None:
        """Return what the run's images look like. Raises StorageError if the file is damaged."""
        return familiarity.load(self.run_dir)

    @property
    def choice(self) -> ViewChoice:
        """Return the run's current views. Raises StorageError if their file is damaged."""
        return choice_of(self.run_dir)

    @classmethod
    def load(cls, run_dir: Path, device: str = "auto") -> "Predictor":
        """Load the selected checkpoint of a run, else its newest. The run may still be training.

        Raises CheckpointError if that checkpoint is missing, damaged or of another version; OptionError if its settings
        are. The directory may come from someone else: nothing in it is executed, and nothing is downloaded.
        """
        state = checkpoint.load_for_prediction(Path(run_dir) / "checkpoints")
        checkpoint.check_format(state)
        where = torch.device(pick_device(device))
        with checkpoint.fitting():
            spec, choices, step = TextSpec.from_dict(state), state["choices"], int(state["step"])
            frame, layout = Frame.from_dict(choices), memory_format(choices)
            model = load_model(TrainConfig.from_dict(state["config"]), spec, choices, state["model"])
            threads = int(choices["threads"]) if "threads" in choices else None
        model.to(where).to(memory_format=layout).eval()
        return cls(model, spec, frame, device=where, layout=layout, step=step, run_dir=Path(run_dir), threads=threads)

    def preprocess(self, image: Pixels) -> Pixels:
        """Return the backbone's input for an image, as uint8."""
        framed = self.frame.apply(image)
        if not self.model.ink:
            return framed
        images_B3HW = to_input(framed[None], torch.device("cpu"), torch.contiguous_format)
        ink: Pixels = (ink_normalize(images_B3HW)[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        return ink

    def views(self, *, tta: bool | None = None) -> tuple[View, ...]:
        """Return the views to read: all with TTA, one without. None follows the run's setting."""
        if tta is False:
            return (ORIGINAL,)
        choice = self.choice  # read once, because it may change at any time
        return choice.views if tta or choice.use else (ORIGINAL,)

    def view_images(self, image: Pixels) -> list[Pixels]:
        """Return the image under each view of `views(tta=True)`, at the network's input size, as uint8."""
        framed = self.frame.apply(image)
        return [move_image(framed, view) for view in self.views(tta=True)]

    def log_probs(self, images: Sequence[Pixels], *, tta: bool = False) -> NDArray[np.float32]:
        """Return log-probabilities V x N x P x C. View 0 is the unchanged image."""
        return self.read(images, self.views(tta=tta))[0]

    def read(self, images: Sequence[Pixels], views: Sequence[View]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return log-probabilities V x N x P x C, and seconds per view.

        The time of the first view includes the preparation that all views share.
        """
        out_VNPC = np.empty((len(views), len(images), self.spec.length, self.spec.num_classes), dtype=np.float32)
        seconds_V = np.zeros(len(views))
        with torch.inference_mode():
            size = read_batch(self.device)
            for start in range(0, len(images), size):
                began = time.perf_counter()
                framed_BHW3 = self.frame.stack(images[start : start + size])
                images_B3HW = to_input(framed_BHW3, self.device, self.layout)
                for index, view in enumerate(views):
                    logits_BPC = self.model(apply_view(images_B3HW, view)).float()
                    out_VNPC[index, start : start + len(framed_BHW3)] = logits_BPC.log_softmax(dim=2).cpu().numpy()
                    ended = time.perf_counter()
                    seconds_V[index] += ended - began
                    began = ended
        return out_VNPC, seconds_V

    def use_threads(self) -> None:
        """Let torch use as many threads in this process as the run did, at most the cores of this machine."""
        if self.threads is not None:
            torch.set_num_threads(max(1, min(self.threads, torch.get_num_threads())))

    def rule(self, *, tta: bool | None = None) -> Acceptance | None:
        """Return the run's threshold if it was chosen for these views."""
        return self._rule_for(self.views(tta=tta))

    def _rule_for(self, views: tuple[View, ...]) -> Acceptance | None:
        rule = self.acceptance
        return rule if rule and rule.applies_to(self.step, tta=len(views) > 1, views=views) else None

    def temperature(self, *, tta: bool | None = None) -> float:
        """Return the temperature of confidences: of the threshold for these views, else the one that fits val."""
        views = self.views(tta=tta)
        return self._temperature_for(views, self._rule_for(views))

    def _temperature_for(self, views: tuple[View, ...], rule: Acceptance | None) -> float:
        if rule:
            return rule.temperature
        return temperature_of(self.run_dir, self.step, views) if self.run_dir else 1.0

    def predict(self, images: Sequence[Pixels], *, tta: bool | None = None) -> list[Prediction]:
        """Read images with TTA, without it, or, for None, as set for the run. Confidences are at `temperature`."""
        views = self.views(tta=tta)
        rule = self._rule_for(views)
        temperature = self._temperature_for(views, rule)
        log_probs_VNPC, _ = self.read(images, views)
        log_probs_NPC = at_temperature(aggregate(log_probs_VNPC), temperature)
        probs_NPC = np.exp(log_probs_NPC)
        predictions = []
        for index, image in enumerate(images):
            text, confidence, positions = spell(probs_NPC[index], self.spec.charset)
            unfamiliar = self.familiar.reason(image) if self.familiar else None
            predictions.append(
                Prediction(
                    text=text,
                    confidence=confidence,
                    positions=positions,
                    views=self._alone(views, log_probs_VNPC[:, index], temperature),
                    probs_PC=probs_NPC[index],
                    accepted=None if rule is None else confidence >= rule.threshold and unfamiliar is None,
                    unfamiliar=unfamiliar,
                )
            )
        return predictions

    def predict_views(self, image: Pixels, *, tta: bool | None = None) -> list[ViewPrediction]:
        """Return the reading of each view of `views(tta=True)`, at the temperature of `predict` with the same `tta`.

        So the first view has the confidence of a prediction without TTA.
        """
        views = self.views(tta=True)
        log_probs_VNPC, _ = self.read([image], views)
        return self._alone(views, log_probs_VNPC[:, 0], self.temperature(tta=tta))

    def _alone(
        self, views: Sequence[View], log_probs_VPC: NDArray[np.float32], temperature: float
    ) -> list[ViewPrediction]:
        """Return the reading of each view alone."""
        probs_VPC = np.exp(at_temperature(log_probs_VPC, temperature))
        found = zip(views, (spell(probs_PC, self.spec.charset) for probs_PC in probs_VPC), strict=True)
        return [
            ViewPrediction(name=view.name, text=text, confidence=confidence, positions=positions)
            for view, (text, confidence, positions) in found
        ]
