"""Queues: which image an operator is shown next, so that no two have the same one and the estimates stay unbiased."""

import random
import time
from collections.abc import Collection
from dataclasses import dataclass

from sqlite_utils import Database

from db import queues
from db.connection import write
from db.queues import Queue
from db.records import Project, Sample

LEASE_SECONDS = 60
"""A browser renews what it has every 20 seconds; a closed tab's images wait no longer than this."""
SHARES = {"train": 8, "val": 1, "test": 1}
"""As core.images.pixels.split_of deals images out."""


@dataclass(frozen=True)
class Batch:
    """What a browser tab gets."""

    samples: list[Sample]
    lost: list[str]
    """Hashes it has on hand that are no longer its own: another has them, or they are done."""


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
    """Renew the lease of what a browser tab has, give back what it no longer has, and lease `n` samples more.

    `holder` names the tab, `have` are pixel hashes; those of `without` it does not want to see again, others may.
    Whatever the order of the training images, val and test images come at random and in their share: the images
    labeled so far are then a fair sample of each.
    """
    now = int(time.time())
    with write(db):
        queues.end_leases(db, holder, now)

        def take(hashes: Collection[str]) -> None:
            state = queues.KINDS[queue.kind]
            queues.lease(db, project.id, state, hashes, holder=holder, now=now, until=now + LEASE_SECONDS)

        def waiting(split: str) -> list[Sample]:
            limit = n + len(without)
            candidates = queues.select_waiting(db, project.id, queue, split, operator=operator, now=now, limit=limit)
            return [sample for sample in candidates if sample.sha256 not in without]

        take(have)
        leased = queues.leased_hashes(db, project.id, holder)
        batch = _mixed({split: waiting(split) for split in SHARES}, n) if n else []
        take([sample.sha256 for sample in batch])
    return Batch(batch, [sha256 for sha256 in have if sha256 not in leased])


def _mixed(waiting: dict[str, list[Sample]], n: int) -> list[Sample]:
    """Up to `n` samples, each of a split drawn by its share among those that have any left."""
    batch: list[Sample] = []
    while len(batch) < n and (left := [split for split in waiting if waiting[split]]):
        (split,) = random.choices(left, [SHARES[split] for split in left])
        batch.append(waiting[split].pop(0))
    return batch
