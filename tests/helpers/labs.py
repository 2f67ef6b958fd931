"""Images of noise with their real hashes, for backups and checks, and images that nobody can read."""

import hashlib

import numpy as np
from sqlite_utils import Database

from core.data.labeling import apply_events
from core.home import Home
from core.images.pixels import encode_png, pixel_hash, split_of
from db import projects, samples
from db.connection import opened, write
from db.records import Project


def add_images(db: Database, project: Project, n: int) -> list[str]:
    """Add `n` images of noise and return their hashes."""
    hashes = []
    with write(db):
        source = projects.find_source(db, project.id, "noise") or projects.insert_source(
            db, project.id, "noise", "the team", "ticket 1"
        )
        first = samples.count_samples(db, project.id)
        for number in range(first, first + n):
            pixels = np.random.default_rng(number).integers(0, 256, (24, 96, 3), dtype=np.uint8)
            sha256 = pixel_hash(pixels)
            samples.insert_sample(
                db, project_id=project.id, source_id=source.id, sha256=sha256, name=f"{number}.png", width=96,
                height=24, split=split_of(sha256), image=encode_png(pixels),
            )  # fmt: skip
            hashes.append(sha256)
    return hashes


def add_unreadable(home: Home, project: Project, split: str, n: int) -> None:
    """Add `n` images to a split and skip them as unreadable."""
    with opened(home.db) as db:
        with write(db):
            source = projects.insert_source(db, project.id, f"smudges of {split}", "the team", "ticket 1")
            hashes = [hashlib.sha256(f"{split} {number}".encode()).hexdigest() for number in range(n)]
            for sha256 in hashes:
                samples.insert_sample(
                    db, project_id=project.id, source_id=source.id, sha256=sha256, name=f"{sha256}.png", width=96,
                    height=24, split=split, image=encode_png(np.zeros((24, 96, 3), dtype=np.uint8)),
                )  # fmt: skip
        events = [
            {"event": sha256[:9], "action": "skip", "flag": "unreadable", "sample": sha256, "base": 0}
            for sha256 in hashes
        ]
        assert {outcome.status for outcome in apply_events(db, project, "Ann", events)} == {"saved"}


def label(db: Database, project: Project, sha256: str, number: int, base: int = 0) -> None:
    """Label an image with its number, as the Label page does."""
    text = f"{number % 10**project.length:0{project.length}}"
    event = {"event": f"e{number}", "action": "label", "sample": sha256, "text": text, "base": base}
    (outcome,) = apply_events(db, project, "Ann", [event])
    assert outcome.status == "saved", outcome


def ledger_hash(db: Database, events: int) -> str:
    """Return a hash of the first `events` events."""
    rows = db.execute("SELECT * FROM labels ORDER BY id LIMIT ?", [events]).fetchall()
    assert len(rows) == events
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def remove_labels(home: Home, project: Project, split: str) -> list[bytes]:
    """Undo the labels of a split, so that its images need one again. Return the images."""
    with opened(home.db) as db:
        labeled = samples.select_samples(db, project.id, split=split, state="labeled")
        events = [
            {"event": f"undo {sample.id}", "action": "undo", "sample": sample.sha256, "base": sample.version}
            for sample in labeled
        ]
        assert {outcome.status for outcome in apply_events(db, project, "Ann", events)} == {"saved"}
        return list(samples.image_bytes(db, [sample.id for sample in labeled]).values())
