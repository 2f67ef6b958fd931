"""Queries on readers, their readings of images, and the acceptances that turned readings into labels."""

import json
from collections.abc import Sequence
from typing import Any

from db.ids import next_id
from db.records import REMOVABLE, Acceptance, Proposal, Reader, Sample, now
from db.sqlite import Database


def open_reader(db: Database, *, kind: str, name: str, version: str, sha256: str) -> Reader:
    """Return the reader with these weights, and insert it if it is new. Call inside `write(db)`."""
    db.execute(
        "INSERT INTO readers (kind, name, version, sha256) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [kind, name, version, sha256],
    )
    rows = db.query("SELECT * FROM readers WHERE name = ? AND version = ? AND sha256 = ?", [name, version, sha256])
    return Reader(**next(iter(list(rows))))


def list_readers(db: Database, project_id: int, kind: str = "general") -> list[Reader]:
    """Return the readers of a kind with readings of a project, by name."""
    # Former versions have no readings. The first condition leaves them out with one scan of 20 ms for 100,000 images.
    # The second would look at every image for each of them: 200 ms.
    sql = (
        "SELECT * FROM readers WHERE kind = ? AND id IN (SELECT DISTINCT reader_id FROM proposals) AND EXISTS"
        " (SELECT 1 FROM samples CROSS JOIN proposals ON sample_id = samples.id AND reader_id = readers.id"
        " WHERE project_id = ?) ORDER BY name, id"
    )
    return [Reader(**row) for row in db.query(sql, [kind, project_id])]


def insert_proposal(
    db: Database, sample_id: int, reader: Reader, *, text: str | None, confidence: float, positions: Sequence[float]
) -> None:
    """Store a reading. It replaces an earlier one by the same reader. Call inside `write(db)`."""
    db.execute(
        "INSERT OR REPLACE INTO proposals (sample_id, reader_id, text, confidence, positions, at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [sample_id, reader.id, text, confidence, json.dumps([round(value, 6) for value in positions]), now()],
    )


def delete_former(db: Database, project_id: int, reader: Reader) -> None:
    """Delete the readings of a project by other versions of a general reader, or by other runs."""
    db.execute(
        "DELETE FROM proposals WHERE sample_id IN (SELECT id FROM samples WHERE project_id = ?) AND reader_id IN"
        " (SELECT id FROM readers WHERE kind = ? AND id <> ? AND (kind = 'run' OR name = ?))",
        [project_id, reader.kind, reader.id, reader.name],
    )


def delete_others(db: Database, project_id: int, readers: Sequence[Reader]) -> None:
    """Delete the readings of a project by general readers other than these."""
    db.execute(
        "DELETE FROM proposals WHERE sample_id IN (SELECT id FROM samples WHERE project_id = ?) AND reader_id IN"
        f" (SELECT id FROM readers WHERE kind = 'general' AND id NOT IN ({','.join('?' * len(readers))}))",
        [project_id, *(reader.id for reader in readers)],
    )


def count_unread(db: Database, project_id: int, reader: Reader, *, labeled_train: bool) -> int:
    """Return the number of images that a reader has not read yet, see `select_unread`."""
    where, values = _unread(project_id, reader, labeled_train=labeled_train)
    return int(db.execute(f"SELECT count(*) FROM samples WHERE {where}", values).fetchone()[0])


def select_unread(
    db: Database, project_id: int, reader: Reader, *, labeled_train: bool, after: int, limit: int
) -> list[Sample]:
    """Return the next images, by id, that a reader has not read yet.

    These are unlabeled images, and labeled ones of val and test, which show if readers are right. General readers also
    read the images that people did not label. Without those, other readers would be judged by the disagreements that
    are left. All labeled images of train only if `labeled_train`.
    """
    where, values = _unread(project_id, reader, labeled_train=labeled_train)
    sql = f"SELECT * FROM samples WHERE {where} AND id > ? ORDER BY id LIMIT ?"
    return [Sample(**row) for row in db.query(sql, [*values, after, limit])]


def _unread(project_id: int, reader: Reader, *, labeled_train: bool) -> tuple[str, list[Any]]:
    labeled = "split <> 'train'"
    if labeled_train:
        labeled = "TRUE"
    elif reader.kind == "general":
        labeled += f" OR kind IN ({', '.join(map(repr, REMOVABLE))})"
    where = (
        f"+project_id = ? AND (state = 'unlabeled' OR (state = 'labeled' AND ({labeled}))) AND NOT EXISTS"
        " (SELECT 1 FROM proposals WHERE sample_id = samples.id AND reader_id = ?)"
    )
    return where, [project_id, reader.id]


