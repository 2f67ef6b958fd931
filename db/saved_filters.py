"""Queries on the filters of samples that a team has saved under names."""

from db.records import SavedFilter, now
from db.sqlite import Database


def find_filter(db: Database, project_id: int, name: str) -> SavedFilter | None:
    rows = db.query("SELECT * FROM saved_filters WHERE project_id = ? AND name = ?", [project_id, name])
    return next((SavedFilter(**row) for row in list(rows)), None)


def list_filters(db: Database, project_id: int) -> list[SavedFilter]:
    """Return the saved filters of a project, by name."""
    rows = db.query("SELECT * FROM saved_filters WHERE project_id = ? ORDER BY name", [project_id])
    return [SavedFilter(**row) for row in rows]


def insert_filter(db: Database, *, project_id: int, name: str, filters: str, operator: str) -> None:
    db.execute(
        "INSERT INTO saved_filters (project_id, name, filters, operator, at) VALUES (?, ?, ?, ?, ?)",
        [project_id, name, filters, operator, now()],
    )


def delete_filter(db: Database, saved: SavedFilter) -> None:
    db.execute("DELETE FROM saved_filters WHERE id = ?", [saved.id])


def rename_source(db: Database, project_id: int, old: str, new: str) -> None:
    """Let the filters that name a source name it as it is called now."""
    db.execute(
        "UPDATE saved_filters SET filters = json_set(filters, '$.source', ?)"
        " WHERE project_id = ? AND filters ->> '$.source' = ?",
        [new, project_id, old],
    )
