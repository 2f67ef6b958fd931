"""One run: actions, progress, curves, settings and log."""

import json
from typing import TYPE_CHECKING

import streamlit as st

from core.data.kinds import parenthesis, trained_on
from core.evaluation.percent import share_and_interval
from core.evaluation.reference import AGAINST_READERS, SHARED_ERRORS, score_title
from core.jobs import control
from core.jobs.jobdir import JobStatus, duration
from core.runs.watch import watch
from core.training.doctor import Diagnosis, Line, lines_of_kind, selected_line
from core.words import plural
from db.records import Run
from pages.components import address, charts, layout
from pages.components.ends import ICONS, announce_end_of
from pages.components.layout import Page
from pages.components.overlay import overlay
from pages.components.train.form import clone, open_empty_form
from pages.components.train.trackers import show_trackers

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator


def show_actions(page: Page, run: Run, *, has_others: bool) -> None:
    """Draw a button for each action that the run's state allows."""
    status = control.observe(layout.home(), run.job.id)
    if status.active:
        st.button(
            "Cancel", icon=":material/stop:", on_click=_cancel, args=(run.job.id,), disabled=status.canceling,
            help="Stops after the current step and saves a checkpoint. The run can be resumed.",
        )  # fmt: skip
    elif status.state != "finished":
        st.button(
            "Resume", icon=":material/resume:", on_click=_resume, args=(run.job.id,),
            help="Continues from the last checkpoint with the same settings.",
        )  # fmt: skip
    st.button(
        "Clone", icon=":material/content_copy:", on_click=clone, args=(page.project, run),
        help="Opens the form for a new run with these settings.",
    )  # fmt: skip
    st.button("New run", icon=":material/add:", on_click=open_empty_form)
    if run.score:
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
    """Draw the state of a run, live while it is active, with its settings and log."""
    home = layout.home()
    statuses = [control.observe(home, name) for name in (run.job.id, _ask_for_overlay(others)) if name]
    live = st.fragment(_show_live, run_every="1s" if any(status.active for status in statuses) else None)
    live(page, run, statuses)
    if statuses[0].active:
        announce_end_of(run.job.id)
    with st.expander("Settings and data of this run", icon=":material/data_object:"):
        settings = control.spec(home, run.job.id)
        of_kinds = parenthesis(trained_on(settings, run.train_n))
        st.caption(
            f"{run.train_n:,} training{of_kinds} and {plural(run.val_n, 'validation image')}, fixed at the start. "
            f"Data hash `{run.dataset_sha256[:12]}`."
        )
        st.json(settings or json.loads(run.config), expanded=1)
        if statuses[0].step and not statuses[0].active:
            show_trackers(run)
    with st.expander("Log", icon=":material/article:", expanded=statuses[0].state == "failed"):
        log = control.log_tail(home, run.job.id, 60) or "The log is empty."
        st.code(log, language=None, height=280, wrap_lines=True)


def _ask_for_overlay(others: list[str]) -> str | None:
    """Ask for a run whose curves to overlay. The address may give only its number, as ?over=7."""
    layout.take_run("over", others)
    if not others:
        return None
    refusal = "There is no run {asked!r} to overlay."
    return st.selectbox(
        "Overlay another run", others, None, placeholder="None", width=240,
        **address.widget("over", others, None, refusal=refusal),
    )  # fmt: skip


def _show_live(page: Page, run: Run, statuses: list[JobStatus]) -> None:
    """Draw progress and curves from the runs' files only. The second status belongs to the overlaid run."""
    watched = [watch(layout.home(), status.id) for status in statuses]
    if [each.status.state for each in watched] != [status.state for status in statuses]:
        st.rerun()  # to update the buttons and the table outside this fragment
    status, metrics = watched[0].status, watched[0].metrics
    _show_state(status)
    for note in [line for line in metrics if line.get("kind") == "note"]:
        for sentence in note["sentences"]:
            st.warning(layout.plain(sentence), icon=":material/warning:")
    if watched[0].diagnosis:
        _show_diagnosis(status, watched[0].diagnosis)
    val = lines_of_kind(metrics, "val")
    if val:
        _show_numbers(run, val)
    if len(watched) > 1:
        overlay({each.status.id: each.metrics for each in watched}, run.reference)
    elif len(lines_of_kind(metrics, "step")) > 1:
        _show_curves(run, metrics, page.spec.num_classes)


