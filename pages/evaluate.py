"""Show how good a run is, where it is wrong, and which labels to check again."""

import uuid

import numpy as np
import streamlit as st

from core.errors import StorageError
from core.evaluation.percent import share
from core.evaluation.views import ViewChoice, choice_of
from core.jobs import control
from core.runs.evaluated import SPLITS, load_evaluated
from core.runs.start import start_evaluation
from core.runs.uses import uses_text
from db.evaluations import count_test_uses
from db.jobs import list_jobs
from db.labels import labels_since
from db.records import ACTIVE
from pages.components import layout, resources, state
from pages.components.evaluate.evidence import show_evidence, show_report
from pages.components.evaluate.parts import show_parts
from pages.components.evaluate.trust import show_trust
from pages.components.evaluate.views import show_views
from pages.components.progress import show_progress
from pages.components.widgets.gallery.server import show_images
from pages.components.widgets.matrices.server import show_matrices

page = layout.open_page("evaluate")
project, spec, home = page.project, page.spec, layout.home()


def start(tta: bool, request_id: str) -> None:
    """Start an evaluation. The request id belongs to the button on screen, so a double click starts one."""
    with layout.refuses():
        with layout.database() as db:
            job = start_evaluation(db, home, run, split, tta=tta, operator=page.operator, request_id=request_id)
        if job.finished_at:
            st.toast("Nothing has changed since the last evaluation.", icon=":material/check:")
        st.session_state[state.open_test_box(run)] = False  # one opening, one question


def ask_to_evaluate() -> None:
    """Draw the button. The test images need a tick before it, because every look at them wears them off."""
    confirmed = split == "val" or st.checkbox(
        "Open the test images. This is counted: choose between runs on val, and use test for the final number.",
        key=state.open_test_box(run),
    )
    tta = st.checkbox(
        "With test-time augmentation",
        value=True,
        key="with tta",
        help="Reads each image as it is, and slightly shifted, scaled and turned.",
    )
    st.button(
        f"Evaluate on {split}", icon=":material/play_arrow:", disabled=not confirmed, on_click=start,
        args=(tta, uuid.uuid4().hex),
    )  # fmt: skip


with layout.errors(), layout.database() as db:
    control.reconcile(db, home)
    uses = count_test_uses(db, project.id)
runs = layout.runs_with_a_model(project)

with st.container(horizontal=True, vertical_alignment="bottom"):
    run = runs[layout.choose_run(list(runs))]
    split = st.segmented_control("Split", SPLITS, default="val", required=True, key=state.SPLIT, bind="query-params")
    views = st.container(width="content")
found, damaged = None, ""
with layout.errors(), layout.database() as db:
    try:
        found = resources.find_predictions(db, home, run, split)
    except StorageError as error:
        damaged = str(error)
    now = labels_since(db, project.id, run.job.created_at) if found else {}
    evaluations = list_jobs(db, project_id=project.id, kind="evaluate", limit=20)
    active = [job for job in evaluations if job.state in ACTIVE]

if split == "test":
    st.caption(f"{uses_text(uses)}.")
layout.show_refusal()
for job in active:
    show_progress(job, "images")
for job in evaluations[:1]:
    if job.state in ("failed", "lost") and layout.is_recent(job):
        st.error(layout.plain(f"{job.id} failed: {job.reason}"), icon=":material/error:")
if damaged:
    st.error(layout.plain(damaged), icon=":material/error:")
if found is None:
    if not active:
        if not damaged:
            st.info(f"Run {run.job.id} has not been evaluated on {split} yet.", icon=":material/grid_on:")
        ask_to_evaluate()
    st.stop()

choice = ViewChoice()
try:
    choice = choice_of(home.run(run.job.id))
except StorageError as error:
    st.error(layout.plain(str(error)), icon=":material/error:")
if st.session_state.get("tta of") not in (None, run.job.id):
    st.session_state[state.TTA] = choice.use  # another run was chosen: as it reads
st.session_state["tta of"] = run.job.id
tta = len(found.views) > 1 and views.toggle(
    "Test-time augmentation", value=choice.use, key=state.TTA, bind="query-params",
    help=f"Average over the views: {layout.plain(', '.join(found.views))}.",
)  # fmt: skip
with layout.errors(), layout.database() as db:
    strings = resources.training_strings(home, run)
    shown = load_evaluated(db, home, run, split, tta=tta, predictions=found, strings=strings)

with st.grid("auto", min_column_width=170):
    result = shown.result
    n, correct = result["n"], result["correct"]
    layout.number(f"Exact match on {split}", f"{correct:,} of {n:,}", share(correct, n))
    if tta:
        flips = result["tta_flips"]
        note = f"mended and broken; {flips['without_tta']:,} of {n:,} without views"
        layout.number("Changed by the views", f"+{flips['fixed']:,} −{flips['broken']:,}", note)
    for key, title in (("string_not_seen", "Text new to the run"), ("string_seen", "Text seen in training")):
        part = result[key]
        if part["n"]:
            layout.number(title, f"{part['correct']:,} of {part['n']:,}", share(part["correct"], part["n"]))
    layout.number("Mean log loss", f"{result['nll']:.4f}", f"per character; chance is {np.log(spec.num_classes):.2f}")

before = zip(found.sha256, found.labels, strict=True)
changed = sum(now.get(sha256, label) != label for sha256, label in before) if now else 0
if changed:
    st.warning(f"{changed} of these labels were changed after the evaluation; the numbers use the old ones.")
selected_step = control.selected_step(home, run.job.id)
outdated = 0 <= found.step < selected_step
if outdated:
    st.warning(f"Read by the weights of step {found.step:,}; the run has those of step {selected_step:,} now.")
with st.expander("Evaluate again", expanded=changed > 0 or outdated):
    ask_to_evaluate()
SECTIONS = {
    "Errors": [show_matrices, show_images],
    "Parts": [show_parts],
    "Trust": [show_evidence, show_trust],
    "Views": [show_views],
    "Report": [show_report],
}
# Only the section that is open is computed.
tabs = st.tabs(list(SECTIONS), key=state.SECTION, bind="query-params")
for tab, section in zip(tabs, SECTIONS.values(), strict=True):
    if tab.open:
        with tab:
            for show in section:
                show(shown)
