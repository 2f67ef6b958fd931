"""New images for a bundle in use, some of them changed, and the real job that looks for drift."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from core.data.importing import import_images, open_source
from core.home import Home
from core.images import renderer
from core.images.pixels import Pixels, decode, encode_png
from core.jobs import control
from core.runs.bundles import find_bundle
from core.runs.drift import Drift, drift_of, start_drift
from core.runs.promotions import promote
from db.connection import opened
from db.records import Project


def use(home: Home, name: str, operator: str = "ann") -> None:
    """Mark a bundle as the one in use."""
    with opened(home.db) as db:
        bundle = find_bundle(db, home, name)
        assert bundle is not None
        promote(db, bundle, operator=operator)


def new_images(count: int, seed: int = 1) -> list[Pixels]:
    """Return images like those of `trained_home`, and not among them."""
    return [decode(data) for *_, data in renderer.samples(count, seed=seed, length=3, charset="0123")]


def inverted(images: Iterable[Pixels]) -> list[Pixels]:
    """Return images in a style that training never had, at the same size."""
    return [np.ascontiguousarray(255 - image) for image in images]


def come(home: Home, project: Project, folder: Path, images: Iterable[Pixels], source: str = "rendered") -> None:
    """Import images in their order, without labels."""
    folder.mkdir()
    for number, image in enumerate(images):
        (folder / f"{number:04}.png").write_bytes(encode_png(image))
    with opened(home.db) as db:
        opened_source = open_source(db, project, source, "the team", "ticket 1")
        import_images(db, project, opened_source, folder, "none", operator="import", on_progress=lambda *_: None)


def look(home: Home, project: Project) -> Drift:
    """Run the job with the real worker, and return what it found."""
    with opened(home.db) as db:
        job = start_drift(db, home, project, operator="ann")
        return drift_of(db, control.finish(db, home, job.id, lambda _: None))
