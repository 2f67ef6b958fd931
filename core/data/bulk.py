"""Skips of many images at once: one event of the ledger for each, which can be undone image by image or at once."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from core.data.labeling import apply_event
from core.data.reviewing import FLAG_WORDS
from core.data.selection import check_bulk
from core.errors import OptionError
from core.words import plural
from db import labels, samples
from db.connection import write
from db.queues import chunks
from db.records import PEOPLE, Project, Sample
from db.sqlite import Database

ORIGIN = "samples"
REQUESTS = "skip-"
"""Beginning of the requests of skips."""


@dataclass(frozen=True)
class Skipped:
    """The outcome of a skip of many images."""

    flag: str | None
    skipped: int = 0
    same: int = 0
    """Images that were skipped for this reason already."""
    disputed: int = 0
    """Disputed images. They stay, because each needs a decision."""
    changed: int = 0
    """Images that someone changed meanwhile. They stay."""

    @property
    def sentence(self) -> str:
        reason = f"as {FLAG_WORDS[self.flag]}" if self.flag else "for later"
        parts = [f"Skipped {plural(self.skipped, 'image')} {reason}."]
        if self.same:
            parts.append(f"{self.same:,} had been skipped {reason} already.")
        if self.disputed:
            parts.append(f"Disputed, so left for Review: {self.disputed:,}.")
        if self.changed:
            parts.append(f"Changed by someone meanwhile, so left: {self.changed:,}.")
        return " ".join(parts)


def new_request() -> str:
    """Return an id for a skip of many images, which the ledger keeps."""
    return REQUESTS + uuid.uuid4().hex


def labels_of_people(chosen: Sequence[Sample]) -> int:
    """Return how many labels of people a skip of these images would take out of training."""
    return sum(sample.kind in PEOPLE and not sample.disputed for sample in chosen)


def skip_samples(
    db: Database, project: Project, operator: str, ids: Sequence[int], flag: str | None, *, request: str, confirmed: int
) -> Skipped:
    """Skip images, for later or for the reason `flag`. `confirmed` is the number of labels of people that may go.

    `request` identifies the action, for `undo_skips`; a repeat changes nothing. Raises OptionError for too many images,
    or if more labels of people would go than were confirmed. The rest of a skip that was killed can be repeated.
    """
    check_bulk(ids)
    chosen = samples.get_samples(db, project.id, ids)
    if (n := labels_of_people(chosen)) > confirmed:
        raise OptionError(
            f"The chosen images now have {plural(n, 'label')} of people, not {confirmed:,}. Nothing was skipped."
        )
    content = ("skipped", None, flag)
    disputed = [sample for sample in chosen if sample.disputed]
    same = [sample for sample in chosen if sample.content == content and not sample.disputed]
    seen = {sample.id: sample.version for sample in chosen if not sample.disputed and sample.content != content}
    skipped = 0
    for part in chunks(seen):
        with write(db):
            for sample in samples.get_samples(db, project.id, part):
                if sample.version != seen[sample.id] or sample.disputed:  # a late skip would be an opinion
                    continue
                event = {"event": f"{request}:{sample.id}", "action": "skip", "sample": sample.sha256, "flag": flag}
                outcome = apply_event(db, project, operator, event | {"base": sample.version}, ORIGIN)
                skipped += outcome.status == "saved"
    return Skipped(flag, skipped, len(same), len(disputed), len(seen) - skipped)


def last_skip(db: Database, project: Project, operator: str) -> tuple[str, int]:
    """Return the operator's last skip of many images, and how many of them `undo_skips` would change; 0 without one."""
    request = labels.last_request(db, project.id, operator, REQUESTS)
    return (request, labels.count_unchanged(db, project.id, request)) if request else ("", 0)


def undo_skips(db: Database, project: Project, operator: str, request: str) -> tuple[int, int]:
    """Undo a skip of many images. Return how many have their former content, and how many changed since and stay."""
    events = labels.events_of_request(db, request)
    undone = 0
    for part in chunks([event.event_id for event in events]):
        with write(db):
            for event_id in part:
                event = labels.find_event(db, event_id)
                assert event is not None
                sample = samples.get_sample(db, event.sample_id)
                if sample.project_id != project.id or sample.version != event.version:
                    continue
                undo = {"event": f"undo {event_id}", "action": "undo", "sample": sample.sha256, "base": sample.version}
                undone += apply_event(db, project, operator, undo, ORIGIN).status == "saved"
    return undone, len(events) - undone
