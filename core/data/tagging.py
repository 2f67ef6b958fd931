"""Tags on samples: short words that people choose, and compare without case."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.data.selection import find_tag
from core.errors import OptionError
from core.names import check_tag
from core.words import plural
from db import tags
from db.connection import write
from db.records import Project, now
from db.sqlite import Database

MAX_TAGS = 200
"""Tags of a project. A list to choose from should stay readable."""


@dataclass(frozen=True)
class Tagged:
    """The outcome of tagging or untagging images."""

    tag: str
    """The spelling that was used first."""
    changed: int
    unchanged: int
    """Images that had the tag already, or did not have it."""
    added: bool
    """False if the tag was taken off."""

    @property
    def sentence(self) -> str:
        text = f"{'Tagged' if self.added else 'Untagged'} {plural(self.changed, 'image')}: {self.tag}."
        if self.unchanged:
            text += f" {self.unchanged:,} {'had it already' if self.added else 'did not have it'}."
        return text


def tag_samples(db: Database, project: Project, name: str, ids: Sequence[int], *, operator: str) -> Tagged:
    """Tag images of a project. Raises OptionError for an invalid tag, no image, or more than MAX_TAGS tags."""
    name = name.strip()
    check_tag(name)
    if not ids:
        raise OptionError("No image is chosen, so nothing was tagged.")
    with write(db):
        if tags.find_tag(db, project.id, name) is None and len(tags.list_tags(db, project.id)) >= MAX_TAGS:
            raise OptionError(f"Project {project.name} has {MAX_TAGS} tags, which is the limit. Untag some images.")
        tag = tags.open_tag(db, project.id, name)
        changed = tags.add(db, tag, ids, operator=operator, at=now())
        tags.drop_unused(db, project.id)  # all of the images may have been deleted since they were chosen
    return Tagged(tag.name, changed, len(ids) - changed, added=True)


def untag_samples(db: Database, project: Project, name: str, ids: Sequence[int]) -> Tagged:
    """Take a tag off images. A tag that no image has is forgotten. Raises OptionError for an unknown tag."""
    with write(db):
        tag = find_tag(db, project, name)
        changed = tags.remove(db, tag, ids)
    return Tagged(tag.name, changed, len(ids) - changed, added=False)
