"""The schema, as a list of migration steps. Never edit a step, because existing databases have applied it.

Steps run with foreign keys off, so that tables can be rebuilt. db.connection checks the keys before it commits.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

from db.sqlite import Database, Migrations

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
        # Bytes are in their own table, so a scan of samples reads a few hundred bytes a row and not the image.
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
    # state and text are those of the sample after the event. version is NULL if another operator's event came first;
    # such an event changes nothing.
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
    # While a job is active, its directory is authoritative and these rows are reconciled from it.
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
        # Inserted before the test images leave the database, whether or not the evaluation succeeds.
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


@MIGRATIONS()
def m004_queues_and_opinions(db: Database) -> None:
    _run(
        db,
        # Reason for a skip; NULL means skipped for later.
        """
        ALTER TABLE samples ADD COLUMN flag TEXT
        CHECK (flag IS NULL OR (flag IN ('unreadable', 'not_ours') AND state = 'skipped'))
        """,
        # Both are derived from the ledger (core.data.standing) and stored here for the queues.
        "ALTER TABLE samples ADD COLUMN disputed INTEGER NOT NULL DEFAULT 0 CHECK (disputed IN (0, 1))",
        "ALTER TABLE samples ADD COLUMN checked INTEGER NOT NULL DEFAULT 0 CHECK (checked IN (0, 1))",
        # A CHECK cannot be altered, so the ledger is copied. second, confirm and doubt are opinions: they do not change
        # labels and have no version.
        """
        CREATE TABLE labels_new (
            id INTEGER PRIMARY KEY,
            event_id TEXT NOT NULL UNIQUE,
            sample_id INTEGER NOT NULL REFERENCES samples (id),
            operator TEXT NOT NULL CHECK (operator <> ''),
            action TEXT NOT NULL CHECK (
                action IN ('label', 'skip', 'undo', 'import', 'second', 'confirm', 'doubt', 'resolve')),
            state TEXT NOT NULL CHECK (state IN ('unlabelled', 'labelled', 'skipped')),
            text TEXT,
            flag TEXT CHECK (flag IS NULL OR (flag IN ('unreadable', 'not_ours') AND state = 'skipped')),
            base_version INTEGER,
            version INTEGER CHECK (version IS NULL OR action NOT IN ('second', 'confirm', 'doubt')),
            at TEXT NOT NULL,
            origin TEXT,
            ms INTEGER CHECK (ms >= 0),
            CHECK ((state = 'labelled') = (text IS NOT NULL)),
            UNIQUE (sample_id, version)
        ) STRICT
        """,
        """
        INSERT INTO labels_new (id, event_id, sample_id, operator, action, state, text, base_version, version, at)
        SELECT id, event_id, sample_id, operator, action, state, text, base_version, version, at FROM labels
        """,
        "DROP TABLE labels",
        "ALTER TABLE labels_new RENAME TO labels",
        """
        CREATE TRIGGER labels_are_never_changed BEFORE UPDATE ON labels
        BEGIN SELECT RAISE(ABORT, 'labels are append-only'); END
        """,
        """
        CREATE TRIGGER labels_are_never_deleted BEFORE DELETE ON labels
        BEGIN SELECT RAISE(ABORT, 'labels are append-only'); END
        """,
        "CREATE INDEX labels_by_operator ON labels (operator, at)",
        # Labels that were not applied so far: the last of each operator, if it differs from the sample.
        """
        UPDATE samples SET disputed = 1 WHERE id IN (
            SELECT sample_id FROM labels AS lost
            WHERE version IS NULL AND action <> 'undo'
             AND (lost.state <> samples.state OR lost.text IS NOT samples.label)
             AND NOT EXISTS (
                SELECT 1 FROM labels AS later WHERE later.sample_id = lost.sample_id
                 AND later.operator = lost.operator AND later.action <> 'undo' AND later.id > lost.id))
        """,
        # The browser tab that shows an image. A lease that is not renewed expires (seconds since 1970).
        """
        CREATE TABLE leases (
            sample_id INTEGER PRIMARY KEY REFERENCES samples (id),
            holder TEXT NOT NULL,
            until INTEGER NOT NULL
        ) STRICT
        """,
        # Counting a million samples takes longer than labeling one, so counts are updated with each change.
        """
        CREATE TABLE tallies (
            project_id INTEGER NOT NULL REFERENCES projects (id),
            split TEXT NOT NULL,
            state TEXT NOT NULL,
            n INTEGER NOT NULL CHECK (n >= 0),
            PRIMARY KEY (project_id, split, state)
        ) STRICT, WITHOUT ROWID
        """,
        "INSERT INTO tallies SELECT project_id, split, state, count(*) FROM samples GROUP BY project_id, split, state",
        """
        CREATE TRIGGER samples_are_counted AFTER INSERT ON samples
        BEGIN
            INSERT INTO tallies VALUES (NEW.project_id, NEW.split, NEW.state, 1)
            ON CONFLICT (project_id, split, state) DO UPDATE SET n = n + 1;
        END
        """,
        """
        CREATE TRIGGER samples_are_counted_anew AFTER UPDATE OF state ON samples WHEN OLD.state <> NEW.state
        BEGIN
            UPDATE tallies SET n = n - 1
            WHERE project_id = OLD.project_id AND split = OLD.split AND state = OLD.state;
            INSERT INTO tallies VALUES (NEW.project_id, NEW.split, NEW.state, 1)
            ON CONFLICT (project_id, split, state) DO UPDATE SET n = n + 1;
        END
        """,
        # One index per order and filter of db.queues. The split comes from the first half of the hash, so the second
        # half is a random order within it.
        "CREATE INDEX samples_at_random ON samples (project_id, state, split, substr(sha256, 33))",
        "CREATE INDEX samples_by_source ON samples (project_id, state, split, source_id)",
        """
        CREATE INDEX samples_by_source_at_random ON samples (project_id, state, split, source_id, substr(sha256, 33))
        """,
        "CREATE INDEX samples_by_day ON samples (project_id, state, split, substr(created_at, 1, 10))",
        """
        CREATE INDEX samples_by_day_at_random
        ON samples (project_id, state, split, substr(created_at, 1, 10), substr(sha256, 33))
        """,
        "CREATE INDEX samples_disputed ON samples (project_id) WHERE disputed",
        "CREATE INDEX samples_by_label ON samples (project_id, label) WHERE label IS NOT NULL",
    )


@MIGRATIONS()
def m005_recipes(db: Database) -> None:
    append_only = [
        f"""
        CREATE TRIGGER {table}_are_never_{done} BEFORE {verb} ON {table}
        BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END
        """
        for table in ("recipes", "default_recipes")
        for verb, done in (("UPDATE", "changed"), ("DELETE", "deleted"))
    ]
    _run(
        db,
        # Named augmentation settings (core.images.augment_settings); each change is a new version.
        """
        CREATE TABLE recipes (
            id INTEGER PRIMARY KEY,
            project_id INTEGER NOT NULL REFERENCES projects (id),
            name TEXT NOT NULL CHECK (name <> ''),
            version INTEGER NOT NULL CHECK (version >= 1),
            settings TEXT NOT NULL,
            note TEXT NOT NULL,
            operator TEXT NOT NULL CHECK (operator <> ''),
            created_at TEXT NOT NULL,
            UNIQUE (project_id, name, version)
        ) STRICT
        """,
        # The newest row is the default of a project's new runs. recipe is NAME@VERSION or a built-in name.
        """
        CREATE TABLE default_recipes (
            id INTEGER PRIMARY KEY,
            project_id INTEGER NOT NULL REFERENCES projects (id),
            recipe TEXT NOT NULL CHECK (recipe <> ''),
            operator TEXT NOT NULL CHECK (operator <> ''),
            at TEXT NOT NULL
        ) STRICT
        """,
        *append_only,
    )


@MIGRATIONS()
def m006_american_spelling(db: Database) -> None:
    for table in ("samples", "labels", "jobs"):
        _respell(db, table)
    _run(
        db,
        """
        UPDATE jobs SET result = json_set(json_remove(result, '$.labelled'), '$.labeled', result ->> '$.labelled')
        WHERE kind = 'import' AND result ->> '$.labelled' IS NOT NULL
        """,
        "DELETE FROM tallies",
        "INSERT INTO tallies SELECT project_id, split, state, count(*) FROM samples GROUP BY project_id, split, state",
        "ALTER TABLE test_openings RENAME TO test_uses",
    )
    _respell_results(db)


@MIGRATIONS()
def m007_readers_and_kinds(db: Database) -> None:
    # A CHECK cannot be altered, so the ledger and the jobs are copied. accept: a reading that became a label.
    # kind is the origin of the label after the event. suggestion is the reading that the readers agreed on when the
    # event was saved, and suggestion_shown tells if the operator saw it.
    _rebuild(
        db,
        "labels",
        lambda sql: sql.replace("'resolve')", "'resolve', 'accept')").replace(
            "ms INTEGER CHECK (ms >= 0),",
            """ms INTEGER CHECK (ms >= 0),
            kind TEXT CHECK (kind IN ('person', 'import', 'readers', 'run', 'verdict')),
            suggestion TEXT,
            suggestion_shown INTEGER CHECK (suggestion_shown IN (0, 1)),
            CHECK ((state = 'labeled') = (kind IS NOT NULL)),""",
        ),
        # An undo restores the label of an earlier event, and so its kind.
        kind="""
        CASE WHEN state <> 'labeled' THEN NULL
         WHEN coalesce(CASE WHEN action <> 'undo' THEN action END, (
          SELECT before.action FROM labels AS before WHERE before.sample_id = labels.sample_id
           AND before.id < labels.id AND before.text = labels.text AND before.action <> 'undo'
           ORDER BY before.id DESC LIMIT 1)) = 'import' THEN 'import'
         ELSE 'person' END
        """,
    )
    _rebuild(
        db,
        "jobs",
        lambda sql: sql.replace(
            "('train', 'evaluate', 'import')", "('train', 'evaluate', 'import', 'propose', 'folds', 'round')"
        ),
    )
    _run(
        db,
        """
        ALTER TABLE samples ADD COLUMN kind TEXT CHECK (
            kind IS NULL OR (kind IN ('person', 'import', 'readers', 'run', 'verdict') AND state = 'labeled'))
        """,
        "DROP TRIGGER samples_are_counted",
        "DROP TRIGGER samples_are_counted_anew",
        """
        UPDATE samples SET kind = coalesce(
            (SELECT kind FROM labels WHERE sample_id = samples.id AND labels.version = samples.version), 'person')
        WHERE state = 'labeled'
        """,
        "CREATE INDEX samples_by_kind ON samples (project_id, kind, split) WHERE kind IS NOT NULL",
        "DROP TABLE tallies",
        # kind is empty for samples without a label, because a key cannot hold NULL.
        """
        CREATE TABLE tallies (
            project_id INTEGER NOT NULL REFERENCES projects (id),
            split TEXT NOT NULL,
            state TEXT NOT NULL,
            kind TEXT NOT NULL,
            n INTEGER NOT NULL CHECK (n >= 0),
            PRIMARY KEY (project_id, split, state, kind)
        ) STRICT, WITHOUT ROWID
        """,
        """
        INSERT INTO tallies
        SELECT project_id, split, state, coalesce(kind, ''), count(*) FROM samples GROUP BY 1, 2, 3, 4
        """,
        """
        CREATE TRIGGER samples_are_counted AFTER INSERT ON samples
        BEGIN
            INSERT INTO tallies VALUES (NEW.project_id, NEW.split, NEW.state, coalesce(NEW.kind, ''), 1)
            ON CONFLICT (project_id, split, state, kind) DO UPDATE SET n = n + 1;
        END
        """,
        """
        CREATE TRIGGER samples_are_counted_again AFTER UPDATE OF state, kind ON samples
        WHEN OLD.state <> NEW.state OR OLD.kind IS NOT NEW.kind
        BEGIN
            UPDATE tallies SET n = n - 1 WHERE project_id = OLD.project_id AND split = OLD.split
             AND state = OLD.state AND kind = coalesce(OLD.kind, '');
            INSERT INTO tallies VALUES (NEW.project_id, NEW.split, NEW.state, coalesce(NEW.kind, ''), 1)
            ON CONFLICT (project_id, split, state, kind) DO UPDATE SET n = n + 1;
        END
        """,
        # A general reader from a package, or a run of the project. sha256 is that of its weights.
        """
        CREATE TABLE readers (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL CHECK (kind IN ('general', 'run')),
            name TEXT NOT NULL CHECK (name <> ''),
            version TEXT NOT NULL,
            sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
            UNIQUE (name, version, sha256)
        ) STRICT
        """,
        # text is NULL if the reader finds no text of the project's length. positions is a JSON list of the confidence
        # of each character.
        """
        CREATE TABLE proposals (
            sample_id INTEGER NOT NULL REFERENCES samples (id),
            reader_id INTEGER NOT NULL REFERENCES readers (id),
            text TEXT,
            confidence REAL NOT NULL CHECK (confidence BETWEEN 0 AND 1),
            positions TEXT NOT NULL,
            at TEXT NOT NULL,
            PRIMARY KEY (sample_id, reader_id)
        ) STRICT, WITHOUT ROWID
        """,
        # One action that turned readings into labels. The ids of its events begin with accept:ID:.
        """
        CREATE TABLE acceptances (
            id INTEGER PRIMARY KEY,
            project_id INTEGER NOT NULL REFERENCES projects (id),
            kind TEXT NOT NULL CHECK (kind IN ('readers', 'run', 'verdict')),
            operator TEXT NOT NULL CHECK (operator <> ''),
            rule TEXT NOT NULL,
            n INTEGER NOT NULL CHECK (n >= 0),
            at TEXT NOT NULL
        ) STRICT
        """,
        # The order of a queue, most urgent first. Written as a whole by the job that computes it.
        """
        CREATE TABLE priorities (
            project_id INTEGER NOT NULL REFERENCES projects (id),
            queue TEXT NOT NULL,
            rank INTEGER NOT NULL,
            sample_id INTEGER NOT NULL REFERENCES samples (id),
            PRIMARY KEY (project_id, queue, rank)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX priorities_by_sample ON priorities (sample_id)",
        "CREATE INDEX labels_suggested ON labels (sample_id) WHERE suggestion_shown IS NOT NULL",
        # The labels that the result is measured against: those of people, or the agreed readings of the readers.
        """
        ALTER TABLE runs ADD COLUMN reference TEXT NOT NULL DEFAULT 'people' CHECK (reference IN ('people', 'readers'))
        """,
        """
        ALTER TABLE evaluations ADD COLUMN reference TEXT NOT NULL DEFAULT 'people'
        CHECK (reference IN ('people', 'readers'))
        """,
    )


