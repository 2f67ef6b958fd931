"""Sources of rendered images that people labeled."""

import tempfile
from pathlib import Path

from sqlite_utils import Database

from core.data.importing import import_images, open_source
from core.images import renderer
from db import projects, samples
from db.connection import write
from db.records import Project, Source


def add_source(db: Database, project: Project, name: str, *, count: int, seed: int) -> Source:
    """Import rendered images with their labels as a new source."""
    source = open_source(db, project, name, "the team", "ticket 1")
    with tempfile.TemporaryDirectory() as folder:
        for file, _, data in renderer.samples(count, seed=seed, length=project.length, charset=project.charset):
            (Path(folder) / file).write_bytes(data)
        import_images(db, project, source, Path(folder), "filename", operator="import", on_progress=lambda *_: None)
    return source


def move_to_source(db: Database, project: Project, name: str, *which: str | int) -> Source:
    """Make a new source of the images with these labels or ids."""
    with write(db):
        source = projects.insert_source(db, project.id, name, "the team", "ticket 1")
        for sample in samples.select_samples(db, project.id):
            if sample.label in which or sample.id in which:
                db.execute("UPDATE samples SET source_id = ? WHERE id = ?", [source.id, sample.id])
    return source
