"""Ids of new rows. Deleted rows must not give theirs to new ones, because histories and pages refer to ids."""

from db.sqlite import Database


def next_id(db: Database, table: str) -> int:
    """Return an id that no row of a table has or had. Call inside `write(db)`."""
    sql = (
        f"SELECT 1 + max(coalesce((SELECT max(id) FROM {table}), 0),"
        f" coalesce((SELECT max(last_ids ->> '$.{table}') FROM removals), 0))"
    )
    return int(db.execute(sql).fetchone()[0])
