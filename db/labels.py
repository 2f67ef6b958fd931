"""Queries on the label ledger and on the current label derived from it."""

from sqlite_utils import Database

from db.records import LabelEvent, Sample, now


def find_event(db: Database, event_id: str) -> LabelEvent | None:
    rows = list(db.query("SELECT * FROM labels WHERE event_id = ?", [event_id]))
    return LabelEvent(**rows[0]) if rows else None


def events_of(db: Database, sample_id: int) -> list[LabelEvent]:
    """The whole history of a sample, oldest first, lost events included."""
    return [LabelEvent(**row) for row in db.query("SELECT * FROM labels WHERE sample_id = ? ORDER BY id", [sample_id])]


def event_at(db: Database, sample_id: int, version: int) -> LabelEvent | None:
    rows = list(db.query("SELECT * FROM labels WHERE sample_id = ? AND version = ?", [sample_id, version]))
    return LabelEvent(**rows[0]) if rows else None


def append_event(
    db: Database, sample: Sample, *, event_id: str, operator: str, action: str, state: str, text: str | None,
    base_version: int,
) -> int | None:  # fmt: skip
    """Add an event, and apply it if the sample is still at `base_version`. Call inside `write(db)`.

    Returns the sample's new version, or None when another event came first: the text is then in the ledger only.
    """
    at = now()
    changed = db.execute(
        "UPDATE samples SET state = ?, label = ?, version = version + 1, operator = ?, labelled_at = ?"
        " WHERE id = ? AND version = ?",
        [state, text, operator, at, sample.id, base_version],
    ).rowcount
    version = base_version + 1 if changed else None
    db.execute(
        "INSERT INTO labels (event_id, sample_id, operator, action, state, text, base_version, version, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [event_id, sample.id, operator, action, state, text, base_version, version, at],
    )
    return version


def count_by_operator(db: Database, project_id: int) -> dict[str, int]:
    """Current labels by the operator who gave them."""
    sql = (
        "SELECT operator, count(*) AS n FROM samples WHERE project_id = ? AND state = 'labelled'"
        " GROUP BY operator ORDER BY n DESC"
    )
    return {row["operator"]: row["n"] for row in db.query(sql, [project_id])}
