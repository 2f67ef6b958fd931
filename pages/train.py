"""Start a run and watch it; everything shown is in its directory, so a closed tab or a restarted app loses nothing."""

import json
import uuid
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import streamlit as st

from core.errors import SlotlabError, StorageError
from core.evaluation.comparison import NOT_RECORDED, differences, spelled_out
from core.evaluation.percent import counted, share_and_interval
from core.images.augment import DEFAULT_AUGMENT, Settings, check_augment
from core.jobs import control
from core.jobs.jobdir import JobDir, JobStatus, duration
from core.model.config import OPTIONS, PRESETS, TrainConfig, with_options
from core.runs import recipes
from core.runs.start import changed_labels, start_training
from core.runs.watch import watch
from core.training.doctor import Diagnosis, Line, kept_line, lines_of_kind
from db import runs
from db.records import Run
from db.samples import counts
from pages.components import curves, layout
from pages.components.augment.recipes import ask_recipe, hand_over, next_augmentation
from pages.components.compare.sections import overlay
from pages.components.train.waiting import show_queue

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

PRESET_HELP = {
    "fast": "A small network, trained from scratch: minutes on a CPU. Start here.",
    "article": "The whole eca_nfnet_l0: for a GPU, or a night on a CPU.",
    "article-cut": "eca_nfnet_l0 up to stride 16: half the weights and a finer map.",
}
MAIN = ("max_minutes", "batch_size", "lr", "seed")
ASKED = tuple(key for key in OPTIONS if key not in ("augment", "recipe"))
"""Options with a widget of their own; augmentation is asked for by its recipe."""
ICONS: dict[str, tuple[str, Literal["gray", "blue", "green", "red", "orange"]]] = {
    "queued": (":material/hourglass_empty:", "gray"),
    "starting": (":material/hourglass_top:", "blue"),
    "running": (":material/play_arrow:", "blue"),
    "finished": (":material/check:", "green"),
    "failed": (":material/error:", "red"),
    "cancelled": (":material/block:", "gray"),
    "lost": (":material/link_off:", "orange"),
}

page = layout.open_page("train")
project, home = page.project, layout.home()


def new_run() -> None:
    """The form that starts a run."""
    with layout.database() as db:
        labelled = {split: n for (split, state), n in counts(db, project.id).items() if state == "labelled"}
    train, val, test = (labelled.get(split, 0) for split in ("train", "val", "test"))
    st.subheader("New run", anchor=False)
    st.markdown(f"**{train:,}** labelled images to train on · **{val:,}** to validate · {test:,} sealed for the test")
    if not train + val:
        st.info("There are no labels yet: label some images, then train.", icon=":material/keyboard:")
        st.page_link("pages/label.py", label="Label images", icon=":material/keyboard:")
        return
    if original := original_run():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"A copy of **{layout.plain(original.job.id)}**: change what shall be different.")
            st.button("From a preset instead", icon=":material/undo:", on_click=new)
    else:
        preset = st.segmented_control(
            "Preset", list(PRESETS), default="fast", required=True, key="preset", persist_state="session"
        )
        st.caption(PRESET_HELP[preset])
    for key, column in zip(MAIN, st.columns(len(MAIN)), strict=True):
        option_input(key, column)
    with st.expander("More settings", icon=":material/tune:"):
        fields, switches = st.grid("auto", min_column_width=140), st.container(horizontal=True)
        for key in (key for key in ASKED if key not in MAIN):
            option_input(key, switches if OPTIONS[key].type is bool else fields)
    ask_recipe(project)
    try:
        asked = settings()
        if original:
            show_changes(original, asked, labelled)
    except SlotlabError as error:
        st.error(layout.plain(str(error)), icon=":material/error:")
        return
    # The id belongs to this showing of the form: however often its button is pressed, it starts one run.
    request_id = st.session_state.setdefault("train request", uuid.uuid4().hex)
    st.button(
        "Start training",
        type="primary",
        icon=":material/play_arrow:",
        on_click=start,
        args=(request_id,),
    )


def original_run() -> Run | None:
    """The run whose settings the form was filled with; None where it starts from a preset."""
    return known.get(st.session_state.get("clone", ""))


def start_from() -> tuple[str, str, TrainConfig]:
    """What the form starts from: a name for its widgets, the preset that names the run, the settings."""
    if original := original_run():
        return original.job.id, original.preset, TrainConfig.from_dict(json.loads(original.config))
    preset: str = st.session_state.get("preset", "fast")
    return preset, preset, PRESETS[preset]


