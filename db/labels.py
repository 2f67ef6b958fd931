"""Queries on the label ledger and the current labels derived from it."""

from datetime import datetime, timedelta
from itertools import takewhile

from db.records import PORTAL, LabelEvent, Sample, now
from db.sqlite import Database


def find_event(db: Database, event_id: str) -> LabelEvent | None:
    rows = list(db.query("SELECT * FROM labels WHERE event_id = ?", [event_id]))
    return LabelEvent(**rows[0]) if rows else None


def events_of_request(db: Database, request: str) -> list[LabelEvent]:
    """Return the events of an action on many images, by id: those whose ids are the request, a colon and more."""
    rows = db.query(
        "SELECT * FROM labels WHERE event_id > ? AND event_id < ? ORDER BY id", [f"{request}:", f"{request};"]
    )
    return [LabelEvent(**row) for row in rows]


def last_request(db: Database, project_id: int, operator: str, prefix: str) -> str | None:
    """Return an operator's last action on many images of a project. `prefix`: how such requests begin, up to a hyphen.

    Skips through the index from request to request, so neither a long ledger nor many images matter. SQLite would scan
    the ledger for the order, and repeat the skips for each row: CROSS JOIN keeps it from that.
    """
    end = f"{prefix.removesuffix('-')}."  # the character after the hyphen
    sql = (
        "WITH RECURSIVE firsts (event_id) AS (SELECT min(event_id) FROM labels WHERE event_id > ? AND event_id < ?"
        " UNION ALL SELECT (SELECT min(event_id) FROM labels WHERE event_id < ? AND event_id >"
        "  CASE instr(firsts.event_id, ':') WHEN 0 THEN firsts.event_id"
        "  ELSE substr(firsts.event_id, 1, instr(firsts.event_id, ':') - 1) || ';' END)"
        " FROM firsts WHERE event_id IS NOT NULL)"
        " SELECT event_id FROM firsts CROSS JOIN labels USING (event_id) CROSS JOIN samples ON samples.id = sample_id"
        " WHERE labels.operator = ? AND +project_id = ? AND instr(event_id, ':') ORDER BY labels.id DESC LIMIT 1"
    )
    row = db.execute(sql, [prefix, end, end, operator, project_id]).fetchone()
    return row[0].partition(":")[0] if row else None


def count_unchanged(db: Database, project_id: int, request: str) -> int:
    """Return how many images of a project have not changed since an action on many."""
    sql = (
        "SELECT count(*) FROM labels JOIN samples ON samples.id = sample_id AND samples.version = labels.version"
        " WHERE event_id > ? AND event_id < ? AND +project_id = ?"
    )
    return int(db.execute(sql, [f"{request}:", f"{request};", project_id]).fetchone()[0])


def events_of(db: Database, sample_id: int) -> list[LabelEvent]:
    """Return the history of a sample, oldest first, including events that were not applied."""
    return [LabelEvent(**row) for row in db.query("SELECT * FROM labels WHERE sample_id = ? ORDER BY id", [sample_id])]


def labels_since(db: Database, project_id: int, since: str) -> dict[str, str | None]:
    """Return the current label, by pixel hash, of each sample with an event since then or up to an hour before.

    Reads the ledger from its end, so it is fast if nobody has labeled since.
    """
    # One extra hour: clocks are adjusted, and a run reads its labels shortly before it is created.
    begin = (datetime.fromisoformat(since) - timedelta(hours=1)).isoformat()
    rows = db.execute(
        "SELECT at, project_id, sha256, samples.label FROM labels CROSS JOIN samples ON samples.id = sample_id"
        " ORDER BY labels.id DESC"
    )
    recent = takewhile(lambda row: row[0] >= begin, rows)
    return {sha256: label for _, project, sha256, label in recent if project == project_id}


def append_event(
    db: Database,
    sample: Sample,
    *,
    event_id: str,
    operator: str,
    action: str,
    state: str,
    text: str | None,
    base_version: int,
    flag: str | None = None,
    kind: str = "person",
    giver: str | None = None,
    opinion: bool = False,
    origin: str | None = None,
    ms: int | None = None,
    suggestion: str | None = None,
    suggestion_shown: bool | None = None,
) -> int | None:
    """Add an event and, unless it is an opinion, apply it if the sample is still at `base_version`.

    `kind` applies to a text only. `giver` is the operator of the label that an undo restores. Call inside
    `write(db)`. Returns the sample's new version; None if the event is an opinion or another event came first, and so
    is only in the ledger.
    """
    at, label_kind = now(), kind if state == "labeled" else None
    changed = (
        not opinion
        and db.execute(
            "UPDATE samples SET state = ?, label = ?, flag = ?, kind = ?, version = version + 1, operator = ?,"
            " labeled_at = ? WHERE id = ? AND version = ?",
            [state, text, flag, label_kind, giver or operator, at, sample.id, base_version],
        ).rowcount
    )
    version = base_version + 1 if changed else None
    db.execute(
        "INSERT INTO labels (event_id, sample_id, operator, action, state, text, flag, base_version, version, at,"
        " origin, ms, kind, suggestion, suggestion_shown) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            event_id, sample.id, operator, action, state, text, flag, base_version, version, at, origin, ms,
            label_kind, suggestion, suggestion_shown,
        ],
    )  # fmt: skip
    return version


