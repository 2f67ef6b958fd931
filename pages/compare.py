"""Compare: two runs on the same images, the chance of their difference, and the images on which they disagree."""

import pandas as pd
import streamlit as st

from core.evaluation.comparison import common, compare
from core.evaluation.percent import counted
from core.evaluation.predictions import Predictions
from core.evaluation.reference import score_title
from core.runs.evaluated import count_unreadable
from core.runs.uses import uses_text
from db.evaluations import count_test_uses
from db.records import Run
from pages.components import address, layout, resources, state
from pages.components.compare.sections import Compared, show_curves, show_disagreements, show_numbers, show_settings
from pages.components.splits import choose_split, named

page = layout.open_page("compare")
project, home = page.project, layout.home()


def ask_for_evaluation(name: str) -> None:
    """Link to Evaluate for a run without an evaluation. This page itself never reads images."""
    note = " Every use of the test set is recorded: unlock it on the Evaluate page." * (split == "test")
    not_yet = layout.plain(f"Run {name} has not been evaluated on {named(split, source)} yet.")
    st.info(f"{not_yet}{note}", icon=":material/grid_on:")
    st.page_link(
        "pages/evaluate.py", label=f"Evaluate {name}", icon=":material/grid_on:",
        query_params={"project": project.name, "run": name, "split": split}
        | ({state.NEXT_SOURCE: source} if source else {}),
    )  # fmt: skip


def compared(first: Predictions, second: Predictions) -> Compared:
    with layout.errors():
        both = common(first, second)
        have_views = len(first.views) > 1, len(second.views) > 1
        tta = any(have_views) and views.toggle(
            "Test-time augmentation", **address.widget(state.TTA, None, default=False)
        )
        for name, has in zip((run.job.id, other.job.id), have_views, strict=True):
            if any(have_views) and not has:
                note = f"{name} was evaluated without TTA. Rows with TTA show its results without. Evaluate it again."
                st.caption(layout.plain(note))
        return Compared(
            page=page,
            runs=(run, other),
            images=f"images of source {source}" if source else f"{split} images",
            reference=first.reference,
            common=both,
            sha256=first.sha256,
            plain=compare(first, second, both, page.spec, tta=(False, False)),
            with_tta=compare(first, second, both, page.spec, tta=have_views) if any(have_views) else None,
            tta=tta,
            unreadable=unreadable,
        )


def show_runs(runs: list[Run]) -> None:
    """List the runs with a result. Selecting two rows compares them."""
    # The key names the list, because the same row number is another run in another list.
    key = f"runs to compare {project.id} {len(runs)}"

    def choose_rows() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if len(rows) == 2:
            run_id, other_id = (runs[row].job.id for row in rows)
            address.go(run=run_id, other=other_id)

    st.subheader("All runs", anchor=False)
    st.caption("Select two rows to compare them. Click a column name to sort.")
    # Columns per reference, so that sorting never ranks an agreement with readers against an exact match.
    scores: dict[str, list[float | None]] = {}
    counts: dict[str, list[str | None]] = {}
    for reference, counted_as in (("people", "Right"), ("readers", "Agreeing")):
        results = [
            (run.score.correct, run.score.n) if run.score and run.score.reference == reference else None for run in runs
        ]
        if any(results):
            scores[score_title(reference)] = [each and each[0] / each[1] for each in results]
            counts[f"{counted_as} (95% interval)"] = [each and counted(*each) for each in results]
    st.dataframe(
        pd.DataFrame(
            {
                "Run": [run.job.id for run in runs],
                **scores,
                **counts,
                "Training images": [run.train_n for run in runs],
                "Data": [run.dataset_sha256[:8] for run in runs],
                "Started": pd.to_datetime([run.job.created_at for run in runs], utc=True),
            }
        ),
        column_config={
            **{
                title: st.column_config.NumberColumn(
                    format="percent", help="On validation images, without test-time augmentation."
                )
                for title in scores
            },
            "Data": st.column_config.TextColumn(
                help="First characters of a hash of the images and labels. Equal hashes mean equal data."
            ),
            "Started": st.column_config.DatetimeColumn(format="distance"),
        },
        key=key,
        hide_index=True,
        placeholder="–",
        on_select=choose_rows,
        selection_mode="multi-row",
        alt="Runs of this project with their results on validation images, newest first",
    )


with layout.errors(), layout.database() as db:
    layout.update_jobs(db)
    uses = count_test_uses(db, project.id)
runs = layout.runs_with_a_model(project)
if len(runs) < 2:
    st.info("You need two trained runs to compare. This project has one.", icon=":material/compare_arrows:")
    st.page_link("pages/train.py", label="Train", icon=":material/play_arrow:", query_params={"project": project.name})
    layout.stop()

with st.container(horizontal=True, vertical_alignment="bottom"):
    run = runs[layout.choose_run(project, list(runs))]
    other = runs[layout.choose_other_run(list(runs), run.job.id)]
    split, source = choose_split([run, other])
    views = st.container(width="content")
if split == "test":
    st.caption(f"{uses_text(uses)}. Compare runs on val. A run selected on test data has no unbiased test score.")
with layout.errors(), layout.database() as db:
    first, second = (resources.find_predictions(db, home, each, split, source) for each in (run, other))
    unreadable = count_unreadable(db, run, split, source)
if first and second:
    comparison = compared(first, second)
    show_numbers(comparison)
    sections = {"Images": show_disagreements, "Curves": show_curves, "Settings": show_settings}
    tabs = st.tabs(list(sections), **address.widget(state.SECTION, list(sections), "Images"))
    for tab, show in zip(tabs, sections.values(), strict=True):
        if tab.open:  # compute this tab only
            with tab:
                show(comparison)
else:
    for each, predictions in ((run, first), (other, second)):
        if predictions is None:
            ask_for_evaluation(each.job.id)
show_runs([each for each in runs.values() if each.score])
