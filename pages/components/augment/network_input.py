"""The network's input: crop, size, and whether color is normalized away."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.home import Home
from core.images.frame import Frame
from core.images.ink import ink_pixels
from core.images.pixels import Pixels, decode
from core.jobs import control
from core.model.config import PRESETS, TrainConfig
from db.records import Project, Sample
from db.runs import list_runs
from db.samples import image_bytes
from db.sqlite import Database
from pages.components.resources import training_frame


@dataclass(frozen=True, kw_only=True)
class Network:
    """Preprocessing of a project's newest run, or of a run with preset fast if there are no runs."""

    frame: Frame
    origin: str
    """Source of the frame, as a phrase that follows a comma."""
    ink: bool

    def normalized(self, framed: Pixels) -> Pixels:
        """Return a framed image as the backbone gets it, before the common shift and scale of all values."""
        return ink_pixels(framed) if self.ink else framed

    def pair(self, framed: Pixels) -> Pixels:
        """Return the image as H x W x 4. The backbone's input is below it, after a transparent gap, if it differs."""
        opaque, height = np.full((*framed.shape[:2], 1), 255, dtype=np.uint8), len(framed)
        drawn_HW4 = np.concatenate([framed, opaque], axis=2)
        if not self.ink:
            return drawn_HW4
        gap_HW4 = np.zeros_like(drawn_HW4[: max(1, height // 16)])
        return np.concatenate([drawn_HW4, gap_HW4, np.concatenate([self.normalized(framed), opaque], axis=2)])

    @property
    def in_words(self) -> str:
        """Sentences about the handling of color."""
        if self.ink:
            text = (
                "Below each image is the network's input: each pixel's distance from the border color. This removes "
                "background and polarity."
            )
        else:
            text = "The network gets these colors, normalized."
        if self.ink != PRESETS["fast"].ink:
            text += f" A new run with preset fast has the option ink {'on' if PRESETS['fast'].ink else 'off'}."
        return text


def network(home: Home, db: Database, project: Project) -> Network:
    """Return the input of the newest run that has chosen its preprocessing."""
    frame, origin = training_frame(home, db, project)
    specs = (control.spec(home, run.job.id) for run in list_runs(db, project.id))
    config: dict[str, Any] = next((spec["config"] for spec in specs if "image_size" in spec.get("choices", {})), {})
    return Network(frame=frame, origin=origin, ink=bool(config.get("ink", TrainConfig().ink)))


def framed_images(db: Database, frame: Frame, samples: list[Sample]) -> list[Pixels]:
    """Return the images of these samples in order, cropped and resized."""
    images = image_bytes(db, [sample.id for sample in samples])
    return [frame.apply(decode(images[sample.id])) for sample in samples]
