"""Queries on what waits for an operator, and on who has which image on the screen."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from db.records import Sample

KINDS = {"unlabeled": "unlabeled", "skipped": "skipped", "second": "labeled"}
"""The queues, and the state of the samples in each. second: labels that nobody but their operator has looked at."""
ORDERS = {"import": "id", "random": "substr(sha256, 33)"}
"""How the training images may be ordered; a strategy that ranks images is another line. The split comes from the first
half of the hash, so its second half is a random order that every operator and every session shares."""
PASSED = "passed"
"""As a flag: skipped without a reason, to be seen again."""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """What an operator wants to be shown."""

    kind: str = "unlabeled"
    order: str = "import"
    source_id: int | None = None
    day: str | None = None
    """Day of the import, UTC, as 2026-11-23."""
    flag: str | None = None
    """Of skipped samples: unreadable, not_ours or PASSED."""


def select_waiting(
    db: Database, project_id: int, queue: Queue, split: str, *, operator: str, now: int, limit: int
) -> list[Sample]:
    """The next samples of one split that are on nobody's screen; val and test images in random order."""
    terms = ["project_id = ?", "state = ?", "split = ?"]
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
        # Whoever gave the label, or a second one already, is not asked again. A label that only its own operator has
        # confirmed still waits for somebody else.
        terms.append(
            "NOT disputed AND operator <> ? AND (NOT checked OR NOT EXISTS (SELECT 1 FROM labels WHERE"
            " sample_id = samples.id AND labels.operator <> samples.operator"
            " AND action IN ('second', 'confirm', 'resolve')))"
            " AND NOT EXISTS (SELECT 1 FROM labels"
            " WHERE sample_id = samples.id AND labels.operator = ? AND action = 'second')"
        )
        values += [operator, operator]
    terms.append("NOT EXISTS (SELECT 1 FROM leases WHERE sample_id = samples.id AND until >= ?)")
    order = ORDERS[queue.order if split == "train" else "random"]
    sql = f"SELECT * FROM samples WHERE {' AND '.join(terms)} ORDER BY {order} LIMIT ?"
    return [Sample(**row) for row in db.query(sql, [*values, now, limit])]


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
    """Lease to `holder` those of these samples that are in this state and on nobody else's screen."""
    # The plus keeps SQLite from going through all samples of the state: by their hashes it finds them at once.
    for chunk in _chunks(hashes):
        db.execute(
            "INSERT INTO leases (sample_id, holder, until) SELECT id, ?, ? FROM samples"
            f" WHERE project_id = ? AND +state = ? AND sha256 IN ({','.join('?' * len(chunk))})"
            " ON CONFLICT (sample_id) DO UPDATE SET holder = excluded.holder, until = excluded.until"
            " WHERE holder = excluded.holder OR until < ?",
            [holder, until, project_id, state, *chunk, now],
        )


def leased_hashes(db: Database, project_id: int, holder: str) -> set[str]:
    """Pixel hashes of what `holder` has."""
    # CROSS JOIN keeps the order: else SQLite goes through all samples of the project, half a second for a million.
    sql = "SELECT sha256 FROM leases CROSS JOIN samples ON samples.id = sample_id WHERE holder = ? AND project_id = ?"
    return {row["sha256"] for row in db.query(sql, [holder, project_id])}


def end_leases(db: Database, holder: str, now: int) -> None:
    """Give back all that `holder` has, and whatever has run out."""
    db.execute("DELETE FROM leases WHERE holder = ? OR until < ?", [holder, now])


def release(db: Database, sample_id: int) -> None:
    db.execute("DELETE FROM leases WHERE sample_id = ?", [sample_id])


def days_waiting(db: Database, project_id: int, kind: str) -> list[str]:
    """Days on which samples of this queue were imported, newest first; hops over the index."""
    sql = (
        "WITH RECURSIVE splits (split) AS (VALUES ('train'), ('val'), ('test')), days (split, day) AS ("
        " SELECT split, (SELECT min(substr(created_at, 1, 10)) FROM samples AS s"
        "  WHERE project_id = :project AND state = :state AND s.split = splits.split) FROM splits"
        " UNION ALL SELECT split, (SELECT min(substr(created_at, 1, 10)) FROM samples AS s"
        "  WHERE project_id = :project AND state = :state AND s.split = days.split"
        "  AND substr(created_at, 1, 10) > day) FROM days WHERE day IS NOT NULL)"
        " SELECT DISTINCT day FROM days WHERE day IS NOT NULL ORDER BY day DESC"
    )
    return [row["day"] for row in db.query(sql, {"project": project_id, "state": KINDS[kind]})]


def count_disputed(db: Database, project_id: int) -> int:
    return int(db.execute("SELECT count(*) FROM samples WHERE disputed AND project_id = ?", [project_id]).fetchone()[0])


def _chunks(keys: Collection[str]) -> list[list[str]]:
    items = list(keys)
    return [items[start : start + 500] for start in range(0, len(items), 500)]
