"""The Slices tab of Evaluate: exact match per group of images, worst first, or of the images that a filter selects."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from core.errors import OptionError
from core.evaluation import filters
from core.evaluation.percent import share
from core.evaluation.reference import score_title, target_name
from core.evaluation.slices import Bools, Categorical, Slice, find_slices, worse_than_rest
from core.runs.columns import columns_of
from core.runs.evaluated import Evaluated
from core.words import plural
from pages.components import address, layout, state
from pages.components.widgets.gallery.server import show_gallery

MAX_ROWS = 300


@st.fragment(key="slices")
def show_slices(shown: Evaluated) -> None:
    """Show a filter, the slices of what it selects, and the images of the clicked slice."""
    st.subheader("Slices", anchor=False)
    with layout.errors(), layout.database() as db:
        columns = columns_of(db, shown)
    right_N = shown.reading.right_N
    members_N = _ask_for_filter(shown, columns)
    if members_N is None:
        return
    is_filtered = not members_N.all()
    if is_filtered:
        show_filtered(right_N, members_N)
    if members_N.any():
        inside = {kind: column.among(members_N) for kind, column in columns.items()}
        group = _ask_for_slice(shown, inside, right_N[members_N])
        value_N = members_N if group is None else columns[group.kind].members(group.value)
        if is_filtered or group is not None:
            _show_images(shown, np.logical_and(members_N, value_N), right_N, group)


def _ask_for_filter(shown: Evaluated, columns: dict[str, Categorical]) -> Bools | None:
    """Return the samples that the filter selects, or all without a filter. Show an error and return None if invalid."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Filter", max_chars=filters.MAX_CHARS, icon=":material/filter_alt:", placeholder=filters.EXAMPLES[0],
            **address.widget(state.SLICES_FILTER, None, "", clears=("page",)),
        )  # fmt: skip
        with st.popover("Help", icon=":material/help:"):
            st.markdown(
                "Compare with `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`. Combine with `and`, `or`, `not` and parentheses."
            )
            target = target_name(shown.reference)
            meanings = {name: meaning.replace("the label", f"the {target}") for name, meaning in filters.NAMES.items()}
            st.markdown("\n".join(f"* `{name}`: {layout.plain(meaning)}" for name, meaning in meanings.items()))
            st.markdown("\n".join(["Examples:", "", *(f"* `{example}`" for example in filters.EXAMPLES)]))
    if not text:
        return np.ones(len(shown.predictions.labels), dtype=bool)
    try:
        return filters.select_readings(text, shown.predictions.labels, shown.reading, shown.spec.charset, columns)
    except OptionError as error:
        st.error(layout.plain(str(error)), icon=":material/error:")
        return None


def show_filtered(right_N: Bools, members_N: Bools) -> None:
    """Compare the samples that the filter selects with the rest."""
    n, total = int(members_N.sum()), len(right_N)
    correct, wrong = int(right_N[members_N].sum()), int((~right_N[members_N]).sum())
    if not n:
        st.info(f"The filter matches 0 of {plural(total, 'image')}.", icon=":material/filter_alt:")
        return
    rest, rest_correct = total - n, int(right_N[~members_N].sum())
    with st.grid("auto", min_column_width=170):
        layout.number("Right, filtered images", f"{correct:,} of {n:,}", share(correct, n))
        layout.number("Right, all others", f"{rest_correct:,} of {rest:,}", share(rest_correct, rest))
        p = float(worse_than_rest(np.array([wrong]), np.array([n]), int((~right_N).sum()), total)[0])
        layout.number(
            "Chance of this many errors",
            f"p = {p:.2g}",
            "if all images were equally hard; less reliable the more filters you try",
        )


