"""The Bundle tab of Evaluate: the run as a folder that reads images without Slotlab."""

import uuid

import streamlit as st

from core.runs.bundles import Bundle, bundle_of, gone, newest_job, start_bundle, zip_bytes
from core.runs.evaluated import Evaluated
from core.words import plural
from db.records import ACTIVE, Run
from pages.components import layout
from pages.components.operators import current_operator
from pages.components.progress import show_progress


def show_bundle(shown: Evaluated) -> None:
    """Draw the newest bundle of the run with its download, its progress, or a button that makes one."""
    st.subheader("Bundle", anchor=False)
    st.caption(
        "One folder with which a script reads this portal, without Slotlab and without PyTorch. It holds the network, "
        "its views and threshold, and no image of the portal. It is refused if it would read a validation image "
        "differently than the run."
    )
    home = layout.home()
    with layout.errors(), layout.database() as db:
        layout.update_jobs(db)
        job = newest_job(db, home, shown.run)
        made = bundle_of(home, shown.run, job) if job else None
    layout.show_refusal("bundle")
    if job and job.state in ACTIVE:
        show_progress(job, "images")
        return
    if job and job.reason and job.state != "finished":
        st.error(layout.plain_sentence(f"{job.id} {job.state}: {job.reason}"), icon=":material/error:")
    if made:
        _show_made(made)
    elif job and job.state == "finished":
        st.info(gone(job.id), icon=":material/info:")
    st.button(
        "Make bundle", icon=":material/inventory_2:", key="make bundle", on_click=_start,
        args=(shown.run, current_operator(), uuid.uuid4().hex), type="secondary" if made else "primary",
    )  # fmt: skip
    st.caption(f"In a terminal: `slotlab bundle {shown.run.job.number} --out DIR`")


def _show_made(made: Bundle) -> None:
    small = (
        f"The INT8 model has {made.int8_bytes / 1e6:.2f} MB and reads them alike."
        if made.int8_bytes
        else f"There is no INT8 model: it would read {made.int8_changed:,} of them differently."
    )
    st.markdown(
        f"{layout.plain(made.job.id)} reads all {plural(made.n, 'validation image')} as the run does. The largest "
        f"difference of a logit is {made.largest_difference:.1e}. The model has {made.bytes / 1e6:.2f} MB. {small}"
    )
    if not made.is_current:
        st.warning("The checkpoint, the views or the threshold have changed since. Make a new bundle.")
    st.download_button(
        "Download zip",
        lambda: zip_bytes(made.directory),
        file_name=f"{made.job.id}.zip",
        mime="application/zip",
        icon=":material/download:",
        on_click="ignore",
        key="download bundle",
    )


def _start(run: Run, operator: str, request_id: str) -> None:
    """Callback: the request id belongs to the button on screen, so a double click starts one job."""
    with layout.refuses("bundle"), layout.database() as db:
        start_bundle(db, layout.home(), run, operator=operator, request_id=request_id)
