"""Queries on verdicts: what the portal said about submitted texts."""

from collections.abc import Collection
from dataclasses import dataclass

from db.ids import next_id
from db.queues import chunks
from db.records import CAPTCHA, Verdict
from db.sqlite import Database

# The plus reads the verdicts in file order. Along an index, SQLite seeks to each: 0.5 s instead of 0.1 s for 100,000.
_OF_PROJECT = (
    "verdicts CROSS JOIN samples ON samples.project_id = verdicts.project_id AND samples.sha256 = verdicts.sha256"
    " WHERE +verdicts.project_id = ?"
)


@dataclass(frozen=True, kw_only=True)
class NewVerdict:
    """A verdict without its id, project and operator. db.records.Verdict explains the fields."""

    key: str
    sha256: str
    text: str
    accepted: bool
    reason: str | None
    at: str


def insert_verdict(db: Database, project_id: int, verdict: NewVerdict, operator: str) -> Verdict | None:
    """Store a verdict and return it; None if the project has its key. Call inside `write(db)`."""
    cursor = db.execute(
        "INSERT INTO verdicts (id, project_id, key, sha256, text, accepted, reason, operator, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project_id, key) DO NOTHING",
        [
            next_id(db, "verdicts"), project_id, verdict.key, verdict.sha256, verdict.text, verdict.accepted,
            verdict.reason, operator, verdict.at,
        ],
    )  # fmt: skip
    return find_verdict(db, project_id, verdict.key) if cursor.rowcount else None


def find_verdict(db: Database, project_id: int, key: str) -> Verdict | None:
    rows = list(db.query("SELECT * FROM verdicts WHERE project_id = ? AND key = ?", [project_id, key]))
    return Verdict(**rows[0]) if rows else None


def verdicts_of(db: Database, project_id: int, sha256: str) -> list[Verdict]:
    """Return all verdicts about an image, in the order in which they were stored."""
    sql = "SELECT * FROM verdicts WHERE project_id = ? AND sha256 = ? ORDER BY id"
    return [Verdict(**row) for row in db.query(sql, [project_id, sha256])]


def select_unused(db: Database, project_id: int) -> list[Verdict]:
    """Return the accepted texts of training images that nobody has decided about, in the order in which they came.

    Such an image came after its verdict. Otherwise the verdict would have given it a label.
    """
    sql = f"SELECT verdicts.* FROM {_OF_PROJECT} AND accepted AND split = 'train' AND version = 0 ORDER BY verdicts.id"
    return [Verdict(**row) for row in db.query(sql, [project_id])]


def rejected_texts(
    db: Database, project_id: int, *, sample_ids: Collection[int] | None = None
) -> dict[int, frozenset[str]]:
    """Return the texts that the portal said are wrong, by sample id. Samples without one are absent.

    `sample_ids` are samples of the project; None is all of them.
    """
    rows: list[tuple[int, str]] = []
    if sample_ids is None:
        sql = f"SELECT samples.id, text FROM {_OF_PROJECT} AND NOT accepted AND reason = ?"
        rows = db.execute(sql, [project_id, CAPTCHA]).fetchall()
    for part in chunks(sample_ids or ()):
        # Without a condition on the project of the samples, SQLite searches them by id.
        sql = (
            "SELECT samples.id, text FROM samples CROSS JOIN verdicts ON verdicts.sha256 = samples.sha256"
            " WHERE verdicts.project_id = ? AND NOT accepted AND reason = ?"
            f" AND samples.id IN ({','.join('?' * len(part))})"
        )
        rows += db.execute(sql, [project_id, CAPTCHA, *part]).fetchall()
    texts: dict[int, set[str]] = {}
    for sample_id, text in rows:
        texts.setdefault(sample_id, set()).add(text)
    return {sample_id: frozenset(each) for sample_id, each in texts.items()}


def select_rejected(db: Database, project_id: int, limit: int) -> list[int]:
    """Return the ids of training images that need a label because the portal rejected a reading, the newest first."""
    sql = (
        f"SELECT samples.id FROM {_OF_PROJECT} AND NOT accepted AND reason = ? AND split = 'train'"
        " AND (state = 'unlabeled' OR (state = 'skipped' AND flag IS NULL))"
        " GROUP BY samples.id ORDER BY max(verdicts.at) DESC, max(verdicts.id) DESC LIMIT ?"
    )
    return [sample_id for (sample_id,) in db.execute(sql, [project_id, CAPTCHA, limit]).fetchall()]