def _show_state(status: JobStatus) -> None:
    icon, color = ICONS[status.state]
    st.badge(status.state, icon=icon, color=color)
    if status.state == "queued":
        st.info(layout.plain(status.message), icon=":material/hourglass_empty:")
    elif status.active:
        left = f" · about {duration(status.eta_s)} left" if status.eta_s is not None and not status.canceling else ""
        st.progress(
            min(1.0, status.step / status.steps) if status.steps else 0.0, text=layout.plain(status.message) + left
        )
    elif status.reason:
        show = st.error if status.state == "failed" else st.warning
        show(layout.plain_sentence(status.reason), icon=icon)
    if status.stalled:
        st.warning("No progress for three minutes.", icon=":material/warning:")


def _show_diagnosis(status: JobStatus, diagnosis: Diagnosis) -> None:
    """Draw the doctor's diagnosis and advice. The reason of a failure is already on the page."""
    if diagnosis.state == "starting":
        return
    text = diagnosis.advice if diagnosis.sentence == status.reason else diagnosis.text
    show = st.warning if diagnosis.worrying else st.info
    show(f"**{diagnosis.title}.** {layout.plain_sentence(text)}", icon=":material/stethoscope:")


def _show_numbers(run: Run, val: list[Line]) -> None:
    """Draw the result of the selected checkpoint, and those of the last step. A later evaluation is newer."""
    selected, last, score = selected_line(val), val[-1], run.score
    characters, total = round(sum(last["per_position"]) * last["n"]), last["n"] * len(last["per_position"])
    by_readers = run.reference == "readers"
    if by_readers:
        st.caption(f"{AGAINST_READERS} {SHARED_ERRORS}")
    reference = score.reference if score else run.reference
    what = "read as the readers read them" if reference == "readers" else "with all characters right"
    by, counts = f"step {selected['step']:,}", (selected["correct"], selected["n"])
    if score and score.evaluation:
        by, counts = score.evaluation, (score.correct, score.n)
    grid = st.grid("auto", min_column_width=225)
    _show_share(
        grid, f"{score_title(reference)} ({by})", *counts,
        help=f"Result of the selected checkpoint: validation images {what}, without test-time augmentation. The latest "
        "checkpoint is selected unless it reads clearly fewer than an earlier one. The newest evaluation takes the "
        "place of the result of the training.",
    )  # fmt: skip
    if score and score.with_tta is not None:
        title = "Agreement with readers, TTA" if reference == "readers" else "Exact match with TTA"
        _show_share(
            grid, title, score.with_tta, score.n,
            help="Test-time augmentation: average over slightly shifted, scaled and turned views.",
        )  # fmt: skip
    right = "Agreeing characters" if by_readers else "Right characters"
    _show_share(grid, f"{right} (step {last['step']:,})", characters, total)
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
    grid.plotly_chart(charts.loss_figure(metrics), key=f"loss {run.job.id}", alt="Training and validation loss by step")
    grid.plotly_chart(
        charts.accuracy_figure(metrics, num_classes, run.reference), key=f"accuracy {run.job.id}",
        alt=f"{score_title(run.reference)} on validation images by step, with 95% interval",
    )  # fmt: skip
    grid.plotly_chart(
        charts.positions_figure(metrics, run.reference), key=f"positions {run.job.id}",
        alt="Right characters on validation images by step, one line per position",
    )  # fmt: skip
