"""Queries on how well labels stood up to others."""

from sqlite_utils import Database


def second_looks(db: Database, project_id: int, operator: str, since: str) -> tuple[int, int]:
    """Of second labels by others on what an operator entered from a time on: how many agree, and how many there are."""
    sql = (
        "SELECT coalesce(sum(second.state = first.state AND second.text IS first.text), 0), count(*)"
        " FROM labels AS first JOIN samples ON samples.id = first.sample_id"
        " JOIN labels AS second ON second.sample_id = first.sample_id AND second.base_version = first.version"
        " WHERE first.operator = ? AND first.at >= ? AND first.action = 'label' AND project_id = ?"
        " AND second.action = 'second' AND second.operator <> first.operator"
        # One that was taken back, or given anew, was a slip of the hand.
        " AND NOT EXISTS (SELECT 1 FROM labels AS later WHERE later.sample_id = second.sample_id"
        " AND later.operator = second.operator AND later.version IS NULL AND later.id > second.id)"
    )
    same, seen = db.execute(sql, [operator, since, project_id]).fetchone()
    return same, seen
