"""Queries that delete a project, a source or a run, and that move a source. Each deletion leaves a record.

The ledger of labels and the recipes are append-only. Triggers allow these deletions for the rows in `permits`, which
has rows only inside the transaction.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from db import tags
from db.projects import insert_source, list_sources
from db.records import Project, Removal, Source, now
from db.sqlite import Database

IDS = ("projects", "sources", "samples", "acceptances", "verdicts")
"""Tables whose ids are never used twice. The same holds for the numbers of jobs. See db.ids."""
_EXISTS = {
    "project": "SELECT 1 FROM projects WHERE id = ?",
    "source": "SELECT 1 FROM sources WHERE id = ?",
    "run": "SELECT 1 FROM jobs WHERE kind = 'train' AND number = ? AND removed_at IS NULL",
}


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Numbers of what a deletion takes away."""

    images: int = 0
    labels: int = 0
    readings: int = 0
    """Readings of general readers and runs, before they became labels."""
    runs: int = 0
    evaluations: int = 0
    bundles: int = 0
    test_uses: int = 0
    """Uses of the test set that are forgotten."""
    tags: int = 0
    """Tags on images: one with two tags counts twice."""
    saved_filters: int = 0


def count_project(db: Database, project: Project) -> Counts:
    """Return what belongs to a project. The bundles are those that were made, also if their files are gone."""

    def count(sql: str) -> int:
        return int(db.execute(sql, [project.id]).fetchone()[0])

    images, labels = db.execute(
        "SELECT coalesce(sum(n), 0), coalesce(sum(n) FILTER (WHERE state = 'labeled'), 0) FROM tallies"
        " WHERE project_id = ?",
        [project.id],
    ).fetchone()
    jobs = "FROM jobs WHERE project_id = ? AND removed_at IS NULL AND state = 'finished'"
    return Counts(
        images=images,
        labels=labels,
        readings=count(f"SELECT count(*) FROM proposals WHERE sample_id IN ({_SAMPLES_OF['project']})"),
        runs=count("SELECT count(*) FROM jobs WHERE project_id = ? AND removed_at IS NULL AND kind = 'train'"),
        evaluations=count(f"SELECT count(*) {jobs} AND kind = 'evaluate'"),
        bundles=count(f"SELECT count(*) {jobs} AND kind = 'bundle'"),
        test_uses=count("SELECT count(*) FROM test_uses WHERE project_id = ?"),
        tags=count(f"SELECT count(*) FROM tagged_samples WHERE tag_id IN ({_TAGS})"),
        saved_filters=count("SELECT count(*) FROM saved_filters WHERE project_id = ?"),
    )


def count_source(db: Database, source: Source) -> Counts:
    """Return what belongs to a source."""
    images, labels = db.execute(
        "SELECT count(*), count(label) FROM samples WHERE source_id = ?", [source.id]
    ).fetchone()

    def count(table: str) -> int:
        sql = f"SELECT count(*) FROM {table} WHERE sample_id IN ({_SAMPLES_OF['source']})"
        return int(db.execute(sql, [source.id]).fetchone()[0])

    return Counts(images=images, labels=labels, readings=count("proposals"), tags=count("tagged_samples"))


_TAGS = "SELECT id FROM sample_tags WHERE project_id = ?"
_SAMPLES_OF = {
    "project": "SELECT id FROM samples WHERE +project_id = ?",  # in file order, see db.samples
    "source": "SELECT id FROM samples WHERE source_id = ?",
}


def newest_rows(db: Database, kind: str, owner_id: int) -> list[int]:
    """Return a state of a project or source that changes with each new image, label, tag, answer, verdict or job.

    It also changes with each new recipe and saved filter.
    """
    tables = ("answers", "verdicts", "recipes", "saved_filters", "jobs") if kind == "project" else ()
    return [
        int(value)
        for sql in (
            f"SELECT count(*), coalesce(max(id), 0) FROM samples WHERE +{kind}_id = ?",
            f"SELECT coalesce(max(id), 0) FROM labels WHERE sample_id IN ({_SAMPLES_OF[kind]})",
            f"SELECT count(*), coalesce(sum(tag_id), 0) FROM tagged_samples WHERE sample_id IN ({_SAMPLES_OF[kind]})",
            *(f"SELECT coalesce(max(rowid), 0) FROM {table} WHERE project_id = ?" for table in tables),
        )
        for value in db.execute(sql, [owner_id]).fetchone()
    ]


