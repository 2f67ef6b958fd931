"""The form for a new run, filled from a preset or a cloned run."""

import json
import uuid
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import streamlit as st

from core.data.kinds import WORDS, is_mixed, labels_by_kind, sentence
from core.errors import OptionError, SlotlabError, StorageError
from core.images.augment_settings import DEFAULT_AUGMENT, Settings, check_augment
from core.jobs import control
from core.model.config import OPTIONS, PRESETS, TITLED, TrainConfig, with_options
from core.runs import recipes
from core.runs.differences import NOT_RECORDED, expand_augment, setting_differences
from core.runs.forecast import forecast
from core.runs.promotions import run_of_original
from core.runs.start import (
    FEW,
    changed_labels,
    count_kinds,
    count_training,
    count_validation,
    labels_of_people,
    start_training,
)
from core.runs.unseen import held_out_source
from core.words import plural
from db.projects import list_sources
from db.records import Project, Run
from db.runs import find_run
from db.samples import counts
from pages.components import address, layout, state
from pages.components.layout import Page
from pages.components.next_recipe import ask_recipe, hand_over, next_augmentation
from pages.components.train.label_curve import show_label_curve

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

PRESET_TITLES = {"fast": "Fast", "article": "Accurate", "article-cut": "Accurate (smaller)"}
PRESET_HELP = {
    "fast": "Small network that starts from rendered text. Takes minutes on a CPU. Start here.",
    "article": "Full eca_nfnet_l0. Needs a GPU, or a night on a CPU.",
    "article-cut": "eca_nfnet_l0 up to stride 16: half the weights and a finer feature map.",
}
MAIN = ("max_minutes", "batch_size", "lr", "seed")
"""Options that are always visible."""
GROUPS = {
    "Images": ("image_size", "hold_out_source", "reading_weight", "crop", "ink", "drop_seen_strings"),
    "Network": ("backbone", "stride", "head", "width", "init", "pretrained", "tied_heads"),
    "Schedule": ("steps", "epochs", "max_steps", "weight_decay", "column_loss"),
    "Machine": ("device", "layout", "precision"),
}
"""The other options. Augmentation is set by choosing a recipe."""
FIELDS = (*MAIN, *(name for names in GROUPS.values() for name in names))
"""Options with a field."""


def show_form(page: Page, cloned: Run | None) -> None:
    """Draw the form that starts a run."""
    with layout.database() as db:
        labeled = {
            split: n for (split, label_state), n in counts(db, page.project.id).items() if label_state == "labeled"
        }
        labeled["val"], reference = count_validation(db, page.project)
        by_people = labels_of_people(db, page.project, "val")
        kinds = labels_by_kind(db, page.project, "train")
    train, val, test = (labeled.get(split, 0) for split in ("train", "val", "test"))
    st.subheader("New run", anchor=False)
    st.markdown(
        f"Labeled: **{train:,}** for training · **{by_people:,}** for validation · {test:,} held out for testing"
    )
    if is_mixed(kinds):
        st.caption(f"The training images have {sentence(kinds)}.")
    if reference == "readers":
        st.caption(
            f"The run validates against {plural(val, 'image')} that the general readers agree on, until people have "
            f"labeled {FEW} validation images."
        )
    if not train + val:
        show_label_curve(0)
        st.info("No labels yet. Label some images, or accept what general readers read.", icon=":material/keyboard:")
        query = {"project": page.project.name}
        with st.container(horizontal=True):
            st.page_link(
                "pages/propose.py", label="Propose readings", icon=":material/auto_stories:", query_params=query
            )
            st.page_link("pages/label.py", label="Label images", icon=":material/keyboard:", query_params=query)
        return
    if cloned:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"Clone of **{layout.plain(cloned.job.id)}**. Change any setting before starting.")
            st.button("Use a preset", icon=":material/undo:", on_click=open_empty_form)
    else:
        preset = st.segmented_control(
            "Preset",
            list(PRESETS),
            format_func=PRESET_TITLES.__getitem__,
            default="fast",
            required=True,
            key=state.PRESET,
            persist_state="session",
        )
        st.caption(PRESET_HELP[preset])
    with layout.database() as db:
        sources = [source.name for source in list_sources(db, page.project.id)]
        preset_config = _basis_of(cloned, None).config
        begins = None if cloned else run_of_original(db, layout.home(), page.project, preset_config)
    basis = _basis_of(cloned, begins and begins[0])
    if begins:
        st.caption(
            layout.plain(
                f"By default the first run begins from the weights of run {begins[0]} of project {begins[1].name}, "
                "which has the same images. Initial weights under More settings changes it."
            )
        )
    for name, column in zip(MAIN, st.columns(len(MAIN)), strict=True):
        _show_field(basis, name, column, sources)
    with st.expander("More settings", icon=":material/tune:"):
        for title, names in GROUPS.items():
            st.markdown(f"**{title}**")
            fields, switches = st.grid("auto", min_column_width=140), st.container(horizontal=True)
            for name in names:
                _show_field(basis, name, switches if OPTIONS[name].type is bool else fields, sources)
    ask_recipe(page.project)
    try:
        config = _entered_config(page.project, basis)
        _show_held_out(page.project, config)
        if cloned:
            _show_changes(page.project, cloned, config)
        _show_forecast(page.project, config)
    except SlotlabError as error:
        st.error(layout.plain_sentence(str(error)), icon=":material/error:")
        return
    show_label_curve(train + by_people)
    # One id per form, so that a double click starts one run.
    request_id = st.session_state.setdefault(state.TRAIN_REQUEST, uuid.uuid4().hex)
    st.button(
        "Start training", type="primary", icon=":material/play_arrow:", on_click=_start,
        args=(page, cloned, begins and begins[0], request_id),
    )  # fmt: skip


