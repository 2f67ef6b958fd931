"""Selections of samples: the filters of Samples by their words, and the limit of what one action may change."""

from collections.abc import Collection, Sequence
from typing import Any

from core.data.kinds import WORDS
from core.errors import OptionError
from core.files import shortened
from core.words import plural
from db import projects, samples, tags
from db.queues import PASSED
from db.records import SPLITS, Project, Tag
from db.sqlite import Database

STATES: dict[str, dict[str, Any]] = {
    "all": {},
    "unlabeled": {"state": "unlabeled"},
    "labeled": {"state": "labeled"},
    "not checked": {"state": "labeled", "checked": False},
    "checked": {"state": "labeled", "checked": True},
    "disputed": {"disputed": True},
    "skipped": {"state": "skipped"},
    "skipped for later": {"flag": PASSED},
    "unreadable": {"flag": "unreadable"},
    "not from this portal": {"flag": "not_ours"},
}
"""Filters of db.samples by the words of the box State."""
MAX_SELECTED = 20_000
"""Images that one action may skip or move. A skip of 20,000 takes 13 s of one core; others can save in between."""


def where(
    db: Database,
    project: Project,
    *,
    state: str = "all",
    split: str | None = None,
    source: str | None = None,
    kind: str | None = None,
    tag: str | None = None,
    text: str = "",
) -> dict[str, Any]:
    """Return the filters of db.samples by the words and names that people use. Raises OptionError for unknown ones."""
    for title, word, words in (("state", state, STATES), ("split", split, SPLITS), ("kind", kind, WORDS)):
        if word is not None and word not in words:
            raise OptionError(f"There is no {title} {shortened(word)!r}. Choose from {', '.join(words)}.")
    origin = None
    if source is not None and (origin := projects.find_source(db, project.id, source)) is None:
        listed = ", ".join(each.name for each in projects.list_sources(db, project.id)) or "none yet"
        raise OptionError(f"Project {project.name} has no source {shortened(source)!r}. Its sources: {listed}.")
    return STATES[state] | {
        "split": split,
        "source_id": origin and origin.id,
        "kind": kind,
        "tag_id": None if tag is None else find_tag(db, project, tag).id,
        "text": text.strip(),
    }


def find_tag(db: Database, project: Project, name: str) -> Tag:
    """Return a tag of a project. Raises OptionError if no image has it."""
    tag = tags.find_tag(db, project.id, name.strip())
    if tag is None:
        listed = ", ".join(each.name for each in tags.list_tags(db, project.id)) or "none yet"
        raise OptionError(f"Project {project.name} has no tag {shortened(name)!r}. Its tags: {listed}.")
    return tag


def select_shown(db: Database, project: Project, mark: samples.Mark, filters: dict[str, Any]) -> list[int]:
    """Return the ids of the samples that match filters of db.samples. Raises OptionError unless they have this mark."""
    ids = samples.select_ids(db, project.id, **filters)
    if samples.mark_of(ids) != mark:
        raise OptionError(f"The list has changed, so nothing was done: it has {plural(len(ids), 'image')} now.")
    return ids


def select_present(db: Database, project: Project, ids: Sequence[int]) -> list[int]:
    """Return the ids. Raises OptionError if the project no longer has all of these samples."""
    gone = len(ids) - len(samples.get_samples(db, project.id, ids))
    if gone:
        raise OptionError(
            f"The list has changed, so nothing was done: it no longer has {plural(gone, 'image')} of these."
        )
    return list(ids)


def check_bulk(ids: Collection[int]) -> None:
    """Raise OptionError for more images than one action may change."""
    if sentence := too_many(len(ids)):
        raise OptionError(sentence)


def too_many(n: int) -> str:
    """Return why one action cannot skip or move `n` images; empty if it can."""
    return f"At most {plural(MAX_SELECTED, 'image')} at once. Narrow the filters." * (n > MAX_SELECTED)
