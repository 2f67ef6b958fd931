"""Augmentation recipes: named, versioned settings, so that a run can record what it was trained with.

NAME@VERSION is one version of a recipe, and NAME is its newest version. Built-in recipes have no versions. Saved
versions are never changed or deleted.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from core.errors import OptionError
from core.images.augment_settings import DEFAULT_AUGMENT, TRANSFORMS, Settings, check_augment
from core.model.config import TrainConfig
from core.words import plural
from db import recipes
from db.connection import write
from db.records import Project, Recipe
from db.sqlite import Database

DEFAULT = "default"
BUILT_IN: dict[str, Settings] = {DEFAULT: check_augment(DEFAULT_AUGMENT), "off": {}}
"""Available in every project. They can change with a new Slotlab; a run records the settings it used."""
RESERVED = {*BUILT_IN, "auto", "none"}
"""Names with a meaning in `--set recipe=`."""
MAX_NOTE = 200
"""Characters."""


def title(recipe: Recipe) -> str:
    """Return NAME@VERSION, which a run records and `find` accepts."""
    return f"{recipe.name}@{recipe.version}"


def settings_of(recipe: Recipe) -> Settings:
    """Return the settings. Raises OptionError if this version of Slotlab does not allow them."""
    return check_augment(json.loads(recipe.settings))


def check_name(name: str) -> str:
    """Return the name without surrounding blanks. Raises OptionError if it is invalid."""
    name = name.strip()
    if name.casefold() in RESERVED:
        raise OptionError(f"{name!r} is built in and cannot be changed; choose another name.")
    if len(name) > 40 or not re.fullmatch(r"\w[\w .-]*", name):
        raise OptionError(
            f"{name!r} is not a valid recipe name; use 1 to 40 letters, digits, spaces, dots, - and _, and start "
            "with a letter or digit."
        )
    return name


def save(
    db: Database, project: Project, name: str, settings: Mapping[str, Any], *, operator: str, note: str = ""
) -> Recipe:  # fmt: skip
    """Save settings as the next version of a recipe, or as version 1 of a new one.

    If the settings equal the newest version, return that version and save nothing. Raises OptionError for an invalid
    name, note or settings.
    """
    name, note, checked = check_name(name), note.strip(), check_augment(settings)
    if len(note) > MAX_NOTE:
        raise OptionError(f"The note has {plural(len(note), 'character')}; the limit is {MAX_NOTE}.")
    with write(db):  # read inside the transaction, so concurrent saves get different versions
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
    """Return title and settings of the recipe NAME, NAME@VERSION or a built-in name.

    Raises OptionError if the project does not have it.
    """
    text = text.strip()
    if text in BUILT_IN:
        return text, BUILT_IN[text]
    name, at, version = text.partition("@")
    number = int(version) if version.isascii() and version.isdigit() and len(version) < 10 else None
    recipe = None if at and number is None else recipes.find_recipe(db, project.id, name, number)
    if recipe is None:
        choices = ", ".join(titles(db, project))
        raise OptionError(f"Project {project.name} has no augmentation recipe {text!r}; choose from {choices}.")
    return title(recipe), settings_of(recipe)


def titles(db: Database, project: Project) -> list[str]:
    """Return the titles of all recipes of a project: built-in ones first, then the newest first."""
    return [*BUILT_IN, *(title(recipe) for recipe in recipes.list_recipes(db, project.id))]


def default_title(db: Database, project: Project) -> str:
    """Return the title of the default recipe for new runs."""
    return recipes.find_default(db, project.id) or DEFAULT


def set_default(db: Database, project: Project, text: str, *, operator: str) -> str:
    """Make this version of a recipe the default and return its title. Raises OptionError if it does not exist."""
    name, _ = find(db, project, text)
    with write(db):
        if default_title(db, project) != name:
            recipes.insert_default(db, project_id=project.id, recipe=name, operator=operator)
    return name


def resolve(db: Database, project: Project, config: TrainConfig) -> TrainConfig:
    """Return `config` with the settings of its recipe, or of the project's default recipe.

    Settings without a recipe name stay unchanged. Raises OptionError if the recipe does not exist or differs from the
    settings in `config`.
    """
    if config.recipe is None and config.augment is not None:
        return config
    name, settings = find(db, project, config.recipe or default_title(db, project))
    if config.augment is not None and check_augment(config.augment) != settings:
        raise OptionError(f"The augmentation settings differ from recipe {name}; set only one of them.")
    return replace(config, recipe=name, augment=settings)


# Differences


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A setting that differs between two recipes, with its values as text."""

    transform: str
    setting: str
    before: str
    after: str

    def __str__(self) -> str:
        what = f"{self.transform}, {self.setting}" if self.setting else self.transform
        return f"{what}: {self.before} → {self.after}"


def recipe_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Return the differences in order of application. A transform that is on in only one recipe is one difference."""
    old, new = check_augment(before), check_augment(after)
    differences = []
    for info in TRANSFORMS:
        if info.key not in old and info.key not in new:
            continue
        if info.key not in old or info.key not in new:
            ends = [f"on {share(side[info.key]['p'])}" if info.key in side else "off" for side in (old, new)]
            differences.append(Difference(transform=info.title, setting="", before=ends[0], after=ends[1]))
            continue
        names = {"p": "share of images"} | {param.key: param.title.lower() for param in info.params}
        for key, name in names.items():
            values = old[info.key][key], new[info.key][key]
            if values[0] != values[1]:
                texts = [share(value) if key == "p" else as_text(value) for value in values]
                differences.append(Difference(transform=info.title, setting=name, before=texts[0], after=texts[1]))
    return differences


def share(p: Any) -> str:
    return f"{p:.0%}"


def as_text(value: Any) -> str:
    return f"{value[0]:g} to {value[1]:g}" if isinstance(value, list) else f"{value:g}"