@MIGRATIONS()
def m008_bundles(db: Database) -> None:
    """Allow jobs that make bundles."""
    _rebuild(db, "jobs", lambda sql: sql.replace("'folds', 'round')", "'folds', 'round', 'bundle')"))


@MIGRATIONS()
def m009_bundle_in_use(db: Database) -> None:
    """Record which bundle of a project is in use, and who decided it. The newest row counts."""
    _run(
        db,
        """
        CREATE TABLE promotions (
            id INTEGER PRIMARY KEY,
            project_id INTEGER NOT NULL REFERENCES projects (id),
            job_id TEXT NOT NULL REFERENCES jobs (id),
            operator TEXT NOT NULL,
            at TEXT NOT NULL
        ) STRICT
        """,
        "CREATE INDEX promotions_of_project ON promotions (project_id, id)",
    )


@MIGRATIONS()
def m010_answers_and_verdicts(db: Database) -> None:
    """Keep what a reader answered outside the lab, and what the portal said. Allow to measure on a later source."""
    _rebuild(db, "jobs", lambda sql: sql.replace("'round', 'bundle')", "'round', 'bundle', 'drift')"))
    _rebuild(db, "evaluations", lambda sql: sql.replace("('val', 'test')", "('val', 'test', 'next')"))
    _run(
        db,
        # sha256 is that of the pixels. The project may not have the image. key is the id in a log, so that the same
        # log adds nothing twice. accepted is NULL without a threshold. distance and surprise describe the image's look.
        """
        CREATE TABLE answers (
            id INTEGER PRIMARY KEY,
            project_id INTEGER NOT NULL REFERENCES projects (id),
            key TEXT NOT NULL,
            sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
            reader TEXT NOT NULL,
            text TEXT NOT NULL,
            confidence REAL NOT NULL CHECK (confidence BETWEEN 0 AND 1),
            accepted INTEGER CHECK (accepted IN (0, 1)),
            unfamiliar TEXT,
            distance REAL,
            surprise REAL,
            at TEXT NOT NULL,
            UNIQUE (project_id, key)
        ) STRICT
        """,
        "CREATE INDEX answers_by_time ON answers (project_id, at)",
        "CREATE INDEX answers_of_image ON answers (project_id, sha256)",
        # accepted is what the portal said. at is when it said so, or when the verdict was imported.
        """
        CREATE TABLE verdicts (
            id INTEGER PRIMARY KEY,
            project_id INTEGER NOT NULL REFERENCES projects (id),
            key TEXT NOT NULL,
            sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
            text TEXT NOT NULL CHECK (text <> ''),
            accepted INTEGER NOT NULL CHECK (accepted IN (0, 1)),
            reason TEXT,
            operator TEXT NOT NULL CHECK (operator <> ''),
            at TEXT NOT NULL,
            UNIQUE (project_id, key)
        ) STRICT
        """,
        "CREATE INDEX verdicts_by_time ON verdicts (project_id, at)",
        "CREATE INDEX verdicts_of_image ON verdicts (project_id, sha256)",
    )


