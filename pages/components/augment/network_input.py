"""What the network gets of a project's images: crop, size, and whether color is normalized away."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlite_utils import Database

from core.home import Home
from core.images.frame import Frame
from core.images.ink import ink_pixels
from core.images.pixels import Pixels, decode
from core.jobs import control
from core.model.config import PRESETS, TrainConfig
from db.records import Project, Sample
from db.runs import list_runs
from db.samples import image_bytes
from pages.components.resources import training_frame


@dataclass(frozen=True, kw_only=True)
class Network:
    """How the newest run of a project sees, or where there is none, how a run with preset fast would."""

    frame: Frame
    origin: str
    """Where that is known from, to be read after a comma."""
    ink: bool

    def normalized(self, framed: Pixels) -> Pixels:
        """A framed image as it enters the backbone, but for a shift and scale of all its values."""
        return ink_pixels(framed) if self.ink else framed

    def pair(self, framed: Pixels) -> Pixels:
        """The image above what the backbone gets of it, where that differs, with a transparent gap: as H x W x 4."""
        opaque, height = np.full((*framed.shape[:2], 1), 255, dtype=np.uint8), len(framed)
        drawn_HW4 = np.concatenate([framed, opaque], axis=2)
        if not self.ink:
            return drawn_HW4
        gap_HW4 = np.zeros_like(drawn_HW4[: max(1, height // 16)])
        return np.concatenate([drawn_HW4, gap_HW4, np.concatenate([self.normalized(framed), opaque], axis=2)])

    @property
    def in_words(self) -> str:
        """What becomes of color."""
        if self.ink:
            text = (
                "Below each: what the network gets of it, the distance of each pixel from the border's color, so that "
                "background and polarity are gone."
            )
        else:
            text = "The network gets these colors as they are; only their values are shifted and scaled."
        if self.ink != PRESETS["fast"].ink:
            text += f" A new run with preset fast has ink {'on' if PRESETS['fast'].ink else 'off'} instead."
        return text


def network(home: Home, db: Database, project: Project) -> Network:
    """Of the newest run whose choices are made."""
    frame, origin = training_frame(home, db, project)
    specs = (control.spec(home, run.job.id) for run in list_runs(db, project.id))
    config: dict[str, Any] = next((spec["config"] for spec in specs if "image_size" in spec.get("choices", {})), {})
    return Network(frame=frame, origin=origin, ink=bool(config.get("ink", TrainConfig().ink)))


def framed_images(db: Database, frame: Frame, samples: list[Sample]) -> list[Pixels]:
    """The images of these samples, cropped and resized, in their order."""
    images = image_bytes(db, [sample.id for sample in samples])
    return [frame.apply(decode(images[sample.id])) for sample in samples]
