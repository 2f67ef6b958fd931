"""The schema: migration of older files, and constraints that hold whatever the code does."""

import json
import re
from pathlib import Path

import pytest
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from core.errors import StorageError
from core.home import Home
from core.jobs.runner import JOB_WORDS, MODULES
from db import jobs, removals, runs, samples, tags
from db.connection import connect, opened, write
from db.evaluations import count_test_uses
from db.ids import next_id
from db.labels import append_event, events_of
from db.migrations import SCHEMA_VERSION
from db.projects import list_projects
from db.records import JOB_KINDS, GivenTag, Project
from tests.db.conftest import AddSample
from tests.helpers.contents import contents
from tests.helpers.old_database import STEPS, make_old


def schema(path: Path) -> list[tuple[str, str, str]]:
    """Return everything the file defines, except when each step was applied."""
    with opened(path) as db:
        return db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()


def test_the_version_is_the_number_of_steps() -> None:
    """The number is written by hand, so a newer file can be refused before any step runs."""
    assert len(STEPS) == SCHEMA_VERSION
    assert [int(step[1:4]) for step in STEPS] == list(range(1, SCHEMA_VERSION + 1))


@pytest.mark.parametrize("steps", range(1, SCHEMA_VERSION))
def test_a_file_of_every_earlier_step_is_brought_up_to_date(tmp_path: Path, home: Home, steps: int) -> None:
    """The schema then equals that of a new file, and the rows are still there."""
    old = tmp_path / "old.db"
    make_old(old, steps)
    with opened(home.db, create=True):
        pass

    with opened(old) as db:
        assert [project.name for project in list_projects(db)] == ["portal"]
        assert db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    assert schema(old) == schema(home.db)


def test_labels_of_an_earlier_step_keep_their_history(tmp_path: Path) -> None:
    """The ledger is copied into its new table, and existing samples are counted."""
    old = tmp_path / "old.db"
    make_old(old, 3)
    raw = sqlite3.connect(old)
    raw.executescript(
        "INSERT INTO sources VALUES (1, 1, 'mail', 'the team', 'ticket 1', 'then');"
        f"INSERT INTO samples VALUES (1, 1, 1, '{'a' * 64}', 'a.png', 40, 16, 'val', 'labelled', '123456', 2, 'Ben',"
        " 'later', 'then');"
        "INSERT INTO labels VALUES (1, 'e1', 1, 'Ann', 'label', 'labelled', '111111', 0, 1, 'soon'),"
        " (2, 'e2', 1, 'Ben', 'label', 'labelled', '123456', 1, 2, 'later'),"
        " (3, 'e3', 1, 'Cem', 'label', 'labelled', '222222', 0, NULL, 'later');"
    )
    raw.close()

    with opened(old) as db:
        history = [(event.event_id, event.operator, event.text, event.version) for event in events_of(db, 1)]
        sample = samples.get_sample(db, 1)
        assert samples.counts(db, 1) == {("val", "labeled"): 1}

    assert history == [
        ("e1", "Ann", "111111", 1), ("e2", "Ben", "123456", 2), ("e3", "Cem", "222222", None),
    ]  # fmt: skip
    assert (sample.label, sample.flag, sample.disputed, sample.checked) == ("123456", None, 1, 0)


