"""Queries on the queues of images, and on leases of the images on screen."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, TypeVar

from db.records import PEOPLE, Sample
from db.sqlite import Database

KeyT = TypeVar("KeyT", int, str)
KINDS = {"unlabeled": "unlabeled", "skipped": "skipped", "second": "labeled"}
"""The queues and the state of their samples. second: labels that only their operator has seen."""
ORDERS = {"import": "id", "random": "substr(sha256, 33)"}
"""Orders of the training images. The split comes from the first half of the hash, so the second half is a random
order. All operators and sessions share it."""
RANKED = ("disagree", "unsure", "model", "rare", "diverse")
"""Orders of the training images by rank. core.data.priorities computes the ranks."""
REJECTED = "rejected"
"""Ranks of the images whose reading the portal rejected. They come first in every order of the training images."""
PASSED = "passed"
"""Value of `flag` for samples skipped for later, without a reason."""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A queue with its filters."""

    kind: str = "unlabeled"
    order: str = "import"
    source_id: int | None = None
    day: str | None = None
    """Day of the import in UTC, such as 2026-11-23."""
    blind: bool = False
    """Only validation and test images, which prove what runs and readers are worth."""
    flag: str | None = None
    """Only samples skipped for this reason: unreadable, not_ours or PASSED."""


def select_waiting(
    db: Database, project_id: int, queue: Queue, split: str, *, operator: str, now: int, limit: int
) -> list[Sample]:
    """Return the next samples of a split without a lease.

    Only training images have another order than random. For an order by rank, see `select_ranked`.
    """
    where, values = _waiting(project_id, queue, split, operator, now)
    order = ORDERS.get(queue.order if split == "train" else "random", ORDERS["random"])
    return [
        Sample(**row)
        for row in db.query(f"SELECT * FROM samples WHERE {where} ORDER BY {order} LIMIT ?", [*values, limit])
    ]


def select_ranked(db: Database, project_id: int, queue: Queue, *, operator: str, now: int, limit: int) -> list[Sample]:
    """Return the next training images without a lease that have a rank in the order of the queue."""
    where, values = _waiting(project_id, queue, "train", operator, now)
    # CROSS JOIN reads along the ranks. Otherwise SQLite may read and sort all waiting samples.
    sql = (
        "SELECT samples.* FROM priorities CROSS JOIN samples ON samples.id = priorities.sample_id"
        f" WHERE priorities.project_id = ? AND priorities.queue = ? AND {where} ORDER BY rank LIMIT ?"
    )
    return [Sample(**row) for row in db.query(sql, [project_id, queue.order, *values, limit])]


def _waiting(project_id: int, queue: Queue, split: str, operator: str, now: int) -> tuple[str, list[Any]]:
    terms = ["samples.project_id = ?", "state = ?", "split = ?"]
    values: list[Any] = [project_id, KINDS[queue.kind], split]
    if queue.source_id is not None:
        terms.append("source_id = ?")
        values.append(queue.source_id)
    if queue.day is not None:
        terms.append("substr(created_at, 1, 10) = ?")
        values.append(queue.day)
    if queue.kind == "skipped" and queue.flag is not None:
        terms.append("flag IS ?")
        values.append(None if queue.flag == PASSED else queue.flag)
    if queue.kind == "second":
        # Do not ask the operator who gave the label or a second opinion. A label that only its own operator has
        # confirmed still needs someone else.
        terms.append(
            f"NOT disputed AND operator <> ? AND kind IN {PEOPLE}"
            " AND (NOT checked OR NOT EXISTS (SELECT 1 FROM labels WHERE"
            " sample_id = samples.id AND labels.operator <> samples.operator"
            " AND action IN ('second', 'confirm', 'resolve')))"
            " AND NOT EXISTS (SELECT 1 FROM labels"
            " WHERE sample_id = samples.id AND labels.operator = ? AND action = 'second')"
        )
        values += [operator, operator]
    if queue.blind:
        terms.append("split <> 'train'")
    terms.append("NOT EXISTS (SELECT 1 FROM leases WHERE sample_id = samples.id AND until >= ?)")
    return " AND ".join(terms), [*values, now]


