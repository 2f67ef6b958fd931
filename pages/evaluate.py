"""Evaluate: how good a run is, what it misreads, and which labels to check."""

import uuid

import streamlit as st

from core.errors import StorageError
from core.evaluation.reference import AGAINST_READERS, SHARED_ERRORS
from core.evaluation.shift import NOTHING_BESIDE
from core.evaluation.views import ViewChoice, choice_of
from core.jobs import control
from core.runs.evaluated import Evaluated, load_evaluated, shift_of
from core.runs.start import count_validation, labels_of_people, start_evaluation
from core.runs.unseen import find_source, has_test_images, source_held_out_of
from core.runs.uses import uses_text
from core.words import plural
from db.evaluations import count_test_uses
from db.jobs import list_jobs
from db.records import ACTIVE
from pages.components import address, layout, resources, state
from pages.components.changes import count_changed, show_changed
from pages.components.evaluate.bundle import show_bundle
from pages.components.evaluate.confidence import show_confidence, show_evidence
from pages.components.evaluate.headline import show_headline, show_statistics
from pages.components.evaluate.report import show_report
from pages.components.evaluate.slices import show_slices
from pages.components.evaluate.tta import show_tta
from pages.components.progress import show_progress
from pages.components.splits import choose_split, named
from pages.components.widgets.gallery.server import show_images
from pages.components.widgets.matrices.server import show_matrices

SECTIONS = {
    "errors": ("Errors", [show_matrices, show_images, show_statistics]),
    "slices": ("Slices", [show_slices]),
    "tta": ("TTA", [show_tta]),
    "confidence": ("Confidence", [show_confidence, show_evidence]),
    "report": ("Report", [show_report]),
    "bundle": ("Bundle", [show_bundle]),
}
"""Value in the address -> tab and its parts, top to bottom."""
TABS = {name: title for name, (title, _) in SECTIONS.items()}

page = layout.open_page("evaluate")
project, spec, home = page.project, page.spec, layout.home()


def start(tta: bool, request_id: str) -> None:
    """Callback: start an evaluation. The request id belongs to the button on screen, so a double click starts one."""
    with layout.refuses():
        with layout.database() as db:
            job = start_evaluation(
                db, home, run, split, source=source, tta=tta, operator=page.operator, request_id=request_id
            )
        if job.finished_at:
            st.toast("Already evaluated. Nothing has changed since.", icon=":material/check:")
        st.session_state[state.unlock_test_box(run)] = False  # each use asks again


def ask_to_evaluate() -> None:
    """Draw the Evaluate button. Test images need a tick first, because each use makes their result less reliable."""
    confirmed = not uses_test or st.checkbox(
        "Unlock the test set. Every use is recorded: compare runs on validation data and keep the test set for the "
        "final score." + " Some images of this source are test images." * bool(source),
        key=state.unlock_test_box(run),
    )
    # Evaluating again keeps what the page shows, and another setting of the run is another default.
    by_default = choice.use or (predictions is not None and len(predictions.views) > 1)
    tta = st.checkbox(
        "Evaluate with test-time augmentation (TTA)",
        value=by_default,
        key=f"{run.job.id} with tta by default {by_default}",
        help="Also reads slightly shifted, scaled and turned copies of each image.",
    )
    st.button(
        layout.plain(f"Evaluate on {where}"), icon=":material/play_arrow:", disabled=not confirmed, on_click=start,
        args=(tta, uuid.uuid4().hex),
    )  # fmt: skip


def show_shift(later: Evaluated) -> None:
    """Compare the result on a later source with that on the other images."""
    with layout.errors(), layout.database() as db:
        shift = shift_of(db, home, later, lambda other: resources.find_predictions(db, home, run, other))
    st.markdown(layout.plain(" ".join(shift.sentences)) if shift else NOTHING_BESIDE)


with layout.errors(), layout.database() as db:
    layout.update_jobs(db)
    uses = count_test_uses(db, project.id)
runs = layout.runs_with_a_model(project)

with st.container(horizontal=True, vertical_alignment="bottom"):
    run = runs[layout.choose_run(project, list(runs))]
    split, source = choose_split([run])
    where = named(split, source)
    views = st.container(width="content", horizontal=True, vertical_alignment="center")
predictions, damage = None, ""
with layout.errors(), layout.database() as db:
    try:
        predictions = resources.find_predictions(db, home, run, split, source)
    except StorageError as error:
        damage = str(error)
    waiting = 0  # labels of people that would measure the run, instead of readers
    without = source_held_out_of(db, run)
    if predictions and predictions.reference == "readers" and count_validation(db, project, without)[1] == "people":
        waiting = labels_of_people(db, project, split, without)
    uses_test = has_test_images(db, find_source(db, project, source)) if source else split == "test"
    evaluations = list_jobs(db, project_id=project.id, kind="evaluate", limit=20)
    active = [job for job in evaluations if job.state in ACTIVE]

if uses_test:
    st.caption(f"{uses_text(uses)}.")
layout.show_refusal()
for job in active:
    show_progress(job, "images")
for job in evaluations[:1]:
    if job.state in ("failed", "lost") and layout.is_recent(job):
        st.error(layout.plain_sentence(f"{job.id} failed: {job.reason}"), icon=":material/error:")
if damage:
    st.error(layout.plain(damage), icon=":material/error:")
choice = ViewChoice()
try:
    choice = choice_of(home.run(run.job.id))
except StorageError as error:
    st.error(layout.plain(str(error)), icon=":material/error:")
if predictions is None:
    if not active:
        if not damage:
            st.info(layout.plain(f"Run {run.job.id} has not been evaluated on {where} yet."), icon=":material/grid_on:")
        ask_to_evaluate()
    layout.stop()

tta = len(predictions.views) > 1 and views.toggle(
    "Test-time augmentation", value=choice.use, **address.widget(state.TTA, None, choice.use, clears=("page",)),
    help=f"Averages over these views: {layout.plain(', '.join(predictions.views))}.",
)  # fmt: skip
with layout.errors(), layout.database() as db:
    strings = resources.training_strings(home, run)
    shown = load_evaluated(db, home, run, split, source=source, tta=tta, predictions=predictions, strings=strings)

by_readers = shown.reference == "readers"
if by_readers:
    st.info(f"{AGAINST_READERS} {SHARED_ERRORS}", icon=":material/group_off:")
section = address.get(state.SECTION)
if section not in SECTIONS:
    section = "errors"
show_headline(shown, compact=section != "errors")
if source:
    show_shift(shown)
if shown.unreadable.sentence:
    st.caption(layout.plain(shown.unreadable.sentence))
changed = count_changed(shown)
if waiting:
    labels = plural(waiting, "validation image")
    st.warning(f"People have labeled {labels} since. Evaluate again to measure the exact match.")
show_changed(shown, [changed])
selected_step = control.selected_step(home, run.job.id)
outdated = 0 <= predictions.step < selected_step
if outdated:
    st.warning(
        f"These results are from the checkpoint of step {predictions.step:,}. The run has since selected step "
        f"{selected_step:,}. Evaluate again to update the numbers."
    )
with st.container(border=True) if changed or outdated or waiting else views.popover("Evaluate again"):
    ask_to_evaluate()

tabs = st.tabs(list(TABS.values()), **address.widget(state.SECTION, TABS, "Errors", clears=("page",)))
for tab, (_, parts) in zip(tabs, SECTIONS.values(), strict=True):
    if tab.open:  # compute this tab only
        with tab:
            for show in parts:
                show(shown)
