"""A project with a finished run, and readings that a test can specify."""

import shutil
from pathlib import Path

import numpy as np
from scipy.special import log_softmax

from core.charset import spec_of
from core.data.importing import import_images, open_project, open_source
from core.data.proposals import accept_agreed
from core.evaluation.predictions import Predictions
from core.evaluation.views import ViewChoice
from core.home import Home
from core.images import renderer
from core.jobs import control
from core.model.config import preset, with_options
from core.runs.bundles import start_bundle
from core.runs.start import start_training
from db import runs
from db.connection import opened
from db.records import Project
from db.samples import select_samples
from tests.helpers.readings import add_proposals

RUN = "0001-fast"
ON_READINGS = "0001-fast"
"""The run of `train_on_readings_once`."""
SETTINGS = {
    "max_steps": "2", "batch_size": "8", "image_size": "32x96", "pretrained": "none", "device": "cpu",
    "backbone": "test_resnet", "width": "32",  # a folder of 2 MB, which tests copy, instead of 31 MB
}  # fmt: skip


def train_once(root: Path) -> None:
    """Create a project of rendered images and a run of two steps with the real worker."""
    home = Home(root).create()
    folder = root / "images"
    folder.mkdir()
    for name, _, data in renderer.samples(60, seed=0, length=3, charset="0123"):
        (folder / name).write_bytes(data)
    with opened(home.db, create=True) as db:
        project = open_project(db, "portal", 3, "0123")
        source = open_source(db, project, "rendered", "the team", "ticket 1")
        import_images(db, project, source, folder, "filename", operator="import", on_progress=lambda *_: None)
        config = with_options(preset("fast"), SETTINGS)
        run = start_training(db, home, project, config, preset="fast", operator="the team")
        done = control.follow(db, home, run.job.id, lambda _: None)
    assert done.state == "finished", done.reason
    shutil.rmtree(folder)


def bundle_twice(root: Path, trained: Path) -> None:
    """Make two bundles of a trained project's run with the real worker. The second one reads with TTA."""
    home = Home(shutil.copytree(trained, root, dirs_exist_ok=True))
    with opened(home.db) as db:
        run = runs.find_run(db, RUN)
        assert run is not None
        for use in (False, True):
            ViewChoice(use=use).save(home.run(RUN))
            control.finish(db, home, start_bundle(db, home, run, operator="ann").id, lambda _: None)


def train_on_readings_once(root: Path) -> None:
    """Create a project of unlabeled rendered images, accept the readings of train, and train with the real worker.

    The readers agree on all images but the first one of val.
    """
    home = Home(root).create()
    folder = root / "images"
    folder.mkdir()
    texts = {}
    for name, text, data in renderer.samples(60, seed=0, length=3, charset="0123"):
        texts[name] = text
        (folder / name).write_bytes(data)
    with opened(home.db, create=True) as db:
        project = open_project(db, "portal", 3, "0123")
        source = open_source(db, project, "rendered", "the team", "ticket 1")
        import_images(db, project, source, folder, "none", operator="import", on_progress=lambda *_: None)
        readings: dict[int, tuple[str | None, str]] = {
            sample.id: (texts[sample.name], texts[sample.name]) for sample in select_samples(db, project.id)
        }
        first = select_samples(db, project.id, split="val")[0]
        readings[first.id] = (None, texts[first.name])
        add_proposals(db, project, readings)
        accept_agreed(db, project, "the team")
        config = with_options(preset("fast"), SETTINGS)
        run = start_training(db, home, project, config, preset="fast", operator="the team")
        done = control.follow(db, home, run.job.id, lambda _: None)
    assert (done.id, done.state) == (ON_READINGS, "finished"), done.reason
    shutil.rmtree(folder)


def stored(home: Home, split: str = "val") -> Predictions:
    return Predictions.load(home.run(RUN) / f"predictions-{split}.npz")


def write_run(home: Home, project: Project, split: str, wrong: int, n: int = 600) -> Predictions:
    """Write readings of a run in which only the `wrong` least confident are wrong."""
    original, spec = stored(home), spec_of(project)
    targets_NP = original.reading(spec, tta=False).targets_NP
    rng = np.random.default_rng(0)
    lead_N, chosen = rng.uniform(4, 9, n), rng.integers(0, len(targets_NP), n)
    logits_NPC = np.zeros((n, spec.length, spec.num_classes), dtype=np.float32)
    np.put_along_axis(logits_NPC, targets_NP[chosen][:, :, None], lead_N[:, None, None].astype(np.float32), axis=2)
    for place in np.argsort(lead_N)[:wrong]:
        logits_NPC[place, 0] = np.roll(logits_NPC[place, 0], 1)
    predictions = Predictions(
        sha256=[original.sha256[place] for place in chosen],
        labels=[original.labels[place] for place in chosen],
        views=original.views[:1],
        log_probs_VNPC=log_softmax(logits_NPC, axis=2)[None],
        step=original.step,
    )
    predictions.save(home.run(RUN) / f"predictions-{split}.npz")
    return predictions
