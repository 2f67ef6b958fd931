"""The form for a new run, filled from a preset or from a run that is cloned."""

import json
import uuid
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import streamlit as st

from core.errors import SlotlabError, StorageError
from core.images.augment_settings import DEFAULT_AUGMENT, Settings, check_augment
from core.model.config import OPTIONS, PRESETS, TrainConfig, with_options
from core.runs import recipes
from core.runs.differences import NOT_RECORDED, expand_augment, setting_differences
from core.runs.start import changed_labels, start_training
from db.records import Project, Run
from db.samples import counts
from pages.components import layout, state
from pages.components.layout import Page
from pages.components.next_recipe import ask_recipe, hand_over, next_augmentation

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

PRESET_HELP = {
    "fast": "A small network, trained from scratch: minutes on a CPU. Start here.",
    "article": "The whole eca_nfnet_l0: for a GPU, or a night on a CPU.",
    "article-cut": "eca_nfnet_l0 up to stride 16: half the weights and a finer map.",
}
MAIN = ("max_minutes", "batch_size", "lr", "seed")
"""Options that are always in sight."""
ASKED = tuple(name for name in OPTIONS if name not in ("augment", "recipe"))
"""Options with a field of their own; augmentation is asked for by its recipe."""


def show_form(page: Page, cloned: Run | None) -> None:
    """Draw the form that starts a run."""
    with layout.database() as db:
        labeled = {split: n for (split, done), n in counts(db, page.project.id).items() if done == "labeled"}
    train, val, test = (labeled.get(split, 0) for split in ("train", "val", "test"))
    st.subheader("New run", anchor=False)
    st.markdown(f"**{train:,}** labeled images to train on · **{val:,}** to validate · {test:,} sealed for the test")
    if not train + val:
        st.info("There are no labels yet: label some images, then train.", icon=":material/keyboard:")
        st.page_link("pages/label.py", label="Label images", icon=":material/keyboard:")
        return
    if cloned:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"A copy of **{layout.plain(cloned.job.id)}**: change what shall be different.")
            st.button("From a preset instead", icon=":material/undo:", on_click=open_empty_form)
    else:
        preset = st.segmented_control(
            "Preset", list(PRESETS), default="fast", required=True, key=state.PRESET, persist_state="session"
        )
        st.caption(PRESET_HELP[preset])
    basis = _basis_of(cloned)
    for name, column in zip(MAIN, st.columns(len(MAIN)), strict=True):
        _show_field(basis, name, column)
    with st.expander("More settings", icon=":material/tune:"):
        fields, switches = st.grid("auto", min_column_width=140), st.container(horizontal=True)
        for name in (name for name in ASKED if name not in MAIN):
            _show_field(basis, name, switches if OPTIONS[name].type is bool else fields)
    ask_recipe(page.project)
    try:
        asked = _settings(page.project, basis)
        if cloned:
            _show_changes(page.project, cloned, asked, labeled)
    except SlotlabError as error:
        st.error(layout.plain(str(error)), icon=":material/error:")
        return
    # The id belongs to this showing of the form: however often its button is pressed, it starts one run.
    request_id = st.session_state.setdefault(state.TRAIN_REQUEST, uuid.uuid4().hex)
    st.button(
        "Start training", type="primary", icon=":material/play_arrow:", on_click=_start, args=(page, cloned, request_id)
    )


# What is asked for


class _Basis(NamedTuple):
    """What the form starts from: a preset, or the run that is cloned."""

    name: str
    preset: str
    """Names the new run."""
    config: TrainConfig


def _basis_of(cloned: Run | None) -> _Basis:
    if cloned:
        return _Basis(cloned.job.id, cloned.preset, _config_of(cloned))
    preset: str = st.session_state.get(state.PRESET, "fast")
    return _Basis(preset, preset, PRESETS[preset])


def _config_of(run: Run) -> TrainConfig:
    return TrainConfig.from_dict(json.loads(run.config))


def _show_field(basis: _Basis, name: str, where: "DeltaGenerator") -> None:
    """Draw the widget of one option; its value is what `--set` takes."""
    option = OPTIONS[name]
    default = option.text(getattr(basis.config, name))
    common: dict[str, Any] = {
        "key": state.option_field(basis.name, name), "help": option.help, "persist_state": "session"
    }  # fmt: skip
    if option.type is bool:
        where.toggle(option.title, default == "true", **common)
    elif option.choices and not option.allows_path:
        choices = [option.text(choice) for choice in option.choices]
        where.selectbox(option.title, choices, choices.index(default), **common)
    else:
        where.text_input(option.title, default, **common)


