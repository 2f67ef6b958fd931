"""Details of the readers' agreement: positions, characters, and what they confuse."""

from typing import Any

import pandas as pd
import streamlit as st

from core.evaluation.percent import percent


def show_agreement(result: dict[str, Any]) -> None:
    """Draw the tables of a finished proposal job, folded. `result` is the job's result."""
    with st.expander("Agreement by position and character", icon=":material/table_chart:"):
        positions, characters, confusions = st.columns(3)
        with positions:
            _table(
                "Position",
                [(index, _share(share)) for index, share in enumerate(result["by_position"], 1)],
                ("Position", "Agreement"),
            )
        with characters:
            rows = [
                (char, _share(together / n), n) for char, (together, n) in result["by_character"].items() if n
            ]  # the least agreed first
            rows.sort(key=lambda row: result["by_character"][row[0]][0] / row[2])
            _table("Character", rows, ("Character", "Agreement", "Read"))
        with confusions:
            _table("Confused", [tuple(each) for each in result["confusions"]], ("One", "Other", "Times"))
        unread = ", ".join(
            f"{reader['name']} {n:,}" for reader, n in zip(result["readers"], result["unread"], strict=True)
        )
        st.caption(f"Images without a text of the project's length: {unread}.")


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)


def _table(title: str, rows: list[tuple[Any, ...]], columns: tuple[str, ...]) -> None:
    if rows:
        st.dataframe(
            pd.DataFrame(rows, columns=list(columns)), hide_index=True, height=min(300, 38 + 35 * len(rows)), alt=title
        )
    else:
        st.caption("The readers confuse no characters.")