def settings() -> TrainConfig:
    """What the form asks for at this moment. Raises OptionError."""
    name, _, base = start_from()
    changed = {}
    for key in ASKED:
        default = as_text(base, key)
        value = st.session_state.get(f"{name} {key}", default)
        text = str(value).lower() if isinstance(value, bool) else value.strip()
        if text != default:
            changed[key] = text
    augmentation = {"augment": None, "recipe": None} | next_augmentation(project)
    return replace(with_options(base, changed), **augmentation)


def show_changes(original: Run, asked: TrainConfig, labelled: dict[str, int]) -> None:
    """In what the new run will differ from the one it was copied from."""
    with layout.database() as db:
        now = recipes.resolve(db, project, asked)
    then = TrainConfig.from_dict(json.loads(original.config))
    then = replace(then, augment=augmentation_of(then)[0])
    apart = differences(spelled_out(then.to_dict()), spelled_out(now.to_dict()))
    if NOT_RECORDED in apart.get("recipe", ()):
        del apart["recipe"]  # runs from before there were recipes; the settings themselves are compared
    name = layout.plain(original.job.id)
    listed = [
        f"{layout.plain(key)}: {layout.plain(one)} → **{layout.plain(new)}**" for key, (one, new) in apart.items()
    ]
    listed += changes_of_data(original, asked, labelled)
    if not listed:
        st.info(f"Nothing differs from {name} yet: settings, images and labels are the same.")
        return
    st.markdown("\n".join([f"Differs from {name} in", "", *(f"* {line}" for line in listed)]))


def changes_of_data(original: Run, asked: TrainConfig, labelled: dict[str, int]) -> list[str]:
    """The same for images and labels, of which a run is given those of its start; what is not known is said."""
    told, gone = [], Counter[str]()
    try:
        with layout.database() as db:
            changed, gone = changed_labels(db, home, original)
        if changed:
            told.append(f"labels changed: **{changed:,}**")
    except StorageError as error:
        told.append(layout.plain(f"perhaps labels: {error}"))
    given = {"train": ("training images", original.train_n), "val": ("validation images", original.val_n)}
    if asked.drop_seen_strings:
        del given["train"]
        told.append(
            layout.plain("perhaps training images: those that drop_seen_strings leaves out are found at the start")
        )
    for split, (what, before) in given.items():
        now = labelled.get(split, 0)
        if now != before or gone[split]:
            new = now - before + gone[split]
            told.append(f"{what}: {before:,} → **{now:,}**" + (f", {new:,} of them new" if gone[split] and new else ""))
    return told


def option_input(key: str, where: "DeltaGenerator") -> None:
    """The widget of one option; its value is what `--set` takes."""
    base_name, _, base = start_from()
    option, default = OPTIONS[key], as_text(base, key)
    common: dict[str, Any] = {"key": f"{base_name} {key}", "help": option.help, "persist_state": "session"}
    if option.type is bool:
        where.toggle(option.title, default == "true", **common)
    elif option.choices and not option.or_path:
        choices = [str(choice) for choice in option.choices]
        where.selectbox(option.title, choices, choices.index(default), **common)
    else:
        where.text_input(option.title, default, **common)


def as_text(config: TrainConfig, key: str) -> str:
    return OPTIONS[key].text(getattr(config, key))


def start(request_id: str) -> None:
    """Callback of Start: the run is then the one that is shown.

    The settings are read here and not bound to the button: a click right after the last key would else start a run
    with those that were drawn before.
    """
    _, preset, _ = start_from()
    try:
        with layout.database() as db:
            run = start_training(
                db, home, project, settings(), preset=preset, operator=page.operator, request_id=request_id
            )
    except SlotlabError as error:
        st.session_state["train refusal"] = str(error)
        return
    if "run" not in st.session_state:  # the first run of a project: the box that keeps the address is yet to come
        st.query_params["run"] = run.job.id
    choose(run.job.id)
    st.session_state.pop("train request", None)


def choose(run_id: str | None) -> None:
    """Callback: show this run, or the form for a new one."""
    st.session_state["run"] = run_id


def new() -> None:
    """Callback: the form for a new run, from a preset."""
    st.session_state.pop("clone", None)
    choose(None)


def augmentation_of(config: TrainConfig) -> tuple[Settings, str | None]:
    """A run's augmentation, and the recipe that it still is; None where no name stands for it."""
    augment = check_augment(DEFAULT_AUGMENT if config.augment is None else config.augment)
    with layout.database() as db:
        named = [name for name in (config.recipe, recipes.DEFAULT) if name in recipes.titles(db, project)]
        return augment, next((name for name in named if recipes.find(db, project, name)[1] == augment), None)