def test_stored_words_get_american_spelling(tmp_path: Path) -> None:
    """States, result keys, columns and tables are renamed, also in the result of an import not read yet."""
    old = tmp_path / "slotlab.db"
    make_old(old, 5)
    result = tmp_path / "runs" / "0001-import" / "result.json"
    result.parent.mkdir(parents=True)
    result.write_text('{"files": 2, "labelled": 1}')
    raw = sqlite3.connect(old)
    raw.executescript(
        "INSERT INTO sources VALUES (1, 1, 'mail', 'the team', 'ticket 1', 'then');"
        f"INSERT INTO samples VALUES (1, 1, 1, '{'a' * 64}', 'a.png', 40, 16, 'val', 'labelled', '123456', 1, 'Ben',"
        " 'later', 'then', NULL, 0, 0),"
        f" (2, 1, 1, '{'b' * 64}', 'b.png', 40, 16, 'val', 'unlabelled', NULL, 0, NULL, NULL, 'then', NULL, 1, 0);"
        "INSERT INTO labels VALUES (1, 'e1', 1, 'Ben', 'label', 'labelled', '123456', NULL, 0, 1, 'later', NULL, 900);"
        "INSERT INTO jobs VALUES ('0001-import', 1, 'import', 1, 'r1', 'cancelled', NULL,"
        """ '{"files": 2, "labelled": 1, "reasons": []}', 'then', 'later'),"""
        " ('0002-fast', 2, 'train', 1, 'r2', 'finished', NULL, NULL, 'then', 'later');"
        "INSERT INTO test_openings VALUES (1, 1, '0002-fast', 'Ben', 'later');"
    )
    raw.close()

    with opened(old) as db:
        assert samples.counts(db, 1) == {("val", "labeled"): 1, ("val", "unlabeled"): 1}
        assert [(sample.state, sample.labeled_at, sample.disputed) for sample in samples.select_samples(db, 1)] == [
            ("labeled", "later", 0), ("unlabeled", None, 1),
        ]  # fmt: skip
        assert [(event.state, event.ms) for event in events_of(db, 1)] == [("labeled", 900)]
        rows = db.execute("SELECT state, result FROM jobs ORDER BY number").fetchall()
        assert [(state, result and json.loads(result)) for state, result in rows] == [
            ("canceled", {"files": 2, "reasons": [], "labeled": 1}), ("finished", None),
        ]  # fmt: skip
        assert count_test_uses(db, 1) == 1
        assert json.loads(result.read_text()) == {"files": 2, "labeled": 1}
        assert not [sql for _, _, sql in schema(old) if "labelled" in (sql or "") or "cancelled" in (sql or "")]


def test_labels_of_earlier_versions_get_their_kind(tmp_path: Path) -> None:
    """An import stays an import, also after a label over it was undone. All other labels are those of people."""
    old = tmp_path / "slotlab.db"
    make_old(old, 6)
    raw = sqlite3.connect(old)
    raw.executescript(
        "INSERT INTO sources VALUES (1, 1, 'mail', 'the team', 'ticket 1', 'then');"
        "INSERT INTO samples (id, project_id, source_id, sha256, name, width, height, split, state, label, version,"
        " created_at) VALUES"
        f" (1, 1, 1, '{'a' * 64}', 'a.png', 40, 16, 'train', 'labeled', '111111', 1, 'then'),"
        f" (2, 1, 1, '{'b' * 64}', 'b.png', 40, 16, 'train', 'labeled', '222222', 3, 'then'),"
        f" (3, 1, 1, '{'c' * 64}', 'c.png', 40, 16, 'val', 'labeled', '333333', 1, 'then'),"
        f" (4, 1, 1, '{'d' * 64}', 'd.png', 40, 16, 'val', 'skipped', NULL, 1, 'then');"
        "INSERT INTO labels (id, event_id, sample_id, operator, action, state, text, base_version, version, at) VALUES"
        " (1, 'e1', 1, 'Ann', 'import', 'labeled', '111111', 0, 1, 'then'),"
        " (2, 'e2', 2, 'Ann', 'import', 'labeled', '222222', 0, 1, 'then'),"
        " (3, 'e3', 2, 'Ben', 'label', 'labeled', '999999', 1, 2, 'then'),"
        " (4, 'e4', 2, 'Ben', 'undo', 'labeled', '222222', 2, 3, 'then'),"
        " (5, 'e5', 3, 'Ben', 'label', 'labeled', '333333', 0, 1, 'then'),"
        " (6, 'e6', 4, 'Ben', 'skip', 'skipped', NULL, 0, 1, 'then'),"
        " (7, 'e7', 1, 'Ben', 'confirm', 'labeled', '111111', 1, NULL, 'then');"
    )
    raw.close()

    with opened(old) as db:
        kinds = db.execute("SELECT kind FROM labels ORDER BY id").fetchall()
        assert [kind for (kind,) in kinds] == ["import", "import", "person", "import", "person", None, "person"]
        assert samples.label_counts(db, 1) == {("train", "import"): 2, ("val", "person"): 1}
        assert samples.counts(db, 1) == {("train", "labeled"): 2, ("val", "labeled"): 1, ("val", "skipped"): 1}


