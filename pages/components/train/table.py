"""The table of a project's runs on the Train page."""

import pandas as pd
import streamlit as st

from core.evaluation.percent import counted
from db.records import Project, Run
from pages.components import state


def show_table(project: Project, runs: list[Run]) -> None:
    """Draw the table. Selecting a row shows that run."""
    key = f"runs table {project.id} {len(runs)}"  # the same row number is another run in another list

    def choose_row() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        st.session_state[state.RUN] = runs[rows[0]].job.id if rows else None

    st.subheader("Runs", anchor=False)
    st.dataframe(
        pd.DataFrame(
            {
                "Run": [run.job.id for run in runs],
                "State": [run.job.state for run in runs],
                "Exact match on validation (95% interval)": [
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
        alt="All runs of this project, newest first",
    )
