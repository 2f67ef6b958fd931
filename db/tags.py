"""Queries on the tags of samples. A tag belongs to a project, and is compared without case."""

from collections.abc import Iterable

from db.queues import chunks
from db.records import GivenTag, Tag
from db.sqlite import Database


def key_of(name: str) -> str:
    """Return the tag without case."""
    return name.casefold()


def find_tag(db: Database, project_id: int, name: str) -> Tag | None:
    rows = db.query("SELECT * FROM sample_tags WHERE project_id = ? AND key = ?", [project_id, key_of(name)])
    return next((Tag(**row) for row in list(rows)), None)


def list_tags(db: Database, project_id: int) -> list[Tag]:
    """Return the tags of a project, by name."""
    return [Tag(**row) for row in db.query("SELECT * FROM sample_tags WHERE project_id = ? ORDER BY key", [project_id])]


def count_tagged(db: Database, tag: Tag) -> int:
    """Return the number of samples with a tag."""
    return int(db.execute("SELECT count(*) FROM tagged_samples WHERE tag_id = ?", [tag.id]).fetchone()[0])


def open_tag(db: Database, project_id: int, name: str) -> Tag:
    """Find or create a tag. Call inside `write(db)`."""
    db.execute(
        "INSERT INTO sample_tags (project_id, name, key) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [project_id, name, key_of(name)],
    )
    tag = find_tag(db, project_id, name)
    assert tag is not None
    return tag


def add(db: Database, tag: Tag, sample_ids: Iterable[int], *, operator: str | None, at: str | None) -> int:
    """Tag samples of the tag's project. Return how many had no such tag. Call inside `write(db)`.

    A tag that is there keeps its operator and time. Both are None only for a copy of an earlier tag without them.
    """
    added = 0
    for chunk in chunks([*sample_ids]):
        added += db.execute(
            "INSERT OR IGNORE INTO tagged_samples (tag_id, sample_id, operator, at) SELECT ?, id, ?, ? FROM samples"
            f" WHERE id IN ({','.join('?' * len(chunk))}) AND +project_id = ?",
            [tag.id, operator, at, *chunk, tag.project_id],
        ).rowcount
    return added


def remove(db: Database, tag: Tag, sample_ids: Iterable[int]) -> int:
    """Take a tag off samples. Return how many had it. A tag without samples goes. Call inside `write(db)`."""
    removed = 0
    for chunk in chunks([*sample_ids]):
        marks = ",".join("?" * len(chunk))
        sql = f"DELETE FROM tagged_samples WHERE tag_id = ? AND sample_id IN ({marks})"
        removed += db.execute(sql, [tag.id, *chunk]).rowcount
    drop_unused(db, tag.project_id)
    return removed


def drop_unused(db: Database, project_id: int) -> None:
    """Delete the tags of a project that no sample has. Call inside `write(db)`."""
    db.execute(
        "DELETE FROM sample_tags WHERE project_id = ?"
        " AND NOT EXISTS (SELECT 1 FROM tagged_samples WHERE tag_id = sample_tags.id)",
        [project_id],
    )


def tags_of(db: Database, sample_ids: Iterable[int]) -> dict[int, list[GivenTag]]:
    """Return the tags of each sample, by name. Samples without one are absent."""
    found: dict[int, list[GivenTag]] = {}
    for chunk in chunks([*sample_ids]):
        sql = (
            "SELECT sample_id, name, operator, at FROM tagged_samples JOIN sample_tags ON sample_tags.id = tag_id"
            f" WHERE sample_id IN ({','.join('?' * len(chunk))}) ORDER BY key"
        )
        for sample_id, *given in db.execute(sql, chunk).fetchall():
            found.setdefault(sample_id, []).append(GivenTag(*given))
    return found