def test_jobs_keep_their_numbers_and_each_kind_continues_its_own(tmp_path: Path) -> None:
    """A deleted project had the newest run and bundle, so their numbers are taken. Other kinds had none as high.

    Their order was that of the numbers, which the rows keep without them.
    """
    old = tmp_path / "slotlab.db"
    make_old(old, 12)
    raw = sqlite3.connect(old)
    raw.executescript(
        "INSERT INTO jobs (id, number, kind, project_id, request_id, state, created_at) VALUES"
        " ('0001-import', 1, 'import', 1, 'r1', 'finished', 'then'),"
        " ('0002-article', 2, 'train', 1, 'r2', 'finished', 'then'),"
        " ('0003-evaluate', 3, 'evaluate', 1, 'r3', 'finished', 'then'),"
        " ('0005-fast', 5, 'train', 1, 'r5', 'running', 'then');"
        "UPDATE jobs SET removed_at = 'later' WHERE number = 5;"
        "INSERT INTO runs (job_id, preset, config, dataset_sha256, train_n, val_n)"
        " VALUES ('0002-article', 'article', '{}', '', 1, 1);"
        "INSERT INTO removals (kind, project, name, counts, last_ids, folders, operator, at) VALUES"
        """ ('run', 'portal', '0005-fast', '{}', '{"projects": 2, "jobs": 5}', '["runs/0005-fast"]', 'ann', 'then'),"""
        """ ('source', 'portal', 'june', '{}', '{"projects": 2, "jobs": 9}', '[]', 'ann', 'then'),"""
        """ ('project', 'other', 'other', '{}', '{"projects": 2, "jobs": 9}', '["runs/0004-fast", "runs/0006-import","""
        """ "runs/0007-article-cut", "runs/0008-bundle", "bundles/0008-bundle"]', 'ann', 'then');"""
    )
    raw.close()

    with opened(old) as db:
        assert [job.id for job in jobs.list_jobs(db)] == ["0003-evaluate", "0002-article", "0001-import"]
        assert [run.job.number for run in runs.list_runs(db)] == [2]
        kinds = ("train", "import", "evaluate", "bundle", "drift")
        assert {kind: jobs.next_number(db, kind) for kind in kinds} == {
            "train": 8, "import": 7, "evaluate": 4, "bundle": 9, "drift": 1,
        }  # fmt: skip
        assert next_id(db, "projects") == 3
        assert [removals.last_id(each) for each in removals.list_removals(db) if each.kind != "source"] == [2, 5]


def test_tags_of_an_earlier_step_have_no_operator(tmp_path: Path) -> None:
    """Nobody knows who gave them. Operator and time come together, so a tag cannot have only one of them."""
    old = tmp_path / "old.db"
    make_old(old, 13)
    raw = sqlite3.connect(old)
    raw.executescript(
        "INSERT INTO sources VALUES (1, 1, 'mail', 'the team', 'ticket 1', 'then');"
        "INSERT INTO samples (id, project_id, source_id, sha256, name, width, height, split, created_at)"
        f" VALUES (1, 1, 1, '{'a' * 64}', 'a.png', 40, 16, 'train', 'then');"
        "INSERT INTO sample_tags VALUES (1, 1, 'Blurry', 'blurry');"
        "INSERT INTO tagged_samples VALUES (1, 1);"
    )
    raw.close()

    with opened(old) as db:
        assert tags.tags_of(db, [1]) == {1: [GivenTag("Blurry", None, None)]}
        for change in ("at = 'now'", "operator = 'ann'", "operator = '', at = 'now'"):
            with pytest.raises(sqlite3.IntegrityError, match="CHECK"), write(db):
                db.execute(f"UPDATE tagged_samples SET {change}")


def test_the_kinds_of_jobs_are_those_of_the_schema(db: Database, project: Project) -> None:
    """A kind that the list lacks would share its numbers with the runs."""
    (sql,) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'jobs'").fetchone()

    assert tuple(re.findall("'([a-z]+)'", re.search(r"kind IN \(([^)]*)\)", sql).group(1))) == JOB_KINDS  # type: ignore[union-attr]
    assert set(JOB_KINDS) == set(MODULES) == set(JOB_WORDS)


def test_an_update_that_would_lose_a_reference_is_refused(tmp_path: Path) -> None:
    """Foreign keys are off while tables are rebuilt, so they are checked before the commit."""
    old = tmp_path / "slotlab.db"
    make_old(old, 5)
    raw = sqlite3.connect(old)
    raw.execute("INSERT INTO leases VALUES (7, 'a tab', 0)")
    raw.commit()
    before = contents(raw)

    with pytest.raises(StorageError, match=r"was not updated.*Rows of leases that refer to missing samples: 1"):
        connect(old)

    assert contents(raw) == before
    raw.close()


