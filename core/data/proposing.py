"""Readings of a project's images by readers: start the job, and read what no reader has read yet."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.bundle.reader import crop
from core.charset import spec_of
from core.data.accepting import describe
from core.data.proposals import Rule, agreement
from core.errors import ImageError, OptionError
from core.evaluation.agreement import CONFIDENT, Confident, unknown_characters
from core.home import Home
from core.images.frame import SAMPLE_SIZE, Box, find_text
from core.images.pixels import Pixels, decode
from core.jobs import control
from core.jobs.work import Work
from core.readers.builtin import NAME as BUILTIN
from core.readers.builtin import check_spec
from core.readers.decoder import Reading
from core.readers.readers import Reader, check_names
from core.words import plural
from db import proposals, samples
from db.connection import write
from db.records import Job, Project
from db.records import Reader as StoredReader
from db.sqlite import Database

BATCH = 32
"""Images that one reader reads at a time: one or two seconds, after which the job can stop."""


def start_proposing(
    db: Database,
    home: Home,
    project: Project,
    *,
    readers: Sequence[str],
    agree: int | None = None,
    labeled: bool = False,
    operator: str,
    request_id: str | None = None,
) -> Job:
    """Start the job. Return the running one if it reads the project's images with the same choices.

    `agree`: number of readers that must give the same text; None for all. `labeled` also reads the labeled images of
    train, to find wrong labels. Raises OptionError for unknown or missing readers, for readers that cannot read this
    text length and charset, if the project has no images, or if a job with other choices is running.
    """
    check_names(readers)
    if BUILTIN in readers:
        check_spec(spec_of(project))
    elif len(readers) < 2:  # the job would delete the readings of the other reader
        raise OptionError("One reader alone cannot agree with another. Use at least two readers.")
    if agree is not None and len(readers) < 2:
        raise OptionError(f"--agree {agree} needs at least two readers.")
    if agree is not None and not 2 <= agree <= len(readers):
        raise OptionError(f"--agree must be 2 to {len(readers)}, the number of readers, got {agree}.")
    if not samples.count_samples(db, project.id):
        raise OptionError(f"Project {project.name} has no images. Import some first.")
    choices = {"readers": list(readers), "agree": agree or len(readers), "labeled": labeled}
    job = control.find_active(db, home, project, "propose") or control.start_job(
        db, home, project, "propose", choices | {"operator": operator}, request_id=request_id, single=True
    )
    if (given := _options(control.spec(home, job.id))) != _options(choices):
        raise OptionError(
            f"{job.id} is already reading this project, with {given}. Use the same options to follow it, or cancel it "
            "first."
        )
    return job


def _options(choices: Mapping[str, Any]) -> str:
    """Return the choices of a job as options of `slotlab propose`, equal for equal choices."""
    readers: list[str] = sorted(choices.get("readers", []))
    agree: int = choices.get("agree", len(readers))  # earlier versions had no choice
    options = [f"--readers {','.join(readers)}"]
    if agree < len(readers):
        options.append(f"--agree {agree}")
    if choices.get("labeled"):
        options.append("--labeled")
    return " ".join(options)


def store_reader(db: Database, project: Project, reader: Reader, kind: str = "general") -> StoredReader:
    """Return the row of a reader. Delete the readings of its former versions. Call inside `write(db)`."""
    row = proposals.open_reader(db, kind=kind, name=reader.name, version=reader.version, sha256=reader.sha256)
    proposals.delete_former(db, project.id, row)
    return row


def read_images(
    work: Work,
    db: Database,
    project: Project,
    readers: Sequence[Reader],
    stored: Sequence[StoredReader],
    *,
    labeled: bool,
) -> int | None:
    """Let every reader read the images it has not read. Return the number of readings, or None if asked to stop.

    The readers take turns, so that the images that all of them have read grow evenly.
    """
    counts = [proposals.count_unread(db, project.id, row, labeled_train=labeled) for row in stored]
    box = find_box(db, project)
    last, done, left = [0] * len(readers), 0, set(range(len(readers)))
    while left:
        for index in sorted(left):
            if work.should_stop():
                return None
            batch = proposals.select_unread(
                db, project.id, stored[index], labeled_train=labeled, after=last[index], limit=BATCH
            )
            if not batch:
                left.discard(index)
                continue
            last[index] = batch[-1].id
            _read_batch(db, project, readers[index], stored[index], [sample.id for sample in batch], box)
            done += len(batch)
            images = f"{done // len(readers):,} of {plural(max(counts), 'image')}"
            work.say(f"Reading {images}", step=done, steps=max(sum(counts), done))
    return done


def find_box(db: Database, project: Project) -> Box:
    """Return the box around the text of the project's images, from a sample of train."""
    sample = samples.select_samples(db, project.id, split="train", order="random", limit=SAMPLE_SIZE)
    return find_text(list(_decode(db, [row.id for row in sample]).values()), project.length)[0]


def _decode(db: Database, sample_ids: list[int]) -> dict[int, Pixels]:
    pixels = {}
    for sample_id, data in samples.image_bytes(db, sample_ids).items():
        try:
            pixels[sample_id] = decode(data)
        except ImageError:  # damaged since the import; nobody can read it
            continue
    return pixels


def _read_batch(
    db: Database, project: Project, reader: Reader, row: StoredReader, sample_ids: list[int], box: Box
) -> None:
    """Read images outside a transaction, then store the readings in one."""
    pixels = _decode(db, sample_ids)
    # Readers expect text to fill the image. On 300 images of a real portal with text in the left 61%, PP-OCRv6 reads
    # 287 whole and 293 cropped, ddddocr 293 both ways, and they agree on 295 instead of 288.
    crops = [crop(image, box) for image in pixels.values()]
    readings = dict(zip(pixels, reader.read(crops, spec_of(project)), strict=True))
    unread = Reading(text=None, confidence=0.0, positions=())
    with write(db):
        for sample_id in sample_ids:
            reading = readings.get(sample_id, unread)
            proposals.insert_proposal(
                db,
                sample_id,
                row,
                text=reading.text,
                confidence=reading.confidence,
                positions=reading.positions,
            )


def report(
    db: Database, project: Project, stored: Sequence[StoredReader], missing: Mapping[str, str], agree: int | None = None
) -> dict[str, Any]:
    """Return the agreement of the readers on a project's images, as JSON types.

    `missing` has the characters that each reader does not know, by its name.
    """
    measured = agreement(db, project, Rule(agree=agree), stored)
    verdict, suggests = measured.verdict(spec_of(project)), False
    if len(stored) == 1:
        confident = proposals.count_confident(db, project.id, stored[0], CONFIDENT)
        alone = Confident(measured.images, confident)
        verdict, suggests = alone.verdict, alone.suggests
    return measured.to_dict() | {
        "suggests": suggests,
        "verdict": f"{verdict} {unknown_characters(missing)}".rstrip(),
        "missing": dict(missing),
        "readers": [describe(row) for row in stored],
    }
