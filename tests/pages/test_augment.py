"""The Augment page."""

import json
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Selectbox

from core.data.importing import open_project
from core.home import Home
from core.images.augment_settings import DEFAULT_AUGMENT
from core.images.ink import ink_pixels
from core.jobs import control
from core.jobs.jobdir import JobDir
from core.model.config import PRESETS
from core.model.readability import RECIPE as WHOLE_RECIPE
from core.model.readability import Misread, Readability, VariantReading
from core.runs import recipes
from db.connection import opened
from db.recipes import find_default, list_recipes
from db.records import Project
from pages.components.augment.network_input import network
from tests.helpers.repository import ROOT

OpenPage = Callable[..., AppTest]


def texts(app: AppTest) -> str:
    """Return all captions below the title."""
    return "\n".join(caption.value for caption in app.main.caption)


def save_as(app: AppTest, name: str, note: str = "") -> AppTest:
    app.text_input(key="recipe name").set_value(name).run()
    app.text_input(key="recipe note").set_value(note).run()
    return press(app, "Save")


def open_tab(open_page: OpenPage, project: Project, tab: str) -> AppTest:
    return open_page("augment", project=project.name, section=tab.lower())


def recipe_box(app: AppTest) -> Selectbox:
    return next(box for box in app.selectbox if box.label == "Recipe")


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label == label).click().run()


def test_the_original_and_its_variants_are_shown(open_page: OpenPage, portal: Project) -> None:
    """The page shows one training image and the requested number of variants under the default settings."""
    app = open_page("augment", project=portal.name)
    app.number_input(key="n").set_value(3).run()

    assert not app.exception
    assert not app.error
    assert len(app.image) == 4


def test_default_settings_are_handed_to_the_next_run(open_page: OpenPage, portal: Project) -> None:
    """The initial slider values equal the default recipe exactly, and the page names it."""
    app = press(open_page("augment", project=portal.name), "Use for training")

    assert "Same as the default recipe" in texts(app)
    assert app.session_state["recipe for the next run"] == {portal.id: "default"}
    assert app.session_state["augment"] == {}


def test_changed_settings_are_handed_to_the_next_run(open_page: OpenPage, portal: Project) -> None:
    """Turn all off, one on, move one range: the run gets only that transform."""
    app = press(open_page("augment", project=portal.name), "Turn all off")
    app.toggle(key="blur").set_value(True).run()
    app.slider(key="blur sigma").set_range(0.4, 0.5).run()
    press(app, "Use for training")

    assert not app.exception
    assert list(app.session_state["augment"][portal.id]) == ["blur"]
    assert app.session_state["augment"][portal.id]["blur"]["sigma"] == [0.4, 0.5]


def test_a_share_that_the_browser_counted_in_binary_steps_is_the_same(open_page: OpenPage, portal: Project) -> None:
    """A slider moved and moved back leaves the recipe as it was."""
    app = open_page("augment", project=portal.name)
    share = next(slider for slider in app.slider if slider.label == "Share of images")
    share.set_value(share.value + 1e-16 if share.value < 0.5 else share.value - 2e-16).run()

    assert "Same as the default recipe" in texts(app)


def test_a_recipe_is_named_as_it_is_written(open_page: OpenPage, portal: Project) -> None:
    """Markdown in its name is escaped."""
    app = press(open_page("augment", project=portal.name), "Turn all off")
    app.text_input(key="recipe name").set_value("_mine_")
    press(app, "Save")

    assert [toast.value for toast in app.toast] == [r"Saved as \_mine\_@1."]


def test_a_transform_without_default_starts_visible(open_page: OpenPage, portal: Project) -> None:
    """A transform that is off by default starts with a share above zero when it is turned on."""
    app = open_page("augment", project=portal.name)
    app.toggle(key="invert").set_value(True).run()

    assert app.slider(key="invert p").value > 0