@MIGRATIONS()
def m011_managing(db: Database) -> None:
    """Allow to describe, archive and delete projects and runs, and to move or remove sources."""
    _run(
        db,
        "ALTER TABLE projects ADD COLUMN note TEXT NOT NULL DEFAULT ''",
        # A JSON list.
        "ALTER TABLE projects ADD COLUMN tags TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE projects ADD COLUMN archived_at TEXT",
        "ALTER TABLE runs ADD COLUMN name TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE runs ADD COLUMN tags TEXT NOT NULL DEFAULT '[]'",
        # The row of a deleted run stays, because a use of the test set refers to it.
        "ALTER TABLE jobs ADD COLUMN removed_at TEXT",
        # A record of each deletion. last_ids are the highest ids at that time, by table, as JSON: no id is used twice.
        # folders are those to delete after the rows, as JSON. finished_at is NULL while some may be left.
        """
        CREATE TABLE removals (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL CHECK (kind IN ('project', 'source', 'run')),
            project TEXT NOT NULL,
            name TEXT NOT NULL,
            counts TEXT NOT NULL,
            last_ids TEXT NOT NULL,
            folders TEXT NOT NULL,
            backup TEXT,
            operator TEXT NOT NULL CHECK (operator <> ''),
            at TEXT NOT NULL,
            finished_at TEXT
        ) STRICT
        """,
        # The rows that the present transaction may delete or move. Empty outside of it.
        """
        CREATE TABLE permits (
            kind TEXT NOT NULL CHECK (kind IN ('project', 'source')),
            id INTEGER NOT NULL,
            PRIMARY KEY (kind, id)
        ) STRICT, WITHOUT ROWID
        """,
        "DROP TRIGGER labels_are_never_deleted",
        """
        CREATE TRIGGER labels_are_never_deleted BEFORE DELETE ON labels
        WHEN NOT EXISTS (
            SELECT 1 FROM samples JOIN permits ON permits.kind = 'source' AND permits.id = source_id
            WHERE samples.id = OLD.sample_id)
        BEGIN SELECT RAISE(ABORT, 'labels are append-only'); END
        """,
        *(
            statement
            for table in ("recipes", "default_recipes")
            for statement in (
                f"DROP TRIGGER {table}_are_never_deleted",
                f"""
                CREATE TRIGGER {table}_are_never_deleted BEFORE DELETE ON {table}
                WHEN NOT EXISTS (SELECT 1 FROM permits WHERE kind = 'project' AND id = OLD.project_id)
                BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END
                """,
            )
        ),
        "DROP TRIGGER samples_identity_is_fixed",
        """
        CREATE TRIGGER samples_identity_is_fixed
        BEFORE UPDATE OF project_id, sha256, split ON samples
        WHEN NEW.sha256 <> OLD.sha256 OR NEW.split <> OLD.split
         OR NOT EXISTS (SELECT 1 FROM permits WHERE kind = 'source' AND id = OLD.source_id)
        BEGIN SELECT RAISE(ABORT, 'the project, hash and split of a sample never change'); END
        """,
        """
        CREATE TRIGGER samples_are_counted_when_deleted AFTER DELETE ON samples
        BEGIN
            UPDATE tallies SET n = n - 1 WHERE project_id = OLD.project_id AND split = OLD.split
             AND state = OLD.state AND kind = coalesce(OLD.kind, '');
        END
        """,
        """
        CREATE TRIGGER samples_are_counted_when_moved AFTER UPDATE OF project_id ON samples
        WHEN OLD.project_id <> NEW.project_id
        BEGIN
            UPDATE tallies SET n = n - 1 WHERE project_id = OLD.project_id AND split = OLD.split
             AND state = OLD.state AND kind = coalesce(OLD.kind, '');
            INSERT INTO tallies VALUES (NEW.project_id, NEW.split, NEW.state, coalesce(NEW.kind, ''), 1)
            ON CONFLICT (project_id, split, state, kind) DO UPDATE SET n = n + 1;
        END
        """,
    )


