"""The worker that looks for drift: `python -m core.runs.drift_worker JOB_DIR`. It needs no torch.

It reads what the bundle in use has not read yet, so running it again finishes an interrupted one.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from core.bundle.reader import Pixels, Reader
from core.data.proposals import agreed_texts
from core.errors import ImageError, OptionError
from core.home import Home
from core.images.pixels import decode
from core.jobs import control
from core.jobs.priority import lower
from core.jobs.work import Work, run_worker
from core.runs.drift_streams import by_week, streams_of
from core.runs.promotions import kept_at
from core.runs.targets import open_bundle
from core.training.snapshot import load_snapshot
from core.words import plural
from db import answers, projects, promotions, runs, samples
from db.answers import NewAnswer, Streamed
from db.connection import opened, write
from db.records import Project, Run
from db.sqlite import Database

BATCH = 64
"""Images that are read at a time. The job can stop between batches."""
MOST_VAL = 500
"""Validation images of the baseline. Preset fast reads them in three seconds."""


def look_for_drift(work: Work) -> dict[str, Any] | None:
    """Read the new images, then look at all answers. Return the table, the streams and their alarms."""
    home, spec = Home.of_job(work.job.path), work.spec
    work.say("Loading the bundle")
    target = open_bundle(home.bundles / spec["bundle"])
    names = (target.name, f"{target.name} int8")  # the smaller model gives the same answers
    with opened(home.db) as db:
        project, run = projects.project_of_job(db, work.job.id), runs.find_run(db, spec["run"])
        if project is None or run is None:
            raise OptionError(f"Project {spec['project']['name']} no longer exists.")
        known = _read_val(work, db, home, project, target.reader)
        if known is None:
            return None
        read = _read_new(work, db, project, target.reader, names, after=_newest_sample(db, home, run))
        if read is None:
            return None
        work.say("Looking for changes")
        history = promotions.list_promotions(db, project.id)
        stream, familiar = answers.select_stream(db, project.id, names), target.reader.familiar
        streams = streams_of(stream, known, familiar.expected if familiar else None, kept_at(history, spec["bundle"]))
        return {
            "bundle": spec["bundle"],
            "promotion": history[0].id,
            "read": read,
            "answers": len(stream),
            "has_look": familiar is not None,
            "rows": [asdict(row) for row in by_week(stream, agreed_texts(db, project))],
            "streams": [asdict(each) for each in streams],
        }


def _read_val(work: Work, db: Database, home: Home, project: Project, reader: Reader) -> list[Streamed] | None:
    """Return what the bundle reads of the run's validation images. None if the job should stop."""
    snapshot, found = load_snapshot(home.run(work.spec["run"]) / "dataset.npz"), list[Streamed]()
    names = {source.id: source.name for source in projects.list_sources(db, project.id)}
    indices = snapshot.labeled("val")[:MOST_VAL]  # in the order of their hashes, so a random part
    for start in range(0, len(indices), BATCH):
        work.say("Reading validation images", step=start, steps=len(indices))
        if work.should_stop():
            return None
        part = indices[start : start + BATCH]
        pixels = [snapshot.pixels(index) for index in part]
        for index, answer in zip(part, _answers(reader, pixels), strict=True):
            sample = samples.find_sample(db, project.id, snapshot.sha256[index])
            found.append(
                answer._replace(
                    sha256=snapshot.sha256[index],
                    sample_id=sample.id if sample else None,
                    source=names[sample.source_id] if sample else None,
                    blind=sample.is_blind if sample else None,
                )
            )
    return found


def _newest_sample(db: Database, home: Home, run: Run) -> int:
    """Return the last image that came before a run started. Runs of earlier versions tell only the time."""
    newest = control.spec(home, run.job.id).get("newest_sample")
    return newest if isinstance(newest, int) else samples.newest_id(db, run.job.project_id, until=run.job.created_at)


def _read_new(
    work: Work, db: Database, project: Project, reader: Reader, names: Sequence[str], *, after: int
) -> int | None:
    """Read the images that came after a sample, and store the answers. Return their number, or None to stop."""
    steps, done, last = answers.count_unanswered(db, project.id, names, after=after), 0, after
    while batch := answers.select_unanswered(db, project.id, names, after=last, limit=BATCH):
        work.say(f"Reading {plural(steps, 'new image')}", step=done, steps=max(steps, done))
        if work.should_stop():
            return None
        last = batch[-1].id
        blobs = samples.image_bytes(db, [sample.id for sample in batch])
        pixels = {sample.sha256: image for sample in batch if (image := _decoded(blobs[sample.id])) is not None}
        came = {sample.sha256: sample.created_at for sample in batch}
        new = [
            NewAnswer(
                key=f"lab:{names[0]}:{sha256}",
                sha256=sha256,
                reader=names[0],
                text=answer.text,
                confidence=answer.confidence,
                accepted=None if answer.accepted is None else bool(answer.accepted),
                unfamiliar=answer.unfamiliar,
                distance=answer.distance,
                surprise=answer.surprise,
                at=came[sha256],
            )
            for sha256, answer in zip(pixels, _answers(reader, list(pixels.values())), strict=True)
        ]
        with write(db):
            done += answers.insert_answers(db, project.id, new)
    return done


def _decoded(blob: bytes) -> Pixels | None:
    try:
        return decode(blob)
    except ImageError:  # damaged since the import; nobody can read it
        return None


def _answers(reader: Reader, images: Sequence[Pixels]) -> list[Streamed]:
    """Return the readings and looks of images, without hash, time and sample."""
    found = []
    for reading, look in reader.read_with_looks(images) if images else []:
        distance, surprise = look or (None, None)
        found.append(
            Streamed(
                sha256="", at="", text=reading.text, confidence=reading.confidence, accepted=reading.accepted,
                unfamiliar=reading.unfamiliar, distance=distance, surprise=surprise, sample_id=None, source=None,
                verdict=None, reason=None, blind=None,
            )
        )  # fmt: skip
    return found


if __name__ == "__main__":
    lower()  # reading takes a core for minutes, while people label
    sys.exit(run_worker(sys.argv[1], look_for_drift))
