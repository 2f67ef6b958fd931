"""The schema, as the list of steps that led to it. A step that has been released is never edited."""

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

MIGRATIONS = Migrations("slotlab")


@MIGRATIONS()
def m001_projects_and_samples(db: Database) -> None:
    _run(
        db,
        """
        CREATE TABLE projects (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            length INTEGER NOT NULL CHECK (length >= 1),
            charset TEXT NOT NULL CHECK (length(charset) >= 2),
            created_at TEXT NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE sources (
            id INTEGER PRIMARY KEY,
            project_id INTEGER NOT NULL REFERENCES projects (id),
            name TEXT NOT NULL,
            owner TEXT NOT NULL CHECK (owner <> ''),
            authorization TEXT NOT NULL CHECK (authorization <> ''),
            created_at TEXT NOT NULL,
            UNIQUE (project_id, name)
        ) STRICT
        """,
        # label, version, operator and labelled_at repeat the newest applied event of the ledger below, so that a
        # queue of 50,000 samples needs no join.
        """
        CREATE TABLE samples (
            id INTEGER PRIMARY KEY,
            project_id INTEGER NOT NULL REFERENCES projects (id),
            source_id INTEGER NOT NULL REFERENCES sources (id),
            sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
            name TEXT NOT NULL,
            width INTEGER NOT NULL,
            height INTEGER NOT NULL,
            split TEXT NOT NULL CHECK (split IN ('train', 'val', 'test')),
            state TEXT NOT NULL DEFAULT 'unlabelled' CHECK (state IN ('unlabelled', 'labelled', 'skipped')),
            label TEXT,
            version INTEGER NOT NULL DEFAULT 0,
            operator TEXT,
            labelled_at TEXT,
            created_at TEXT NOT NULL,
            UNIQUE (project_id, sha256),
            CHECK ((state = 'labelled') = (label IS NOT NULL))
        ) STRICT
        """,
        "CREATE INDEX samples_by_state ON samples (project_id, state, split)",
        # Bytes apart from the rows: a scan of samples then reads a few hundred bytes a row instead of the image.
        """
        CREATE TABLE images (
            sample_id INTEGER PRIMARY KEY REFERENCES samples (id),
            bytes BLOB NOT NULL
        ) STRICT
        """,
        """
        CREATE TRIGGER samples_identity_is_fixed
        BEFORE UPDATE OF project_id, sha256, split ON samples
        BEGIN SELECT RAISE(ABORT, 'the project, hash and split of a sample never change'); END
        """,
        """
        CREATE TRIGGER samples_label_length
        BEFORE UPDATE OF label ON samples
        WHEN NEW.label IS NOT NULL
         AND length(NEW.label) <> (SELECT length FROM projects WHERE id = NEW.project_id)
        BEGIN SELECT RAISE(ABORT, 'the label has not the length of its project'); END
        """,
    )


@MIGRATIONS()
def m002_labels(db: Database) -> None:
    # state and text are what the sample is after the event; version is NULL on an event that lost to another
    # operator's: it is kept, and changes nothing.
    _run(
        db,
        """
        CREATE TABLE labels (
            id INTEGER PRIMARY KEY,
            event_id TEXT NOT NULL UNIQUE,
            sample_id INTEGER NOT NULL REFERENCES samples (id),
            operator TEXT NOT NULL CHECK (operator <> ''),
            action TEXT NOT NULL CHECK (action IN ('label', 'skip', 'undo', 'import')),
            state TEXT NOT NULL CHECK (state IN ('unlabelled', 'labelled', 'skipped')),
            text TEXT,
            base_version INTEGER,
            version INTEGER,
            at TEXT NOT NULL,
            CHECK ((state = 'labelled') = (text IS NOT NULL)),
            UNIQUE (sample_id, version)
        ) STRICT
        """,
        """
        CREATE TRIGGER labels_are_never_changed BEFORE UPDATE ON labels
        BEGIN SELECT RAISE(ABORT, 'labels are append-only'); END
        """,
        """
        CREATE TRIGGER labels_are_never_deleted BEFORE DELETE ON labels
        BEGIN SELECT RAISE(ABORT, 'labels are append-only'); END
        """,
    )


@MIGRATIONS()
def m003_jobs_runs_evaluations(db: Database) -> None:
    # While a job lives its directory is the truth; these rows are reconciled from it.
    _run(
        db,
        """
        CREATE TABLE jobs (
            id TEXT PRIMARY KEY,
            number INTEGER NOT NULL UNIQUE,
            kind TEXT NOT NULL CHECK (kind IN ('train', 'evaluate', 'import')),
            project_id INTEGER NOT NULL REFERENCES projects (id),
            request_id TEXT NOT NULL UNIQUE,
            state TEXT NOT NULL CHECK (
                state IN ('queued', 'starting', 'running', 'finished', 'failed', 'cancelled', 'lost')),
            reason TEXT,
            result TEXT,
            created_at TEXT NOT NULL,
            finished_at TEXT
        ) STRICT
        """,
        "CREATE INDEX jobs_by_state ON jobs (state)",
        """
        CREATE TABLE runs (
            job_id TEXT PRIMARY KEY REFERENCES jobs (id),
            preset TEXT NOT NULL,
            config TEXT NOT NULL,
            dataset_sha256 TEXT NOT NULL,
            train_n INTEGER NOT NULL,
            val_n INTEGER NOT NULL,
            val_correct INTEGER
        ) STRICT
        """,
        """
        CREATE TABLE evaluations (
            id INTEGER PRIMARY KEY,
            run_id TEXT NOT NULL REFERENCES runs (job_id),
            job_id TEXT NOT NULL UNIQUE REFERENCES jobs (id),
            split TEXT NOT NULL CHECK (split IN ('val', 'test')),
            tta INTEGER NOT NULL CHECK (tta IN (0, 1)),
            n INTEGER NOT NULL,
            correct INTEGER NOT NULL,
            result TEXT NOT NULL,
            at TEXT NOT NULL
        ) STRICT
        """,
        # A row before the test images leave the database, whether or not the evaluation then succeeds.
        """
        CREATE TABLE test_openings (
            id INTEGER PRIMARY KEY,
            project_id INTEGER NOT NULL REFERENCES projects (id),
            job_id TEXT NOT NULL REFERENCES jobs (id),
            operator TEXT NOT NULL,
            at TEXT NOT NULL
        ) STRICT
        """,
    )


def _run(db: Database, *statements: str) -> None:
    for statement in statements:
        db.execute(statement)


SCHEMA_VERSION = 3
"""Number of steps above, kept in the file's user_version (checked by a test)."""
