"""A project with a finished run, and readings of it as a test wants them."""

import shutil
from pathlib import Path

import numpy as np
from scipy.special import log_softmax

from core.charset import spec_of
from core.data.importing import import_images, open_project, open_source
from core.evaluation.predictions import Predictions
from core.home import Home
from core.images import renderer
from core.jobs import control
from core.model.config import preset, with_options
from core.runs.start import start_training
from db.connection import opened
from db.records import Project

RUN = "0001-fast"


def train_once(root: Path) -> None:
    """Make a project of rendered images and a run of two steps on it, by the real worker."""
    home = Home(root).create()
    folder = root / "images"
    folder.mkdir()
    for name, _, data in renderer.samples(60, seed=0, length=3, charset="0123"):
        (folder / name).write_bytes(data)
    with opened(home.db, create=True) as db:
        project = open_project(db, "portal", 3, "0123")
        source = open_source(db, project, "rendered", "the team", "ticket 1")
        import_images(db, project, source, folder, "filename", operator="import", on_progress=lambda *_: None)
        settings = {"max_steps": "2", "batch_size": "8", "image_size": "32x96", "pretrained": "none", "device": "cpu"}
        config = with_options(preset("fast"), settings)
        run = start_training(db, home, project, config, preset="fast", operator="the team")
        done = control.follow(db, home, run.job.id, lambda _: None)
    assert done.state == "finished", done.reason
    shutil.rmtree(folder)


def stored(home: Home, split: str = "val") -> Predictions:
    return Predictions.load(home.run(RUN) / f"predictions-{split}.npz")


def write_run(home: Home, project: Project, split: str, wrong: int, n: int = 600) -> Predictions:
    """Readings of a run of which only the `wrong` least sure are wrong, as it would have left them."""
    found, spec = stored(home), spec_of(project)
    targets_NP = found.reading(spec, tta=False).targets_NP
    rng = np.random.default_rng(0)
    sure_N, chosen = rng.uniform(4, 9, n), rng.integers(0, len(targets_NP), n)
    logits_NPC = np.zeros((n, spec.length, spec.num_classes), dtype=np.float32)
    np.put_along_axis(logits_NPC, targets_NP[chosen][:, :, None], sure_N[:, None, None].astype(np.float32), axis=2)
    for place in np.argsort(sure_N)[:wrong]:
        logits_NPC[place, 0] = np.roll(logits_NPC[place, 0], 1)
    made = Predictions(
        sha256=[found.sha256[place] for place in chosen],
        labels=[found.labels[place] for place in chosen],
        views=found.views[:1],
        log_probs_VNPC=log_softmax(logits_NPC, axis=2)[None],
        step=found.step,
    )
    made.save(home.run(RUN) / f"predictions-{split}.npz")
    return made