def _settings(project: Project, basis: _Basis) -> TrainConfig:
    """Return what the form asks for at this moment. Raises OptionError."""
    changed = {}
    for name in ASKED:
        default = OPTIONS[name].text(getattr(basis.config, name))
        value = st.session_state.get(state.option_field(basis.name, name), default)
        text = OPTIONS[name].text(value).strip()
        if text != default:
            changed[name] = text
    augmentation = {"augment": None, "recipe": None} | next_augmentation(project)
    return replace(with_options(basis.config, changed), **augmentation)


def _start(page: Page, cloned: Run | None, request_id: str) -> None:
    """Start the run and show it; the callback of Start.

    The settings are read here and not bound to the button: a click right after the last key would else start a run
    with those that were drawn before.
    """
    with layout.refuses():
        basis = _basis_of(cloned)
        with layout.database() as db:
            run = start_training(
                db, layout.home(), page.project, _settings(page.project, basis), preset=basis.preset,
                operator=page.operator, request_id=request_id,
            )  # fmt: skip
        if state.RUN not in st.session_state:  # the first run of a project: the box that keeps the address comes later
            st.query_params[state.RUN] = run.job.id
        st.session_state[state.RUN] = run.job.id
        st.session_state.pop(state.TRAIN_REQUEST, None)


# Cloning


def open_empty_form() -> None:
    """Show the form for a new run from a preset; a callback."""
    st.session_state.pop(state.CLONED, None)
    st.session_state[state.RUN] = None


def clone(project: Project, run: Run) -> None:
    """Show the form filled with the settings of this run, its augmentation included; a callback."""
    with layout.refuses():
        config = _config_of(run)
        for name in ASKED:  # an earlier version may have allowed what this one does not
            OPTIONS[name].parse(OPTIONS[name].text(getattr(config, name)))
        hand_over(project, *_augmentation_of(project, config))
        for name in ASKED:
            st.session_state.pop(state.option_field(run.job.id, name), None)  # what an earlier copy was changed to
        st.session_state[state.CLONED] = run.job.id
        st.session_state[state.RUN] = None


def _augmentation_of(project: Project, config: TrainConfig) -> tuple[Settings, str | None]:
    """Return a run's augmentation, and the recipe that it still is; None where no name stands for it."""
    augment = check_augment(DEFAULT_AUGMENT if config.augment is None else config.augment)
    with layout.database() as db:
        named = [name for name in (config.recipe, recipes.DEFAULT) if name in recipes.titles(db, project)]
        return augment, next((name for name in named if recipes.find(db, project, name)[1] == augment), None)


def _show_changes(project: Project, cloned: Run, asked: TrainConfig, labeled: dict[str, int]) -> None:
    """Draw in what the new run will differ from the one that is cloned."""
    with layout.database() as db:
        now = recipes.resolve(db, project, asked)
    then = _config_of(cloned)
    then = replace(then, augment=_augmentation_of(project, then)[0])
    apart = setting_differences(expand_augment(then.to_dict()), expand_augment(now.to_dict()))
    if NOT_RECORDED in apart.get("recipe", ()):
        del apart["recipe"]  # runs from before there were recipes; the settings themselves are compared
    name = layout.plain(cloned.job.id)
    listed = [
        f"{layout.plain(key)}: {layout.plain(one)} → **{layout.plain(new)}**" for key, (one, new) in apart.items()
    ]
    listed += _changes_of_data(cloned, asked, labeled)
    if not listed:
        st.info(f"Nothing differs from {name} yet: settings, images and labels are the same.")
        return
    st.markdown("\n".join([f"Differs from {name} in", "", *(f"* {line}" for line in listed)]))


def _changes_of_data(cloned: Run, asked: TrainConfig, labeled: dict[str, int]) -> list[str]:
    """Return the same for images and labels, of which a run is given those of its start; what is not known is said."""
    told, gone = [], Counter[str]()
    try:
        with layout.database() as db:
            changed, gone = changed_labels(db, layout.home(), cloned)
        if changed:
            told.append(f"labels changed: **{changed:,}**")
    except StorageError as error:
        told.append(layout.plain(f"perhaps labels: {error}"))
    given = {"train": ("training images", cloned.train_n), "val": ("validation images", cloned.val_n)}
    if asked.drop_seen_strings:
        del given["train"]
        told.append(
            layout.plain("perhaps training images: those that drop_seen_strings leaves out are found at the start")
        )
    for split, (what, before) in given.items():
        now = labeled.get(split, 0)
        if now != before or gone[split]:
            new = now - before + gone[split]
            told.append(f"{what}: {before:,} → **{now:,}**" + (f", {new:,} of them new" if gone[split] and new else ""))
    return told
