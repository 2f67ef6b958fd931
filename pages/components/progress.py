"""Progress of an active job, with a button to cancel it. Used by Home and Evaluate."""

import streamlit as st

from core.jobs import control
from core.jobs.jobdir import JobStatus
from db.jobs import get_job
from db.records import ACTIVE, Job
from pages.components import layout


def show_progress(job: Job, unit: str) -> None:
    """Draw the progress bar and Cancel button of an active job, in `unit`. Rerun the page when it ends."""
    st.fragment(_show_progress, run_every="1s")(job.id, unit)


def _show_progress(job_id: str, unit: str) -> None:
    job, view = follow(job_id)
    message, share = view.message or job.state.capitalize(), 0.0
    if view.steps:
        message, share = f"{message}: {view.step:,} of {view.steps:,} {unit}", min(view.step / view.steps, 1.0)
    st.progress(share, message)
    cancel_button(job_id, view)


def follow(job_id: str) -> tuple[Job, JobStatus]:
    """Return an active job and its status. Call in a repeating fragment; it reruns the page when the job has ended."""
    home = layout.home()
    with layout.errors(), layout.database() as db:
        layout.update_jobs(db)
        job = get_job(db, job_id)
    if job.state not in ACTIVE:
        st.rerun()
    return job, control.observe(home, job_id)


def cancel_button(job_id: str, view: JobStatus) -> None:
    if st.button("Cancel", icon=":material/stop:", disabled=view.canceling, key=f"stop {job_id}"):
        with layout.errors(), layout.database() as db:
            control.cancel(db, layout.home(), job_id)
