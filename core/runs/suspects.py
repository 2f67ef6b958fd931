"""Suspected labels: those that the general readers or out-of-fold networks contradict.

Both have not seen the label: the readers know no label of the project, and each network was trained on other images.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.charset import spec_of
from core.data.proposals import agreed_texts
from core.evaluation.suspicion import SUSPECT, measure
from core.home import Home
from core.runs.folds import MIN_LABELS, OutOfFold, newest_out_of_fold
from core.words import plural
from db import proposals, reviews, samples
from db.records import MACHINES, Project, Sample
from db.sqlite import Database

BATCH = 500
"""Images per query."""
CONFIDENCE = 0.8
"""Lowest confidence of the readers at the positions that differ.

With 2% flipped labels of 489 real training images, 20 draws: 77% of the labels that the readers suspect without this
bound are wrong, and 91% with it. They find 98.0% without it, and 96.5% with it.
"""


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A label that is probably wrong."""

    sample: Sample
    suggested: str
    """The readers' text. Without one, the label with the networks' characters at the suspected positions."""
    reasons: tuple[str, ...]
    score: float
    """Sum over the reasons: the readers' lowest confidence at the positions that differ, and the probability that the
    label is wrong according to the networks."""

    @property
    def given(self) -> str:
        return self.sample.label or ""

    @property
    def positions(self) -> tuple[int, ...]:
        """Positions, from 1, at which the suggestion differs from the label."""
        return _differences(self.given, self.suggested)

    @property
    def place(self) -> tuple[float, int]:
        """Sort key: the most suspicious first."""
        return -self.score, self.sample.id


@dataclass(frozen=True, kw_only=True)
class Suspects:
    """The suspected labels of a project."""

    entries: list[Suspect]
    """The most suspicious first."""
    labels: int
    """Labels that can be suspected: nobody has confirmed or disputed them."""
    not_from_readings: int
    """Labels among them of people, imports and verdicts. Readers are compared with these only."""
    unread: int
    """Labels of `not_from_readings` that the readers have not read."""
    without_fold: int
    """Labels among them without an out-of-fold reading."""

    @property
    def gaps(self) -> list[str]:
        """Sentences on the labels that were compared with nothing, and how to change that."""
        lines = []
        if self.unread:
            what = f"{plural(self.unread, 'label')} {'has' if self.unread == 1 else 'have'}"
            lines.append(f"{what} not been compared with readers. `slotlab propose --labeled` reads these images.")
        if self.without_fold:
            what = f"{plural(self.without_fold, 'label')} {'has' if self.without_fold == 1 else 'have'}"
            lines.append(f"{what} no out-of-fold reading. `slotlab suspects --folds` trains networks for that.")
        return lines


def find_suspects(db: Database, home: Home, project: Project) -> Suspects:
    """Compare the current labels with the readers and with the newest out-of-fold readings.

    Labels that someone confirmed, corrected in a review or disputes are not suspected. Raises StorageError if the
    out-of-fold readings are damaged.
    """
    labeled = samples.select_samples(db, project.id, state="labeled", checked=False, disputed=False)
    given = [sample for sample in labeled if sample.kind not in MACHINES]
    readers = proposals.list_readers(db, project.id)
    read = proposals.select_texts(db, project.id, readers, state="labeled") if len(readers) > 1 else {}
    out_of_fold = newest_out_of_fold(db, home, project)
    places = out_of_fold.places([sample.sha256 for sample in labeled]) if out_of_fold else []
    suspects: dict[int, Suspect] = {}
    by_networks = _by_networks(project, labeled, out_of_fold, places) if out_of_fold else ()
    texts = agreed_texts(db, project, state="labeled")
    for suspect in (*_by_readers(db, labeled, texts, len(readers)), *by_networks):
        key = suspect.sample.id
        suspects[key] = _merge(suspects[key], suspect) if key in suspects else suspect
    return Suspects(
        entries=sorted(_not_confirmed(db, suspects, texts), key=lambda suspect: suspect.place),
        labels=len(labeled),
        not_from_readings=len(given),
        unread=sum(sample.id not in read for sample in given),
        without_fold=len(labeled) - len(places),
    )


