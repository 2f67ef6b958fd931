"""How good a run is, where it is wrong, and which labels to look at again."""

import uuid
from functools import partial

import numpy as np
import streamlit as st

from core import jobs
from core.errors import SlotlabError
from core.metrics import evaluate_views, soft_confusion_PCC, support_PC, worst_margin_PC
from db.evaluations import count_test_openings
from db.jobs import ACTIVE, list_jobs
from db.samples import labels_by_hash
from pages.components import layout, resources
from pages.components.figures import confusion_figure, soft_confusion_figure
from pages.components.gallery import show_gallery
from pages.components.parts import show_parts
from pages.components.progress import show_progress
from pages.components.trust import show_trust

page = layout.open_page("evaluate")
project, spec, home = page.project, page.spec, layout.home()


def start(tta: bool, request_id: str) -> None:
    """Callback; the request id is that of the button on screen, so a double click is one evaluation."""
    try:
        with layout.database() as db:
            jobs.start_evaluation(db, home, run, split, tta=tta, operator=page.operator, request_id=request_id)
    except SlotlabError as error:
        st.session_state["evaluation refused"] = str(error)


def ask_to_evaluate() -> None:
    """The button; the test images have one more step before it, because every look at them wears them off."""
    confirmed = split == "val" or st.checkbox(
        "Open the test images. This is counted: choose between runs on val, and use test for the final number.",
        key=f"open test for {run.job.id}",
    )
    tta = st.checkbox(
        "With test-time augmentation",
        value=True,
        key="with tta",
        help="Nine slightly different views of each image.",
    )
    st.button(
        f"Evaluate on {split}", icon=":material/play_arrow:", disabled=not confirmed, on_click=start,
        args=(tta, uuid.uuid4().hex),
    )  # fmt: skip


