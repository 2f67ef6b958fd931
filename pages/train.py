"""Start a run and watch it; everything shown is in its directory, so a closed tab or a restarted app loses nothing."""

import json
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from core import jobs
from core.config import OPTIONS, PRESETS, TrainConfig, with_options
from core.doctor import Diagnosis, Line, of_kind
from core.errors import SlotlabError
from core.jobdir import JobDir, JobView
from core.metrics import interval95
from core.progress import duration
from db import runs
from db.records import Run
from db.samples import counts
from pages.components import curves, layout
from pages.components.recipes import ask_recipe, next_augmentation

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

PRESET_HELP = {
    "fast": "A small network, trained from scratch: minutes on a CPU. Start here.",
    "article": "The whole eca_nfnet_l0: for a GPU, or a night on a CPU.",
    "article-cut": "eca_nfnet_l0 up to stride 16: half the weights and a finer map.",
}
MAIN = ("max_minutes", "batch_size", "lr", "seed")
TITLES = {"lr": "Learning rate", "ink": "Ink only", "crop": "Crop to the text"}
ICONS = {
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
    preset = st.segmented_control(
        "Preset", list(PRESETS), default="fast", required=True, key="preset", persist_state="session"
    )
    st.caption(PRESET_HELP[preset])
    for key, column in zip(MAIN, st.columns(len(MAIN)), strict=True):
        option_input(preset, key, column)
    with st.expander("More settings", icon=":material/tune:"):
        fields, switches = st.grid("auto", min_column_width=140), st.container(horizontal=True)
        for key in (key for key in OPTIONS if key not in (*MAIN, "augment", "recipe")):
            option_input(preset, key, switches if OPTIONS[key].kind == "bool" else fields)
    ask_recipe(project)
    try:
        settings(preset)
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


def settings(preset: str) -> TrainConfig:
    """What the form asks for at this moment. Raises OptionError."""
    changed = {}
    for key in (key for key in OPTIONS if key not in ("augment", "recipe")):
        default = as_text(PRESETS[preset], key)
        value = st.session_state.get(f"{preset} {key}", default)
        text = str(value).lower() if isinstance(value, bool) else value.strip()
        if text != default:
            changed[key] = text
    return replace(with_options(PRESETS[preset], changed), **next_augmentation(project))


def option_input(preset: str, key: str, where: "DeltaGenerator") -> None:
    """The widget of one option; its value is what `--set` takes."""
    option, default = OPTIONS[key], as_text(PRESETS[preset], key)
    name, widget = TITLES.get(key, key.replace("_", " ").capitalize()), f"{preset} {key}"
    if option.kind == "bool":
        where.toggle(name, default == "true", key=widget, help=option.help, persist_state="session")
    elif option.kind == "choice":
        where.selectbox(
            name, option.choices, option.choices.index(default), key=widget, help=option.help, persist_state="session"
        )
    else:
        where.text_input(name, default, key=widget, help=option.help, persist_state="session")


def as_text(config: TrainConfig, key: str) -> str:
    value = getattr(config, key)
    if value is None:
        return "none" if key.startswith("max") else "auto"
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def start(request_id: str) -> None:
    """Callback of Start: the run is then the one that is shown.

    The settings are read here and not bound to the button: a click right after the last key would else start a run
    with those that were drawn before.
    """
    preset: str = st.session_state["preset"]
    try:
        with layout.database() as db:
            run = jobs.start_training(
                db, home, project, settings(preset), preset=preset, operator=page.operator, request_id=request_id
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


def act(action: str, run_id: str) -> None:
    """Callback of Cancel and Resume."""
    try:
        with layout.database() as db:
            (jobs.cancel if action == "cancel" else jobs.resume)(db, home, run_id)
    except SlotlabError as error:
        st.session_state["train refusal"] = str(error)


def show_run(run: Run) -> None:
    """One run: how it is going, and what it was told."""
    view = jobs.observe(home, run.job.id)
    live = st.fragment(show_live, run_every="1s" if view.active else None)
    live(run, view.state)
    with st.expander("Settings and data of this run", icon=":material/data_object:"):
        spec = JobDir(home.run(run.job.id)).read("run.json") or {}
        st.caption(
            f"{run.train_n:,} training and {run.val_n:,} validation images, frozen at the start; "
            f"data hash `{run.dataset_sha256[:12]}`."
        )
        st.json(spec or json.loads(run.config), expanded=1)
    with st.expander("Log", icon=":material/article:", expanded=view.state == "failed"):
        st.code(
            jobs.log_tail(home, run.job.id, 60) or "Nothing has been printed yet.",
            language=None,
            height=280,
            wrap_lines=True,
        )


def offer(run: Run) -> None:
    """What can be done with a run now."""
    view = jobs.observe(home, run.job.id)
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
    st.button("New run", icon=":material/add:", on_click=choose, args=(None,))
    if run.val_correct is not None:
        st.page_link(
            "pages/evaluate.py", label="Evaluate", icon=":material/grid_on:",
            query_params={"project": project.name, "run": run.job.id},
        )  # fmt: skip


def show_live(run: Run, state: str) -> None:
    """Progress and curves, read from the run's files only."""
    view = jobs.observe(home, run.job.id)
    if view.state != state:
        st.rerun()  # the buttons and the table outside have to follow
    metrics = jobs.metrics(home, run.job.id)
    show_state(view)
    if found := jobs.diagnose(home, run.job.id):
        show_diagnosis(view, found)
    val = of_kind(metrics, "val")
    if val:
        show_numbers(run, val)
    if len(of_kind(metrics, "step")) > 1:
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


def show_state(view: JobView) -> None:
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


def show_diagnosis(view: JobView, found: Diagnosis) -> None:
    """What the doctor sees and advises; the reason of a failure is there already."""
    if found.state == "starting":
        return
    text = found.advice if found.sentence == view.reason else found.text
    show = st.warning if found.worrying else st.info
    show(f"**{found.title}.** {layout.plain(text)}", icon=":material/stethoscope:")


def show_numbers(run: Run, val: list[Line]) -> None:
    """The best validation so far and the last one."""
    best, last = max(val, key=lambda line: line["correct"]), val[-1]
    characters, total = round(sum(last["per_position"]) * last["n"]), last["n"] * len(last["per_position"])
    grid = st.grid("auto", min_column_width=225)
    show_share(
        grid, "Best on validation", best["correct"], best["n"],
        help="Exact match: all characters right. Without test-time augmentation. These weights are kept.",
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
    low, high = interval95(correct, n)
    note = f"95% interval {low:.1%} to {high:.1%}"
    value = f"{correct:,}/{n:,} = {correct / n:.1%}"
    grid.metric(title, value, note, delta_color="off", delta_arrow="off", help=help)


def all_runs(known: list[Run]) -> None:
    """The table of runs; a click on a row shows that run."""

    def choose_row() -> None:
        rows = st.session_state["runs table"]["selection"]["rows"]
        choose(known[rows[0]].job.id if rows else None)

    st.subheader("Runs", anchor=False)
    st.dataframe(
        pd.DataFrame(
            {
                "Run": [run.job.id for run in known],
                "State": [run.job.state for run in known],
                "Exact match on validation, 95% interval": [
                    None if run.val_correct is None else curves.exact_text(run.val_correct, run.val_n) for run in known
                ],
                "Training images": [run.train_n for run in known],
                "Started": pd.to_datetime([run.job.created_at for run in known], utc=True),
            }
        ),
        column_config={"Started": st.column_config.DatetimeColumn(format="distance")},
        key="runs table",
        hide_index=True,
        placeholder="–",
        on_select=choose_row,
        selection_mode="single-row",
        alt="All runs of the project, newest first",
    )


with layout.errors():
    with layout.database() as db:
        jobs.reconcile(db, home)
        known = {run.job.id: run for run in runs.list_runs(db, project.id)}
    layout.keep_run(known)
    asked = st.query_params.get("run")
    if asked and asked not in known:
        st.error(layout.plain(f"This project has no run {asked!r}."), icon=":material/error:")
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
    if known:
        all_runs(list(known.values()))
