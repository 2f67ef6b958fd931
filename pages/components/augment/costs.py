"""The Cost tab of Augment: time per transform, per epoch and relative to a training step."""

import json

import pandas as pd
import streamlit as st

from core.images import costs
from core.images.augment_settings import TRANSFORMS, Settings
from core.images.costs import Costs
from core.images.pixels import Pixels
from core.jobs import control
from core.jobs.jobdir import duration
from core.words import plural
from db.records import Project
from db.runs import list_runs
from db.samples import counts, select_samples
from pages.components import layout
from pages.components.augment.network_input import framed_images, network

IMAGES = 24


def show_costs(project: Project, settings: Settings) -> None:
    """Measure on this machine when the tab is opened, once per combination of settings."""
    home = layout.home()
    with layout.database() as db:
        net = network(home, db, project)
        images = framed_images(db, net.frame, select_samples(db, project.id, split="train", limit=IMAGES))
        labeled = counts(db, project.id).get(("train", "labeled"), 0)
        runs = list_runs(db, project.id)
    if not images:
        st.info("This project has no training images yet.")
        return
    measured = _measured(project, settings, images)
    height, width = net.frame.size
    with st.grid("auto", min_column_width=200):
        layout.number("Time per image", f"{measured.total_ms:.2f} ms", f"mean over images of {width} x {height} pixels")
        if labeled:
            seconds = measured.total_ms * labeled / 1000
            layout.number(
                "Time per epoch", duration(seconds) if seconds >= 60 else f"{seconds:.1f} s", plural(labeled, "image")
            )
        for run in runs:
            spec = control.spec(home, run.job.id)
            step_seconds = costs.step_seconds(control.metrics(home, run.job.id))
            if spec and step_seconds:
                size = min(int(spec["config"]["batch_size"]), run.train_n)
                step_share = measured.total_ms * size / 1000 / step_seconds
                note = f"{1000 * step_seconds:,.0f} ms for {plural(size, 'image')} in run {run.job.id}"
                if spec.get("choices", {}).get("device") == "cuda":
                    note += "; its GPU worked while threads prepared the next batch"
                layout.number("Share of a training step", f"{step_share:.1%}", note)
                break
    rows = [
        {
            "Transform": next(info.title for info in TRANSFORMS if info.key == cost.key),
            "Time when applied, ms": cost.ms,
            "Share of images": cost.p,
            "Mean time, ms": cost.share_ms,
            "Share of total": cost.share_ms / measured.total_ms,
        }
        for cost in sorted(measured.transforms, key=lambda cost: cost.share_ms, reverse=True)
    ]
    if not rows:
        st.caption("All transforms are off.")
        return
    st.dataframe(
        pd.DataFrame(rows),
        column_config={
            "Time when applied, ms": st.column_config.NumberColumn(format="%.3f"),
            "Share of images": st.column_config.NumberColumn(format="percent"),
            "Mean time, ms": st.column_config.NumberColumn(
                format="%.3f", help="Over all images, including those it skips."
            ),
            "Share of total": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1),
        },
        hide_index=True,
        height="content",
        alt="Milliseconds per image of each transform, slowest first",
    )
    st.caption(
        f"Measured on {plural(len(images), 'training image')}, median of {costs.ROUNDS} rounds on one thread. Other "
        "work on this machine affects the times."
    )


def _measured(project: Project, settings: Settings, images: list[Pixels]) -> Costs:
    key = (project.id, images[0].shape, json.dumps(settings))
    if st.session_state.get("costs", (None,))[0] != key:
        with st.spinner("Measuring", show_time=False):
            st.session_state["costs"] = key, costs.measure(images, settings)
    measured: Costs = st.session_state["costs"][1]
    return measured
