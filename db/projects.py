"""Queries on projects and their sources."""

from db import saved_filters
from db.ids import next_id
from db.records import Project, Source, now
from db.sqlite import Database


def insert_project(db: Database, name: str, length: int, charset: str) -> Project:
    db.execute(
        "INSERT INTO projects (id, name, length, charset, created_at) VALUES (?, ?, ?, ?, ?)",
        [next_id(db, "projects"), name, length, charset, now()],
    )
    project = find_project(db, name)
    assert project is not None
    return project


def find_project(db: Database, name: str) -> Project | None:
    rows = list(db.query("SELECT * FROM projects WHERE name = ?", [name]))
    return Project(**rows[0]) if rows else None


def find_project_by_id(db: Database, project_id: int) -> Project | None:
    rows = list(db.query("SELECT * FROM projects WHERE id = ?", [project_id]))
    return Project(**rows[0]) if rows else None


def find_project_by_former_name(db: Database, name: str) -> Project | None:
    """Return the project that had a name last. Look first for one that has it now: that one is meant."""
    sql = "SELECT * FROM projects WHERE id = (SELECT project_id FROM former_names WHERE name = ?)"
    return next((Project(**row) for row in list(db.query(sql, [name]))), None)


def find_twins(db: Database, project: Project) -> list[str]:
    """Return the names of the other projects that were created in the same second."""
    sql = "SELECT name FROM projects WHERE created_at = ? AND id != ? ORDER BY name"
    return [row["name"] for row in db.query(sql, [project.created_at, project.id])]


def get_project(db: Database, project_id: int) -> Project:
    return next(Project(**row) for row in list(db.query("SELECT * FROM projects WHERE id = ?", [project_id])))


def project_of_job(db: Database, job_id: str) -> Project | None:
    """Return the project of a job, whatever it is called now."""
    rows = list(db.query("SELECT * FROM projects WHERE id = (SELECT project_id FROM jobs WHERE id = ?)", [job_id]))
    return Project(**rows[0]) if rows else None


def list_projects(db: Database, *, archived: bool | None = False) -> list[Project]:
    """Return the projects that are not archived, by name; with `archived`, those that are; with None, all."""
    sql = "SELECT * FROM projects WHERE ? IS NULL OR (archived_at IS NOT NULL) = ? ORDER BY name"
    return [Project(**row) for row in db.query(sql, [archived, archived])]


def rename_project(db: Database, project_id: int, name: str) -> None:
    """Rename a project and keep its former name, which leads to it from now on. Call inside `write(db)`."""
    db.execute(
        "INSERT INTO former_names (name, project_id, at) SELECT name, id, ? FROM projects WHERE id = ? AND name <> ?"
        " ON CONFLICT (name) DO UPDATE SET project_id = excluded.project_id, at = excluded.at",
        [now(), project_id, name],
    )
    db.execute("UPDATE projects SET name = ? WHERE id = ?", [name, project_id])


def set_archived(db: Database, project_id: int, *, archived: bool) -> None:
    db.execute("UPDATE projects SET archived_at = ? WHERE id = ?", [now() if archived else None, project_id])


def describe(db: Database, project_id: int, *, note: str, tags: str) -> None:
    """Set what people say about a project. `tags` is a JSON list."""
    db.execute("UPDATE projects SET note = ?, tags = ? WHERE id = ?", [note, tags, project_id])


def insert_source(db: Database, project_id: int, name: str, owner: str, authorization: str) -> Source:
    db.execute(
        "INSERT INTO sources (id, project_id, name, owner, authorization, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        [next_id(db, "sources"), project_id, name, owner, authorization, now()],
    )
    source = find_source(db, project_id, name)
    assert source is not None
    return source


def find_source(db: Database, project_id: int, name: str) -> Source | None:
    rows = db.query("SELECT * FROM sources WHERE project_id = ? AND name = ?", [project_id, name])
    return next((Source(**row) for row in list(rows)), None)


def list_sources(db: Database, project_id: int) -> list[Source]:
    return [Source(**row) for row in db.query("SELECT * FROM sources WHERE project_id = ? ORDER BY id", [project_id])]


def rename_source(db: Database, source: Source, name: str) -> None:
    """Rename a source, also in settings of runs that held it out, results on it and saved filters.

    Call inside `write(db)`.
    """
    db.execute("UPDATE sources SET name = ? WHERE id = ?", [name, source.id])
    of_project = "(SELECT id FROM jobs WHERE project_id = ?)"
    db.execute(
        "UPDATE runs SET config = json_set(config, '$.hold_out_source', ?)"
        f" WHERE config ->> '$.hold_out_source' = ? AND job_id IN {of_project}",
        [name, source.name, source.project_id],
    )
    db.execute(
        "UPDATE evaluations SET result = json_set(result, '$.source', ?)"
        f" WHERE result ->> '$.source' = ? AND job_id IN {of_project}",
        [name, source.name, source.project_id],
    )
    saved_filters.rename_source(db, source.project_id, source.name, name)