def _by_readers(db: Database, labeled: Sequence[Sample], texts: Mapping[int, str], readers: int) -> Iterator[Suspect]:
    """Yield the labels against which general readers agree with confidence. They cannot contradict themselves.

    `texts` has the agreed readings by sample id.
    """
    different = [
        sample for sample in labeled if sample.kind != "readers" and texts.get(sample.id, sample.label) != sample.label
    ]
    for start in range(0, len(different), BATCH):
        batch = different[start : start + BATCH]
        readings = proposals.readings_of(db, [sample.id for sample in batch])
        for sample in batch:
            text = texts[sample.id]
            places = [position - 1 for position in _differences(sample.label or "", text)]
            confidences = [
                json.loads(proposal.positions)
                for reader, proposal in readings[sample.id]
                if reader.kind == "general" and proposal.text == text
            ]
            who = "both readers" if len(confidences) == readers == 2 else f"{len(confidences)} of {readers} readers"
            score = min(values[place] for values in confidences for place in places)
            if score >= CONFIDENCE:
                yield Suspect(sample=sample, suggested=text, reasons=(f"{who} read {text}",), score=score)


def _by_networks(
    project: Project, labeled: Sequence[Sample], out_of_fold: OutOfFold, places: Sequence[int]
) -> Iterator[Suspect]:
    """Yield the labels with a character that is probably wrong according to the out-of-fold networks."""
    spec = spec_of(project)
    chosen = [labeled[place] for place in places]
    if len(chosen) < MIN_LABELS:
        return
    targets_NP = np.array([spec.encode(sample.label or "") for sample in chosen])
    suspicion = measure(out_of_fold.of([sample.sha256 for sample in chosen]), targets_NP)
    suspected_NP = suspicion.wrong_NP >= SUSPECT
    for row in np.flatnonzero(suspected_NP.any(axis=1)):
        at = np.flatnonzero(suspected_NP[row])
        classes = targets_NP[row].copy()
        classes[at] = suspicion.best_NP[row, at]
        reasons = (
            f"out-of-fold probability {_small(suspicion.label_NP[row, place])} at position {place + 1}" for place in at
        )
        yield Suspect(
            sample=chosen[row],
            suggested=spec.decode(int(each) for each in classes),
            reasons=tuple(reasons),
            score=float(suspicion.wrong_NP[row].max()),
        )


def _merge(suspect: Suspect, other: Suspect) -> Suspect:
    return replace(suspect, reasons=suspect.reasons + other.reasons, score=suspect.score + other.score)


def _not_confirmed(db: Database, suspects: Mapping[int, Suspect], texts: Mapping[int, str]) -> Iterator[Suspect]:
    """Leave out labels that others confirm: a review, or general readers without whom they were given.

    Whoever typed or took over a label in a review saw the image with doubt. Readers confirm no label that is theirs or
    that someone gave with their reading on screen. With 2% flipped labels, out-of-fold networks of 300 steps suspected
    20 wrong and 5 right labels of 1,000 real images. Both readers confirmed these 5 and none of the 20.
    """
    ids = list(suspects)
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        ledgers = reviews.events_by_sample(db, batch)
        for sample_id in batch:
            suspect = suspects[sample_id]
            last = next(event for event in ledgers[sample_id] if event.version == suspect.sample.version)
            is_reviewed = (last.action, last.origin) == ("label", "review")
            is_independent = suspect.sample.kind not in MACHINES and not last.suggestion_shown
            is_read = is_independent and texts.get(sample_id) == suspect.given
            if not (is_reviewed or is_read):
                yield suspect


def _differences(given: str, other: str) -> tuple[int, ...]:
    pairs = zip(given, other, strict=True)
    return tuple(position for position, (left, right) in enumerate(pairs, 1) if left != right)


def _small(probability: float) -> str:
    return f"{probability:.3f}" if probability >= 0.001 else "below 0.001"
