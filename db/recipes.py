"""Queries on augmentation recipes and on the default recipe of a project."""

from db.records import Recipe, now
from db.sqlite import Database


def insert_recipe(
    db: Database, *, project_id: int, name: str, version: int, settings: str, note: str, operator: str
) -> None:
    db.execute(
        "INSERT INTO recipes (project_id, name, version, settings, note, operator, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [project_id, name, version, settings, note, operator, now()],
    )


def find_recipe(db: Database, project_id: int, name: str, version: int | None = None) -> Recipe | None:
    """Return this version of a recipe, or its newest version."""
    rows = db.query(
        "SELECT * FROM recipes WHERE project_id = ? AND name = ? AND (? IS NULL OR version = ?)"
        " ORDER BY version DESC LIMIT 1",
        [project_id, name, version, version],
    )
    return next((Recipe(**row) for row in list(rows)), None)


def list_recipes(db: Database, project_id: int) -> list[Recipe]:
    """Return all versions of all recipes of a project, newest first."""
    rows = db.query("SELECT * FROM recipes WHERE project_id = ? ORDER BY id DESC", [project_id])
    return [Recipe(**row) for row in list(rows)]


def insert_default(db: Database, *, project_id: int, recipe: str, operator: str) -> None:
    db.execute(
        "INSERT INTO default_recipes (project_id, recipe, operator, at) VALUES (?, ?, ?, ?)",
        [project_id, recipe, operator, now()],
    )


def find_default(db: Database, project_id: int) -> str | None:
    """Return NAME@VERSION or the name of a built-in recipe; None if nobody has chosen one."""
    sql = "SELECT recipe FROM default_recipes WHERE project_id = ? ORDER BY id DESC LIMIT 1"
    row = db.execute(sql, [project_id]).fetchone()
    return None if row is None else str(row[0])
