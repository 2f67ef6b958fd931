"""Queries on projects and sources."""

import pytest
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from db import projects, removals
from db.connection import write
from db.records import Project


def test_a_project_is_found_by_its_name(db: Database, project: Project) -> None:
    """Names are case-sensitive."""
    assert projects.find_project(db, "portal") == project
    assert projects.get_project(db, project.id) == project
    assert projects.find_project(db, "Portal") is None


def test_projects_are_listed_by_name(db: Database, project: Project) -> None:
    """The order does not depend on the time of creation."""
    with write(db):
        projects.insert_project(db, "a first one", 4, "abc")

    assert [project.name for project in projects.list_projects(db)] == ["a first one", "portal"]


def test_names_of_projects_are_unique(db: Database, project: Project) -> None:
    """Creating a project twice fails."""
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"), write(db):
        projects.insert_project(db, "portal", 4, "abc")


def renamed(db: Database, project: Project, *names: str) -> Project:
    """Rename a project to each of the names in turn."""
    for name in names:
        with write(db):
            projects.rename_project(db, project.id, name)
    return projects.get_project(db, project.id)


def test_all_former_names_lead_to_a_project(db: Database, project: Project) -> None:
    """Not those that it never had."""
    project = renamed(db, project, "a", "b", "b", "portal", "c")

    for name in ("portal", "a", "b"):
        assert projects.find_project_by_former_name(db, name) == project, name
    for name in ("c", "", "Portal"):
        assert projects.find_project_by_former_name(db, name) is None, name


def test_a_former_name_leads_to_the_project_that_had_it_last(db: Database, project: Project) -> None:
    renamed(db, project, "first")
    with write(db):
        later = projects.insert_project(db, "portal", 4, "abc")
    later = renamed(db, later, "second")

    assert projects.find_project_by_former_name(db, "portal") == later


@pytest.mark.parametrize("is_renamed", [False, True])
def test_a_former_name_does_not_lead_past_a_deleted_project(db: Database, project: Project, is_renamed: bool) -> None:
    """Whoever asks for `portal` means the project that had that name last. Other former names stay."""
    project = renamed(db, project, "old", "portal", "first")
    with write(db):
        later = projects.insert_project(db, "portal", 4, "abc")
    later = renamed(db, later, *["second"] * is_renamed)

    with write(db):
        removals.delete_project(db, later)

    assert projects.find_project_by_former_name(db, "portal") is None
    assert projects.find_project_by_former_name(db, "second") is None
    assert projects.find_project_by_former_name(db, "old") == project


@pytest.mark.parametrize(("length", "charset"), [(0, "01"), (-1, "01"), (6, ""), (6, "0"), ("six", "01")])
def test_a_project_has_a_length_and_a_charset(db: Database, length: int, charset: str) -> None:
    """The table also enforces these constraints."""
    with pytest.raises(sqlite3.IntegrityError), write(db):
        projects.insert_project(db, "portal", length, charset)


def test_a_source_belongs_to_one_project(db: Database, project: Project) -> None:
    """The same name in another project is another source."""
    with write(db):
        other = projects.insert_project(db, "other", 4, "abc")
        first = projects.insert_source(db, project.id, "mail", "the team", "ticket 1")
        second = projects.insert_source(db, other.id, "mail", "others", "ticket 2")

    assert projects.find_source(db, project.id, "mail") == first
    assert projects.find_source(db, other.id, "mail") == second
    assert projects.list_sources(db, project.id) == [first]
    assert projects.find_source(db, project.id, "post") is None


@pytest.mark.parametrize(("owner", "authorization"), [("", "ticket 1"), ("the team", "")])
def test_a_source_names_owner_and_authorization(db: Database, project: Project, owner: str, authorization: str) -> None:
    """Every image needs someone who authorized its use."""
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"), write(db):
        projects.insert_source(db, project.id, "mail", owner, authorization)
