"""Queries on labeled samples as a reviewer walks them: a place in an order, and the samples after it."""

from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from db.records import LabelEvent, Sample

ORDERS = {
    "random": "substr(sha256, 33)",
    "label": "label",
    "character": "substr(label, {position}, 1)",
    "newest": "labeled_at",
}
"""What labeled samples may be walked by. character: equal characters at one position together, where a wrong one
stands out. Random and label have an index; the others read every label of the project for each screen."""
SPLITS = ("train", "val", "test")
Place = tuple[str, int]
"""Value of the order and id of the last sample seen."""


@dataclass(frozen=True, kw_only=True)
class Review:
    """Which labels a reviewer wants to see, and in which order."""

    order: str = "random"
    unchecked: bool = True
    """Only labels that nobody has confirmed, doubted or decided yet."""
    source_id: int | None = None
    split: str | None = None
    operator: str | None = None
    """Only labels of this operator."""
    not_by: str | None = None
    """Only labels of other operators than this one."""
    text: str = ""
    """Part of the label."""
    position: int = 1
    """For the order character, and for `char`; the first is 1."""
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
    """The next labeled samples after a place, each with its own; values of the order from `start` up to `end`."""
    key = ORDERS[review.order].format(position=int(review.position))
    newest = review.order == "newest"
    where, values = _where(project_id, review)
    if start and after is None:  # what is after a place is after the start; of two bounds the index would take either
        where, values = f"{where} AND {key} >= ?", [*values, start]
    if end is not None:
        where, values = f"{where} AND {key} < ?", [*values, end]
    if after is not None:  # the first comparison is one that an index can serve
        where += f" AND {key} {'<=' if newest else '>='} ? AND ({key}, id) {'<' if newest else '>'} (?, ?)"
        values += [after[0], *after]
    direction = "DESC" if newest else "ASC"
    sql = (
        f"SELECT *, {key} AS place FROM samples WHERE {where} AND split = ?"
        f" ORDER BY {key} {direction}, id {direction} LIMIT ?"
    )
    page: list[tuple[Place, Sample]] = []
    # A split at a time: the index holds the order within each.
    for split in SPLITS if review.split is None else (review.split,):
        rows = list(db.query(sql, [*values, split, limit]))
        page += [((row.pop("place"), row["id"]), Sample(**row)) for row in rows]
    return sorted(page, key=lambda pair: pair[0], reverse=newest)[:limit]


def count_labeled(db: Database, project_id: int, review: Review) -> int:
    """How many labels a review is about; reads every label of the project."""
    where, values = _where(project_id, review)
    if review.split is not None:
        where, values = f"{where} AND split = ?", [*values, review.split]
    return int(db.execute(f"SELECT count(*) FROM samples WHERE {where}", values).fetchone()[0])


def _where(project_id: int, review: Review) -> tuple[str, list[Any]]:
    terms = ["project_id = ?", "state = 'labeled'", "label IS NOT NULL"]  # the last opens the index by label
    values: list[Any] = [project_id]
    if review.unchecked:
        terms.append("NOT checked AND NOT disputed")
    for condition, value in (
        ("source_id = ?", review.source_id),
        ("operator = ?", review.operator),
        ("operator <> ?", review.not_by),
        ("instr(label, ?)", review.text or None),
        (f"substr(label, {int(review.position)}, 1) = ?", review.char),
    ):
        if value is not None:
            terms.append(condition)
            values.append(value)
    return " AND ".join(terms), values


def select_disputed(db: Database, project_id: int, *, after: int = 0, limit: int) -> list[Sample]:
    """The next samples that somebody disagrees about, by id."""
    sql = "SELECT * FROM samples WHERE disputed AND project_id = ? AND id > ? ORDER BY id LIMIT ?"
    return [Sample(**row) for row in db.query(sql, [project_id, after, limit])]


def events_by_sample(db: Database, sample_ids: list[int]) -> dict[int, list[LabelEvent]]:
    """The whole history of each sample, oldest first; at most 500 samples at once."""
    ledgers: dict[int, list[LabelEvent]] = {sample_id: [] for sample_id in sample_ids}
    marks = ",".join("?" * len(sample_ids))
    for row in db.query(f"SELECT * FROM labels WHERE sample_id IN ({marks}) ORDER BY id", sample_ids):
        ledgers[row["sample_id"]].append(LabelEvent(**row))
    return ledgers
