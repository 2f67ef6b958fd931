"""Rows as an import inserts them, without images to decode."""

from collections.abc import Callable

import pytest
from sqlite_utils import Database

from db import projects, samples
from db.connection import write
from db.records import Project, Sample

AddSample = Callable[..., Sample]


@pytest.fixture
def add_sample(db: Database, project: Project) -> AddSample:
    """Return a function that adds an unlabeled sample, with its number as hash and its name as bytes."""

    def added(
        number: int, *, name: str | None = None, split: str = "train", source: str = "mail", width: int = 40,
        height: int = 16,
    ) -> Sample:  # fmt: skip
        name = name or f"{number}.png"
        with write(db):
            row = projects.find_source(db, project.id, source)
            row = row or projects.insert_source(db, project.id, source, "the team", "ticket 1")
            sample_id = samples.insert_sample(
                db, project_id=project.id, source_id=row.id, sha256=f"{number:064x}", name=name, width=width,
                height=height, split=split, image=name.encode(),
            )  # fmt: skip
        return samples.get_sample(db, sample_id)

    return added