def exists(db: Database, kind: str, row_id: int) -> bool:
    """Return whether a project, source or run is still there. `row_id`: its id, or the number of a run."""
    return db.execute(_EXISTS[kind], [row_id]).fetchone() is not None


def delete_project(db: Database, project: Project) -> None:
    """Delete all rows of a project. Call inside `write(db)`, with no active job in the project."""
    sources = [("source", source.id) for source in list_sources(db, project.id)]
    with _permitted(db, [("project", project.id), *sources]):
        db.execute("DELETE FROM tallies WHERE project_id = ?", [project.id])
        _delete_samples(db, "project", project.id)
        for table in (
            "answers", "verdicts", "acceptances", "recipes", "default_recipes", "promotions", "test_uses",
            "sample_tags", "saved_filters",
        ):  # fmt: skip
            db.execute(f"DELETE FROM {table} WHERE project_id = ?", [project.id])
        of_jobs = "(SELECT id FROM jobs WHERE project_id = ?)"
        # Also readings of images that have moved to another project.
        run_readers = f"(SELECT id FROM readers WHERE kind = 'run' AND name IN {of_jobs})"
        db.execute(f"DELETE FROM proposals WHERE reader_id IN {run_readers}", [project.id])
        db.execute(f"DELETE FROM readers WHERE kind = 'run' AND name IN {of_jobs}", [project.id])
        db.execute(f"DELETE FROM evaluations WHERE job_id IN {of_jobs}", [project.id])
        db.execute(f"DELETE FROM runs WHERE job_id IN {of_jobs}", [project.id])
        for table in ("jobs", "sources"):
            db.execute(f"DELETE FROM {table} WHERE project_id = ?", [project.id])
        # Also of an earlier project that had the same name: whoever asks for it now means this one.
        db.execute("DELETE FROM former_names WHERE project_id = ? OR name = ?", [project.id, project.name])
        db.execute("DELETE FROM projects WHERE id = ?", [project.id])


def delete_source(db: Database, source: Source) -> None:
    """Delete a source with its images and their labels. Call inside `write(db)`, with no active job in the project.

    What a reader answered and what the portal said stays: both are about hashes of images, also of unknown ones.
    """
    with _permitted(db, [("source", source.id)]):
        _delete_samples(db, "source", source.id)
        db.execute("DELETE FROM sources WHERE id = ?", [source.id])
    tags.drop_unused(db, source.project_id)


def _delete_samples(db: Database, kind: str, owner_id: int) -> None:
    for table in ("leases", "priorities", "proposals", "tagged_samples", "labels", "images"):
        db.execute(f"DELETE FROM {table} WHERE sample_id IN ({_SAMPLES_OF[kind]})", [owner_id])
    db.execute(f"DELETE FROM samples WHERE {kind}_id = ?", [owner_id])


def hide_jobs(db: Database, job_ids: Sequence[str]) -> None:
    """Leave jobs out of all queries from now on. Their rows stay, because uses of the test set refer to them."""
    for job_id in job_ids:
        db.execute("UPDATE jobs SET removed_at = ? WHERE id = ?", [now(), job_id])