# Fields


class _Basis(NamedTuple):
    """The starting point of the form: a preset or a cloned run."""

    name: str
    """Stands in the keys of the fields, so that each starting point has its own."""
    preset: str
    """Becomes part of the new run's id."""
    config: TrainConfig


def _basis_of(cloned: Run | None, begins: str | None) -> _Basis:
    """Return the starting point. `begins` is the run whose weights a preset begins from, if any."""
    if cloned:
        return _Basis(cloned.job.id, cloned.preset, _config_of(cloned))
    preset: str = st.session_state.get(state.PRESET, "fast")
    if begins:
        return _Basis(f"{preset} from {begins}", preset, replace(PRESETS[preset], init=begins))
    return _Basis(preset, preset, PRESETS[preset])


def _config_of(run: Run) -> TrainConfig:
    return TrainConfig.from_dict(json.loads(run.config))


def _show_field(basis: _Basis, name: str, where: "DeltaGenerator", sources: list[str]) -> None:
    """Draw the widget of an option. Its value has the syntax of `--set`."""
    option = OPTIONS[name]
    default = option.text(getattr(basis.config, name))
    common: dict[str, Any] = {
        "key": state.option_field(basis.name, name), "help": option.help, "persist_state": "session"
    }  # fmt: skip
    if name == "hold_out_source":
        names = list(dict.fromkeys(["", *sources, default]))
        where.selectbox(option.title, names, names.index(default), format_func=lambda name: name or "none", **common)
    elif option.type is bool:
        where.toggle(option.title, default == "true", **common)
    elif option.choices and not option.allows_path:
        choices = [option.text(choice) for choice in option.choices]
        where.selectbox(option.title, choices, choices.index(default), **common)
    else:
        where.text_input(option.title, default, **common)


def _entered_config(project: Project, basis: _Basis) -> TrainConfig:
    """Return the configuration currently entered in the form. Raises OptionError."""
    changed = {}
    for name in FIELDS:
        default = OPTIONS[name].text(getattr(basis.config, name))
        value = st.session_state.get(state.option_field(basis.name, name), default)
        text = OPTIONS[name].text(value).strip()
        if text != default:
            changed[name] = text
    augmentation = {"augment": None, "recipe": None} | next_augmentation(project)
    return replace(with_options(basis.config, changed, TITLED), **augmentation)


def _start(page: Page, cloned: Run | None, begins: str | None, request_id: str) -> None:
    """Callback: start the run and show it.

    Read the settings here instead of passing them to the button, because a click right after the last key would start
    a run with the values drawn before.
    """
    with layout.refuses():
        basis = _basis_of(cloned, begins)
        with layout.database() as db:
            run = start_training(
                db, layout.home(), page.project, _entered_config(page.project, basis), preset=basis.preset,
                operator=page.operator, request_id=request_id,
            )  # fmt: skip
        address.go(run=run.job.id, over=None)
        st.session_state.pop(state.TRAIN_REQUEST, None)


def _show_forecast(project: Project, config: TrainConfig) -> None:
    """Say how long the run will take, and what its labels are too few for."""
    with layout.database() as db:
        expected = forecast(db, layout.home(), project, config)
    for warning in expected.warnings:
        st.warning(layout.plain(warning), icon=":material/warning:")
    st.caption(layout.plain(expected.sentence))


def _show_held_out(project: Project, config: TrainConfig) -> None:
    """Say what is left without the source that is held out."""
    if not config.hold_out_source:
        return
    with layout.database() as db:
        without = held_out_source(db, project, config)
        train, val = count_training(db, project, without), count_validation(db, project, without)[0]
    left = f"Without source {config.hold_out_source}: {plural(train, 'training image')} and {val:,} for validation."
    st.caption(layout.plain(left))


