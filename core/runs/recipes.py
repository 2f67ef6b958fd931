"""Augmentation recipes: settings under a name, whose changes are versions, so that a run can say what it trained with.

A recipe is written NAME@VERSION, its newest version NAME; a built-in one has no version. What is saved is never
changed or deleted.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlite_utils import Database

from core.errors import OptionError
from core.images.augment_settings import DEFAULT_AUGMENT, TRANSFORMS, Settings, check_augment
from core.model.config import TrainConfig
from db import recipes
from db.connection import write
from db.records import Project, Recipe

DEFAULT = "default"
BUILT_IN: dict[str, Settings] = {DEFAULT: check_augment(DEFAULT_AUGMENT), "off": {}}
"""There in every project. They change with Slotlab only; a run's settings hold what they were."""
RESERVED = {*BUILT_IN, "auto", "none"}
"""As `--set recipe=` understands them."""
MAX_NOTE = 200
"""Characters."""


def title(recipe: Recipe) -> str:
    """NAME@VERSION: what a run records, and what `find` takes."""
    return f"{recipe.name}@{recipe.version}"


def settings_of(recipe: Recipe) -> Settings:
    """Raises OptionError where this version of Slotlab no longer allows them."""
    return check_augment(json.loads(recipe.settings))


def check_name(name: str) -> str:
    """The name without the blanks around it. Raises OptionError unless a recipe can be called so."""
    name = name.strip()
    if name.casefold() in RESERVED:
        raise OptionError(f"{name!r} is built in and cannot be saved over; choose another name.")
    if len(name) > 40 or not re.fullmatch(r"\w[\w .-]*", name):
        raise OptionError(
            f"{name!r} cannot be the name of a recipe: use 1 to 40 letters, digits, blanks, dots, - and _, and begin "
            "with a letter or digit."
        )
    return name


def save(
    db: Database, project: Project, name: str, settings: Mapping[str, Any], *, operator: str, note: str = ""
) -> Recipe:  # fmt: skip
    """Save settings as the next version of a recipe, the first where there is none of this name.

    Settings equal to those of its newest version are there already: that one is returned, and nothing is saved. Raises
    OptionError for a name, a note or settings that cannot be.
    """
    name, note, checked = check_name(name), note.strip(), check_augment(settings)
    if len(note) > MAX_NOTE:
        raise OptionError(f"The note has {len(note)} characters; at most {MAX_NOTE} are kept.")
    with write(db):  # read inside: two who save at once get two versions
        newest = recipes.find_recipe(db, project.id, name)
        if newest and json.loads(newest.settings) == checked:
            return newest
        version = newest.version + 1 if newest else 1
        recipes.insert_recipe(
            db, project_id=project.id, name=name, version=version, settings=json.dumps(checked), note=note,
            operator=operator,
        )  # fmt: skip
    saved = recipes.find_recipe(db, project.id, name, version)
    assert saved is not None
    return saved


def find(db: Database, project: Project, text: str) -> tuple[str, Settings]:
    """Title and settings of the recipe meant by NAME, NAME@VERSION or the name of a built-in one.

    Raises OptionError when the project has none such.
    """
    text = text.strip()
    if text in BUILT_IN:
        return text, BUILT_IN[text]
    name, at, version = text.partition("@")
    number = int(version) if version.isascii() and version.isdigit() and len(version) < 10 else None
    found = None if at and number is None else recipes.find_recipe(db, project.id, name, number)
    if found is None:
        there = ", ".join(titles(db, project))
        raise OptionError(f"Project {project.name} has no augmentation recipe {text!r}; there are {there}.")
    return title(found), settings_of(found)


def titles(db: Database, project: Project) -> list[str]:
    """Of all recipes that a run can use: built-in ones first, then those of the project, the last saved first."""
    return [*BUILT_IN, *(title(recipe) for recipe in recipes.list_recipes(db, project.id))]


def default_title(db: Database, project: Project) -> str:
    """Title of the recipe that a new run uses unless it is told otherwise."""
    return recipes.find_default(db, project.id) or DEFAULT


def set_default(db: Database, project: Project, text: str, *, operator: str) -> str:
    """Let new runs use this version of a recipe; returns its title. Raises OptionError when there is none such."""
    found, _ = find(db, project, text)
    with write(db):
        if default_title(db, project) != found:
            recipes.insert_default(db, project_id=project.id, recipe=found, operator=operator)
    return found


def resolve(db: Database, project: Project, config: TrainConfig) -> TrainConfig:
    """`config` with the settings of the recipe it names; of the project's default where it names none.

    Settings without a name stay as they are. Raises OptionError when there is no such recipe, or its settings are not
    those in `config`.
    """
    if config.recipe is None and config.augment is not None:
        return config
    found, settings = find(db, project, config.recipe or default_title(db, project))
    if config.augment is not None and check_augment(config.augment) != settings:
        raise OptionError(f"The augmentation settings given are not those of recipe {found}; give one of the two.")
    return replace(config, recipe=found, augment=settings)


# Differences


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One setting that two recipes do not share; `before` and `after` are as people read them."""

    transform: str
    setting: str
    before: str
    after: str

    def __str__(self) -> str:
        what = f"{self.transform}, {self.setting}" if self.setting else self.transform
        return f"{what}: {self.before} → {self.after}"


def recipe_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """In order of application. A transform that is on in one of the two only is one difference, its share."""
    old, new = check_augment(before), check_augment(after)
    found = []
    for info in TRANSFORMS:
        if info.key not in old and info.key not in new:
            continue
        if info.key not in old or info.key not in new:
            ends = [f"on {share(side[info.key]['p'])}" if info.key in side else "off" for side in (old, new)]
            found.append(Difference(transform=info.title, setting="", before=ends[0], after=ends[1]))
            continue
        names = {"p": "share of images"} | {param.key: param.title.lower() for param in info.params}
        for key, name in names.items():
            values = old[info.key][key], new[info.key][key]
            if values[0] != values[1]:
                shown = [share(value) if key == "p" else as_text(value) for value in values]
                found.append(Difference(transform=info.title, setting=name, before=shown[0], after=shown[1]))
    return found


def share(p: Any) -> str:
    return f"{p:.0%}"


def as_text(value: Any) -> str:
    return f"{value[0]:g} to {value[1]:g}" if isinstance(value, list) else f"{value:g}"
