"""Section of Evaluate: exact match on parts of the split, worst first, or on what a filter selects."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from core.errors import OptionError
from core.evaluation import filters
from core.evaluation.percent import share
from core.evaluation.slices import Bools, Categorical, Slice, find_slices, worse_than_rest
from core.runs.columns import columns_of
from core.runs.evaluated import Evaluated
from pages.components import layout, state
from pages.components.widgets.gallery.server import show_gallery

SHOWN = 300


@st.fragment
def show_parts(shown: Evaluated) -> None:
    """Show a filter, the parts of what it selects, and the images of the part that was clicked."""
    st.subheader("Where errors gather", anchor=False)
    with layout.errors(), layout.database() as db:
        columns = columns_of(db, shown)
    right_N = shown.reading.right_N
    members_N = _ask_for_filter(shown, columns)
    if members_N is None:
        return
    filtered = not members_N.all()
    if filtered:
        show_filtered(right_N, members_N)
    if members_N.any():
        inside = {kind: column.among(members_N) for kind, column in columns.items()}
        part = _ask_for_part(shown, inside, right_N[members_N])
        value_N = members_N if part is None else columns[part.kind].members(part.value)
        if filtered or part is not None:
            _show_images(shown, np.logical_and(members_N, value_N), right_N, part)


def _ask_for_filter(shown: Evaluated, columns: dict[str, Categorical]) -> Bools | None:
    """Return the samples that the filter selects, all without a filter. Show an invalid one and return None."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Filter", key=state.PARTS_FILTER, bind="query-params", max_chars=filters.MAX_CHARS,
            icon=":material/filter_alt:", placeholder=filters.EXAMPLES[0],
        )  # fmt: skip
        with st.popover("Help", icon=":material/help:"):
            st.markdown("Compare with `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`; join with `and`, `or`, `not`, brackets.")
            st.markdown("\n".join(f"* `{name}`: {layout.plain(meaning)}" for name, meaning in filters.NAMES.items()))
            st.markdown("\n".join(["For example:", "", *(f"* `{example}`" for example in filters.EXAMPLES)]))
    if not text:
        return np.ones(len(shown.predictions.labels), dtype=bool)
    try:
        return filters.select_readings(text, shown.predictions.labels, shown.reading, shown.spec.charset, columns)
    except OptionError as error:
        st.error(layout.plain(str(error)), icon=":material/error:")
        return None


def show_filtered(right_N: Bools, members_N: Bools) -> None:
    """Show the samples that the filter selects against the rest."""
    n, total = int(members_N.sum()), len(right_N)
    correct, wrong = int(right_N[members_N].sum()), int((~right_N[members_N]).sum())
    if not n:
        st.info(f"The filter holds for none of {total:,} images.", icon=":material/filter_alt:")
        return
    rest, rest_correct = total - n, int(right_N[~members_N].sum())
    with st.grid("auto", min_column_width=170):
        layout.number("Right where it holds", f"{correct:,} of {n:,}", share(correct, n))
        layout.number("Right in the rest", f"{rest_correct:,} of {rest:,}", share(rest_correct, rest))
        p = float(worse_than_rest(np.array([wrong]), np.array([n]), int((~right_N).sum()), total)[0])
        layout.number(
            "So many errors by chance",
            f"p = {p:.2g}",
            "if all images were equally hard; says less the more filters were tried",
        )


def _ask_for_part(shown: Evaluated, columns: dict[str, Categorical], right_N: Bools) -> Slice | None:
    """Show a table of the parts and return the one whose row was clicked."""
    least = st.slider("Images at least", 1, 100, 10, key="part of", persist_state="session", width=240)
    parts = find_slices(columns, right_N, least)
    if not parts:
        st.caption("There is no part of so many images.")
        return None
    surely = sum(part.significant for part in parts)
    if right_N.all():
        st.caption(
            f"None of these images was read wrong. {len(parts):,} parts, those first of which the fewest images show "
            "it; the filter `margin < 3` finds what came close to an error. Click a row for its images."
        )
    else:
        st.caption(
            f"{len(parts):,} parts, worst first by the upper end of the interval. Among so many some look bad by "
            f"chance: {f'{surely:,}' if surely else 'none'} {'is' if surely == 1 else 'are'} worse than the rest even "
            "so (Fisher's exact test, Holm's correction, 5%). Click a row for its images."
        )
    parts = parts[:SHOWN]
    # Another list begins without a choice: a row that was clicked is another part there.
    text = st.session_state.get(state.PARTS_FILTER, "")
    rows = show_table(parts, f"parts {shown.run.job.id} {shown.split} {shown.tta} {least} {text}")
    return parts[rows[0]] if rows and rows[0] < len(parts) else None


def show_table(parts: Sequence[Slice], key: str) -> list[int]:
    """Show the parts as rows and return the rows that are chosen."""
    table = st.dataframe(
        pd.DataFrame(
            {
                "Images with": [part.kind for part in parts],
                "Value": [part.value for part in parts],
                "Wrong": [part.n - part.correct for part in parts],
                "Right": [f"{part.correct:,} of {part.n:,}" for part in parts],
                "Exact match": [part.correct / part.n for part in parts],
                "From": [part.ci95[0] for part in parts],
                "To": [part.ci95[1] for part in parts],
                "Times the rest": [part.error_ratio for part in parts],
                "Surely worse": ["yes" if part.significant else "" for part in parts],
                "p": [part.p for part in parts],
            }
        ),
        column_config={
            **{name: st.column_config.NumberColumn(name, format="percent") for name in ("Exact match", "From", "To")},
            "Times the rest": st.column_config.NumberColumn(
                format="%.1f", help="Share of wrong ones here, divided by that of all other images."
            ),
            "p": st.column_config.NumberColumn(
                format="%.2g", help="Chance of so many errors in any of these parts if all images were equally hard."
            ),
        },
        hide_index=True,
        height=min(420, 38 + 35 * max(1, len(parts))),
        alt=f"{len(parts)} parts of the split with their exact match",
        on_select="rerun",
        selection_mode="single-row",
        key=key,
    )
    return list(table.selection.rows)


def _show_images(shown: Evaluated, members_N: Bools, right_N: Bools, part: Slice | None) -> None:
    """Show the images of a part: the wrong ones first, then the least sure."""
    places = np.flatnonzero(members_N)
    places = places[np.lexsort((shown.reading.confidence_N[places], right_N[places]))]
    name = "the filter" if part is None else f"{part.kind}: {part.value}"
    wrong = int((~right_N[places]).sum())
    st.markdown(f"**{layout.plain(name[0].upper() + name[1:])}**")
    st.caption(f"{len(places):,} images, {wrong:,} wrong; the wrong ones first, then those the run was least sure of.")
    if len(places):
        show_gallery(shown, places, f"{st.session_state.get('filter', '')} {name}")
