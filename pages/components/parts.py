"""Where the errors gather: exact match on parts of the split, worst first."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.slices import Slice, find_slices
from db.samples import facts_by_hash
from pages.components import layout
from pages.components.evaluated import Evaluated

SHOWN = 300


@st.fragment
def show_parts(shown: Evaluated) -> None:
    """A table; by text, by each character at each position, and by what the database knows of the images."""
    project, found, reading = shown.page.project, shown.found, shown.reading
    with layout.errors(), layout.database() as db:
        known = facts_by_hash(db, project.id, found.sha256)
    unknown = dict.fromkeys(("source", "import day", "operator", "size"), "gone")
    rows = [known.get(sha256, unknown) for sha256 in found.sha256]
    facts = {kind: [row[kind] for row in rows] for kind in unknown}
    parts = find_slices(found.labels, reading.right_NP.all(axis=1), facts)
    st.subheader("Where errors gather", anchor=False)
    least = st.slider("Images at least", 1, max(2, min(100, len(found.labels) // 2)), 10, key="part of", width=240)
    kept = [part for part in parts if part.n >= least]
    st.caption(
        f"{len(kept):,} of {len(parts):,} parts, worst first by the upper end of the interval. Among so many some look "
        "bad by chance: trust those whose interval is far below the whole."
    )
    show_table(kept[:SHOWN])


def show_table(parts: Sequence[Slice]) -> None:
    st.dataframe(
        pd.DataFrame(
            {
                "Images with": [part.kind for part in parts],
                "Value": [part.value for part in parts],
                "Wrong": [part.n - part.correct for part in parts],
                "Right": [f"{part.correct:,} of {part.n:,}" for part in parts],
                "Exact match": [part.correct / part.n for part in parts],
                "From": [part.ci95[0] for part in parts],
                "To": [part.ci95[1] for part in parts],
                "Errors, times the rest": [part.lift for part in parts],
            }
        ),
        column_config={
            **{name: st.column_config.NumberColumn(name, format="percent") for name in ("Exact match", "From", "To")},
            "Errors, times the rest": st.column_config.NumberColumn(format="%.1f"),
        },
        hide_index=True,
        height=min(420, 38 + 35 * max(1, len(parts))),
        alt=f"{len(parts)} parts of the split with their exact match",
    )
