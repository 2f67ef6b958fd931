"""Filters of Samples that a team saves under a name. They are names and values of the page's address."""

import json
from collections.abc import Mapping

from core.errors import OptionError
from core.names import MAX_TAG, check_name
from db import saved_filters
from db.connection import write
from db.records import Project, SavedFilter
from db.sqlite import Database

MAX_FILTERS = 50
"""Saved filters of a project. A list to choose from should stay readable."""


def filters_of(saved: SavedFilter) -> dict[str, str]:
    """Return the names and values for the address."""
    filters: dict[str, str] = json.loads(saved.filters)
    return filters


def save_filters(db: Database, project: Project, name: str, filters: Mapping[str, str], *, operator: str) -> None:
    """Save filters under a new name. Raises OptionError for an invalid name, one that is taken, or too many filters.

    Names that differ only in case are the same, as those of tags are.
    """
    name = name.strip()
    check_name("name of filters", name, MAX_TAG)
    with write(db):
        saved = saved_filters.list_filters(db, project.id)
        taken = next((each.name for each in saved if each.name.casefold() == name.casefold()), None)
        if taken is not None:
            raise OptionError(f"There are already filters {taken!r}. Delete them first, or choose another name.")
        if len(saved) >= MAX_FILTERS:
            raise OptionError(f"Project {project.name} has {MAX_FILTERS} saved filters. Delete one first.")
        text = json.dumps(dict(sorted(filters.items())), ensure_ascii=False)
        saved_filters.insert_filter(db, project_id=project.id, name=name, filters=text, operator=operator)


def delete_filters(db: Database, project: Project, name: str) -> None:
    """Delete saved filters. A name that someone else has deleted is fine."""
    with write(db):
        if saved := saved_filters.find_filter(db, project.id, name):
            saved_filters.delete_filter(db, saved)
