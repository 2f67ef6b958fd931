"""A new project from an old one, with another length or charset: images, labels that fit, skips, and recipes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from core.charset import TextSpec, spec_of
from core.data.importing import NewImage, Report, open_project, open_source, store_image
from core.data.label_book import GivenLabel
from core.data.standing import update_standing
from core.errors import LabelError, OptionError
from core.words import plural
from db import labels, projects, recipes, samples, saved_filters, tags
from db.connection import write
from db.queues import chunks
from db.records import Project, Sample, Source
from db.sqlite import Database

FIRST_IMAGES = 20
"""First images that a copy shares with its original."""


@dataclass
class Copied:
    """The outcome of a copy."""

    images: int = 0
    duplicates: int = 0
    """Images that the new project had already."""
    labels: int = 0
    misfits: int = 0
    """Labels that do not fit the new length and charset."""
    disputed: int = 0
    """Labels and skips that people disagree about. Their images come without."""
    conflicts: int = 0
    """Labels and skips not taken over, because the image has been labeled or skipped otherwise in the new project."""
    skips: int = 0
    recipes: int = 0
    """Versions of recipes."""
    tags: int = 0
    """Tags on images."""
    saved_filters: int = 0

    @property
    def sentence(self) -> str:
        return (
            f"{plural(self.images, 'image')}; {plural(self.labels, 'label')} taken over, {self.misfits:,} not fitting, "
            f"{self.disputed:,} disputed, {self.conflicts:,} in conflict; {plural(self.skips, 'skip')} taken over; "
            f"{plural(self.recipes, 'recipe version')}, {plural(self.tags, 'tag')}, "
            f"{plural(self.saved_filters, 'saved filter')}."
        )


def copy_project(
    db: Database,
    project: Project,
    name: str,
    *,
    length: int | None = None,
    charset: str | None = None,
    operator: str,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> tuple[Project, Copied]:
    """Create a project `name` with the images of another one. Length and charset default to the same.

    Each image keeps its source, with owner and authorization, and so its split. A label that fits comes as one event
    of its operator and kind, and so does a skip with its reason. Tags, with operator and time, and saved filters come
    along. Runs and history stay. Run again to finish an interrupted copy: nothing is stored twice.
    Raises OptionError if the new project exists with another length or charset, or with images of its own.
    """
    if name == project.name:
        raise OptionError("The new project needs another name than the old one.")
    spec = TextSpec(project.length if length is None else length, project.charset if charset is None else charset)
    new = open_project(db, name, spec.length, spec.charset)
    if lacking := samples.count_lacking(db, new.id, project.id):  # an unfinished copy has none, a mistyped name does
        raise OptionError(
            f"Project {name} has {plural(lacking, 'image')} that {project.name} lacks, so it is not a copy of it. "
            "Choose another name."
        )
    copied = Copied()
    _copy_recipes(db, project, new, operator, copied)
    sources = {
        source.id: open_source(db, new, source.name, source.owner, source.authorization)
        for source in projects.list_sources(db, project.id)
    }
    chosen, done = samples.select_samples(db, project.id), 0
    for part in chunks([sample.id for sample in chosen]):
        images = samples.image_bytes(db, part)
        with write(db):
            for sample_id in part:
                sample = samples.get_sample(db, sample_id)
                report = Report()
                image = NewImage(
                    sample.name, images[sample_id], sample.width, sample.height, sample.sha256,
                    _label(sample, spec_of(new), copied),
                )  # fmt: skip
                store_image(db, new, sources[sample.source_id], image, sample.operator or operator, report)
                copied.images += report.imported
                copied.duplicates += report.duplicates
                copied.labels += report.labeled
                copied.conflicts += report.label_problems
                if sample.state == "skipped":
                    _skip(db, new, sources[sample.source_id], sample, sample.operator or operator, copied)
            _copy_tags(db, new, part, copied)
        done += len(part)
        on_progress(done, len(chosen))
    _copy_filters(db, project, new, copied)
    return new, copied


def originals_of(db: Database, project: Project) -> Iterator[Project]:
    """Yield the earlier projects that have the first images of this one, newest first.

    A copy begins with the images of its original. What is imported later, into either of them, changes nothing.
    """
    for other in sorted(projects.list_projects(db, archived=None), key=lambda each: -each.id):
        if other.id < project.id and samples.has_first_images(db, project.id, other.id, FIRST_IMAGES):
            yield other


def _copy_tags(db: Database, new: Project, sample_ids: list[int], copied: Copied) -> None:
    """Tag the images of the new project as those of the old one. Call inside `write(db)`, after copying them."""
    hashes = {sample_id: samples.get_sample(db, sample_id).sha256 for sample_id in sample_ids}
    for sample_id, given in tags.tags_of(db, sample_ids).items():
        sample = samples.find_sample(db, new.id, hashes[sample_id])
        assert sample is not None
        for each in given:
            tag = tags.open_tag(db, new.id, each.name)
            copied.tags += tags.add(db, tag, [sample.id], operator=each.operator, at=each.at)


def _copy_filters(db: Database, project: Project, new: Project, copied: Copied) -> None:
    with write(db):
        for saved in saved_filters.list_filters(db, project.id):
            if saved_filters.find_filter(db, new.id, saved.name):
                continue
            saved_filters.insert_filter(
                db, project_id=new.id, name=saved.name, filters=saved.filters, operator=saved.operator
            )
            copied.saved_filters += 1


def _label(sample: Sample, spec: TextSpec, copied: Copied) -> GivenLabel | None:
    """Return the label of a sample if it fits the new project."""
    if sample.label is None:
        return None
    try:
        text = spec.check(sample.label)
    except LabelError:
        copied.misfits += 1
        return None
    if sample.disputed:
        copied.disputed += 1
        return None
    return GivenLabel(text, sample.kind or "person")


def _skip(db: Database, new: Project, source: Source, sample: Sample, operator: str, copied: Copied) -> None:
    """Skip the image of a skipped sample in the new project, for the same reason. Call inside `write(db)`."""
    if sample.disputed:
        copied.disputed += 1
        return
    event_id = f"import:{source.id}:{sample.sha256}:skip:{sample.flag or ''}"
    if labels.find_event(db, event_id):
        return
    there = samples.find_sample(db, new.id, sample.sha256)
    assert there is not None
    if there.content == sample.content:
        return
    if there.state != "unlabeled":
        copied.conflicts += 1
        return
    labels.append_event(
        db, there, event_id=event_id, operator=operator, action="import", state="skipped", text=None,
        flag=sample.flag, base_version=there.version, origin="import",
    )  # fmt: skip
    update_standing(db, there.id)
    copied.skips += 1


def _copy_recipes(db: Database, project: Project, new: Project, operator: str, copied: Copied) -> None:
    """Copy all versions of the recipes, because runs name them, and the default."""
    with write(db):
        for recipe in reversed(recipes.list_recipes(db, project.id)):
            if recipes.find_recipe(db, new.id, recipe.name, recipe.version):
                continue
            recipes.insert_recipe(
                db, project_id=new.id, name=recipe.name, version=recipe.version, settings=recipe.settings,
                note=recipe.note, operator=recipe.operator,
            )  # fmt: skip
            copied.recipes += 1
        default = recipes.find_default(db, project.id)
        if default and recipes.find_default(db, new.id) is None:
            recipes.insert_default(db, project_id=new.id, recipe=default, operator=operator)
