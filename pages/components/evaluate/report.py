"""The Report tab of Evaluate: the evaluation as one HTML file."""

import shlex

import streamlit as st

from core.report.document import make_report
from core.runs.evaluated import Evaluated
from pages.components import layout


def show_report(shown: Evaluated) -> None:
    """Offer the report for download."""
    st.subheader("Report", anchor=False)
    st.caption(
        "One HTML file with everything on this page: numbers with intervals, confusion matrices, calibration, slices, "
        "misread images, settings and the uses of the test set. The file has no scripts and loads nothing from the "
        "network. It shows images of the portal and their labels: share it only with people allowed to see them."
    )
    with layout.errors(), layout.database() as db, st.spinner("Writing the report"):
        text = make_report(db, layout.home(), shown)
    st.download_button(
        f"Download ({len(text.encode('utf-8', 'replace')) / 1e6:.1f} MB)",
        text.encode("utf-8", "replace"),
        file_name=f"{shown.project.name}-{shown.run.job.id}-{shown.split}{'-tta' if shown.tta else ''}.html",
        mime="text/html",
        icon=":material/download:",
        on_click="ignore",
        key="download report",
    )
    tta = (" --tta" if shown.tta else " --no-tta") if len(shown.predictions.views) > 1 else ""
    images = f"--source {shlex.quote(shown.source)}" if shown.source else f"--split {shown.split}"
    st.caption(f"In a terminal: ``slotlab report {shown.run.job.number} {images}{tta} --out FILE``")
