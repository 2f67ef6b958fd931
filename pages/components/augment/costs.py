"""What the settings of the Augment page cost: per transform, per epoch, and against a training step."""

import json

import pandas as pd
import streamlit as st

from core.images import costs
from core.images.augment_settings import TRANSFORMS, Settings
from core.images.costs import Costs
from core.images.pixels import Pixels
from core.jobs import control
from core.jobs.jobdir import duration
from db.records import Project
from db.runs import list_runs
from db.samples import counts, select_samples
from pages.components import layout
from pages.components.augment.network_input import framed_images, network

IMAGES = 24


def show_costs(project: Project, settings: Settings) -> None:
    """Measured where this is opened, once for each choice of settings."""
    home = layout.home()
    with layout.database() as db:
        seen = network(home, db, project)
        images = framed_images(db, seen.frame, select_samples(db, project.id, split="train", limit=IMAGES))
        labeled = counts(db, project.id).get(("train", "labeled"), 0)
        known = list_runs(db, project.id)
    if not images:
        st.info("This project has no training images yet.")
        return
    found = _measured(project, settings, images)
    height, width = seen.frame.size
    with st.grid("auto", min_column_width=200):
        layout.number("An image", f"{found.total_ms:.2f} ms", f"mean over images of {height} x {width} pixels")
        if labeled:
            seconds = found.total_ms * labeled / 1000
            layout.number("An epoch", duration(seconds) if seconds >= 60 else f"{seconds:.1f} s", f"{labeled:,} images")
        for run in known:
            spec = control.spec(home, run.job.id)
            seconds_a_step = costs.step_seconds(control.metrics(home, run.job.id))
            if spec and seconds_a_step:
                size = min(int(spec["config"]["batch_size"]), run.train_n)
                of_step = found.total_ms * size / 1000 / seconds_a_step
                note = f"{1000 * seconds_a_step:,.0f} ms for {size} images in run {run.job.id}"
                if spec.get("choices", {}).get("device") == "cuda":
                    note += ", whose GPU worked while threads prepared the next ones"
                layout.number("Of a training step", f"{of_step:.1%}", note)
                break
    rows = [
        {
            "Transform": next(info.title for info in TRANSFORMS if info.key == cost.key),
            "Where applied, ms": cost.ms,
            "Share of images": cost.p,
            "Mean, ms": cost.share_ms,
            "Of all": cost.share_ms / found.total_ms,
        }
        for cost in sorted(found.transforms, key=lambda cost: cost.share_ms, reverse=True)
    ]
    if not rows:
        st.caption("All transforms are off.")
        return
    st.dataframe(
        pd.DataFrame(rows),
        column_config={
            "Where applied, ms": st.column_config.NumberColumn(format="%.3f"),
            "Share of images": st.column_config.NumberColumn(format="percent"),
            "Mean, ms": st.column_config.NumberColumn(format="%.3f", help="Over all images, with those left out."),
            "Of all": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1),
        },
        hide_index=True,
        height="content",
        alt="Milliseconds per image of each transform, the dearest first",
    )
    st.caption(
        f"Measured just now on {len(images)} training images, median of {costs.ROUNDS} rounds on one thread. What else "
        "this machine does shows in it."
    )


def _measured(project: Project, settings: Settings, images: list[Pixels]) -> Costs:
    key = (project.id, images[0].shape, json.dumps(settings))
    if st.session_state.get("costs", (None,))[0] != key:
        with st.spinner("Measuring", show_time=False):
            st.session_state["costs"] = key, costs.measure(images, settings)
    found: Costs = st.session_state["costs"][1]
    return found
