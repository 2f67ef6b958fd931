"""Answers of a reader that the portal judged."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from core.bundle.reader import SUMS, bundle_name
from db.answers import NewAnswer, insert_answers
from db.connection import write
from db.records import Project
from db.sqlite import Database
from db.verdicts import NewVerdict, insert_verdict


def name_of(bundle: Path) -> str:
    """Return the name of a bundle in logs."""
    return bundle_name((bundle / SUMS).read_bytes(), int8=False)


def hash_of(reader: str, index: int) -> str:
    return hashlib.sha256(f"{reader} {index}".encode()).hexdigest()


def judge(db: Database, project: Project, reader: str, confidences: Sequence[float], wrong: int) -> None:
    """Store answers of a reader to images "0", "1" ..., and verdicts: the first `wrong` texts are rejected."""
    at = "2026-11-30T08:00:00+00:00"
    with write(db):
        for index, confidence in enumerate(confidences):
            sha256 = hash_of(reader, index)
            answer = NewAnswer(
                key=sha256, sha256=sha256, reader=reader, text="012", confidence=confidence, accepted=None,
                unfamiliar=None, distance=None, surprise=None, at=at,
            )  # fmt: skip
            insert_answers(db, project.id, [answer])
            reason = "captcha" if index < wrong else None
            verdict = NewVerdict(
                key=sha256, sha256=sha256, text="012", accepted=index >= wrong, reason=reason, at=at
            )  # fmt: skip
            insert_verdict(db, project.id, verdict, "Ann")
