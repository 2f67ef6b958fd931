"""Priorities: ranks of unlabeled training images, by what a label of each would teach.

The ranks come from stored readings. Each order has at most MAX_RANKED images, so that the queue is fast.
"""

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.data.proposals import Rule, rule_of
from core.errors import ImageError
from core.images.pixels import decode
from db import proposals, samples, verdicts
from db.connection import write
from db.queues import REJECTED
from db.records import Project, Proposal, Sample
from db.sqlite import Database

MAX_RANKED = 10_000
PAGE = 500
"""Images read at once."""
MAX_COMPARED = 5_000
"""Images that the order "diverse" compares, chosen at random if there are more. They take seconds on one core."""
MAX_DIVERSE = 1_000
"""Images with a rank in the order "diverse", and labeled images that it keeps away from."""
THUMBNAIL = (16, 8)
"""Width and height of the gray images that "diverse" compares."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class _Readings:
    """The readings of one image."""

    sample: Sample
    general: list[Proposal]
    run: Proposal | None
    rejected: frozenset[str]
    """Texts that the portal rejected."""

    @property
    def best(self) -> str | None:
        """Text of the most confident reading that the portal has not rejected."""
        every = [*self.general, *([self.run] if self.run else [])]
        possible = [proposal for proposal in every if proposal.text not in self.rejected]
        return max(possible, key=lambda proposal: proposal.confidence).text if possible else None

    def agreed(self, rule: Rule) -> str | None:
        """Return the agreed reading, unless the portal has rejected it."""
        return rule.agreed([proposal.text for proposal in self.general], self.rejected)


def update(db: Database, project: Project, *, rule: Rule | None = None) -> None:
    """Compute all orders from the stored readings, and replace the ranks.

    * disagree: readers differ, or the portal rejected what they agree on. Both confident first, because a systematic
      confusion teaches most.
    * unsure: lowest whole-word confidence of the run first.
    * model: the run differs from the agreed reading, most confident run first.
    * rare: rarest character at its position first, among labels and agreed readings of train.
    * diverse: each image is the one least like those before it and like the labeled ones.
    * rejected: see `update_rejected`.

    A run's readings may be missing; its orders are then empty. So are those of readers that cannot be used here.
    `rule` is that of a proposal job that has not finished; None is that of the newest finished one.
    """
    rule = rule_of(db, project) if rule is None else rule
    usable = rule.usable
    # The lowest key comes first. Hashes break ties, because the order of import is not random.
    keys: dict[str, list[tuple[float, int, int]]] = {"disagree": [], "unsure": [], "model": []}
    counts = Counter(place for label in samples.labels_of(db, project.id, "train") for place in enumerate(label))
    texts: list[tuple[str, tuple[int, int]]] = []
    for readings in _unlabeled(db, project):
        sample, run = readings.sample, readings.run
        text = readings.agreed(rule)
        tie = (int(sample.sha256[32:48], 16), sample.id)
        if usable and len(readings.general) > 1 and text is None:
            keys["disagree"].append((-min(proposal.confidence for proposal in readings.general), *tie))
        if usable and text is not None:
            counts.update(enumerate(text))
        if run:
            keys["unsure"].append((run.confidence, *tie))
            if usable and text is not None and run.text != text:
                keys["model"].append((-run.confidence, *tie))
        if (usable or run) and (best := readings.best) is not None:
            texts.append((best, tie))
    keys["rare"] = [(min(counts[place] for place in enumerate(text)), *tie) for text, tie in texts]
    orders = {queue: [id_ for *_, id_ in heapq.nsmallest(MAX_RANKED, each)] for queue, each in keys.items()}
    orders["diverse"] = _diverse(db, project)
    with write(db):
        for queue, ids in orders.items():
            proposals.set_priorities(db, project.id, queue, ids)
    update_rejected(db, project)


def update_rejected(db: Database, project: Project) -> list[int]:
    """Rank the images whose text the portal rejected, the newest verdict first, and return their ids.

    These are the training images that are unlabeled or skipped for later.
    """
    ids = verdicts.select_rejected(db, project.id, MAX_RANKED)
    with write(db):
        proposals.set_priorities(db, project.id, REJECTED, ids)
    return ids


def _unlabeled(db: Database, project: Project) -> Iterator[_Readings]:
    """Yield the unlabeled training images that have readings. No cursor stays open, because it would block writers."""
    last, rejected = 0, verdicts.rejected_texts(db, project.id)
    while page := samples.select_after(db, project.id, split="train", state="unlabeled", after=last, limit=PAGE):
        last = page[-1].id
        readings = proposals.readings_of(db, [sample.id for sample in page])
        for sample in page:
            if each := readings[sample.id]:
                general = [proposal for reader, proposal in each if reader.kind == "general"]
                run = next((proposal for reader, proposal in each if reader.kind == "run"), None)
                yield _Readings(sample, general, run, rejected.get(sample.id, frozenset()))


def _diverse(db: Database, project: Project) -> list[int]:
    """Return unlabeled training images, each least like those before it."""

    def chosen(state: str, limit: int) -> list[Sample]:
        return samples.select_samples(db, project.id, split="train", state=state, order="random", limit=limit)

    ids, points_ND = _thumbnails(db, chosen("unlabeled", MAX_COMPARED))
    _, covered_MD = _thumbnails(db, chosen("labeled", MAX_DIVERSE))
    return [ids[place] for place in farthest_first(points_ND, covered_MD, MAX_DIVERSE)]


def farthest_first(points_ND: Floats, covered_MD: Floats, count: int) -> list[int]:
    """Return the indices of at most `count` points, each farthest from those before it and from the covered points.

    Without covered points, the first is the one farthest from the mean.
    """
    if not len(points_ND):
        return []
    squares_N = np.einsum("nd,nd->n", points_ND, points_ND)
    nearest_N = np.full(len(points_ND), np.inf, np.float32)

    def cover(point_D: Floats) -> None:
        # Not @: its threads cost ten times the CPU time on products as small as these.
        distances_N = squares_N - 2 * np.einsum("nd,d->n", points_ND, point_D) + np.einsum("d,d->", point_D, point_D)
        np.minimum(nearest_N, distances_N, out=nearest_N)

    for point_D in covered_MD if len(covered_MD) else [points_ND.mean(axis=0)]:
        cover(point_D)
    order: list[int] = []
    while len(order) < min(count, len(points_ND)):
        order.append(int(nearest_N.argmax()))
        cover(points_ND[order[-1]])
        nearest_N[order[-1]] = -np.inf
    return order


def _thumbnails(db: Database, chosen: list[Sample]) -> tuple[list[int], Floats]:
    """Return the ids of the images that decode, and their gray thumbnails of mean 0."""
    ids, thumbnails = list[int](), list[Floats]()
    for start in range(0, len(chosen), PAGE):
        for sample_id, data in samples.image_bytes(db, [sample.id for sample in chosen[start : start + PAGE]]).items():
            try:
                image = Image.fromarray(decode(data))
            except ImageError:
                continue
            gray_HW = np.asarray(image.convert("L").resize(THUMBNAIL, Image.Resampling.BOX), np.float32)
            ids.append(sample_id)
            thumbnails.append((gray_HW - gray_HW.mean()).ravel())
    return ids, np.stack(thumbnails) if thumbnails else np.empty((0, THUMBNAIL[0] * THUMBNAIL[1]), np.float32)