@MIGRATIONS()
def m012_sample_tags_and_filters(db: Database) -> None:
    """Allow to tag samples, and to save the filters of Samples under a name. Both belong to a project."""
    _run(
        db,
        # key is the name without case, by which tags are compared.
        """
        CREATE TABLE sample_tags (
            id INTEGER PRIMARY KEY,
            project_id INTEGER NOT NULL REFERENCES projects (id),
            name TEXT NOT NULL CHECK (name <> ''),
            key TEXT NOT NULL CHECK (key <> ''),
            UNIQUE (project_id, key)
        ) STRICT
        """,
        """
        CREATE TABLE tagged_samples (
            tag_id INTEGER NOT NULL REFERENCES sample_tags (id),
            sample_id INTEGER NOT NULL REFERENCES samples (id),
            PRIMARY KEY (tag_id, sample_id)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX tags_of_sample ON tagged_samples (sample_id)",
        # filters are names and values of the page's address, as JSON.
        """
        CREATE TABLE saved_filters (
            id INTEGER PRIMARY KEY,
            project_id INTEGER NOT NULL REFERENCES projects (id),
            name TEXT NOT NULL CHECK (name <> ''),
            filters TEXT NOT NULL CHECK (json_valid(filters)),
            operator TEXT NOT NULL CHECK (operator <> ''),
            at TEXT NOT NULL,
            UNIQUE (project_id, name)
        ) STRICT
        """,
        "CREATE INDEX samples_by_size ON samples (project_id, width * height)",
    )


@MIGRATIONS()
def m013_numbers_by_kind(db: Database) -> None:
    """Count the jobs of each kind for itself. All keep their numbers, and new ones continue from the highest of theirs.

    Deletions recorded the highest number of any job. Their folders name the jobs that they took.
    """
    _rebuild(db, "jobs", lambda sql: sql.replace("number INTEGER NOT NULL UNIQUE,", "number INTEGER NOT NULL,"))
    _run(db, "CREATE UNIQUE INDEX jobs_by_number ON jobs (kind, number)")
    kinds = ("evaluate", "import", "propose", "folds", "round", "bundle", "drift")  # all others are named by a preset
    for removal_id, last_ids, folders in db.execute("SELECT id, last_ids, folders FROM removals").fetchall():
        numbers: dict[str, int] = {}
        for folder in json.loads(folders):
            number, _, name = folder.rpartition("/")[2].partition("-")
            kind = name if name in kinds else "train"
            numbers[kind] = max(numbers.get(kind, 0), int(number))
        changed = json.loads(last_ids) | {"jobs": numbers}
        db.execute("UPDATE removals SET last_ids = ? WHERE id = ?", [json.dumps(changed), removal_id])


@MIGRATIONS()
def m014_taggers_and_former_names(db: Database) -> None:
    """Keep who gave a sample its tag, and when. Earlier tags have neither. Keep the former names of projects."""
    _run(
        db,
        "ALTER TABLE tagged_samples ADD COLUMN operator TEXT CHECK (operator <> '')",
        "ALTER TABLE tagged_samples ADD COLUMN at TEXT CHECK ((at IS NULL) = (operator IS NULL))",
        # The project that had a name last. A living project of that name comes first.
        """
        CREATE TABLE former_names (
            name TEXT PRIMARY KEY CHECK (name <> ''),
            project_id INTEGER NOT NULL REFERENCES projects (id),
            at TEXT NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX former_names_of_project ON former_names (project_id)",
    )


def _rebuild(db: Database, table: str, change: Callable[[str], str], **new_columns: str) -> None:
    """Copy a table into one with a changed definition, with its indexes and triggers.

    `new_columns` are SQL expressions for columns that the old table lacks. Others of them are NULL.
    """
    columns = [column.name for column in db[table].columns]
    (create, *others) = [
        sql
        for (sql,) in db.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY type <> 'table', name",
            [table],
        )
    ]
    names, values = [*columns, *new_columns], [*columns, *new_columns.values()]
    _run(
        db,
        re.sub(rf'^CREATE TABLE "?{table}"?', f"CREATE TABLE {table}_new", change(create)),
        f"INSERT INTO {table}_new ({', '.join(names)}) SELECT {', '.join(values)} FROM {table}",
        f"DROP TABLE {table}",
        f"ALTER TABLE {table}_new RENAME TO {table}",
        *others,
    )


