"""Cells of CCT-XS of fast-plate-ocr (MIT), trained by its own command for as long as our network was.

It has an environment of its own, because its packages contradict ours. SLOTLAB_BENCH_PLATES names the folder; INSTALL
makes it. The tool counts epochs, not minutes. So two epochs are timed first, the first of which compiles. Then the
cell has as many epochs as fit into the seconds of our cell with the same images.

Images are cropped and sized as for our network, so both see the same pixels. Recipe, batch, augmentation, schedule,
averaging and the choice of the epoch are the tool's. It never stops early, because its minutes are given. The tool
cannot resume, so an interrupted cell starts over.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench.accuracy.accuracy import LABELED
from bench.accuracy.cell import Cell
from bench.accuracy.data import FOLDS
from bench.cells import RESULTS
from bench.peers.search import PEER, Peer, counterparts, search_cells
from core.model.config import TrainConfig

VARIABLE = "SLOTLAB_BENCH_PLATES"
PACKAGES = (
    'fast-plate-ocr==1.1.0 "keras<4" torch onnx onnxscript onnxruntime onnxslim albumentations click pandas '
    '"pydantic<3" annotated-types scikit-learn tensorboard matplotlib rich tqdm'
)
INSTALL = f"python -m venv DIR; DIR/bin/pip install {PACKAGES}; export {VARIABLE}=DIR"
OURS = RESULTS / "accuracy"
"""Folder of the results that give the minutes."""
WORKER = "bench.peers.plates_worker"
RATES = ("0.0005", "0.001", "0.002")
"""Peak learning rates of the search. The tool's default is 0.001."""


def tool() -> Path | None:
    """Return the Python of the other environment, or None if there is none."""
    folder = os.environ.get(VARIABLE)
    python = Path(folder).absolute() / "bin" / "python" if folder else None
    return python if python is not None and python.exists() else None


@dataclass(frozen=True, kw_only=True)
class Plates(Cell):
    """A training of CCT-XS with the options seed and lr."""

    worker: str = WORKER
    beside: str
    """Our cell from scratch with the same images. It gives the minutes. Empty if the options give them."""

    def needed(self) -> str:
        return ", ".join(filter(None, (super().needed(), f"fast-plate-ocr in {VARIABLE}")))

    def missing(self, data: Path | None) -> str | None:
        if (reason := super().missing(data)) is not None:
            return reason
        if tool() is None:
            return f"there is no fast-plate-ocr: {INSTALL}"
        if self.beside and not (OURS / f"{self.beside}.json").exists():
            return f"its minutes are those of the cell {self.beside} of bench.accuracy, which has no result"
        return None

    def config(self) -> TrainConfig:
        """Return the settings that the tool gets: lr, seed and max_minutes. The others are those of our network."""
        if not self.beside:
            return super().config()
        ours = json.loads((OURS / f"{self.beside}.json").read_text(encoding="utf-8"))
        return replace(super().config(), max_minutes=round(ours["seconds"] / 60, 2))


@dataclass(frozen=True, kw_only=True)
class Searched(Plates, Peer):
    """A training with the best learning rate of the search."""


RATE_CELLS = {f"plates-rate-{rate}": rate for rate in RATES}


def _searched(images: str, name: str, suffix: str, what: str, options: Mapping[str, str]) -> Searched:
    cell = f"plates-{name}-{suffix}"
    return Searched(
        name=cell,
        what=what,
        group="peers",
        images=images,
        options=PEER | dict(options),
        beside=counterparts(cell)[0],
        rates=RATE_CELLS,
    )


CELLS: tuple[Cell, ...] = (
    *search_cells(Plates, "hard4000", RATE_CELLS, beside="hard4000-fast-seed0"),
    *(
        _searched(f"{name}-{count}-draw0", f"{name}-{count}", "seed0", f"{what}, {count:,} labels", {"seed": "0"})
        for name, what in LABELED
        if name in ("digits4", "hard4000")
        for count in (200, 1000)
    ),
    *(_searched(name, name, "seed0", f"{what}, all labels", {"seed": "0"}) for name, what in LABELED[:3]),
    *(
        _searched(f"portal6-fold{fold}", "portal6", f"fold{fold}", "real, 6 digits, all labels", {})
        for fold in range(FOLDS)
    ),
)

QUICK = Plates(
    name="quick-plates",
    what="rendered; shows no more than that the bench works",
    group="peers",
    images="quick",
    options=PEER | {"seed": "0", "lr": "0.001", "max_minutes": "0.05"},
    beside="",
)