def move_source(db: Database, source: Source, target: Project) -> tuple[int, int]:
    """Move the images of a source to a project with the same length and charset, with their history.

    Readings of runs go, because the runs stay. Images that the target has stay, and then their source stays too. Return
    how many moved and how many stay. Call inside `write(db)`, with no active job in both projects.
    """
    stay = "AND sha256 IN (SELECT sha256 FROM samples AS others WHERE others.project_id = ?)"
    n = db.execute(f"SELECT count(*) FROM samples WHERE source_id = ? {stay}", [source.id, target.id]).fetchone()[0]
    new = insert_source(db, target.id, source.name, source.owner, source.authorization).id
    with _permitted(db, [("source", source.id)]):
        moving = f"SELECT id FROM samples WHERE source_id = ? {stay.replace('IN', 'NOT IN', 1)}"
        for table in ("leases", "priorities"):
            db.execute(f"DELETE FROM {table} WHERE sample_id IN ({moving})", [source.id, target.id])
        db.execute(
            f"DELETE FROM proposals WHERE sample_id IN ({moving})"
            " AND reader_id IN (SELECT id FROM readers WHERE kind = 'run')",
            [source.id, target.id],
        )
        _move_tags(db, source, target, moving)
        moved = db.execute(
            f"UPDATE samples SET project_id = ?, source_id = ? WHERE id IN ({moving})",
            [target.id, new, source.id, target.id],
        ).rowcount
    if not n:
        db.execute("DELETE FROM sources WHERE id = ?", [source.id])
    tags.drop_unused(db, source.project_id)
    return moved, n


def _move_tags(db: Database, source: Source, target: Project, moving: str) -> None:
    """Replace the tags of images that are about to move by those of the same name in the other project."""
    old = f"SELECT tag_id FROM tagged_samples WHERE sample_id IN ({moving})"
    db.execute(
        f"INSERT OR IGNORE INTO sample_tags (project_id, name, key) SELECT ?, name, key FROM sample_tags"
        f" WHERE id IN ({old})",
        [target.id, source.id, target.id],
    )
    db.execute(
        "UPDATE tagged_samples SET tag_id = (SELECT new.id FROM sample_tags AS new JOIN sample_tags AS old"
        "  ON new.key = old.key WHERE old.id = tagged_samples.tag_id AND new.project_id = ?)"
        f" WHERE sample_id IN ({moving})",
        [target.id, source.id, target.id],
    )


@contextmanager
def _permitted(db: Database, rows: Sequence[tuple[str, int]]) -> Iterator[None]:
    """Allow to delete or move rows of these projects and sources."""
    for row in rows:
        db.execute("INSERT INTO permits (kind, id) VALUES (?, ?)", row)
    yield
    db.execute("DELETE FROM permits")


# The record


def insert_removal(
    db: Database,
    *,
    kind: str,
    project: str,
    name: str,
    counts: Counts,
    folders: Sequence[str],
    backup: str | None,
    operator: str,
) -> int:
    """Record a deletion before its rows go, and return its id. Call in the same transaction."""
    last_ids: dict[str, Any] = {
        table: int(db.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]) for table in IDS
    }
    last_ids["jobs"] = dict(db.execute("SELECT kind, max(number) FROM jobs GROUP BY kind").fetchall())
    values = {
        "kind": kind, "project": project, "name": name, "counts": json.dumps(asdict(counts)),
        "last_ids": json.dumps(last_ids), "folders": json.dumps(list(folders)), "backup": backup,
        "operator": operator, "at": now(),
    }  # fmt: skip
    cursor = db.execute(
        f"INSERT INTO removals ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", [*values.values()]
    )
    assert cursor.lastrowid is not None
    return int(cursor.lastrowid)


def list_removals(db: Database, *, unfinished: bool = False) -> list[Removal]:
    """Return the deletions, newest first; with `unfinished`, those whose folders may still be there."""
    sql = f"SELECT * FROM removals {'WHERE finished_at IS NULL' if unfinished else ''} ORDER BY id DESC"
    return [Removal(**row) for row in list(db.query(sql))]


def last_id(removal: Removal) -> int:
    """Return the highest id of its kind when this was deleted: of projects or sources, or the number of a run."""
    last_ids = json.loads(removal.last_ids)
    return int(last_ids["jobs"].get("train", 0) if removal.kind == "run" else last_ids[f"{removal.kind}s"])


def finish_removal(db: Database, removal_id: int) -> None:
    """Record that the folders are deleted."""
    db.execute("UPDATE removals SET finished_at = ? WHERE id = ?", [now(), removal_id])
