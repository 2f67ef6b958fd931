"""Readings of general readers, stored without running them."""

import json
from collections.abc import Mapping, Sequence

from sqlite_utils import Database

from core.data.proposing import report
from db import jobs, proposals, samples
from db.connection import write
from db.records import Project, Reader, Sample

READERS = {"rapidocr": "3.10.0", "ddddocr": "1.6.1"}


def add_proposals(
    db: Database, project: Project, texts: Mapping[int, Sequence[str | None]], missing: str = ""
) -> list[Reader]:
    """Store the readings of both readers by sample id, as a finished job leaves them.

    `missing` has the characters that rapidocr does not know.
    """
    with write(db):
        readers = [
            proposals.open_reader(db, kind="general", name=name, version=version, sha256=name[0] * 64)
            for name, version in sorted(READERS.items())
        ]
        for sample_id, each in texts.items():
            for reader, text in zip(readers, each, strict=True):
                confidences = [0.9] * project.length if text else []
                proposals.insert_proposal(
                    db, sample_id, reader, text=text, confidence=0.5 if text else 0.0, positions=confidences
                )
        number = jobs.next_number(db, "propose")
        job = jobs.insert_job(
            db, id=f"{number:04d}-propose", number=number, kind="propose", project_id=project.id,
            request_id=f"propose {number}",
        )  # fmt: skip
        result = json.dumps(report(db, project, readers, {"ddddocr": "", "rapidocr": missing}))
        jobs.set_state(db, job, "finished", result=result, final=True)
    return readers


def agreeing(db: Database, project: Project, chosen: Sequence[Sample], texts: Sequence[str]) -> list[Reader]:
    """Let both readers give each image its text."""
    return add_proposals(db, project, {s.id: (text, text) for s, text in zip(chosen, texts, strict=True)})


def train_samples(db: Database, project: Project) -> list[Sample]:
    return samples.select_samples(db, project.id, split="train")
