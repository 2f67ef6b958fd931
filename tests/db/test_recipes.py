"""Constraints on recipes, and recipes in an older file."""

from pathlib import Path

import pytest
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from db.connection import opened, write
from db.recipes import find_default, find_recipe, insert_default, insert_recipe, list_recipes
from db.records import Project
from tests.helpers.old_database import make_old


def insert(db: Database, project: Project, version: int, name: str = "hard") -> None:
    insert_recipe(
        db, project_id=project.id, name=name, version=version, settings="{}", note="", operator="Ann"
    )  # fmt: skip


@pytest.fixture
def saved(db: Database, project: Project) -> Project:
    """Return a project whose default is its only recipe."""
    with write(db):
        insert(db, project, 1)
        insert_default(db, project_id=project.id, recipe="hard@1", operator="Ann")
    return project


@pytest.mark.parametrize("table", ["recipes", "default_recipes"])
@pytest.mark.parametrize(
    "statement",
    ["UPDATE {} SET operator = 'Ben'", "DELETE FROM {}", "INSERT OR REPLACE INTO {} SELECT * FROM {}"],
)
def test_recipes_are_append_only(db: Database, saved: Project, table: str, statement: str) -> None:
    """The recipe of a run, and who chose it, must stay available."""
    before = list(db.query(f"SELECT * FROM {table}"))

    with pytest.raises(sqlite3.IntegrityError, match="append-only"), write(db):
        db.execute(statement.replace("{}", table))

    assert list(db.query(f"SELECT * FROM {table}")) == before


def test_a_version_exists_once(db: Database, saved: Project) -> None:
    """Two saves cannot both be version 1."""
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"), write(db):
        insert(db, saved, 1)


def test_the_newest_version_is_the_highest(db: Database, saved: Project) -> None:
    """Each version is found by its number."""
    with write(db):
        insert(db, saved, 2)

    newest, first = find_recipe(db, saved.id, "hard"), find_recipe(db, saved.id, "hard", 1)
    assert newest is not None
    assert first is not None
    assert (newest.version, first.version) == (2, 1)
    assert find_recipe(db, saved.id, "hard", 3) is None
    assert find_recipe(db, saved.id + 1, "hard") is None


def test_the_last_chosen_default_counts(db: Database, saved: Project) -> None:
    """Earlier ones stay as history."""
    with write(db):
        insert_default(db, project_id=saved.id, recipe="off", operator="Ben")

    assert find_default(db, saved.id) == "off"
    assert db.execute("SELECT count(*) FROM default_recipes").fetchone()[0] == 2


def test_a_file_of_before_recipes_takes_them(tmp_path: Path) -> None:
    """Its project has no recipes and can save one."""
    old = tmp_path / "old.db"
    make_old(old, 4)

    with opened(old) as db:
        assert list_recipes(db, 1) == []
        assert find_default(db, 1) is None
        with write(db):
            insert_recipe(db, project_id=1, name="hard", version=1, settings="{}", note="", operator="Ann")
        assert [recipe.name for recipe in list_recipes(db, 1)] == ["hard"]