# Cloning


def open_empty_form() -> None:
    """Callback: show the form for a new run from a preset."""
    st.session_state.pop(state.CLONED, None)
    address.go(run=None, over=None)


def clone(project: Project, run: Run) -> None:
    """Callback: show the form with the settings of this run, including its augmentation."""
    with layout.refuses():
        with layout.database() as db:
            if find_run(db, run.job.id) is None:
                raise OptionError(f"Run {run.job.id} has been deleted.")
        config = _config_of(run)
        for name in FIELDS:  # an earlier version may have allowed other values
            TITLED[name].parse(TITLED[name].text(getattr(config, name)))
        hand_over(project, *_augmentation_of(project, config))
        for name in FIELDS:
            st.session_state.pop(state.option_field(run.job.id, name), None)  # edits of an earlier clone
        st.session_state[state.CLONED] = run.job.id
        address.go(run=None, over=None)


def _augmentation_of(project: Project, config: TrainConfig) -> tuple[Settings, str | None]:
    """Return a run's augmentation and the recipe with equal settings; None if there is no such recipe."""
    augment = check_augment(DEFAULT_AUGMENT if config.augment is None else config.augment)
    with layout.database() as db:
        candidates = [name for name in (config.recipe, recipes.DEFAULT) if name in recipes.titles(db, project)]
        return augment, next((name for name in candidates if recipes.find(db, project, name)[1] == augment), None)


def _show_changes(project: Project, cloned: Run, config: TrainConfig) -> None:
    """Draw the differences between the new run and the cloned one."""
    with layout.database() as db:
        new_config = recipes.resolve(db, project, config)
        without = held_out_source(db, project, config)
        val, reference = count_validation(db, project, without)
        labeled = {"train": count_training(db, project, without), "val": val}
    old_config = _config_of(cloned)
    old_config = replace(old_config, augment=_augmentation_of(project, old_config)[0])
    differences = setting_differences(expand_augment(old_config.to_dict()), expand_augment(new_config.to_dict()))
    if NOT_RECORDED in differences.get("recipe", ()):
        del differences["recipe"]  # runs from before recipes existed: their settings are compared
    name = layout.plain(cloned.job.id)
    listed = [
        f"{layout.plain(OPTIONS[key].title if key in OPTIONS else key)}: {layout.plain(old)} → **{layout.plain(new)}**"
        for key, (old, new) in differences.items()
    ]
    if reference != cloned.reference:
        listed.append(f"validation against: {cloned.reference} → **{reference}**")
    listed += _data_changes(project, cloned, config, labeled)
    if not listed:
        st.info(f"No differences from {name} yet: same settings, images and labels.")
        return
    st.markdown("\n".join([f"Differences from {name}:", "", *(f"* {line}" for line in listed)]))


def _data_changes(project: Project, cloned: Run, config: TrainConfig, labeled: dict[str, int]) -> list[str]:
    """Return the differences in images and labels, which a run takes at its start. Include what is unknown."""
    lines, removed = [], Counter[str]()
    try:
        with layout.database() as db:
            changed, removed = changed_labels(db, layout.home(), cloned)
        if changed:
            lines.append(f"labels changed: **{changed:,}**")
    except StorageError as error:
        lines.append(layout.plain(f"labels: unknown. {error}"))
    lines += _changed_kinds(project, cloned, config)
    before = {"train": ("training images", cloned.train_n), "val": ("validation images", cloned.val_n)}
    if config.drop_seen_strings:
        del before["train"]
        title = OPTIONS["drop_seen_strings"].title
        lines.append(layout.plain(f"training images: unknown, because {title} takes effect at the start"))
    for split, (kind, old) in before.items():
        now = labeled.get(split, 0)
        if now != old or removed[split]:
            new = now - old + removed[split]
            lines.append(
                f"{kind}: {old:,} → **{now:,}**" + (f", {new:,} of them new" if removed[split] and new else "")
            )
    return lines


def _changed_kinds(project: Project, cloned: Run, config: TrainConfig) -> list[str]:
    """Return the differences in the numbers of training labels that people neither gave nor checked, by kind."""
    before = control.spec(layout.home(), cloned.job.id).get("dataset", {}).get("kinds", {})
    with layout.database() as db:
        now = count_kinds(db, project, config)
    return [
        f"training labels of {WORDS[kind]}: {before.get(kind, 0):,} → **{now[kind]:,}**"
        for kind in WORDS
        if before.get(kind, 0) != now[kind]
    ]
