"""Filters that a team saves under a name."""

import pytest
from sqlite_utils import Database

from core.data import managing, saved_filters
from core.data.copying import copy_project
from core.data.saved_filters import delete_filters, filters_of, save_filters
from core.data.tagging import tag_samples
from core.errors import OptionError
from core.home import Home
from db import projects, removals, samples, tags
from db.connection import write
from db.records import Project
from db.saved_filters import list_filters
from tests.helpers.labs import add_images


def saved(db: Database, project: Project) -> dict[str, dict[str, str]]:
    return {each.name: filters_of(each) for each in list_filters(db, project.id)}


def test_filters_are_saved_by_name_and_deleted(db: Database, project: Project) -> None:
    """They are shared by all operators. A second deletion is harmless."""
    save_filters(db, project, " to check ", {"state": "not checked", "sort": "label"}, operator="Ann")
    save_filters(db, project, "all of June", {"source": "june"}, operator="Ben")

    assert saved(db, project) == {
        "all of June": {"source": "june"}, "to check": {"sort": "label", "state": "not checked"},
    }  # fmt: skip
    delete_filters(db, project, "to check")
    delete_filters(db, project, "to check")
    assert [*saved(db, project)] == ["all of June"]


def test_a_name_is_used_once(db: Database, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A colleague's filters are never replaced. There is a limit."""
    save_filters(db, project, "mine", {"state": "skipped"}, operator="Ann")

    with pytest.raises(OptionError, match="There are already filters 'mine'"):
        save_filters(db, project, "mine", {"state": "labeled"}, operator="Ben")
    with pytest.raises(OptionError, match="There are already filters 'mine'"):
        save_filters(db, project, "MINE", {"state": "labeled"}, operator="Ben")
    with pytest.raises(OptionError, match="is not a valid name of filters"):
        save_filters(db, project, " ", {"state": "labeled"}, operator="Ben")
    monkeypatch.setattr(saved_filters, "MAX_FILTERS", 1)
    with pytest.raises(OptionError, match="has 1 saved filters"):
        save_filters(db, project, "other", {"state": "labeled"}, operator="Ben")
    assert saved(db, project) == {"mine": {"state": "skipped"}}


def test_filters_follow_a_renamed_source(home: Home, db: Database, project: Project) -> None:
    add_images(db, project, 1)
    save_filters(db, project, "mine", {"source": "noise", "state": "labeled"}, operator="Ann")
    save_filters(db, project, "other", {"state": "labeled"}, operator="Ann")

    managing.rename_source(db, home, project, managing.find_source(db, project, "noise"), "june")

    assert saved(db, project) == {"mine": {"source": "june", "state": "labeled"}, "other": {"state": "labeled"}}


def test_a_copy_has_tags_and_filters(db: Database, project: Project) -> None:
    """Tags keep operator and time. A second copy adds nothing. A deletion of the new project leaves the old one."""
    add_images(db, project, 3)
    ids = samples.select_ids(db, project.id)
    tag_samples(db, project, "Red", ids[:2], operator="ann")
    with write(db):
        tags.add(db, tags.open_tag(db, project.id, "old"), ids[:1], operator=None, at=None)
    save_filters(db, project, "mine", {"tag": "Red"}, operator="Ann")

    new, copied = copy_project(db, project, "new", operator="ben")
    _, again = copy_project(db, project, "new", operator="ben")

    assert (copied.tags, copied.saved_filters) == (3, 1)
    assert (again.tags, again.saved_filters) == (0, 0)
    assert saved(db, new) == {"mine": {"tag": "Red"}}
    copies = samples.select_ids(db, new.id)
    assert [tags.tags_of(db, copies).get(copy) for copy in copies] == [tags.tags_of(db, ids).get(old) for old in ids]
    with write(db):
        removals.delete_project(db, new)
    assert saved(db, project) == {"mine": {"tag": "Red"}}
    assert len(tags.tags_of(db, ids)) == 2
    assert projects.find_project(db, "new") is None
