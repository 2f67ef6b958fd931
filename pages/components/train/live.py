"""One run: what can be done with it, how it is going, and what it was told."""

import json
from typing import TYPE_CHECKING, Literal

import streamlit as st

from core.evaluation.percent import share_and_interval
from core.jobs import control
from core.jobs.jobdir import JobStatus, duration
from core.runs.watch import watch
from core.training.doctor import Diagnosis, Line, lines_of_kind, selected_line
from db.records import Run
from pages.components import charts, layout
from pages.components.layout import Page
from pages.components.overlay import overlay
from pages.components.train.form import clone, open_empty_form

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

ICONS: dict[str, tuple[str, Literal["gray", "blue", "green", "red", "orange"]]] = {
    "queued": (":material/hourglass_empty:", "gray"),
    "starting": (":material/hourglass_top:", "blue"),
    "running": (":material/play_arrow:", "blue"),
    "finished": (":material/check:", "green"),
    "failed": (":material/error:", "red"),
    "canceled": (":material/block:", "gray"),
    "lost": (":material/link_off:", "orange"),
}


def show_actions(page: Page, run: Run, *, has_others: bool) -> None:
    """Draw a button for all that can be done with a run now."""
    view = control.observe(layout.home(), run.job.id)
    if view.active:
        st.button(
            "Cancel", icon=":material/stop:", on_click=_cancel, args=(run.job.id,), disabled=view.canceling,
            help="Stops after the current step and saves; the run can be resumed.",
        )  # fmt: skip
    elif view.state != "finished":
        st.button(
            "Resume", icon=":material/resume:", on_click=_resume, args=(run.job.id,),
            help="Goes on from the last checkpoint, in the same directory and with the same settings.",
        )  # fmt: skip
    st.button(
        "Clone", icon=":material/content_copy:", on_click=clone, args=(page.project, run),
        help="Opens the form for a new run with the settings of this one.",
    )  # fmt: skip
    st.button("New run", icon=":material/add:", on_click=open_empty_form)
    if run.val_correct is not None:
        query = {"project": page.project.name, "run": run.job.id}
        st.page_link("pages/evaluate.py", label="Evaluate", icon=":material/grid_on:", query_params=query)
        if has_others:
            st.page_link("pages/compare.py", label="Compare", icon=":material/compare_arrows:", query_params=query)


def _cancel(run_id: str) -> None:
    with layout.refuses(), layout.database() as db:
        control.cancel(db, layout.home(), run_id)


def _resume(run_id: str) -> None:
    with layout.refuses(), layout.database() as db:
        control.resume(db, layout.home(), run_id)


def show_run(page: Page, run: Run, others: list[str]) -> None:
    """Draw how a run is going, kept up to date while it is at work, and what it was told."""
    home = layout.home()
    views = [control.observe(home, name) for name in (run.job.id, _ask_for_another(others)) if name]
    live = st.fragment(_show_live, run_every="1s" if any(view.active for view in views) else None)
    live(page, run, views)
    with st.expander("Settings and data of this run", icon=":material/data_object:"):
        st.caption(
            f"{run.train_n:,} training and {run.val_n:,} validation images, frozen at the start; "
            f"data hash `{run.dataset_sha256[:12]}`."
        )
        st.json(control.spec(home, run.job.id) or json.loads(run.config), expanded=1)
    with st.expander("Log", icon=":material/article:", expanded=views[0].state == "failed"):
        log = control.log_tail(home, run.job.id, 60) or "Nothing has been printed yet."
        st.code(log, language=None, height=280, wrap_lines=True)


def _ask_for_another(others: list[str]) -> str | None:
    """Return the run whose curves are to be laid over those of the run that is shown."""
    if st.session_state.get("over", st.query_params.get("over")) not in others:
        st.session_state["over"] = None
    if not others:
        return None
    return st.selectbox(
        "Lay another run over its curves", others, None, key="over", bind="query-params", placeholder="None", width=240
    )


