"""Queues: the next images for each operator, never the same for two, and sampled without bias."""

import random
import time
from collections.abc import Collection
from dataclasses import dataclass, replace

from core.images.pixels import SHARES
from db import queues
from db.connection import write
from db.queues import Queue
from db.records import Project, Sample
from db.sqlite import Database

LEASE_SECONDS = 60
"""A browser renews its leases every 20 seconds. Images of a closed tab become free after this time."""
RANDOM_ONE_IN = 4
"""One training image in this many is random in an order by rank. Otherwise the labeled ones would be only hard ones."""


@dataclass(frozen=True)
class Batch:
    """New images for a browser tab."""

    samples: list[Sample]
    lost: list[str]
    """Hashes the tab holds but no longer leases: another tab has them, or they are done."""


def lease(
    db: Database,
    project: Project,
    queue: Queue,
    *,
    holder: str,
    operator: str,
    have: Collection[str],
    n: int,
    without: Collection[str] = (),
) -> Batch:
    """Renew a browser tab's leases on `have`, release its others, and lease `n` more samples.

    `holder` is the tab. `have` and `without` are pixel hashes; the tab does not get those in `without`.
    Training images whose text the portal rejected come before the others, whatever the order.
    Validation and test images come in random order and in their proportion, whatever the order of training images. So
    the labeled images of each split are a random sample of it.
    """
    now = int(time.time())
    with write(db):
        queues.end_leases(db, holder, now, latest=now + LEASE_SECONDS)

        def take(hashes: Collection[str]) -> None:
            state = queues.KINDS[queue.kind]
            queues.lease(db, project.id, state, hashes, holder=holder, now=now, until=now + LEASE_SECONDS)

        limit = n + len(without)

        def waiting(split: str) -> list[Sample]:
            chosen = queues.select_waiting(db, project.id, queue, split, operator=operator, now=now, limit=limit)
            if split == "train" and queue.order in queues.RANKED:
                chosen = _with_random(ranked(queue), chosen)
            if split == "train":
                rejected = ranked(replace(queue, order=queues.REJECTED))
                chosen = list({sample.id: sample for sample in (*rejected, *chosen)}.values())
            return [sample for sample in chosen if sample.sha256 not in without]

        def ranked(queue: Queue) -> list[Sample]:
            return queues.select_ranked(db, project.id, queue, operator=operator, now=now, limit=limit)

        take(have)
        leased = queues.leased_hashes(db, project.id, holder)
        batch = _mixed({split: waiting(split) for split in SHARES}, n) if n else []
        take([sample.sha256 for sample in batch])
    return Batch(batch, [sha256 for sha256 in have if sha256 not in leased])


def _with_random(ranked: list[Sample], at_random: list[Sample]) -> list[Sample]:
    """Merge both orders, each sample once. One draw in RANDOM_ONE_IN takes the next random sample."""
    merged: dict[int, Sample] = {}
    while ranked or at_random:
        is_random = not ranked or (at_random and random.randrange(RANDOM_ONE_IN) == 0)
        sample = (at_random if is_random else ranked).pop(0)
        merged.setdefault(sample.id, sample)
    return list(merged.values())


def _mixed(waiting: dict[str, list[Sample]], n: int) -> list[Sample]:
    """Return up to `n` samples. Draw the split of each by the proportions of the splits that have any left."""
    batch: list[Sample] = []
    while len(batch) < n and (left := [split for split in waiting if waiting[split]]):
        (split,) = random.choices(left, [SHARES[split] for split in left])
        batch.append(waiting[split].pop(0))
    return batch
