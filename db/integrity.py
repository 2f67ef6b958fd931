"""Integrity of a database: its file, its references, and its labels against their ledger."""

from collections.abc import Iterator, Sequence

from db.damage import is_damage
from db.migrations import SCHEMA_VERSION
from db.records import LabelEvent
from db.sqlite import Database, sqlite3

MAX_PROBLEMS = 20
"""Sentences that one check of SQLite returns. A damaged page causes thousands."""
EXAMPLES = 5
"""Samples that a sentence names."""

_LEDGER = {
    "differ from the last event of their history": """
        SELECT samples.id FROM samples LEFT JOIN labels ON sample_id = samples.id AND labels.version = samples.version
        WHERE samples.version > 0 AND (labels.id IS NULL OR labels.state <> samples.state
         OR labels.text IS NOT label OR labels.flag IS NOT samples.flag OR labels.kind IS NOT samples.kind
         OR (labels.operator IS NOT samples.operator AND labels.action <> 'undo') OR labels.at IS NOT labeled_at)
    """,
    "have a label or a skip without any event": """
        SELECT id FROM samples
        WHERE version = 0 AND (state <> 'unlabeled' OR label IS NOT NULL OR flag IS NOT NULL)
    """,
    "have an event that was not applied": """
        SELECT DISTINCT sample_id FROM labels JOIN samples ON samples.id = sample_id
        WHERE labels.version > samples.version
    """,
    "have a reading for a label, but are not in train": """
        SELECT id FROM samples WHERE kind IN ('readers', 'run', 'verdict') AND split <> 'train'
    """,
    "lack events in their history": """
        SELECT samples.id FROM samples WHERE version > 0
         AND version <> (SELECT count(version) FROM labels WHERE sample_id = samples.id)
    """,
    "are labeled with a text of another length than their project's": """
        SELECT samples.id FROM samples JOIN projects ON projects.id = project_id
        WHERE length(label) <> projects.length
    """,
    "have a reading of another length than their project's": """
        SELECT DISTINCT sample_id FROM proposals JOIN samples ON samples.id = sample_id
         JOIN projects ON projects.id = project_id
        WHERE length(text) <> projects.length OR (text IS NOT NULL AND
         NOT (json_valid(positions) AND json_array_length(positions) = projects.length))
    """,
    "have a tag of another project": """
        SELECT DISTINCT sample_id FROM tagged_samples JOIN sample_tags ON sample_tags.id = tag_id
         JOIN samples ON samples.id = sample_id WHERE samples.project_id <> sample_tags.project_id
    """,
    "have no image": "SELECT id FROM samples WHERE id NOT IN (SELECT sample_id FROM images)",
}
"""Queries of samples that contradict the ledger. The key completes "Samples that ..."."""
_TALLIES = """
    SELECT count(*) FROM (
        SELECT project_id, split, state, coalesce(kind, '') AS kind, count(*) AS n FROM samples GROUP BY 1, 2, 3, 4
    ) AS counted FULL JOIN (SELECT * FROM tallies WHERE n > 0) AS stored USING (project_id, split, state, kind)
    WHERE counted.n IS NOT stored.n
"""


def problems(db: Database) -> list[str]:
    """Return a sentence for each damage or contradiction; empty if the database is intact.

    Reads every page. Call inside one read transaction, or on a file that nobody writes.
    """
    return file_problems(db) or contradictions(db)  # queries on damaged pages would only repeat it


def file_problems(db: Database) -> list[str]:
    """Return a sentence for each damage of the file that SQLite finds. Raises other errors, such as a full disk."""
    try:
        rows = [row for (row,) in db.execute(f"PRAGMA integrity_check({MAX_PROBLEMS})").fetchall()]
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return [_unreadable(error)]
    return [] if rows == ["ok"] else [f"SQLite reports: {' '.join(row.split())}." for row in rows]


def contradictions(db: Database) -> list[str]:
    """Return a sentence for each contradiction between rows. The ledger of an earlier schema has other columns."""
    sentences: list[str] = []
    try:
        sentences.extend(_contradictions(db))  # keeps those before an error
    except sqlite3.DatabaseError as error:
        sentences.append(_unreadable(error))
    return sentences


def _unreadable(error: sqlite3.DatabaseError) -> str:
    return f"SQLite cannot read the database ({error})."


def _contradictions(db: Database) -> Iterator[str]:
    references = db.execute("PRAGMA foreign_key_check").fetchall()
    for table, parent in sorted({(row[0], row[2]) for row in references}):
        n = sum((row[0], row[2]) == (table, parent) for row in references)
        yield f"Rows of {table} that refer to missing {parent}: {n:,}."
    if db.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
        return
    for claim, query in _LEDGER.items():
        ids = [sample_id for (sample_id,) in db.execute(query).fetchall()]
        if ids:
            yield about_samples(ids, claim)
    if db.execute(_TALLIES).fetchone()[0]:
        yield "The stored counts of samples are wrong."


def about_samples(ids: Sequence[int], claim: str) -> str:
    """Return a sentence with the number of samples that `claim`, and the first ids."""
    examples = ", ".join(map(str, ids[:EXAMPLES])) + " …" * (len(ids) > EXAMPLES)
    return f"Samples that {claim}: {len(ids):,} (id {examples})."


def count_samples(db: Database) -> int:
    return int(db.execute("SELECT count(*) FROM samples").fetchone()[0])


def images(db: Database) -> Iterator[tuple[int, str, str, bytes]]:
    """Yield id, name, pixel hash and bytes of each image. Every batch is a query of its own, so no snapshot is held."""
    sql = (
        "SELECT samples.id, name, sha256, bytes FROM samples JOIN images ON sample_id = samples.id"
        " WHERE samples.id > ? ORDER BY samples.id LIMIT 500"
    )
    last = 0
    while rows := db.execute(sql, [last]).fetchall():
        yield from rows
        last = rows[-1][0]


def ledger(db: Database) -> Iterator[LabelEvent]:
    """Yield all events, sample by sample, oldest first."""
    yield from (LabelEvent(**row) for row in db.query("SELECT * FROM labels ORDER BY sample_id, id"))


def standings(db: Database) -> dict[int, tuple[bool, bool]]:
    """Return (disputed, checked) of each sample with events, by id."""
    rows = db.execute("SELECT id, disputed, checked FROM samples WHERE id IN (SELECT sample_id FROM labels)")
    return {sample_id: (bool(disputed), bool(checked)) for sample_id, disputed, checked in rows.fetchall()}


def jobs(db: Database) -> dict[str, tuple[str, str | None]]:
    """Return the state of each job by id, and for a run the hash of its data. Deleted jobs are left out."""
    rows = db.execute(
        "SELECT id, state, dataset_sha256 FROM jobs LEFT JOIN runs ON job_id = id WHERE removed_at IS NULL"
        " ORDER BY jobs.rowid"
    )
    return {job_id: (state, sha256) for job_id, state, sha256 in rows.fetchall()}
