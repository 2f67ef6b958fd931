"""Proposals: the readings of general readers, their agreement, and their proof by labels of people.

Readings are never labels of val and test, and nobody who labels those images sees them.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.charset import spec_of
from core.data.accepting import accept
from core.errors import OptionError
from core.evaluation.agreement import Agreement, Texts, agreed, measure
from core.evaluation.evidence import Evidence
from core.evaluation.percent import at_least
from core.words import plural
from db import jobs, labels, proposals, samples, verdicts
from db.records import HELD_OUT, PEOPLE, Project, Reader, Sample
from db.sqlite import Database

GOAL = 0.99
"""Accuracy that blind labels should prove: 299 without an error do."""


def is_blind(db: Database, project_id: int, sha256: str) -> bool:
    """Return True if a project has the image with this pixel hash, and nobody may see a reading of it yet."""
    sample = samples.find_sample(db, project_id, sha256)
    return sample is not None and sample.is_blind


@dataclass(frozen=True)
class Rule:
    """When readings of an image agree."""

    agree: int | None = None
    """Readers that must give the same text; None is all of them."""
    usable: bool = False
    """True if agreed readings can be used for this portal."""
    suggests: bool = False
    """True if one reader alone is confident often enough for its readings to be suggestions."""

    def agreed(self, texts: Texts, rejected: Collection[str] = ()) -> str | None:
        """Return the agreed reading of an image from the text of each reader, whether or not they can be used.

        If the portal has rejected it, the readers are wrong together, and there is none.
        """
        text = agreed(texts, self.agree)
        return None if text in rejected else text


def agreement(db: Database, project: Project, rule: Rule, readers: Sequence[Reader]) -> Agreement:
    """Measure the agreement of these readers on all images that they have read."""
    texts = proposals.select_texts(db, project.id, readers)
    return measure(list(texts.values()), project.length, len(readers), rule.agree)


def rule_of(db: Database, project: Project) -> Rule:
    """Return the rule of the newest finished proposal job.

    A later job with other readers that was canceled or failed leaves their readings. The rule does not hold for these.
    Without a later job there is no need to look, which would take 20 ms for 100,000 images.
    """
    every = jobs.list_jobs(db, project_id=project.id, kind="propose")
    finished = next((job for job in every if job.state == "finished"), None)
    if finished is None:
        return Rule()
    result = json.loads(finished.result or "{}")
    return rule_in(result) if finished is every[0] or has_readings_of(db, project, result) else Rule()


def has_readings_of(db: Database, project: Project, result: Mapping[str, Any]) -> bool:
    """Return True if the stored readings are those of the readers in the result of a proposal job."""
    stored = {reader.sha256 for reader in proposals.list_readers(db, project.id)}
    return stored == {reader["sha256"] for reader in result.get("readers", [])}


def rule_in(result: Mapping[str, Any]) -> Rule:
    """Return the rule in the result of a proposal job."""
    usable, suggests = bool(result.get("usable")), bool(result.get("suggests"))
    return Rule(agree=result.get("agree"), usable=usable, suggests=suggests)


def agreed_texts(
    db: Database,
    project: Project,
    *,
    split: str | None = None,
    state: str | None = None,
    sample_ids: Sequence[int] | None = None,
) -> dict[int, str]:
    """Return the readings that all general readers agree on, by sample id. Empty if the readers cannot be used here.

    A text that the portal rejected for its image is not among them. At most 500 `sample_ids`; None is all images.
    """
    rule = rule_of(db, project)
    if not rule.usable:
        return {}
    readers = proposals.list_readers(db, project.id)
    texts = proposals.select_texts(db, project.id, readers, split=split, state=state, sample_ids=sample_ids)
    rejected = verdicts.rejected_texts(db, project.id, sample_ids=sample_ids)
    return {
        sample_id: text
        for sample_id, each in texts.items()
        if (text := rule.agreed(each, rejected.get(sample_id, ()))) is not None
    }


def accept_agreed(db: Database, project: Project, operator: str) -> int:
    """Turn the agreed readings of unlabeled training images into labels of readers, and return their number.

    Raises OptionError if nothing has been read, the reading has not finished, or the readers cannot be used here.
    """
    readers = proposals.list_readers(db, project.id)
    if not readers:
        raise OptionError(f"Project {project.name} has no proposals yet. Run `slotlab propose` first.")
    rule = rule_of(db, project)
    if not rule.usable:
        measured = agreement(db, project, rule, readers)
        if measured.usable:
            raise OptionError("The readers have not finished. Run `slotlab propose` to let them read all images.")
        raise OptionError(measured.verdict(spec_of(project)))
    texts = agreed_texts(db, project, split="train", state="unlabeled")
    agree = {"rule": "agreed", "agree": rule.agree or len(readers)}
    return accept(db, project, texts, kind="readers", readers=readers, operator=operator, rule=agree)


@dataclass(frozen=True)
class Proof:
    """The readers against labels of people who did not see their readings."""

    labeled: int
    """Labels of people in val and test."""
    agreed: int
    """Images among them on which the readers agree."""
    wrong: list[tuple[Sample, str]]
    """Images among those whose agreed reading differs from the label, each with that reading."""
    blind: int
    """Images of val and test that have no label yet."""
    blind_agreed: int
    """Images among those on which the readers agree."""

    @property
    def evidence(self) -> Evidence:
        return Evidence(n=self.agreed, wrong=len(self.wrong))

    @property
    def sentence(self) -> str:
        """Return what blind labels prove about the agreed readings, and how many more would prove the goal."""
        if not self.agreed:
            return "No validation or test image with an agreed reading has a label of a person yet."
        right = self.agreed - len(self.wrong)
        bound = at_least(self.evidence.at_least)
        proved = (
            f"The readers agreed on {self.agreed:,} of {self.labeled:,} labeled validation and test images, and were "
            f"right on {right:,}: at least {bound} at 95% confidence (one-sided)."
        )
        if self.evidence.at_least >= GOAL:
            return proved
        needed = self.evidence.more_for(GOAL)
        left = f"{plural(self.blind, 'blind image')} left, {self.blind_agreed:,} of them with an agreed reading."
        advice = "" if self.blind_agreed >= needed else " Import more images."
        return f"{proved} {needed:,} more without an error would show {at_least(GOAL)}. {left}{advice}"


def proof(db: Database, project: Project) -> Proof:
    """Compare the agreed readings of validation and test images with the labels of people.

    Imported labels count, because nobody saw a reading when they were given. A label that was changed to the reading
    later does not count, because Review shows the readings that contradict a label.
    """
    readers = proposals.list_readers(db, project.id)
    rule = rule_of(db, project)
    labeled, right, wrong = 0, 0, list[tuple[Sample, str]]()
    blind = sum(samples.count_samples(db, project.id, state="unlabeled", split=split) for split in HELD_OUT)
    blind_agreed = sum(len(agreed_texts(db, project, split=split, state="unlabeled")) for split in HELD_OUT)
    for split in HELD_OUT:
        texts = proposals.select_texts(db, project.id, readers, split=split, state="labeled")
        for kind in PEOPLE:
            for sample in samples.select_samples(db, project.id, kind=kind, split=split):
                reading = rule.agreed(texts.get(sample.id, ()))
                if reading == sample.label and _is_changed(db, sample):
                    continue
                labeled += 1
                if reading == sample.label:
                    right += 1
                elif reading is not None:
                    wrong.append((sample, reading))
    return Proof(labeled, right + len(wrong), wrong, blind, blind_agreed)


def _is_changed(db: Database, sample: Sample) -> bool:
    """Return True if the sample had another text before."""
    return sample.version > 1 and any(
        event.version is not None and event.text not in (None, sample.label)
        for event in labels.events_of(db, sample.id)
    )
