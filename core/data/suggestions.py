"""Suggestions: agreed readings in the boxes of training images on the Label page, and their effect on labels."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.data.proposals import Rule, rule_of
from core.evaluation.agreement import CONFIDENT
from core.evaluation.anchoring import Anchoring
from db import labels, proposals, verdicts
from db.records import Project, Proposal, Sample
from db.sqlite import Database

WITHHELD_ONE_IN = 10
"""One training image in this many shows no suggestion. Its label shows how often people read the same unprompted."""


@dataclass(frozen=True)
class Suggestion:
    """The agreed reading of an image."""

    text: str
    unsure: int
    """Index of the character with the lowest confidence of any reader. A reader of another character has none."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def is_withheld(sha256: str) -> bool:
    """Return True if the image shows no suggestion. Only the pixel hash decides, by other digits than the split."""
    return int(sha256[16:24], 16) % WITHHELD_ONE_IN == 1


def agreed_readings(db: Database, project: Project, chosen: Sequence[Sample]) -> dict[int, Suggestion]:
    """Return the agreed readings of the training images among `chosen`, by sample id. At most 500 images.

    The confident readings of one reader alone count as well. Validation and test images never get one, nor do images
    for which the portal rejected the text. Empty if the readers cannot be used for this portal.
    """
    train = [sample.id for sample in chosen if sample.split == "train"]
    rule = rule_of(db, project)
    if not train or not (rule.usable or rule.suggests):
        return {}
    readings = {
        sample_id: [proposal for reader, proposal in each if reader.kind == "general"]
        for sample_id, each in proposals.readings_of(db, train).items()
    }
    rejected = verdicts.rejected_texts(db, project.id, sample_ids=train)
    return {
        sample_id: Suggestion(text, _least_sure(text, each))
        for sample_id, each in readings.items()
        if (text := _agreed(rule, each, rejected.get(sample_id, ()))) is not None
    }


def _agreed(rule: Rule, readings: Sequence[Proposal], rejected: Collection[str]) -> str | None:
    if not rule.suggests:
        return rule.agreed([proposal.text for proposal in readings], rejected)
    sure = [each.text for each in readings[:1] if each.confidence >= CONFIDENT and each.text not in rejected]
    return sure[0] if sure else None


def suggestions(db: Database, project: Project, chosen: Sequence[Sample]) -> dict[int, Suggestion]:
    """Return the agreed readings to show, by sample id: those of `agreed_readings` that are not withheld."""
    return agreed_readings(db, project, [sample for sample in chosen if not is_withheld(sample.sha256)])


def recorded(db: Database, project: Project, sample: Sample, shown: bool | None) -> tuple[str | None, bool | None]:
    """Return the suggestion and whether it was on screen, as the ledger records them with a label.

    Both are None if the page reports nothing (`shown` is None) or had not received the reading in time. So those not
    shown are exactly the withheld ones, which are a random sample.
    """
    if shown is None or not (shown or is_withheld(sample.sha256)):
        return None, None
    suggestion = agreed_readings(db, project, [sample]).get(sample.id)
    return (suggestion.text, shown) if suggestion else (None, None)


def anchoring(db: Database, project: Project) -> Anchoring:
    """Compare the labels of people with the suggestions that they saw, and with those withheld."""
    counts = labels.count_suggested(db, project.id)
    (shown_equal, shown), (withheld_equal, withheld) = (counts.get(is_shown, (0, 0)) for is_shown in (True, False))
    return Anchoring(shown=shown, shown_equal=shown_equal, withheld=withheld, withheld_equal=withheld_equal)


def _least_sure(text: str, readings: Sequence[Proposal]) -> int:
    lowest = [1.0] * len(text)
    for reading in readings:
        for place, (char, confidence) in enumerate(zip(reading.text or "", json.loads(reading.positions), strict=True)):
            lowest[place] = min(lowest[place], confidence if char == text[place] else 0.0)
    return lowest.index(min(lowest))