def clone(run: Run) -> None:
    """Callback: the form filled with the settings of this run, its augmentation included."""
    try:
        config = TrainConfig.from_dict(json.loads(run.config))
        for key in ASKED:
            OPTIONS[key].parse(as_text(config, key))  # an earlier version may have allowed what this one does not
        augmentation = augmentation_of(config)
    except SlotlabError as error:
        st.session_state["train refusal"] = str(error)
        return
    hand_over(project, *augmentation)
    st.session_state["clone"] = run.job.id
    for key in ASKED:
        st.session_state.pop(f"{run.job.id} {key}", None)  # what an earlier copy was changed to
    choose(None)


def act(action: str, run_id: str) -> None:
    """Callback of Cancel and Resume."""
    try:
        with layout.database() as db:
            (control.cancel if action == "cancel" else control.resume)(db, home, run_id)
    except SlotlabError as error:
        st.session_state["train refusal"] = str(error)


def show_run(run: Run) -> None:
    """One run: how it is going, and what it was told."""
    views = [control.observe(home, name) for name in (run.job.id, ask_for_another(run)) if name]
    live = st.fragment(show_live, run_every="1s" if any(view.active for view in views) else None)
    live(run, views)
    with st.expander("Settings and data of this run", icon=":material/data_object:"):
        spec = JobDir(home.run(run.job.id)).read("run.json") or {}
        st.caption(
            f"{run.train_n:,} training and {run.val_n:,} validation images, frozen at the start; "
            f"data hash `{run.dataset_sha256[:12]}`."
        )
        st.json(spec or json.loads(run.config), expanded=1)
    with st.expander("Log", icon=":material/article:", expanded=views[0].state == "failed"):
        st.code(
            control.log_tail(home, run.job.id, 60) or "Nothing has been printed yet.",
            language=None,
            height=280,
            wrap_lines=True,
        )


def offer(run: Run) -> None:
    """What can be done with a run now."""
    view = control.observe(home, run.job.id)
    if view.active:
        st.button(
            "Cancel", icon=":material/stop:", on_click=act, args=("cancel", run.job.id), disabled=view.cancelling,
            help="Stops after the current step and saves; the run can be resumed.",
        )  # fmt: skip
    elif view.state != "finished":
        st.button(
            "Resume", icon=":material/resume:", on_click=act, args=("resume", run.job.id),
            help="Goes on from the last checkpoint, in the same directory and with the same settings.",
        )  # fmt: skip
    st.button(
        "Clone", icon=":material/content_copy:", on_click=clone, args=(run,),
        help="Opens the form for a new run with the settings of this one.",
    )  # fmt: skip
    st.button("New run", icon=":material/add:", on_click=new)
    if run.val_correct is not None:
        st.page_link(
            "pages/evaluate.py", label="Evaluate", icon=":material/grid_on:",
            query_params={"project": project.name, "run": run.job.id},
        )  # fmt: skip
        if len(known) > 1:
            st.page_link(
                "pages/compare.py", label="Compare", icon=":material/compare_arrows:",
                query_params={"project": project.name, "run": run.job.id},
            )  # fmt: skip


def ask_for_another(run: Run) -> str | None:
    """The run whose curves are laid over those of this one."""
    others = [name for name in known if name != run.job.id]
    if st.session_state.get("over", st.query_params.get("over")) not in others:
        st.session_state["over"] = None
    if not others:
        return None
    return st.selectbox(
        "Lay another run over its curves", others, None, key="over", bind="query-params", placeholder="None", width=240
    )


def show_live(run: Run, views: list[JobStatus]) -> None:
    """Progress and curves, read from the runs' files only; the second view is of the run that is laid over."""
    seen = [watch(home, view.id) for view in views]
    if [one.view.state for one in seen] != [view.state for view in views]:
        st.rerun()  # the buttons and the table outside have to follow
    view, metrics = seen[0].view, seen[0].metrics
    show_state(view)
    if seen[0].diagnosis:
        show_diagnosis(view, seen[0].diagnosis)
    val = lines_of_kind(metrics, "val")
    if val:
        show_numbers(run, val)
    if len(seen) > 1:
        overlay({one.view.id: one.metrics for one in seen})
    elif len(lines_of_kind(metrics, "step")) > 1:
        grid = st.grid("auto", min_column_width=360)
        grid.plotly_chart(
            curves.loss_figure(metrics), key=f"loss {run.job.id}", alt="Loss of training and validation by step"
        )
        grid.plotly_chart(
            curves.accuracy_figure(metrics, page.spec.num_classes),
            key=f"accuracy {run.job.id}",
            alt="Exact match on the validation images by step, with its 95% interval",
        )
        grid.plotly_chart(
            curves.positions_figure(metrics),
            key=f"positions {run.job.id}",
            alt="Characters right on the validation images by step, one line a position",
        )