def _show_live(page: Page, run: Run, views: list[JobStatus]) -> None:
    """Draw progress and curves from the runs' files only; the second view is of the run that is laid over."""
    seen = [watch(layout.home(), view.id) for view in views]
    if [one.status.state for one in seen] != [view.state for view in views]:
        st.rerun()  # the buttons and the table outside have to follow
    view, metrics = seen[0].status, seen[0].metrics
    _show_state(view)
    if seen[0].diagnosis:
        _show_diagnosis(view, seen[0].diagnosis)
    val = lines_of_kind(metrics, "val")
    if val:
        _show_numbers(run, val)
    if len(seen) > 1:
        overlay({one.status.id: one.metrics for one in seen})
    elif len(lines_of_kind(metrics, "step")) > 1:
        _show_curves(run, metrics, page.spec.num_classes)


def _show_state(view: JobStatus) -> None:
    icon, color = ICONS[view.state]
    st.badge(view.state, icon=icon, color=color)
    if view.state == "queued":
        st.info(layout.plain(view.message), icon=":material/hourglass_empty:")
    elif view.active:
        left = f" · about {duration(view.eta_s)} left" if view.eta_s is not None and not view.canceling else ""
        st.progress(min(1.0, view.step / view.steps) if view.steps else 0.0, text=layout.plain(view.message) + left)
    elif view.reason:
        show = st.error if view.state == "failed" else st.warning
        show(layout.plain(view.reason), icon=icon)
    if view.stalled:
        st.warning("There has been no sign of progress for three minutes.", icon=":material/warning:")


def _show_diagnosis(view: JobStatus, found: Diagnosis) -> None:
    """Draw what the doctor sees and advises; the reason of a failure is there already."""
    if found.state == "starting":
        return
    text = found.advice if found.sentence == view.reason else found.text
    show = st.warning if found.worrying else st.info
    show(f"**{found.title}.** {layout.plain(text)}", icon=":material/stethoscope:")


def _show_numbers(run: Run, val: list[Line]) -> None:
    """Draw the validation of the weights that are kept, and the last one."""
    kept, last = selected_line(val), val[-1]
    characters, total = round(sum(last["per_position"]) * last["n"]), last["n"] * len(last["per_position"])
    grid = st.grid("auto", min_column_width=225)
    _show_share(
        grid, f"Kept weights, step {kept['step']:,}", kept["correct"], kept["n"],
        help="Validation images of which all characters are right, without test-time augmentation. The latest weights "
        "are kept, unless they read clearly fewer than earlier ones.",
    )  # fmt: skip
    if run.job.result and (tta := json.loads(run.job.result).get("val_tta")):
        _show_share(
            grid, "The same with TTA", tta["correct"], tta["n"],
            help="Test-time augmentation: averaged over slightly shifted, scaled and turned views.",
        )  # fmt: skip
    _show_share(grid, f"Characters right, step {last['step']:,}", characters, total)
    loss = "not finite" if last["loss"] is None else f"{last['loss']:.4f}"
    grid.metric("Validation loss", loss, f"epoch {last['epoch']}", delta_color="off", delta_arrow="off")


def _show_share(grid: "DeltaGenerator", title: str, correct: int, n: int, help: str | None = None) -> None:  # noqa: A002
    value, interval = share_and_interval(correct, n)
    grid.metric(
        title, f"{correct:,}/{n:,} = {value}", f"95% interval {interval}", delta_color="off", delta_arrow="off",
        help=help,
    )  # fmt: skip


def _show_curves(run: Run, metrics: list[Line], num_classes: int) -> None:
    grid = st.grid("auto", min_column_width=360)
    grid.plotly_chart(
        charts.loss_figure(metrics), key=f"loss {run.job.id}", alt="Loss of training and validation by step"
    )
    grid.plotly_chart(
        charts.accuracy_figure(metrics, num_classes), key=f"accuracy {run.job.id}",
        alt="Exact match on the validation images by step, with its 95% interval",
    )  # fmt: skip
    grid.plotly_chart(
        charts.positions_figure(metrics), key=f"positions {run.job.id}",
        alt="Characters right on the validation images by step, one line a position",
    )  # fmt: skip
