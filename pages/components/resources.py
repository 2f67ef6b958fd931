"""Cached data of runs that several pages need. All st.cache_* wrappers are here."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.charset import TextSpec
from core.errors import ImageError
from core.evaluation.predictions import Predictions
from core.home import Home
from core.images.frame import Frame, frame_of
from core.images.pixels import decode
from core.jobs import control
from core.model.config import PRESETS
from core.runs.evaluated import predictions_path
from core.training import snapshot
from db.answers import newest_ids, select_judged
from db.connection import opened
from db.records import Project, Run
from db.runs import list_runs
from db.samples import image_bytes, select_samples
from db.sqlite import Database

if TYPE_CHECKING:
    from core.model.predictor import Prediction, Predictor


def find_predictions(db: Database, home: Home, run: Run, split: str, source: str = "") -> Predictions | None:
    """Return the cached predictions of a run; None if it has not been evaluated on `split`, or on a source."""
    path = predictions_path(db, home, run, split, source)
    return _predictions(str(path), path.stat().st_mtime) if path else None


# A resource, because nothing modifies predictions and a copy would take as much memory again: 300 MB for 100,000 images
# under nine views. Compare needs two at once; reloading takes under a second.
@st.cache_resource(max_entries=2, show_spinner=False)
def _predictions(path: str, changed: float) -> Predictions:  # noqa: ARG001 - part of the key
    return Predictions.load(Path(path))


def judged(home: Home, db: Database, project_id: int, readers: Sequence[str]) -> list[tuple[float, bool]]:
    """Return what the portal judged of these readers, cached until an answer or a verdict comes."""
    return _judged(db, str(home.db), project_id, tuple(readers), newest_ids(db))


# A resource, because nothing modifies it. The query takes 0.7 s for 100,000 answers and verdicts.
@st.cache_resource(max_entries=4, show_spinner=False)
def _judged(
    _db: Database, path: str, project_id: int, readers: tuple[str, ...], newest: tuple[int, int]  # noqa: ARG001 - keys
) -> list[tuple[float, bool]]:  # fmt: skip
    return select_judged(_db, project_id, readers)


def training_strings(home: Home, run: Run) -> frozenset[str]:
    """Return the label texts that a run was trained on, without reading the images of its snapshot."""
    return _training_strings(str(home.run(run.job.id) / "dataset.npz"))


# A resource, because a copy per session would take 60 MB for 800,000 images. A run's snapshot never changes.
@st.cache_resource(max_entries=4, show_spinner=False)
def _training_strings(path: str) -> frozenset[str]:
    return snapshot.training_strings(Path(path))


def predictor(home: Home, run: Run) -> "Predictor":
    """Return a predictor with a run's selected checkpoint, cached until the run selects another one."""
    return _predictor(str(home.run(run.job.id)), control.weights_at(home, run.job.id))


@st.cache_resource(max_entries=2, show_spinner="Loading the model")
def _predictor(run_dir: str, changed: float) -> "Predictor":  # noqa: ARG001 - part of the key
    from core.model.predictor import Predictor  # imports torch (3 s, 500 MB), so only on pages that read images

    # CPU, because a training run may need all of the GPU memory.
    return Predictor.load(Path(run_dir), device="cpu")


def builtin_predictor(home: Home, project: Project) -> "Predictor":
    """Return the built-in reader for a project's length, charset and images."""
    return _builtin_predictor(
        TextSpec(project.length, project.charset), _chosen_frame(str(home.db), project.id, project.length)
    )


@st.cache_resource(max_entries=4, show_spinner="Loading the model")
def _builtin_predictor(spec: TextSpec, frame: Frame) -> "Predictor":
    from core.model.builtin import Builtin  # imports torch

    return Builtin().predictor(spec, frame)


@st.cache_resource(max_entries=4, show_spinner=False)
def readings(reader: str) -> "dict[str, Prediction | str]":  # noqa: ARG001 - the key
    """Return the readings of a reader by pixel hash, or the sentence why an image has none. Predict adds to them.

    A reading takes about 1 kB. Selecting a row of a table must not read all of its images again.
    """
    return {}


def run_frame(home: Home, run: Run) -> Frame | None:
    """Return crop and size of the run's input; None before the run has chosen them."""
    choices = control.spec(home, run.job.id).get("choices", {})
    return Frame.from_dict(choices) if "image_size" in choices else None


def training_frame(home: Home, db: Database, project: Project) -> tuple[Frame, str]:
    """Return crop and size of the input of this project's models, and their source as a phrase."""
    for run in list_runs(db, project.id):
        if frame := run_frame(home, run):
            return frame, f"as in run {run.job.id}"
    return _chosen_frame(str(home.db), project.id, project.length), "as a new run would choose"


@st.cache_data(ttl="10m", max_entries=8, show_spinner=False)
def _chosen_frame(db_path: str, project_id: int, positions: int) -> Frame:
    with opened(Path(db_path)) as db:
        samples = select_samples(db, project_id, split="train", limit=200)
        stored = image_bytes(db, [sample.id for sample in samples])
    images = []
    for data in stored.values():
        with suppress(ImageError):  # damaged since the import
            images.append(decode(data))
    return frame_of(images, positions, PRESETS["fast"].stride)