def test_another_sample_is_another_image(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The button chooses among the training images in a fixed order."""
    first = open_page("augment", project=portal.name)
    captions = {texts(first)} | {texts(press(first, "Shuffle")) for _ in range(5)}

    assert len(captions) > 1


def test_a_kept_sample_stays(open_page: OpenPage, portal: Project) -> None:
    """The hash in the search field keeps it."""
    app = press(open_page("augment", project=portal.name), "Pin")
    before = texts(app)

    assert texts(press(app, "Shuffle")) == before


# Network input


@pytest.mark.parametrize("ink", [True, False])
def test_the_network_input_follows_the_newest_run(home: Home, trained: Project, ink: bool) -> None:
    """The ink option shows that the normalized image is below the original. A preset that differs is named."""
    folder = JobDir(home.run("0001-fast"))
    spec = folder.spec()
    folder.write("run.json", spec | {"config": spec["config"] | {"ink": ink}})
    with opened(home.db) as db:
        seen = network(home, db, trained)
    image = np.random.default_rng(0).integers(0, 256, (32, 96, 3), dtype=np.uint8)

    pair = seen.pair(image)

    assert np.array_equal(pair[:32, :, :3], image)
    if ink:
        assert np.array_equal(pair[-32:, :, :3], ink_pixels(image))
        assert not pair[32:-32, :, 3].any()
        assert "removes background and polarity" in seen.in_words
    else:
        assert len(pair) == 32
        assert "colors, normalized" in seen.in_words
    assert ("preset fast" in seen.in_words) == (ink != PRESETS["fast"].ink)


def test_without_a_run_the_preset_defines_the_network_input(home: Home, portal: Project) -> None:
    """The preset is the only source then."""
    with opened(home.db) as db:
        seen = network(home, db, portal)

    assert seen.ink == PRESETS["fast"].ink


def test_the_page_opens_without_torch(home: Home, trained: Project) -> None:
    """Variants and costs do not need torch, which takes seconds and half a gigabyte."""
    script = (
        "import sys; from streamlit.testing.v1 import AppTest;"
        f"app = AppTest.from_file({str(ROOT / 'app.py')!r}, default_timeout=60).switch_page('pages/augment.py');"
        "app.query_params['project'] = 'portal'; app.query_params['section'] = 'cost'; app.run();"
        "print(len(app.image), len(app.dataframe), 'torch' in sys.modules, 'albumentations' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=os.environ | {"SLOTLAB_HOME": str(home.root)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout.split()[-4:] == ["15", "1", "False", "True"]


# Recipes


def test_changed_settings_are_saved_as_a_version_and_used(
    home: Home, open_page: OpenPage, portal: Project
) -> None:  # fmt: skip
    """The page lists the changes, saves the slider values, and gives the next run the recipe's name."""
    app = open_page("augment", project=portal.name)
    app.toggle(key="holes").set_value(False).run()
    assert "Changes to default: Holes: on 15% → off" in texts(app).replace("\\", "")

    save_as(app, "portal", "no holes")
    press(app, "Use for training")

    assert not app.exception
    assert not app.error
    with opened(home.db) as db:
        saved = list_recipes(db, portal.id)
        expected = {key: values for key, values in DEFAULT_AUGMENT.items() if key != "holes"}
        assert [(one.name, one.version, one.note, recipes.settings_of(one)) for one in saved] == [
            ("portal", 1, "no holes", expected)
        ]
    assert recipe_box(app).value == "portal@1"
    assert app.session_state["recipe for the next run"] == {portal.id: "portal@1"}


def test_a_recipe_sets_the_switches(home: Home, open_page: OpenPage, portal: Project) -> None:
    """Choosing a recipe sets everything. Changes can be undone."""
    with opened(home.db) as db:
        recipes.save(db, portal, "soft", {"blur": {"p": 0.5, "sigma": [0.3, 0.4]}}, operator="Ann")
    app = open_page("augment", project=portal.name)

    recipe_box(app).set_value("soft@1").run()
    assert [toggle.key for toggle in app.toggle if toggle.value] == ["blur"]
    assert app.slider(key="blur sigma").value == (0.3, 0.4)
    app.slider(key="blur sigma").set_range(0.3, 0.9).run()
    press(app, "Undo changes")

    assert app.slider(key="blur sigma").value == (0.3, 0.4)
    assert "Same as the soft" in texts(app)


def test_a_default_is_where_the_page_starts(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The page and new runs start with the default recipe."""
    with opened(home.db) as db:
        recipes.save(db, portal, "soft", {"blur": {"p": 0.5, "sigma": [0.3, 0.4]}}, operator="Ann")
    app = open_page("augment", project=portal.name)
    recipe_box(app).set_value("soft@1").run()
    press(app, "Make default")

    with opened(home.db) as db:
        assert find_default(db, portal.id) == "soft@1"
    again = open_page("augment", project=portal.name)
    assert recipe_box(again).value == "soft@1"
    assert [toggle.key for toggle in again.toggle if toggle.value] == ["blur"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("default", "is built in"), ("", "not a valid recipe name"), ("a@b", "not a valid recipe name")],
)
def test_a_wrong_name_is_one_sentence(
    home: Home, open_page: OpenPage, portal: Project, name: str, sentence: str
) -> None:  # fmt: skip
    """Nothing is saved, and the settings do not change."""
    app = save_as(open_page("augment", project=portal.name), name)

    assert not app.exception
    assert [sentence in error.value for error in app.error] == [True]
    with opened(home.db) as db:
        assert list_recipes(db, portal.id) == []


def test_the_history_lists_the_changes_of_each_version(home: Home, open_page: OpenPage, portal: Project) -> None:
    """Newest first. The first version is compared with the default."""
    with opened(home.db) as db:
        for high in (0.4, 0.6):
            recipes.save(
                db, portal, "soft", DEFAULT_AUGMENT | {"blur": {"p": 0.15, "sigma": [0.3, high]}}, operator="Ann"
            )
    app = open_tab(open_page, portal, "History")

    assert not app.exception
    table = app.dataframe[0].value
    assert table["Recipe"].tolist() == ["soft@2", "soft@1"]
    assert table["Changes"].tolist() == [
        "Blur, radius: 0.3 to 0.4 → 0.3 to 0.6",
        "Blur, radius: 0.3 to 0.8 → 0.3 to 0.4",
    ]


def test_two_recipes_are_compared_on_the_same_draws(open_page: OpenPage, portal: Project) -> None:
    """Each recipe shows its own images. With all transforms off they all equal the original."""
    app = press(open_page("augment", project=portal.name), "Turn all off")
    app.number_input(key="n").set_value(2).run()
    app.selectbox(key="augment compared of portal").set_value("off").run()

    assert not app.exception
    assert len(app.image) == 6
    assert len({image.proto.imgs[0].url for image in app.image}) == 1


@pytest.mark.parametrize("how", ["by hand", "by the page"])
def test_the_train_page_starts_a_run_with_a_recipe(
    home: Home, open_page: OpenPage, trained: Project, how: str
) -> None:  # fmt: skip
    """The form shows it, and run.json holds its name, version and settings."""
    settings = {"blur": {"p": 0.5, "sigma": [0.3, 0.4]}}
    with opened(home.db) as db:
        recipes.save(db, trained, "soft", settings, operator="Ann")
    app = open_page("train", project="portal")
    if how == "by hand":
        app.selectbox(key="recipe of 1").set_value("soft@1").run()
    else:
        app.session_state["recipe for the next run"] = {trained.id: "soft@1"}
        app.run()
    app.selectbox(key="fast device").set_value("cpu").run()
    assert "Augmentation: soft@1. Transforms: blur." in texts(app).replace("\\", "")

    press(app, "Start training")

    assert not app.exception
    with opened(home.db) as db:
        control.cancel(db, home, "0002-fast")
    config = JobDir(home.run("0002-fast")).spec()["config"]
    assert (config["recipe"], config["augment"]) == ("soft@1", settings)


def go_to(app: AppTest, name: str) -> AppTest:
    """Open another page in the same browser."""
    app.switch_page(f"pages/{name}.py")
    app.query_params["project"] = "portal"
    return app.run()


def shown(app: AppTest) -> tuple[str, list[str]]:
    """Return the chosen recipe and the transforms that are on."""
    return recipe_box(app).value, [one.key for one in app.toggle if one.value]


def test_the_choice_of_the_train_page_is_shown(open_page: OpenPage, trained: Project) -> None:
    """This also holds if the page was open before with other settings."""
    app = open_page("augment", project="portal")
    app.toggle(key="blur").set_value(False).run()

    go_to(app, "train").selectbox(key="recipe of 1").set_value("off").run()
    go_to(app, "augment")

    assert not app.exception
    assert shown(app) == ("off", [])
    assert "Same as the off recipe" in texts(app)


def test_the_augmentation_of_a_cloned_run_is_shown(home: Home, open_page: OpenPage, trained: Project) -> None:
    """Its settings have no recipe, so they are shown as changes to the project's default."""
    with opened(home.db) as db:
        config = json.dumps({"augment": {"blur": {"p": 0.5, "sigma": [0.3, 0.4]}}})
        db.execute("UPDATE runs SET config = json_patch(json_remove(config, '$.augment', '$.recipe'), ?)", [config])
    app = open_page("augment", project="portal")

    go_to(app, "train").selectbox(key="run").set_value("0001-fast").run()
    press(app, "Clone")
    go_to(app, "augment")

    assert not app.exception
    assert shown(app) == ("default", ["blur"])
    assert app.slider(key="blur sigma").value == (0.3, 0.4)
    assert "Changes to default" in texts(app)


@pytest.mark.parametrize("used", [False, True])
def test_changes_survive_a_visit_to_another_page(open_page: OpenPage, trained: Project, used: bool) -> None:
    """They survive as long as nothing else is chosen for the next run."""
    app = open_page("augment", project="portal")
    recipe_box(app).set_value("off").run()
    app.toggle(key="blur").set_value(True).run()
    if used:
        press(app, "Use for training")
    app.slider(key="blur sigma").set_range(0.4, 0.5).run()

    go_to(go_to(app, "train"), "augment")

    assert not app.exception
    assert shown(app) == ("off", ["blur"])
    assert app.slider(key="blur sigma").value == (0.4, 0.5)


def test_each_project_has_its_own_changes(home: Home, open_page: OpenPage, portal: Project) -> None:
    """Another project starts with the settings of its next run. The first project keeps its changes."""
    with opened(home.db) as db:
        other = open_project(db, "other", 6, "0123456789")
    app = open_page("augment", project="portal")
    app.toggle(key="blur").set_value(False).run()

    app.selectbox(key="project").set_value(other.name).run()
    assert "Same as the default recipe" in texts(app)
    app.selectbox(key="project").set_value("portal").run()

    assert not app.exception
    assert "blur" not in shown(app)[1]
    assert "Changes to default: Blur" in texts(app)


# Cost and readability


def test_costs_are_shown_against_the_step_of_a_run(home: Home, open_page: OpenPage, trained: Project) -> None:
    """A table of the transforms that are on, and the time per image and epoch."""
    app = open_tab(open_page, trained, "Cost")

    assert not app.exception
    assert not app.error
    table = app.dataframe[0].value
    assert len(table) == len(DEFAULT_AUGMENT)
    assert table["Share of total"].sum() < 1.001
    assert "Time per image" in [metric.label for metric in app.metric]


def test_a_model_at_chance_judges_no_transform(open_page: OpenPage, trained: Project) -> None:
    """After two steps the model reads almost nothing, so no transform is judged. Changed settings need a new check."""
    app = open_tab(open_page, trained, "Readability")
    recipe_box(app).set_value("off").run()
    app.toggle(key="invert").set_value(True).run()
    press(app, "Check readability")

    assert not app.exception
    assert not app.error
    assert ["too few to judge" in info.value for info in app.info] == [True]
    assert not app.warning
    app.toggle(key="gamma").set_value(True).run()
    assert "Check again" in texts(app)
    assert not app.info


@pytest.mark.parametrize(("lost", "warned"), [(30, True), (3, False)])
def test_unreadable_variants_are_a_warning(
    open_page: OpenPage, trained: Project, lost: int, warned: bool
) -> None:  # fmt: skip
    """The warning has the numbers, the advice and the misread images."""
    app = open_tab(open_page, trained, "Readability")
    recipe_box(app).set_value("off").run()
    app.toggle(key="invert").set_value(True).run()
    misread = [Misread(label="123", text="321", variant=np.zeros((32, 96, 3), dtype=np.uint8))]
    readings = [
        VariantReading(key=key, n=100, right=98 - lost, lost=lost, gained=0, misread=misread)
        for key in (WHOLE_RECIPE, "invert")
    ]
    result = Readability(n=100, right=98, readings=readings)
    key = (trained.id, "0001-fast", json.dumps({"invert": {"p": 0.5}}), 0)
    app.session_state["readability"] = (key, result)
    app.run()

    assert not app.exception
    assert [("**Invert** 30.0 points" in one.value, "narrow the range" in one.value) for one in app.warning] == (
        [(True, True)] if warned else []
    )
    assert len(app.success) == (0 if warned else 1)
    assert app.dataframe[0].value["Right"].tolist() == [f"{98 - lost} of 100"] * 2
    assert app.dataframe[0].value["Too strong"].tolist() == [warned] * 2
    assert len(app.image) == 15 + (2 if warned else 1)


def test_without_a_model_nothing_can_be_asked(open_page: OpenPage, portal: Project) -> None:
    """A sentence replaces the button."""
    app = open_tab(open_page, portal, "Readability")

    assert "No trained model yet" in app.info[0].value
    assert "Check readability" not in [button.label for button in app.button]


def test_seed_and_number_of_variants_stand_in_the_address(open_page: OpenPage, portal: Project) -> None:
    app = open_page("augment", project=portal.name, variants="3", seed="4000000")

    assert not app.exception
    assert len(app.image) == 4
    assert app.number_input(key="seed").value == 4_000_000
    app.number_input(key="seed").set_value(7).run()
    app.number_input(key="n").set_value(14).run()
    assert app.query_params["seed"] == "7"
    assert "variants" not in app.query_params


@pytest.mark.parametrize("seed", ["x", "-1", "4294967296", "9" * 5000, "1.5"])
def test_a_seed_that_cannot_be_is_named(open_page: OpenPage, portal: Project, seed: str) -> None:
    app = open_page("augment", project=portal.name, seed=seed)

    assert not app.exception
    assert "There is no seed" in app.main.error[0].value
    assert app.number_input(key="seed").value == 0


def test_a_value_sent_under_the_address_of_a_moment_ago_changes_only_itself(
    open_page: OpenPage, portal: Project
) -> None:  # fmt: skip
    """The browser may send it before it knows our last change of the address."""
    app = open_page("augment", project=portal.name)
    app.number_input(key="n").set_value(3).run()
    assert app.query_params["variants"] == "3"

    del app.query_params["variants"]
    app.number_input(key="seed").set_value(7).run()

    assert (app.query_params["variants"], app.query_params["seed"]) == ("3", "7")
    assert app.number_input(key="n").value == 3
