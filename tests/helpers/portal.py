"""Verdicts of a portal, brought in by Eve."""

from sqlite_utils import Database

from core.data.verdicts import apply_verdicts, new_verdict
from db.records import Project, Sample


def reject(db: Database, project: Project, sample: Sample, text: str) -> None:
    """Let the portal say that a text is wrong."""
    apply_verdicts(db, project, [new_verdict(sample.sha256, text, accepted=False, reason="captcha")], "Eve")


def accept(db: Database, project: Project, sample: Sample, text: str) -> None:
    """Let the portal say that a text is right."""
    apply_verdicts(db, project, [new_verdict(sample.sha256, text, accepted=True)], "Eve")
