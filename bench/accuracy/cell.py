"""Cells that read images, mostly with a trained run. Does not import torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.accuracy.data import SETS, Frozen, ImageSet
from bench.accuracy.kinds import photo_folder
from bench.cells import BenchCell
from core.jobs.runner import device_of
from core.model.config import TrainConfig, preset, with_options
from core.readers.readers import available

NEEDS = {
    "gpu": "a GPU",
    "patience": "a night on a CPU",
    "readers": "make readers",
    "whisperer": "pip install captcha-whisperer==0.1.0",
    "photos": "pip install --no-deps scikit-image==0.26.0",
}


@dataclass(frozen=True, kw_only=True)
class Cell(BenchCell):
    """Readings of an image set, mostly by a trained run."""

    images: str
    """Name of the image set."""
    preset: str | None = "fast"
    """None if nothing is trained."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Changes to the preset, as for --set."""
    readers: tuple[str, ...] = ()
    """Readers that read val and test, if nothing is trained."""
    needs: tuple[str, ...] = ()
    """Keys of NEEDS."""
    worker: str = "core.runs.worker"
    """Module of the process that trains."""
    variant: str = ""
    """A change that no option makes, of bench.accuracy.ablated."""

    @property
    def image_set(self) -> ImageSet:
        return SETS[self.images]

    def config(self) -> TrainConfig:
        assert self.preset is not None
        # The default initial weights may change. Cells that measure them set `init`.
        return with_options(preset(self.preset), {"init": "scratch", **self.options})

    def needed(self) -> str:
        folders = [f"--data with {folder}/" for folder in self.image_set.folders]
        return ", ".join([*folders, *(NEEDS[need] for need in self.needs)])

    def changed(self, result: Mapping[str, Any]) -> bool:
        if self.preset is None:
            return False
        config, warm = self.config(), result.get("choices", {}).get("init", "scratch") != "scratch"
        # Options that are missing in old results had their default value, or that of `from_dict`.
        before, now = (
            replace(each, column_loss=each.planned_column_loss(self.image_set.length, starts_warm=warm))
            for each in (TrainConfig.from_dict(result["config"]), config)
        )
        if before != now:
            return True
        if config.max_minutes is not None:  # the machine decides how many steps that is
            return False
        planned, _ = config.planned_steps(result["data"]["n"]["train"], starts_warm=warm)
        return bool(result["steps"] != planned)

    def missing(self, data: Path | None) -> str | None:
        for folder in self.image_set.folders:
            if data is None or not (data / folder).is_dir():
                return f"there is no --data folder with {folder}/"
        if "gpu" in self.needs and device_of("auto") != "gpu":
            return "needs a GPU"
        if "readers" in self.needs and not all(available().values()):
            return f"the readers are not installed: {NEEDS['readers']}"
        if "photos" in self.needs and photo_folder() is None:
            return NEEDS["photos"]
        if "whisperer" in self.needs and find_spec("captcha_whisperer") is None:
            return NEEDS["whisperer"]
        if (self.preset is not None or self.readers) and find_spec("torch") is None:
            return "torch is not installed here"
        return None


def described(cell: Cell, frozen: Frozen) -> dict[str, Any]:
    """Return the part of a result that is known before running."""
    return {
        "cell": cell.name,
        "what": cell.what,
        "data": {"name": cell.images, "hash": frozen.hash, "n": frozen.counts},
    }