def lease(
    db: Database,
    project_id: int,
    state: str,
    hashes: Collection[str],
    *,
    holder: str,
    now: int,
    until: int,
) -> None:
    """Lease the samples in this state that no one else has leased."""
    # The plus makes SQLite search by hash and not scan all samples of the state.
    for chunk in chunks(hashes):
        db.execute(
            "INSERT INTO leases (sample_id, holder, until) SELECT id, ?, ? FROM samples"
            f" WHERE project_id = ? AND +state = ? AND sha256 IN ({','.join('?' * len(chunk))})"
            " ON CONFLICT (sample_id) DO UPDATE SET holder = excluded.holder, until = excluded.until"
            " WHERE holder = excluded.holder OR until < ?",
            [holder, until, project_id, state, *chunk, now],
        )


def leased_hashes(db: Database, project_id: int, holder: str) -> set[str]:
    """Return the pixel hashes of the samples leased to `holder`."""
    # CROSS JOIN fixes the join order. Otherwise SQLite scans all samples of the project: 0.5 s for a million.
    sql = "SELECT sha256 FROM leases CROSS JOIN samples ON samples.id = sample_id WHERE holder = ? AND project_id = ?"
    return {row["sha256"] for row in db.query(sql, [holder, project_id])}


def end_leases(db: Database, holder: str, now: int, latest: int) -> None:
    """Delete the leases of `holder`, all expired ones, and those that end after `latest`.

    No lease made now ends later. Those are from before the clock was set back, and nobody would get their images.
    """
    db.execute("DELETE FROM leases WHERE holder = ? OR until NOT BETWEEN ? AND ?", [holder, now, latest])


def release(db: Database, sample_id: int) -> None:
    """Delete the lease and the ranks of a sample that someone has decided about."""
    db.execute("DELETE FROM leases WHERE sample_id = ?", [sample_id])
    db.execute("DELETE FROM priorities WHERE sample_id = ?", [sample_id])


def count_ranked(db: Database, project_id: int) -> dict[str, int]:
    """Return the number of samples with a rank by queue. Empty queues are absent."""
    sql = "SELECT queue, count(*) AS n FROM priorities WHERE project_id = ? GROUP BY queue"
    return {row["queue"]: row["n"] for row in db.query(sql, [project_id])}


def count_rejected(db: Database, project_id: int, kind: str) -> int:
    """Return the number of images in a queue whose reading the portal rejected."""
    sql = (
        "SELECT count(*) FROM priorities CROSS JOIN samples ON samples.id = sample_id"
        " WHERE priorities.project_id = ? AND queue = ? AND state = ?"
    )
    return int(db.execute(sql, [project_id, REJECTED, KINDS[kind]]).fetchone()[0])


def days_waiting(db: Database, project_id: int, kind: str) -> list[str]:
    """Return the import days of the samples in a queue, newest first. Skips through the index."""
    # Second opinions are asked on labels of people only, see _waiting. The plus keeps the index with the day.
    people = f"AND +kind IN {PEOPLE}" if kind == "second" else ""
    sql = (
        "WITH RECURSIVE splits (split) AS (VALUES ('train'), ('val'), ('test')), days (split, day) AS ("
        " SELECT split, (SELECT min(substr(created_at, 1, 10)) FROM samples AS s"
        f"  WHERE project_id = :project AND state = :state AND s.split = splits.split {people}) FROM splits"
        " UNION ALL SELECT split, (SELECT min(substr(created_at, 1, 10)) FROM samples AS s"
        f"  WHERE project_id = :project AND state = :state AND s.split = days.split {people}"
        "  AND substr(created_at, 1, 10) > day) FROM days WHERE day IS NOT NULL)"
        " SELECT DISTINCT day FROM days WHERE day IS NOT NULL ORDER BY day DESC"
    )
    return [row["day"] for row in db.query(sql, {"project": project_id, "state": KINDS[kind]})]


def count_disputed(db: Database, project_id: int) -> int:
    return int(db.execute("SELECT count(*) FROM samples WHERE disputed AND project_id = ?", [project_id]).fetchone()[0])


def chunks(keys: Collection[KeyT]) -> list[list[KeyT]]:
    """Divide keys into lists of at most 500, few enough for the variables of one statement."""
    items = list(keys)
    return [items[start : start + 500] for start in range(0, len(items), 500)]
