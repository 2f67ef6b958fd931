"""Which characters are taken for which: a matrix for each position, whose cells lead to their images."""

from functools import partial

import streamlit as st

from core.metrics import soft_confusion_PCC, support_PC, worst_margin_PC
from pages.components.evaluated import Evaluated
from pages.components.figures import confusion_figure, soft_confusion_figure


@st.fragment
def show_matrices(shown: Evaluated) -> None:
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
    charset, result = shown.page.spec.charset, shown.result
    log_probs_NPC, targets_NP = shown.reading.log_probs_NPC, shown.reading.targets_NP
    counts_PCC = shown.reading.confusion_PCC()
    if soft:
        mass_PCC = soft_confusion_PCC(log_probs_NPC, targets_NP)
        support, margin_PC = support_PC(targets_NP, len(charset)), worst_margin_PC(log_probs_NPC, targets_NP)
    with st.grid("auto", min_column_width=210):
        for position, counts_CC in enumerate(counts_PCC):
            correct = result["per_position_correct"][position]
            if soft:
                figure = soft_confusion_figure(mass_PCC[position], support[position], margin_PC[position], charset)
            else:
                figure = confusion_figure(counts_CC, charset)
            with st.container(gap=None):
                st.markdown(f"**Position {position + 1}**: {correct:,} of {result['n']:,}")
                st.plotly_chart(
                    figure,
                    key=f"confusion {position}",
                    on_select=partial(pick_cell, shown.run.job.id, position, "nearest" if soft else "in_cell"),
                    selection_mode="points",
                    config={"displayModeBar": False},
                    alt=f"Confusion matrix of position {position + 1}: {correct} of {result['n']} right",
                )


def pick_cell(run_id: str, position: int, how: str) -> None:
    points = st.session_state[f"confusion {position}"]["selection"]["points"]
    if points:
        st.session_state["cell"] = (run_id, position, *points[0]["customdata"][:2], how)
        st.session_state["show"] = "one cell"
        st.rerun(scope="images")