def _ask_for_slice(shown: Evaluated, columns: dict[str, Categorical], right_N: Bools) -> Slice | None:
    """Show a table of the slices and return the one whose row was clicked."""
    min_images = st.slider("Min. images", 1, 100, 10, key="min images", persist_state="session", width=240)
    slices = find_slices(columns, right_N, min_images)
    if not slices:
        st.caption("No slice has this many images.")
        return None
    significant = sum(group.significant for group in slices)
    if right_N.all():
        st.caption(
            f"All of these images were read right. {plural(len(slices), 'slice')}, smallest first. Use the filter "
            "`margin < 3` to find near misses. Click a row to see its images."
        )
    else:
        verdict = "None is" if not significant else f"{significant:,} {'is' if significant == 1 else 'are'}"
        st.caption(
            f"{plural(len(slices), 'slice')}, worst first (by CI high). {verdict} significantly worse than the rest "
            "(Fisher's exact test with Holm's correction, 5%). Click a row to see its images."
        )
    # With dozens of slices, most rows are chance. They stay folded.
    everything = significant == len(slices) or st.toggle(
        f"Show all {plural(len(slices), 'slice')}", key="all slices", persist_state="session"
    )
    if not everything:
        slices = [group for group in slices if group.significant]
    if not slices:
        return None
    slices = slices[:MAX_ROWS]
    # The key names the list, because the same row number is another slice in another list.
    text = st.session_state.get(state.SLICES_FILTER, "")
    key = f"slices {shown.run.job.id} {shown.split} {shown.source} {shown.tta} {min_images} {everything} {text}"
    rows = show_table(slices, key, score_title(shown.reference))
    return slices[rows[0]] if rows and rows[0] < len(slices) else None


def show_table(slices: Sequence[Slice], key: str, score: str) -> list[int]:
    """Show the slices as rows and return the selected rows. `score` is the title of the share of right images."""
    table = st.dataframe(
        pd.DataFrame(
            {
                "Property": [group.kind for group in slices],
                "Value": [group.value for group in slices],
                "Wrong": [group.n - group.correct for group in slices],
                "Right": [f"{group.correct:,} of {group.n:,}" for group in slices],
                score: [group.correct / group.n for group in slices],
                "CI low": [group.ci95[0] for group in slices],
                "CI high": [group.ci95[1] for group in slices],
                "Error ratio": [group.error_ratio if math.isfinite(group.error_ratio) else None for group in slices],
                "Significant": ["yes" if group.significant else "" for group in slices],
                "p": [group.p for group in slices],
            }
        ),
        column_config={
            score: st.column_config.NumberColumn(format="percent"),
            "CI low": st.column_config.NumberColumn(format="percent", help="Lower end of the 95% interval."),
            "CI high": st.column_config.NumberColumn(format="percent", help="Upper end of the 95% interval."),
            "Error ratio": st.column_config.NumberColumn(
                format="%.1f",
                help="Error rate of this slice over that of all other images. Empty if those have no error.",
            ),
            "p": st.column_config.NumberColumn(
                "Chance (p)", format="%.2g",
                help="Chance of this many errors in any of these slices if all images were equally hard.",
            ),
        },
        hide_index=True,
        height=min(420, 38 + 35 * max(1, len(slices))),
        placeholder="–",
        alt=f"{len(slices)} slices with their {score.lower()}",
        on_select="rerun",
        selection_mode="single-row",
        key=key,
    )  # fmt: skip
    return list(table.selection.rows)


def _show_images(shown: Evaluated, members_N: Bools, right_N: Bools, group: Slice | None) -> None:
    """Show the images of a slice: wrong ones first, then by rising confidence."""
    places = np.flatnonzero(members_N)
    places = places[np.lexsort((shown.reading.confidence_N[places], right_N[places]))]
    name = "filtered images" if group is None else f"{group.kind}: {group.value}"
    wrong = int((~right_N[places]).sum())
    st.markdown(f"**{layout.plain(name[0].upper() + name[1:])}**")
    st.caption(f"{plural(len(places), 'image')}, {wrong:,} wrong. Wrong images first, then lowest confidence first.")
    if len(places):
        show_gallery(shown, places, f"{address.get(state.SLICES_FILTER)} {name}", "slices")
