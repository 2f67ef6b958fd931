"""The table of a project's runs on the Train page."""

import pandas as pd
import streamlit as st

from core.data.managing import tags_of
from core.evaluation.percent import counted
from core.evaluation.reference import score_title
from db.records import Project, Run
from pages.components import address


def show_table(project: Project, runs: list[Run]) -> None:
    """Draw the table. Selecting a row shows that run."""
    key = f"runs table {project.id} {len(runs)}"  # the same row number is another run in another list

    def choose_row() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        address.go(run=runs[rows[0]].job.id if rows else None, over=None)

    # A column per reference, so that sorting never ranks an agreement with readers against an exact match.
    results = [run.score for run in runs]
    scores = {
        f"{score_title(reference)} on validation (95% interval)": [
            counted(score.correct, score.n) if score and score.reference == reference else None for score in results
        ]
        for reference in sorted({run.score.reference if run.score else run.reference for run in runs})
    }
    st.subheader("Runs", anchor=False)
    st.dataframe(
        pd.DataFrame(
            {
                "Run": [run.job.id for run in runs],
                **_described(runs),
                "State": [run.job.state for run in runs],
                **scores,
                "Training images": [run.train_n for run in runs],
                "Started": pd.to_datetime([run.job.created_at for run in runs], utc=True),
            }
        ),
        column_config={"Started": st.column_config.DatetimeColumn(format="distance")},
        key=key,
        hide_index=True,
        placeholder="–",
        on_select=choose_row,
        selection_mode="single-row",
        alt="All runs of this project, newest first",
    )


def _described(runs: list[Run]) -> dict[str, list[str | None]]:
    """Return the columns of what people say about runs, as far as there is anything."""
    columns: dict[str, list[str | None]] = {
        "Name": [run.name or None for run in runs],
        "Tags": [", ".join(tags_of(run)) or None for run in runs],
        "Note": [run.note or None for run in runs],
    }
    return {title: values for title, values in columns.items() if any(values)}
