"""Augmentation recipes: saving, use in a run, and differences."""

import json
import threading
from dataclasses import replace

import pytest
from sqlite_utils import Database

from core.errors import OptionError
from core.home import Home
from core.images.augment_settings import DEFAULT_AUGMENT, Settings
from core.model.config import TrainConfig, preset, with_options
from core.runs import recipes
from core.runs.recipes import recipe_differences
from db import projects
from db.connection import opened, write
from db.recipes import list_recipes
from db.records import Project, Recipe

BLUR: Settings = {"blur": {"p": 0.5, "sigma": [0.3, 0.8]}}
NOISE: Settings = {"noise": {"p": 0.2, "strength": [0.02, 0.08]}}


def save(db: Database, project: Project, name: str, settings: Settings, note: str = "") -> Recipe:
    return recipes.save(db, project, name, settings, operator="Ann", note=note)


def test_saving_under_the_same_name_is_another_version(db: Database, project: Project) -> None:
    """The first stays unchanged, and each records who saved it and why."""
    first = save(db, project, "hard", BLUR, note="the scanner blurs")
    second = save(db, project, " hard ", NOISE)

    assert [recipes.title(recipe) for recipe in (first, second)] == ["hard@1", "hard@2"]
    assert [recipes.settings_of(recipe) for recipe in (first, second)] == [BLUR, NOISE]
    assert (first.operator, first.note, second.note) == ("Ann", "the scanner blurs", "")
    assert list_recipes(db, project.id) == [second, first]


def test_equal_settings_make_no_new_version(db: Database, project: Project) -> None:
    """Order and transforms that are off do not matter; saving older settings again is a new version."""
    first = save(db, project, "hard", BLUR)

    again = save(db, project, "hard", {"blur": {"sigma": [0.3, 0.8], "p": 0.5}, "gamma": {"p": 0.0}})
    assert again == first
    save(db, project, "hard", NOISE)
    assert recipes.title(save(db, project, "hard", BLUR)) == "hard@3"


def test_recipes_belong_to_their_project(db: Database, project: Project) -> None:
    """The same name in another project is another recipe, and each project has its own default."""
    with write(db):
        other = projects.insert_project(db, "other", 4, "0123456789")
    save(db, project, "hard", BLUR)
    recipes.set_default(db, project, "hard", operator="Ann")

    assert recipes.titles(db, other) == ["default", "off"]
    assert recipes.default_title(db, other) == "default"
    assert recipes.title(save(db, other, "hard", NOISE)) == "hard@1"


def test_a_name_alone_means_the_newest_version(db: Database, project: Project) -> None:
    """A version can be requested, and names may contain spaces."""
    save(db, project, "very hard", BLUR)
    save(db, project, "very hard", NOISE)

    assert recipes.find(db, project, "very hard") == ("very hard@2", NOISE)
    assert recipes.find(db, project, "very hard@1") == ("very hard@1", BLUR)
    assert recipes.find(db, project, "off") == ("off", {})
    assert recipes.find(db, project, "default") == ("default", DEFAULT_AUGMENT)


@pytest.mark.parametrize(
    "text", ["soft", "hard@3", "hard@", "hard@x", "hard@-1", "hard@²", "@1", "", "hard@99999999999"]
)
def test_a_recipe_that_is_not_there_is_refused_with_those_that_are(
    db: Database, project: Project, text: str
) -> None:  # fmt: skip
    """The sentence lists the available recipes."""
    save(db, project, "hard", BLUR)

    with pytest.raises(OptionError, match=r"no augmentation recipe .*; choose from default, off, hard@1\.$"):
        recipes.find(db, project, text)


@pytest.mark.parametrize("name", ["", "  ", "a@1", "-x", ".x", "a/b", "a\nb", "x" * 41, "<b>"])
def test_a_name_that_cannot_be_is_refused(db: Database, project: Project, name: str) -> None:
    """@ separates name and version. Nothing is saved."""
    with pytest.raises(OptionError, match="is not a valid recipe name"):
        save(db, project, name, BLUR)

    assert list_recipes(db, project.id) == []


@pytest.mark.parametrize("name", ["default", "Default", "off", "auto", "none"])
def test_built_in_names_are_not_saved_over(db: Database, project: Project, name: str) -> None:
    """The meaning of `default` in a run's settings must not change."""
    with pytest.raises(OptionError, match="is built in and cannot be changed"):
        save(db, project, name, BLUR)


