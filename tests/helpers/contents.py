"""The contents of a database, to show that nothing in it has changed."""

from typing import Any


def contents(connection: Any) -> list[tuple[Any, ...]]:
    """Return the schema and every row of every table."""
    schema = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    rows = [
        (name, *row)
        for kind, name, _ in schema
        if kind == "table"
        for row in connection.execute(f'SELECT * FROM "{name}"').fetchall()
    ]
    return [*schema, *rows]