@st.fragment
def show_matrices() -> None:
    st.subheader("Which characters are taken for which", anchor=False)
    kind = st.segmented_control(
        "Matrix", ["counts", "probability"], default="counts", required=True, key="matrix", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    soft = kind == "probability"
    st.caption(
        "One matrix for each position: rows are true, columns read. "
        + (
            "Red is the mean probability of a wrong character, from one in 100,000: there the next error comes from."
            if soft
            else "Blue is right, red is wrong."
        )
        + " Click a cell."
    )
    log_probs_NPC, targets_NP = reading.log_probs_NPC, reading.targets_NP
    counts_PCC = reading.confusion_PCC()
    if soft:
        mass_PCC = soft_confusion_PCC(log_probs_NPC, targets_NP)
        support, margin_PC = support_PC(targets_NP, spec.num_classes), worst_margin_PC(log_probs_NPC, targets_NP)
    with st.grid("auto", min_column_width=210):
        for position, counts_CC in enumerate(counts_PCC):
            correct = result["per_position_correct"][position]
            if soft:
                figure = soft_confusion_figure(
                    mass_PCC[position], support[position], margin_PC[position], spec.charset
                )  # fmt: skip
            else:
                figure = confusion_figure(counts_CC, spec.charset)
            with st.container(gap=None):
                st.markdown(f"**Position {position + 1}**: {correct:,} of {result['n']:,}")
                st.plotly_chart(
                    figure,
                    key=f"confusion {position}",
                    on_select=partial(pick_cell, position, "nearest" if soft else "in_cell"),
                    selection_mode="points",
                    config={"displayModeBar": False},
                    alt=f"Confusion matrix of position {position + 1}: {correct} of {result['n']} right",
                )


def pick_cell(position: int, how: str) -> None:
    points = st.session_state[f"confusion {position}"]["selection"]["points"]
    if points:
        st.session_state["cell"] = (run.job.id, position, *points[0]["customdata"][:2], how)
        st.session_state["show"] = "one cell"
        st.rerun(scope="images")


@st.fragment(key="images")
def show_images() -> None:
    st.subheader("Images", anchor=False)
    cell = st.session_state.get("cell")
    choices = ["wrong", "least sure"] + (["one cell"] if cell and cell[0] == run.job.id else [])
    if st.session_state.get("show") not in choices:
        st.session_state.pop("show", None)  # a cell of another run
    match st.segmented_control(
        "Show", choices, default="wrong", required=True, key="show", label_visibility="collapsed"
    ):
        case "least sure":
            places = reading.least_sure()
            note = "Right or wrong, what the run was least sure of. Label more like these."
        case "one cell":
            _, position, true, read, how = cell
            names = layout.plain(spec.charset[true]), layout.plain(spec.charset[read])
            if how == "nearest":
                places = reading.nearest(position, true, read)
                note = f"{len(places):,} with {names[0]} at position {position + 1}, those closest to {names[1]} first."
            else:
                places = reading.in_cell(position, true, read)
                note = (
                    f"{len(places):,} with {names[0]} read as {names[1]} at position {position + 1}, the least sure "
                    "first."
                )
        case _:
            places = reading.wrong()
            note = f"{len(places):,} of {result['n']:,} wrong, the surest first: among those are the wrong labels."
    st.caption(note)
    show_gallery(project, found, reading, places.tolist())


with layout.errors(), layout.database() as db:
    jobs.reconcile(db, home)
    openings = count_test_openings(db, project.id)
runs = layout.runs_with_a_model(project)

with st.container(horizontal=True, vertical_alignment="bottom"):
    run = runs[layout.choose_run(list(runs))]
    split = st.segmented_control(
        "Split", ["val", "test"], default="val", required=True, key="split", bind="query-params"
    )
    views = st.container(width="content")
with layout.errors(), layout.database() as db:
    found = resources.find_predictions(home, db, run, split)
    now = labels_by_hash(db, project.id, found.sha256) if found else {}
    evaluations = list_jobs(db, project_id=project.id, kind="evaluate", limit=20)
    active = [job for job in evaluations if job.state in ACTIVE]

if split == "test":
    st.caption(f"The test images of this project were opened {openings} time{'' if openings == 1 else 's'}.")
if "evaluation refused" in st.session_state:
    st.error(layout.plain(st.session_state.pop("evaluation refused")), icon=":material/error:")
for job in active:
    show_progress(job, "images")
for job in evaluations[:1]:
    if job.state in ("failed", "lost") and layout.is_recent(job):
        st.error(layout.plain(f"{job.id} failed: {job.reason}"), icon=":material/error:")
if found is None:
    if not active:
        st.info(f"Run {run.job.id} has not been evaluated on {split} yet.", icon=":material/grid_on:")
        ask_to_evaluate()
    st.stop()

tta = len(found.views) > 1 and views.toggle(
    "Test-time augmentation", key="tta", bind="query-params", help=f"Average over the views: {', '.join(found.views)}."
)
with layout.errors():
    seen = resources.training_strings(str(home.run(run.job.id) / "dataset.npz"))
    reading = found.reading(spec, tta=tta)
    seen_N = np.array([label in seen for label in found.labels])
    result = evaluate_views(found.log_probs_VNPC, reading.targets_NP, tta=tta, seen_N=seen_N)

with st.grid("auto", min_column_width=170):
    n, correct = result["n"], result["correct"]
    layout.number(f"Exact match on {split}", f"{correct:,} of {n:,}", layout.share(correct, n))
    if tta:
        flips = result["tta_flips"]
        note = f"mended and broken; {flips['without_tta']:,} of {n:,} without views"
        layout.number("Changed by the views", f"+{flips['fixed']:,} −{flips['broken']:,}", note)
    for key, title in (("string_not_seen", "Text new to the run"), ("string_seen", "Text seen in training")):
        part = result[key]
        if part["n"]:
            layout.number(title, f"{part['correct']:,} of {part['n']:,}", layout.share(part["correct"], part["n"]))
    layout.number("Mean log loss", f"{result['nll']:.4f}", f"per character; chance is {np.log(spec.num_classes):.2f}")

changed = sum(now.get(sha256) != label for sha256, label in zip(found.sha256, found.labels, strict=True))
if changed:
    st.warning(f"{changed} of these labels were changed after the evaluation; the numbers use the old ones.")
with st.expander("Evaluate again", expanded=changed > 0):
    ask_to_evaluate()
show_matrices()
show_images()
st.fragment(show_parts)(project, found, reading)
st.fragment(show_trust)(run, found, reading, split=split, tta=tta)
