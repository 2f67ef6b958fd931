"""The table of a project's runs, for the page that shows one of them."""

import pandas as pd
import streamlit as st

from core.evaluation.percent import counted
from db.records import Project, Run
from pages.components import state


def show_table(project: Project, runs: list[Run]) -> None:
    """Draw the table; a click on a row shows that run."""
    key = f"runs table {project.id} {len(runs)}"  # rows of another list are none of this one

    def choose_row() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        st.session_state[state.RUN] = runs[rows[0]].job.id if rows else None

    st.subheader("Runs", anchor=False)
    st.dataframe(
        pd.DataFrame(
            {
                "Run": [run.job.id for run in runs],
                "State": [run.job.state for run in runs],
                "Exact match on validation, 95% interval": [
                    None if run.val_correct is None else counted(run.val_correct, run.val_n) for run in runs
                ],
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
        alt="All runs of the project, newest first",
    )