def is_removed(db: Database, project_id: int, event: LabelEvent) -> bool:
    """Return True if all labels of the event's kind have been removed since the event. Reads the ledger from there."""
    sql = (
        "SELECT EXISTS (SELECT 1 FROM labels AS removal JOIN samples ON samples.id = removal.sample_id"
        " JOIN labels AS removed ON removed.sample_id = removal.sample_id AND removed.version = removal.base_version"
        " WHERE removal.id > ? AND removal.origin = 'retract' AND removed.kind = ? AND +project_id = ?)"
    )
    return bool(db.execute(sql, [event.id, event.kind, project_id]).fetchone()[0])


def set_standing(db: Database, sample_id: int, *, disputed: bool, checked: bool) -> None:
    """Store on the sample what core.data.standing derives from its ledger. Call inside `write(db)`."""
    db.execute("UPDATE samples SET disputed = ?, checked = ? WHERE id = ?", [disputed, checked, sample_id])


def list_operators(db: Database) -> list[str]:
    """Return the people in the ledger, by name. Skips through the index, so a long ledger does not matter.

    Readers are in it too, but only with accepted readings, so their first event tells. The portal is not a person.
    """
    sql = (
        "WITH RECURSIVE names (name) AS (SELECT min(operator) FROM labels UNION ALL"
        " SELECT (SELECT min(operator) FROM labels WHERE operator > name) FROM names WHERE name IS NOT NULL)"
        " SELECT name FROM names WHERE name IS NOT NULL AND name <> ? AND 'accept' <>"
        "  (SELECT action FROM labels WHERE operator = name ORDER BY at LIMIT 1)"
    )
    return [row["name"] for row in db.query(sql, [PORTAL])]


def work_of(db: Database, project_id: int, operator: str, since: str) -> list[tuple[str, str, int | None]]:
    """Return an operator's events in a project since a time, oldest first: (at, action, milliseconds).

    The action of an undo names what was undone, such as "undo label".
    """
    # The plus makes SQLite use the index on operators. The undo of an opinion matches no version: take the last one.
    sql = (
        "SELECT work.at, CASE WHEN work.action <> 'undo' THEN work.action ELSE 'undo ' || coalesce("
        "  (SELECT action FROM labels AS before WHERE before.sample_id = work.sample_id"
        "   AND before.version = work.base_version),"
        "  (SELECT action FROM labels AS before WHERE before.sample_id = work.sample_id AND before.version IS NULL"
        "   AND before.operator = work.operator AND before.id < work.id ORDER BY before.id DESC LIMIT 1), '') END, ms"
        " FROM labels AS work JOIN samples ON samples.id = sample_id"
        " WHERE work.operator = ? AND work.at >= ? AND +project_id = ? ORDER BY work.id"
    )
    return db.execute(sql, [operator, since, project_id]).fetchall()


def count_second_opinions(db: Database, project_id: int, operator: str, since: str) -> tuple[int, int]:
    """Return agreeing and total second opinions of other people on an operator's labels since a time."""
    sql = (
        "SELECT coalesce(sum(second.state = first.state AND second.text IS first.text), 0), count(*)"
        " FROM labels AS first JOIN samples ON samples.id = first.sample_id"
        " JOIN labels AS second ON second.sample_id = first.sample_id AND second.base_version = first.version"
        " WHERE first.operator = ? AND first.at >= ? AND first.action = 'label' AND project_id = ?"
        " AND second.action = 'second' AND second.operator NOT IN (first.operator, ?)"
        # Ignore opinions that were undone or replaced, because they were slips.
        " AND NOT EXISTS (SELECT 1 FROM labels AS later WHERE later.sample_id = second.sample_id"
        " AND later.operator = second.operator AND later.version IS NULL AND later.id > second.id)"
    )
    agreeing, total = db.execute(sql, [operator, since, project_id, PORTAL]).fetchone()
    return agreeing, total


def count_suggested(db: Database, project_id: int) -> dict[bool, tuple[int, int]]:
    """Return labels equal to the readers' suggestion and all labels, by whether the suggestion was on screen.

    The last such label of each image counts, so typing errors that were undone do not.
    """
    sql = (
        "SELECT suggestion_shown, sum(text = suggestion), count(*) FROM labels JOIN samples ON samples.id = sample_id"
        " WHERE suggestion_shown IS NOT NULL AND +project_id = ? AND NOT EXISTS (SELECT 1 FROM labels AS later"
        "  WHERE later.sample_id = labels.sample_id AND later.id > labels.id AND later.suggestion_shown IS NOT NULL)"
        " GROUP BY suggestion_shown"
    )
    return {bool(shown): (equal, n) for shown, equal, n in db.execute(sql, [project_id]).fetchall()}
