"""Queries on samples and their images."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, TypedDict, Unpack

from db.ids import next_id
from db.queues import PASSED, chunks
from db.records import Sample, now
from db.sqlite import Database

ORDERS = {
    "oldest": "id",
    "newest": "id DESC",
    "label": "label, id",
    "name": "name, id",
    "labeled": "labeled_at DESC, id DESC",
    "random": "substr(sha256, 33), id",
    "smallest": "width * height, id",
    "largest": "width * height DESC, id DESC",
}
"""Orders of a list of samples."""
BY_SIZE = ("smallest", "largest")
"""Orders by the number of pixels, which have an index."""
HASH_LENGTH = 64
"""Characters of a hash. No label is that long."""
Mark = tuple[int, int, int]
"""Stands for a set of samples: their number, the sum of their ids, and that of the squares modulo PRIME."""
PRIME = 4_294_967_291
"""Largest prime below 2**32, so that the sum for a billion samples still fits into 64 bits."""


def insert_sample(
    db: Database,
    *,
    project_id: int,
    source_id: int,
    sha256: str,
    name: str,
    width: int,
    height: int,
    split: str,
    image: bytes,
) -> int:
    """Store an image and return its id. The caller ensures that the project does not have these pixels yet."""
    cursor = db.execute(
        "INSERT INTO samples (id, project_id, source_id, sha256, name, width, height, split, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [next_id(db, "samples"), project_id, source_id, sha256, name, width, height, split, now()],
    )
    sample_id = cursor.lastrowid
    assert sample_id is not None
    db.execute("INSERT INTO images (sample_id, bytes) VALUES (?, ?)", [sample_id, image])
    return sample_id


def find_sample(db: Database, project_id: int, sha256: str) -> Sample | None:
    rows = list(db.query("SELECT * FROM samples WHERE project_id = ? AND sha256 = ?", [project_id, sha256]))
    return Sample(**rows[0]) if rows else None


def get_sample(db: Database, sample_id: int) -> Sample:
    return Sample(**next(iter(list(db.query("SELECT * FROM samples WHERE id = ?", [sample_id])))))


class Filters(TypedDict, total=False):
    """Conditions on samples. A missing one, None or an empty `text` excludes nothing."""

    state: str | None
    split: str | None
    source_id: int | None
    flag: str | None
    """A reason for a skip, or PASSED: skipped for later."""
    disputed: bool | None
    checked: bool | None
    kind: str | None
    tag_id: int | None
    text: str
    """Matches labels, names and prefixes of hashes."""


def select_samples(
    db: Database,
    project_id: int,
    *,
    order: str = "oldest",
    limit: int = -1,
    offset: int = 0,
    **filters: Unpack[Filters],
) -> list[Sample]:
    """Return samples of a project. A limit of -1 is all."""
    where, values = _where(project_id, **filters)
    by = ORDERS[order]
    if order in BY_SIZE:
        # The index has the whole list in order. With a filter that few samples pass, SQLite would seek to every row:
        # 5 s for a million instead of 0.3 s for a sort. A plus keeps it from that.
        where, by = (where, f"+{by}") if _names(filters) - {"split"} else (where.removeprefix("+"), by)
    sql = f"SELECT * FROM samples WHERE {where} ORDER BY {by} LIMIT ? OFFSET ?"
    return [Sample(**row) for row in db.query(sql, [*values, limit, offset])]


def select_ids(db: Database, project_id: int, **filters: Unpack[Filters]) -> list[int]:
    """Return the ids of the samples that `select_samples` would return, by id."""
    terms, values = _where(project_id, **filters)
    return [sample_id for (sample_id,) in db.execute(f"SELECT id FROM samples WHERE {terms} ORDER BY id", values)]


def mark_samples(db: Database, project_id: int, **filters: Unpack[Filters]) -> Mark:
    """Return the mark of the samples that `select_ids` would return, without their ids: there may be a million."""
    terms, values = _where(project_id, **filters)
    sql = f"SELECT count(*), coalesce(sum(id), 0), coalesce(sum(id * id % {PRIME}), 0) FROM samples WHERE {terms}"
    n, total, squares = db.execute(sql, values).fetchone()
    return n, total, squares


def mark_of(ids: Collection[int]) -> Mark:
    """Return the mark of samples by their ids."""
    return len(ids), sum(ids), sum(each * each % PRIME for each in ids)


def get_samples(db: Database, project_id: int, ids: Iterable[int]) -> list[Sample]:
    """Return those of these samples that are in the project, by id."""
    found: list[Sample] = []
    for chunk in chunks(sorted({*ids})):
        marks = ",".join("?" * len(chunk))
        sql = f"SELECT * FROM samples WHERE id IN ({marks}) AND +project_id = ? ORDER BY id"
        found += [Sample(**row) for row in list(db.query(sql, [*chunk, project_id]))]
    return found


def set_source(db: Database, ids: Iterable[int], source_id: int) -> None:
    """Let samples belong to another source of their project. Call inside `write(db)`."""
    for chunk in chunks([*ids]):
        db.execute(f"UPDATE samples SET source_id = ? WHERE id IN ({','.join('?' * len(chunk))})", [source_id, *chunk])


def select_comparable(db: Database, project_id: int, *, limit: int) -> list[Sample]:
    """Return the newest labeled images of val and unlabeled images of train, newest first."""
    rows = db.query(
        "SELECT * FROM samples WHERE project_id = ?"
        " AND ((split = 'val' AND state = 'labeled') OR (split = 'train' AND state = 'unlabeled'))"
        " ORDER BY id DESC LIMIT ?",
        [project_id, limit],
    )
    return [Sample(**row) for row in list(rows)]


def newest_id(db: Database, project_id: int, *, until: str | None = None) -> int:
    """Return the id of the newest sample of a project, 0 without one; with `until`, of those that came by this time."""
    sql = "SELECT max(id) FROM samples WHERE project_id = ? AND (? IS NULL OR created_at <= ?)"
    return int(db.execute(sql, [project_id, until, until]).fetchone()[0] or 0)


def count_samples(db: Database, project_id: int, **filters: Unpack[Filters]) -> int:
    if not _names(filters) - {"state", "split"}:
        state, split = filters.get("state"), filters.get("split")
        tallies = counts(db, project_id).items()
        return sum(n for key, n in tallies if split in (None, key[0]) and state in (None, key[1]))
    where, values = _where(project_id, **filters)
    return int(db.execute(f"SELECT count(*) FROM samples WHERE {where}", values).fetchone()[0])


def _names(filters: Filters) -> set[str]:
    """Return the names of the filters that exclude any samples."""
    return {name for name, value in filters.items() if value is not None and (name != "text" or value)}


def _where(
    project_id: int,
    *,
    state: str | None = None,
    split: str | None = None,
    source_id: int | None = None,
    flag: str | None = None,
    disputed: bool | None = None,
    checked: bool | None = None,
    kind: str | None = None,
    tag_id: int | None = None,
    text: str = "",
) -> tuple[str, list[Any]]:
    # Without an indexed condition, read the rows in file order. SQLite would use the index on hashes for project_id and
    # seek to each row: 7 s instead of 0.4 s for a million. A plus keeps SQLite from using an index: of a list with a
    # tag, it should read the tagged samples only.
    indexed = state or flag or disputed or kind or len(text) == HASH_LENGTH
    plus = "" if tag_id is None else "+"
    terms = ["project_id = ?" if indexed and not plus else "+project_id = ?"]
    values: list[Any] = [project_id]
    if tag_id is not None:
        terms.append("id IN (SELECT sample_id FROM tagged_samples WHERE tag_id = ?)")
        values.append(tag_id)
    for column, value in (("state", state), ("split", split), ("source_id", source_id), ("kind", kind)):
        if value is not None:
            terms.append(f"{plus}{column} = ?")
            values.append(value)
    if flag is not None:
        terms.append(f"{plus}state = 'skipped' AND flag IS ?")
        values.append(None if flag == PASSED else flag)
    for column, wanted in (("disputed", disputed), ("checked", checked)):
        if wanted is not None:  # a bare column, as in the index on disputed samples
            terms.append(f"{plus}{column}" if wanted else f"NOT {column}")
    if len(text) == HASH_LENGTH:  # links use full hashes, and the index finds one quickly
        terms.append(f"{plus}sha256 = ?")
        values.append(text)
    elif text:
        terms.append("(instr(label, ?) OR instr(lower(name), lower(?)) OR substr(sha256, 1, length(?)) = ?)")
        values += [text] * 4
    return " AND ".join(terms), values


def counts(db: Database, project_id: int) -> dict[tuple[str, str], int]:
    """Return the number of samples by (split, state). Empty combinations are absent."""
    sql = "SELECT split, state, sum(n) AS n FROM tallies WHERE project_id = ? AND n > 0 GROUP BY split, state"
    return {(row["split"], row["state"]): row["n"] for row in db.query(sql, [project_id])}


def label_counts(db: Database, project_id: int) -> dict[tuple[str, str], int]:
    """Return the number of labels by (split, kind). Empty combinations are absent."""
    sql = "SELECT split, kind, n FROM tallies WHERE project_id = ? AND state = 'labeled' AND n > 0"
    return {(row["split"], row["kind"]): row["n"] for row in db.query(sql, [project_id])}


def select_after(db: Database, project_id: int, *, split: str, state: str, after: int, limit: int) -> list[Sample]:
    """Return the next samples of a split and state, by id."""
    sql = "SELECT * FROM samples WHERE project_id = ? AND state = ? AND split = ? AND id > ? ORDER BY id LIMIT ?"
    return [Sample(**row) for row in db.query(sql, [project_id, state, split, after, limit])]


def labels_of(db: Database, project_id: int, split: str) -> list[str]:
    """Return the labels of a split, without their samples."""
    sql = "SELECT label FROM samples WHERE project_id = ? AND state = 'labeled' AND split = ?"
    return [label for (label,) in db.execute(sql, [project_id, split]).fetchall()]


def splits_of_label(db: Database, project_id: int, label: str) -> dict[str, int]:
    """Return the number of samples with this label by split. Empty splits are absent."""
    sql = "SELECT split, count(*) AS n FROM samples WHERE project_id = ? AND label = ? GROUP BY split"
    return {row["split"]: row["n"] for row in db.query(sql, [project_id, label])}


def image_bytes(db: Database, sample_ids: Iterable[int]) -> dict[int, bytes]:
    """Return the original file bytes of each sample, by id."""
    return dict(_in_chunks(db, "SELECT sample_id, bytes FROM images WHERE sample_id IN", sample_ids))


def first_sizes(db: Database, project_id: int) -> list[tuple[int, int]]:
    """Return the different widths and heights of the first 1,000 images of a project, in pixels."""
    sql = (
        "SELECT DISTINCT width, height FROM"
        " (SELECT width, height FROM samples WHERE project_id = ? ORDER BY id LIMIT 1000)"
    )
    return [(width, height) for width, height in db.execute(sql, [project_id]).fetchall()]


def sizes_of_source(db: Database, source_id: int) -> list[tuple[int, int]]:
    """Return the different widths and heights of the first 1,000 images of a source, in pixels."""
    sql = (
        "SELECT DISTINCT width, height FROM"
        " (SELECT width, height FROM samples WHERE source_id = ? ORDER BY id LIMIT 1000)"
    )
    return [(width, height) for width, height in db.execute(sql, [source_id]).fetchall()]


def has_size(db: Database, project_id: int, width: int, height: int) -> bool:
    """Return True if a project has an image of this width and height, in pixels."""
    sql = "SELECT 1 FROM samples WHERE project_id = ? AND width * height = ? AND width = ? LIMIT 1"
    return db.execute(sql, [project_id, width * height, width]).fetchone() is not None


def count_lacking(db: Database, project_id: int, other_id: int) -> int:
    """Return the number of images of a project that another one lacks."""
    sql = (
        "SELECT count(*) FROM samples WHERE +project_id = ?"
        " AND sha256 NOT IN (SELECT sha256 FROM samples WHERE +project_id = ?)"
    )
    return int(db.execute(sql, [project_id, other_id]).fetchone()[0])


def has_first_images(db: Database, project_id: int, other_id: int, n: int) -> bool:
    """Return whether another project has the first `n` images of a project, or as many as it has at all."""
    (most,) = db.execute(
        "SELECT count(*) FROM (SELECT 1 FROM samples WHERE project_id = ? LIMIT ?)", [other_id, n]
    ).fetchone()
    first = db.execute(
        "SELECT sha256 FROM samples WHERE project_id = ? ORDER BY id LIMIT ?", [project_id, most]
    ).fetchall()
    return bool(first) and all(find_sample(db, other_id, sha256) for (sha256,) in first)


def hashes_of_source(db: Database, source_id: int) -> set[str]:
    """Return the pixel hash of each image of a source."""
    return {
        sha256 for (sha256,) in db.execute("SELECT sha256 FROM samples WHERE source_id = ?", [source_id]).fetchall()
    }


def facts_by_hash(db: Database, project_id: int, hashes: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return source, import day, operator and size of each sample, by pixel hash. Unknown hashes are absent."""
    sql = (
        "SELECT sha256, sources.name, substr(samples.created_at, 1, 10), coalesce(operator, 'nobody'),"
        " width || ' x ' || height FROM samples JOIN sources ON sources.id = source_id"
        f" WHERE samples.project_id = {int(project_id)} AND sha256 IN"
    )
    kinds = ("source", "import day", "operator", "size")
    return {sha256: dict(zip(kinds, values, strict=True)) for sha256, *values in _in_chunks(db, sql, hashes)}


def _in_chunks(db: Database, sql: str, keys: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    # SQLite allows 32,766 variables per statement. 500 keeps statements cached and memory constant.
    keys = list(keys)
    for start in range(0, len(keys), 500):
        chunk = keys[start : start + 500]
        yield from db.execute(f"{sql} ({','.join('?' * len(chunk))})", chunk).fetchall()