def test_a_migration_that_fails_leaves_the_old_schema(tmp_path: Path) -> None:
    """All missing steps are one transaction: here the second succeeds and the third fails."""
    old = tmp_path / "old.db"
    make_old(old, 1)
    raw = sqlite3.connect(old)
    raw.execute("CREATE TABLE evaluations (somebody_tried TEXT)")
    before = contents(raw)

    with pytest.raises(StorageError, match="evaluations already exists"):
        connect(old)

    assert contents(raw) == before
    assert raw.execute("PRAGMA user_version").fetchone() == (1,)
    raw.close()


@pytest.fixture
def labeled(db: Database, add_sample: AddSample) -> int:
    """Return the id of a sample with one label event."""
    sample = add_sample(1)
    with write(db):
        append_event(
            db, sample, event_id="e1", operator="Ann", action="label", state="labeled", text="123456", base_version=0
        )
    return sample.id


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE labels SET text = '654321'",
        "UPDATE labels SET operator = 'Ben' WHERE event_id = 'e1'",
        "DELETE FROM labels",
        "INSERT OR REPLACE INTO labels SELECT * FROM labels",
        (
            "REPLACE INTO labels SELECT id, event_id, sample_id, 'Ben', action, state, text, flag, 0, 1, at, origin,"
            " ms, kind, NULL, NULL"
            " FROM labels"
        ),
    ],
)
def test_the_ledger_is_append_only(db: Database, labeled: int, statement: str) -> None:
    """REPLACE deletes without firing triggers, unless recursive triggers are on."""
    before = list(db.query("SELECT * FROM labels"))

    with pytest.raises(sqlite3.IntegrityError, match="append-only"), write(db):
        db.execute(statement)

    assert list(db.query("SELECT * FROM labels")) == before


@pytest.mark.parametrize("column", ["sha256 = 'f' || substr(sha256, 2)", "split = 'test'", "project_id = 2"])
def test_the_identity_of_a_sample_is_fixed(db: Database, labeled: int, column: str) -> None:
    """No update can move an image between train and test."""
    with pytest.raises(sqlite3.IntegrityError, match="never change"), write(db):
        db.execute(f"UPDATE samples SET {column}")


@pytest.mark.parametrize("label", ["12345", "1234567", ""])
def test_a_label_has_the_length_of_its_project(db: Database, labeled: int, label: str) -> None:
    """The constraint holds for every writer."""
    with pytest.raises(sqlite3.IntegrityError, match="length of its project"), write(db):
        db.execute("UPDATE samples SET label = ?", [label])


@pytest.mark.parametrize(
    "change",
    [
        "label = NULL",
        "state = 'skipped'",
        "state = 'unlabeled'",
        "state = 'done'",
        "label = 123456, version = 'two'",
    ],
)
def test_state_and_label_fit_each_other(db: Database, labeled: int, change: str) -> None:
    """Labeled samples have a label and others do not; types are strict."""
    with pytest.raises(sqlite3.IntegrityError), write(db):
        db.execute(f"UPDATE samples SET {change}")


@pytest.mark.parametrize("table", ["samples", "projects", "sources"])
def test_rows_that_others_need_stay(db: Database, labeled: int, table: str) -> None:
    """Foreign keys are on; SQLite checks none by default."""
    with pytest.raises(StorageError, match="What it belongs to has been deleted"), write(db):
        db.execute(f"DELETE FROM {table}")


def test_a_replacing_insert_cannot_wipe_a_label(db: Database, labeled: int, project: Project) -> None:
    """INSERT OR REPLACE on the hash would delete the sample and its label."""
    sample = samples.get_sample(db, labeled)

    with pytest.raises(StorageError, match="Nothing was saved"), write(db):
        db["samples"].insert(  # as sqlite-utils would do it
            {
                "project_id": project.id, "source_id": 1, "sha256": sample.sha256, "name": "b.png", "width": 40,
                "height": 16, "split": "train", "created_at": "now",
            },
            replace=True,
        )  # fmt: skip

    assert samples.get_sample(db, labeled) == sample


def test_a_version_of_a_sample_is_reached_once(db: Database, labeled: int) -> None:
    """Two events cannot both lead to version 1."""
    with pytest.raises(sqlite3.IntegrityError), write(db):
        db.execute(
            "INSERT INTO labels (event_id, sample_id, operator, action, state, text, kind, base_version, version, at)"
            " SELECT 'e2', sample_id, 'Ben', action, state, text, kind, 0, 1, at FROM labels"
        )
