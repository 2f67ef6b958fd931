"""Compare two runs on the same images: which reads more, whether that can be chance, where they disagree."""

import pandas as pd
import streamlit as st

from core.evaluation.comparison import common, compare
from core.evaluation.percent import counted
from core.evaluation.predictions import Predictions
from core.jobs import control
from core.runs.uses import uses_text
from db.evaluations import count_test_uses
from db.records import Run
from pages.components import layout, resources, state
from pages.components.compare.sections import Compared, show_curves, show_disagreements, show_numbers, show_settings

page = layout.open_page("compare")
project, home = page.project, layout.home()


def ask_for_evaluation(name: str) -> None:
    """Link to the evaluation of a run that has none. This page reads no images, least of all test images."""
    note = " Each opening of the test images is counted, so it is asked for there." * (split == "test")
    st.info(f"Run {layout.plain(name)} has not been evaluated on {split} yet.{note}", icon=":material/grid_on:")
    st.page_link(
        "pages/evaluate.py", label=f"Evaluate {name}", icon=":material/grid_on:",
        query_params={"project": project.name, "run": name, "split": split},
    )  # fmt: skip


def compared(first: Predictions, second: Predictions) -> Compared:
    with layout.errors():
        both = common(first, second)
        have_views = len(first.views) > 1, len(second.views) > 1
        tta = any(have_views) and views.toggle("Test-time augmentation", key=state.TTA, bind="query-params")
        for name, has in zip((run.job.id, other.job.id), have_views, strict=True):
            if any(have_views) and not has:
                note = f"{name} was read without views, and stands as it is in the rows with views; evaluate it again."
                st.caption(layout.plain(note))
        return Compared(
            page=page,
            runs=(run, other),
            split=split,
            common=both,
            sha256=first.sha256,
            plain=compare(first, second, both, page.spec, tta=(False, False)),
            with_views=compare(first, second, both, page.spec, tta=have_views) if any(have_views) else None,
            tta=tta,
        )


def all_runs(listed: list[Run]) -> None:
    """List the runs with a result; choosing two rows compares them."""
    # Rows chosen in another list, of another project or before a new run came, are not those of this one.
    key = f"runs to compare {project.id} {len(listed)}"

    def choose_rows() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if len(rows) == 2:
            st.session_state[state.RUN], st.session_state[state.OTHER_RUN] = (listed[row].job.id for row in rows)

    st.subheader("All runs", anchor=False)
    st.caption("Choose two rows to compare them. A click on a column's name sorts by it.")
    results = [(one.val_correct or 0, one.val_n) for one in listed]
    st.dataframe(
        pd.DataFrame(
            {
                "Run": [one.job.id for one in listed],
                "Exact on val": [correct / n for correct, n in results],
                "Right, with 95% interval": [counted(correct, n) for correct, n in results],
                "Training images": [one.train_n for one in listed],
                "Data": [one.dataset_sha256[:8] for one in listed],
                "Started": pd.to_datetime([one.job.created_at for one in listed], utc=True),
            }
        ),
        column_config={
            "Exact on val": st.column_config.NumberColumn(format="percent", help="Without test-time augmentation."),
            "Data": st.column_config.TextColumn(help="Start of the hash of images and labels: equal means the same."),
            "Started": st.column_config.DatetimeColumn(format="distance"),
        },
        key=key,
        hide_index=True,
        on_select=choose_rows,
        selection_mode="multi-row",
        alt="Runs of the project with their result on the validation images, newest first",
    )


with layout.errors(), layout.database() as db:
    control.reconcile(db, home)
    uses = count_test_uses(db, project.id)
runs = layout.runs_with_a_model(project)
if len(runs) < 2:
    st.info("One run has saved a model so far; it takes two to compare.", icon=":material/compare_arrows:")
    st.page_link("pages/train.py", label="Train", icon=":material/play_arrow:", query_params={"project": project.name})
    st.stop()

with st.container(horizontal=True, vertical_alignment="bottom"):
    run = runs[layout.choose_run(list(runs))]
    other = runs[layout.choose_other_run(list(runs), run.job.id)]
    split = st.segmented_control(
        "Split", ["val", "test"], default="val", required=True, key=state.SPLIT, bind="query-params"
    )
    views = st.container(width="content")
if split == "test":
    st.caption(f"{uses_text(uses)}. Choose between runs on val: what is chosen on test is no longer tested by it.")
with layout.errors(), layout.database() as db:
    first, second = (resources.find_predictions(db, home, one, split) for one in (run, other))
if first and second:
    shown = compared(first, second)
    show_numbers(shown)
    sections = {"Images": show_disagreements, "Curves": show_curves, "Settings": show_settings}
    # Only the section that is open is computed.
    tabs = st.tabs(list(sections), key=state.SECTION, bind="query-params")
    for tab, show in zip(tabs, sections.values(), strict=True):
        if tab.open:
            with tab:
                show(shown)
else:
    for one, found in ((run, first), (other, second)):
        if found is None:
            ask_for_evaluation(one.job.id)
all_runs([one for one in runs.values() if one.val_correct is not None])
