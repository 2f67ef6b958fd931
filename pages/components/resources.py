"""Read what several pages need of a run, once: the only st.cache_* wrappers."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from sqlite_utils import Database

from core.evaluation.predictions import Predictions
from core.home import Home
from core.images.frame import Frame, choose_frame
from core.images.pixels import decode
from core.jobs import control
from core.model.config import PRESETS
from core.runs.evaluated import predictions_path
from core.training import snapshot
from db.connection import opened
from db.records import Project, Run
from db.runs import list_runs
from db.samples import image_bytes, select_samples

if TYPE_CHECKING:
    from core.model.predictor import Predictor


def find_predictions(db: Database, home: Home, run: Run, split: str) -> Predictions | None:
    """Return what core.runs.evaluated.predictions_path finds, loaded once; None if the run was not evaluated."""
    path = predictions_path(db, home, run, split)
    return _predictions(str(path), path.stat().st_mtime) if path else None


# Nobody changes them, and a copy would hold all of the file. Two at once, for a comparison: each is up to 300 MB of
# memory for 100,000 images under nine views, and comes back within a second.
@st.cache_resource(max_entries=2, show_spinner=False)
def _predictions(path: str, changed: float) -> Predictions:  # noqa: ARG001 - part of the key
    return Predictions.load(Path(path))


def training_strings(home: Home, run: Run) -> frozenset[str]:
    """Return the label strings that a run was trained on; the images in its snapshot are not read."""
    return _training_strings(str(home.run(run.job.id) / "dataset.npz"))


# Not a copy for each session: of 800,000 images they are 60 MB. A run's snapshot never changes.
@st.cache_resource(max_entries=4, show_spinner=False)
def _training_strings(path: str) -> frozenset[str]:
    return snapshot.training_strings(Path(path))


def predictor(home: Home, run: Run) -> "Predictor":
    """Return the best weights of a run, loaded once until the run writes better ones."""
    return _predictor(str(home.run(run.job.id)), control.weights_at(home, run.job.id))


@st.cache_resource(max_entries=2, show_spinner="Loading the model")
def _predictor(run_dir: str, changed: float) -> "Predictor":  # noqa: ARG001 - part of the key
    from core.model.predictor import Predictor  # torch: 3 s and 500 MB, for those pages only that read images

    # The processor: a training run may need all of the GPU's memory.
    return Predictor.load(Path(run_dir), device="cpu")


def run_frame(home: Home, run: Run) -> Frame | None:
    """Return crop and size of what the model of this run sees; None before it has chosen them."""
    choices = control.spec(home, run.job.id).get("choices", {})
    return Frame(tuple(choices["box"]), tuple(choices["image_size"])) if "image_size" in choices else None


def training_frame(home: Home, db: Database, project: Project) -> tuple[Frame, str]:
    """Return crop and size of what a model of this project sees, and where that is known from."""
    for run in list_runs(db, project.id):
        if frame := run_frame(home, run):
            return frame, f"as run {run.job.id} saw it"
    return _chosen_frame(str(home.db), project.id, project.length), "as a run would choose it now"


@st.cache_data(ttl="10m", max_entries=8, show_spinner=False)
def _chosen_frame(db_path: str, project_id: int, positions: int) -> Frame:
    with opened(Path(db_path)) as db:
        samples = select_samples(db, project_id, split="train", limit=200)
        images = [decode(data) for data in image_bytes(db, [sample.id for sample in samples]).values()]
    return choose_frame(images, positions, size=None, crop=True, stride=PRESETS["fast"].stride)[0]