def test_wrong_settings_and_long_notes_are_refused(db: Database, project: Project) -> None:
    """Each gives one sentence, and nothing is saved."""
    with pytest.raises(OptionError, match=r"blur.sigma must be between 0.2 and 1.5, got 9"):
        save(db, project, "hard", {"blur": {"sigma": [0.3, 9]}})
    with pytest.raises(OptionError, match="The note has 201 characters; the limit is 200"):
        save(db, project, "hard", BLUR, note="n" * 201)

    assert list_recipes(db, project.id) == []


def test_concurrent_saves_get_two_versions(home: Home, db: Database, project: Project) -> None:
    """Concurrent saves get different versions, and none is lost."""
    found: list[str] = []

    def work(low: float) -> None:
        with opened(home.db) as mine:
            found.append(recipes.title(save(mine, project, "hard", {"blur": {"p": 0.5, "sigma": [low, 0.8]}})))

    threads = [threading.Thread(target=work, args=(0.2 + place / 10,)) for place in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == [f"hard@{version}" for version in range(1, 6)]


# Recipe of a run


def test_a_run_records_the_version_it_was_given(db: Database, project: Project) -> None:
    """The run records name, version and full settings, whatever happens to the recipe."""
    save(db, project, "hard", BLUR)
    config = with_options(preset("fast"), {"recipe": "hard"})

    resolved = recipes.resolve(db, project, config)
    save(db, project, "hard", NOISE)

    assert resolved == replace(preset("fast"), recipe="hard@1", augment=BLUR)
    assert recipes.resolve(db, project, resolved) == resolved
    assert TrainConfig.from_dict(json.loads(json.dumps(resolved.to_dict()))) == resolved


@pytest.mark.parametrize("asked", [{}, {"recipe": "auto"}, {"augment": "auto"}])
def test_without_a_word_a_run_gets_the_default_of_its_project(
    db: Database, project: Project, asked: dict[str, str]
) -> None:  # fmt: skip
    """That is the built-in default until someone chooses another; it stays at the chosen version."""
    config = with_options(preset("fast"), asked)
    assert recipes.resolve(db, project, config).recipe == "default"
    assert recipes.resolve(db, project, config).augment == DEFAULT_AUGMENT

    save(db, project, "hard", BLUR)
    assert recipes.set_default(db, project, "hard", operator="Ann") == "hard@1"
    save(db, project, "hard", NOISE)

    assert recipes.resolve(db, project, config) == replace(config, recipe="hard@1", augment=BLUR)
    recipes.set_default(db, project, "off", operator="Ben")
    assert recipes.resolve(db, project, config).augment == {}


def test_settings_of_their_own_have_no_name(db: Database, project: Project) -> None:
    """The run uses settings given as JSON, whatever the project's default is."""
    save(db, project, "hard", BLUR)
    recipes.set_default(db, project, "hard", operator="Ann")
    config = replace(preset("fast"), augment=NOISE)

    assert recipes.resolve(db, project, config) == config
    assert "recipe" not in config.to_dict()


def test_a_recipe_and_other_settings_contradict_each_other(db: Database, project: Project) -> None:
    """Neither is ignored silently."""
    config = with_options(preset("fast"), {"recipe": "off", "augment": json.dumps(BLUR)})

    with pytest.raises(OptionError, match="differ from recipe off; set only one of them"):
        recipes.resolve(db, project, config)


def test_a_default_that_is_not_there_is_refused(db: Database, project: Project) -> None:
    """The default stays unchanged."""
    with pytest.raises(OptionError, match="no augmentation recipe 'soft'"):
        recipes.set_default(db, project, "soft", operator="Ann")

    assert recipes.default_title(db, project) == "default"


# Differences


def test_differences_name_only_the_changes() -> None:
    """Differences are text, in order of application."""
    before: Settings = {"blur": {"p": 0.5, "sigma": [0.3, 0.8]}, "elastic": {"p": 0.1, "strength": 25}, **NOISE}
    after: Settings = {
        "blur": {"p": 0.5, "sigma": [0.3, 1.2]},
        "elastic": {"p": 0.35, "strength": 30},
        "invert": {"p": 0.5},
    }

    assert [str(difference) for difference in recipe_differences(before, after)] == [
        "Elastic wobble, share of images: 10% → 35%",
        "Elastic wobble, strength: 25 → 30",
        "Invert: off → on 50%",
        "Blur, radius: 0.3 to 0.8 → 0.3 to 1.2",
        "Noise: on 20% → off",
    ]


def test_equal_settings_have_no_differences() -> None:
    """Integers may be floats, and transforms that are off may be listed."""
    assert recipe_differences({"elastic": {"p": 0.1, "strength": 25}}, {"elastic": {"strength": 25.0, "p": 0.1}}) == []
    assert recipe_differences(DEFAULT_AUGMENT, DEFAULT_AUGMENT | {"invert": {"p": 0}}) == []
