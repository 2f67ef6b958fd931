"""Queries for reviewing labeled samples page by page, in a given order."""

from dataclasses import dataclass
from typing import Any

from db.records import SPLITS, LabelEvent, Sample
from db.sqlite import Database

ORDERS = {
    "random": "substr(sha256, 33)",
    "label": "label",
    "character": "substr(label, {position}, 1)",
    "newest": "labeled_at",
}
"""Orders of labeled samples. character: groups equal characters at one position, so a wrong one is conspicuous.
random and label have an index; the others read every label of the project per page."""
Place = tuple[str, int]
"""Sort key and id of the last sample of a page."""


@dataclass(frozen=True, kw_only=True)
class Review:
    """Order and filters of a review."""

    order: str = "random"
    unchecked: bool = True
    """Only labels that nobody has confirmed, doubted or decided."""
    source_id: int | None = None
    split: str | None = None
    operator: str | None = None
    """Only labels of this operator."""
    not_by: str | None = None
    """Exclude labels of this operator."""
    kind: str | None = None
    """Only labels of this kind."""
    tag_id: int | None = None
    text: str = ""
    """Part of the label."""
    position: int = 1
    """1-based position for the order character and for `char`."""
    char: str | None = None
    """Only labels with this character at the position."""


def select_labeled(
    db: Database,
    project_id: int,
    review: Review,
    *,
    after: Place | None = None,
    start: str = "",
    end: str | None = None,
    limit: int,
) -> list[tuple[Place, Sample]]:
    """Return the labeled samples after a place, each with its place. `start` and `end` bound the sort key."""
    key = ORDERS[review.order].format(position=int(review.position))
    newest = review.order == "newest"
    where, values = _where(project_id, review)
    if start and after is None:  # a place is already past the start, and the index can use only one lower bound
        where, values = f"{where} AND {key} >= ?", [*values, start]
    if end is not None:
        where, values = f"{where} AND {key} < ?", [*values, end]
    if after is not None:  # an index can serve the first comparison
        where += f" AND {key} {'<=' if newest else '>='} ? AND ({key}, id) {'<' if newest else '>'} (?, ?)"
        values += [after[0], *after]
    direction = "DESC" if newest else "ASC"
    sql = (
        f"SELECT *, {key} AS place FROM samples WHERE {where} AND split = ?"
        f" ORDER BY {key} {direction}, id {direction} LIMIT ?"
    )
    page: list[tuple[Place, Sample]] = []
    # One split at a time, because the index has the order within a split.
    for split in SPLITS if review.split is None else (review.split,):
        rows = list(db.query(sql, [*values, split, limit]))
        page += [((row.pop("place"), row["id"]), Sample(**row)) for row in rows]
    return sorted(page, key=lambda pair: pair[0], reverse=newest)[:limit]


def count_labeled(db: Database, project_id: int, review: Review) -> int:
    """Return the number of labels in a review. Reads every label of the project."""
    where, values = _where(project_id, review)
    if review.split is not None:
        where, values = f"{where} AND split = ?", [*values, review.split]
    return int(db.execute(f"SELECT count(*) FROM samples WHERE {where}", values).fetchone()[0])


def _where(project_id: int, review: Review) -> tuple[str, list[Any]]:
    terms = ["project_id = ?", "state = 'labeled'", "label IS NOT NULL"]  # the last term enables the index on labels
    values: list[Any] = [project_id]
    if review.tag_id is not None:  # the pluses let SQLite read the tagged samples only
        terms = [
            "+project_id = ?",
            "+state = 'labeled'",
            "id IN (SELECT sample_id FROM tagged_samples WHERE tag_id = ?)",
        ]
        values.append(review.tag_id)
    if review.unchecked:
        terms.append("NOT checked AND NOT disputed")
    for condition, value in (
        ("source_id = ?", review.source_id),
        ("operator = ?", review.operator),
        ("operator <> ?", review.not_by),
        ("kind = ?", review.kind),
        ("instr(label, ?)", review.text or None),
        (f"substr(label, {int(review.position)}, 1) = ?", review.char),
    ):
        if value is not None:
            terms.append(condition)
            values.append(value)
    return " AND ".join(terms), values


def select_disputed(db: Database, project_id: int, *, after: int = 0, limit: int) -> list[Sample]:
    """Return the next disputed samples, by id."""
    sql = "SELECT * FROM samples WHERE disputed AND project_id = ? AND id > ? ORDER BY id LIMIT ?"
    return [Sample(**row) for row in db.query(sql, [project_id, after, limit])]


def events_by_sample(db: Database, sample_ids: list[int]) -> dict[int, list[LabelEvent]]:
    """Return the history of each sample, oldest first. At most 500 samples per call."""
    ledgers: dict[int, list[LabelEvent]] = {sample_id: [] for sample_id in sample_ids}
    marks = ",".join("?" * len(sample_ids))
    for row in db.query(f"SELECT * FROM labels WHERE sample_id IN ({marks}) ORDER BY id", sample_ids):
        ledgers[row["sample_id"]].append(LabelEvent(**row))
    return ledgers