def select_texts(
    db: Database,
    project_id: int,
    readers: Sequence[Reader],
    *,
    split: str | None = None,
    state: str | None = None,
    sample_ids: Sequence[int] | None = None,
) -> dict[int, list[str | None]]:
    """Return the texts of each image that all `readers` have read, in their order, by sample id.

    At most 500 `sample_ids`; None is all images of the project.
    """
    columns = ", ".join(f"p{index}.text" for index in range(len(readers)))
    joins = " ".join(
        f"CROSS JOIN proposals AS p{index} ON p{index}.sample_id = samples.id AND p{index}.reader_id = {reader.id}"
        for index, reader in enumerate(readers)
    )
    if not readers:
        return {}
    # All readings of a project are read in the order of the file; see db.samples.
    terms = ["+project_id = ?" if sample_ids is None else "project_id = ?"]
    parameters: list[Any] = [project_id]
    for column, value in (("split", split), ("state", state)):
        if value is not None:
            terms.append(f"samples.{column} = ?")
            parameters.append(value)
    if sample_ids is not None:
        terms.append(f"samples.id IN ({','.join('?' * len(sample_ids))})")
        parameters += sample_ids
    rows = db.execute(
        f"SELECT samples.id, {columns} FROM samples {joins} WHERE {' AND '.join(terms)} ORDER BY samples.id", parameters
    )
    return {sample_id: texts for sample_id, *texts in rows.fetchall()}


def confidences_of(db: Database, project_id: int, reader: Reader, *, split: str, state: str) -> dict[int, float]:
    """Return a reader's confidence in each reading, by sample id."""
    sql = (
        "SELECT samples.id, confidence FROM samples CROSS JOIN proposals ON sample_id = samples.id AND reader_id = ?"
        " WHERE +project_id = ? AND split = ? AND state = ?"
    )
    return dict(db.execute(sql, [reader.id, project_id, split, state]).fetchall())


def count_confident(db: Database, project_id: int, reader: Reader, at_least: float) -> int:
    """Return the number of images of a project that a reader reads with this confidence."""
    sql = (
        "SELECT count(*) FROM samples CROSS JOIN proposals ON sample_id = samples.id AND reader_id = ?"
        " WHERE +project_id = ? AND confidence >= ?"
    )
    return int(db.execute(sql, [reader.id, project_id, at_least]).fetchone()[0])


def readings_of(db: Database, sample_ids: Sequence[int]) -> dict[int, list[tuple[Reader, Proposal]]]:
    """Return all readings of at most 500 images, by sample id: general readers by name, then the run."""
    marks = ",".join("?" * len(sample_ids))
    readers = {row["id"]: Reader(**row) for row in db.query("SELECT * FROM readers")}
    found: dict[int, list[tuple[Reader, Proposal]]] = {sample_id: [] for sample_id in sample_ids}
    for row in db.query(f"SELECT * FROM proposals WHERE sample_id IN ({marks})", list(sample_ids)):
        found[row["sample_id"]].append((readers[row["reader_id"]], Proposal(**row)))
    for readings in found.values():
        readings.sort(key=lambda pair: (pair[0].kind, pair[0].name))
    return found


def insert_acceptance(db: Database, project_id: int, *, kind: str, operator: str, rule: str) -> int:
    """Add an acceptance and return its id. Call inside `write(db)`."""
    cursor = db.execute(
        "INSERT INTO acceptances (id, project_id, kind, operator, rule, n, at) VALUES (?, ?, ?, ?, ?, 0, ?)",
        [next_id(db, "acceptances"), project_id, kind, operator, rule, now()],
    )
    assert cursor.lastrowid is not None
    return int(cursor.lastrowid)


def add_accepted(db: Database, acceptance_id: int, n: int) -> None:
    db.execute("UPDATE acceptances SET n = n + ? WHERE id = ?", [n, acceptance_id])


def list_acceptances(db: Database, project_id: int) -> list[Acceptance]:
    """Return the acceptances of a project, newest first."""
    rows = db.query("SELECT * FROM acceptances WHERE project_id = ? ORDER BY id DESC", [project_id])
    return [Acceptance(**row) for row in list(rows)]


def set_priorities(db: Database, project_id: int, queue: str, sample_ids: Sequence[int]) -> None:
    """Replace the order of a queue, most urgent first. Call inside `write(db)`."""
    assert db.conn is not None
    db.execute("DELETE FROM priorities WHERE project_id = ? AND queue = ?", [project_id, queue])
    db.conn.executemany(
        "INSERT INTO priorities (project_id, queue, rank, sample_id) VALUES (?, ?, ?, ?)",
        ((project_id, queue, rank, sample_id) for rank, sample_id in enumerate(sample_ids)),
    )