def _respell(db: Database, table: str) -> None:
    """Rebuild a table with American spelling, because a CHECK cannot be altered and the ledger allows no UPDATE."""
    columns = [column.name for column in db[table].columns]
    (create, *others) = [
        sql
        for (sql,) in db.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY type <> 'table', name",
            [table],
        )
    ]
    values = ", ".join(
        "replace(replace(state, 'labelled', 'labeled'), 'cancelled', 'canceled')" if column == "state" else column
        for column in columns
    )
    _run(
        db,
        re.sub(rf'^CREATE TABLE "?{table}"?', f"CREATE TABLE {table}_new", _american(create)),
        f"INSERT INTO {table}_new ({', '.join(map(_american, columns))}) SELECT {values} FROM {table}",
        f"DROP TABLE {table}",
        f"ALTER TABLE {table}_new RENAME TO {table}",
        *map(_american, others),
    )


def _respell_results(db: Database) -> None:
    """Rename the key in the results of imports in the job directories."""
    (path,) = [file for _, name, file in db.execute("PRAGMA database_list") if name == "main"]
    for file in Path(path).parent.glob("runs/*-import/result.json"):
        try:
            result = json.loads(file.read_text())
        except ValueError:
            continue  # reading the damaged result reports it
        if "labelled" in result:
            new = file.with_name("result.json.new")
            new.write_text(json.dumps({_american(key): value for key, value in result.items()}))
            new.replace(file)


def _american(text: str) -> str:
    return text.replace("labelled", "labeled").replace("cancelled", "canceled")


def _run(db: Database, *statements: str) -> None:
    for statement in statements:
        db.execute(statement)


SCHEMA_VERSION = 14
"""Number of steps above, stored in the file's user_version. A test checks it."""