def show_state(view: JobStatus) -> None:
    icon, color = ICONS[view.state]
    st.badge(view.state, icon=icon, color=color)
    if view.state == "queued":
        st.info(layout.plain(view.message), icon=":material/hourglass_empty:")
    elif view.active:
        left = f" · about {duration(view.eta_s)} left" if view.eta_s is not None and not view.cancelling else ""
        st.progress(min(1.0, view.step / view.steps) if view.steps else 0.0, text=layout.plain(view.message) + left)
    elif view.reason:
        show = st.error if view.state == "failed" else st.warning
        show(layout.plain(view.reason), icon=icon)
    if view.stalled:
        st.warning("There has been no sign of progress for three minutes.", icon=":material/warning:")


def show_diagnosis(view: JobStatus, found: Diagnosis) -> None:
    """What the doctor sees and advises; the reason of a failure is there already."""
    if found.state == "starting":
        return
    text = found.advice if found.sentence == view.reason else found.text
    show = st.warning if found.worrying else st.info
    show(f"**{found.title}.** {layout.plain(text)}", icon=":material/stethoscope:")


def show_numbers(run: Run, val: list[Line]) -> None:
    """The validation of the weights that are kept, and the last one."""
    kept, last = kept_line(val), val[-1]
    characters, total = round(sum(last["per_position"]) * last["n"]), last["n"] * len(last["per_position"])
    grid = st.grid("auto", min_column_width=225)
    show_share(
        grid, f"Kept weights, step {kept['step']:,}", kept["correct"], kept["n"],
        help="Validation images of which all characters are right, without test-time augmentation. The latest weights "
        "are kept, unless they read clearly fewer than earlier ones.",
    )  # fmt: skip
    if run.job.result and (tta := json.loads(run.job.result).get("val_tta")):
        show_share(
            grid, "The same with TTA", tta["correct"], tta["n"],
            help="Test-time augmentation: averaged over slightly shifted, scaled and turned views.",
        )  # fmt: skip
    show_share(grid, f"Characters right, step {last['step']:,}", characters, total)
    loss = "not finite" if last["loss"] is None else f"{last['loss']:.4f}"
    grid.metric("Validation loss", loss, f"epoch {last['epoch']}", delta_color="off", delta_arrow="off")


def show_share(grid: "DeltaGenerator", title: str, correct: int, n: int, help: str | None = None) -> None:  # noqa: A002
    value, interval = share_and_interval(correct, n)
    grid.metric(
        title,
        f"{correct:,}/{n:,} = {value}",
        f"95% interval {interval}",
        delta_color="off",
        delta_arrow="off",
        help=help,
    )


def all_runs(known: list[Run]) -> None:
    """The table of runs; a click on a row shows that run."""
    key = f"runs table {project.id} {len(known)}"  # rows of another list are none of this one

    def choose_row() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        choose(known[rows[0]].job.id if rows else None)

    st.subheader("Runs", anchor=False)
    st.dataframe(
        pd.DataFrame(
            {
                "Run": [run.job.id for run in known],
                "State": [run.job.state for run in known],
                "Exact match on validation, 95% interval": [
                    None if run.val_correct is None else counted(run.val_correct, run.val_n) for run in known
                ],
                "Training images": [run.train_n for run in known],
                "Started": pd.to_datetime([run.job.created_at for run in known], utc=True),
            }
        ),
        column_config={"Started": st.column_config.DatetimeColumn(format="distance")},
        key=key,
        hide_index=True,
        placeholder="–",
        on_select=choose_row,
        selection_mode="single-row",
        alt="All runs of the project, newest first",
    )


with layout.errors():
    with layout.database() as db:
        control.reconcile(db, home)
        known = {run.job.id: run for run in runs.list_runs(db, project.id)}
    layout.keep_run(known)
    layout.take_run_asked_for("run", known, "This project has no run {}.")
    chosen = None
    if known:
        with st.container(horizontal=True, vertical_alignment="center"):
            # The address holds what is shown, so a run is shown by its bare name.
            chosen = st.selectbox(
                "Run",
                list(known),
                None,
                key="run",
                bind="query-params",
                placeholder="New run",
                width=240,
                label_visibility="collapsed",
            )
            if chosen:
                offer(known[chosen])
    if refusal := st.session_state.pop("train refusal", None):
        st.error(layout.plain(refusal), icon=":material/error:")
    if chosen:
        show_run(known[chosen])
    else:
        new_run()
    show_queue(project.name)
    if known:
        all_runs(list(known.values()))
