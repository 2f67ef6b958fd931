"""An ended run for experiment trackers: the download of its TensorBoard events."""

import streamlit as st

from core.runs.trackers import missing_package, replay, tensorboard_zip
from db.records import Run
from pages.components import layout


def show_trackers(run: Run) -> None:
    """Draw the download of an ended run, or the sentence that says which package it needs."""
    if missing := missing_package("tensorboard"):
        st.caption(layout.plain(missing))
    else:
        st.download_button(
            "TensorBoard events",
            lambda: _zip_of(run),
            file_name=f"{run.job.id}-tensorboard.zip",
            mime="application/zip",
            icon=":material/download:",
            on_click="ignore",
            key=f"tensorboard {run.job.id}",
            help="Settings, curves and results, without images and labels. Unpack it into a log folder.",
        )
    st.caption(f"In a terminal: `slotlab export-run {run.job.number} --to tensorboard`, or `--to mlflow`.")


def _zip_of(run: Run) -> bytes:
    with layout.database() as db:
        return tensorboard_zip(replay(db, layout.home(), run))
