"""Databases of earlier versions."""

from pathlib import Path

from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from db.connection import APPLICATION_ID
from db.migrations import MIGRATIONS

STEPS = [step.name for step in MIGRATIONS.pending(Database(memory=True))]


def make_old(path: Path, steps: int) -> None:
    """Create the database of a Slotlab with `steps` migrations, with a project in it."""
    db = Database(sqlite3.connect(path, isolation_level=None), execute_plugins=False)
    MIGRATIONS.apply(db, stop_before=STEPS[steps])
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {steps}")
    if steps:
        db.execute(
            "INSERT INTO projects (name, length, charset, created_at) VALUES ('portal', 6, '0123456789', 'then')"
        )
    db.conn.close()
