"""Queries on projects and their sources."""

from db.records import Project, Source, now
from db.sqlite import Database


def insert_project(db: Database, name: str, length: int, charset: str) -> Project:
    db.execute(
        "INSERT INTO projects (name, length, charset, created_at) VALUES (?, ?, ?, ?)", [name, length, charset, now()]
    )
    project = find_project(db, name)
    assert project is not None
    return project


def find_project(db: Database, name: str) -> Project | None:
    rows = list(db.query("SELECT * FROM projects WHERE name = ?", [name]))
    return Project(**rows[0]) if rows else None


def get_project(db: Database, project_id: int) -> Project:
    return next(Project(**row) for row in list(db.query("SELECT * FROM projects WHERE id = ?", [project_id])))


def list_projects(db: Database) -> list[Project]:
    return [Project(**row) for row in db.query("SELECT * FROM projects ORDER BY name")]


def insert_source(db: Database, project_id: int, name: str, owner: str, authorization: str) -> Source:
    db.execute(
        "INSERT INTO sources (project_id, name, owner, authorization, created_at) VALUES (?, ?, ?, ?, ?)",
        [project_id, name, owner, authorization, now()],
    )
    source = find_source(db, project_id, name)
    assert source is not None
    return source


def find_source(db: Database, project_id: int, name: str) -> Source | None:
    rows = db.query("SELECT * FROM sources WHERE project_id = ? AND name = ?", [project_id, name])
    return next((Source(**row) for row in list(rows)), None)


def list_sources(db: Database, project_id: int) -> list[Source]:
    return [Source(**row) for row in db.query("SELECT * FROM sources WHERE project_id = ? ORDER BY id", [project_id])]
