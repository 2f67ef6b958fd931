"""The head of Evaluate: one result and what to do next. And its statistics, at the foot of the Errors tab."""

import numpy as np
import streamlit as st

from core.evaluation.conclusion import Conclusion, Step
from core.evaluation.percent import share, share_and_interval
from core.evaluation.reference import score_title
from core.runs.evaluated import Evaluated
from core.runs.next_step import next_step
from pages.components import layout, state
from pages.components.splits import named

LINKS: dict[Step, tuple[str, str, str, dict[str, str]]] = {
    "train": ("pages/train.py", "Train a run", ":material/play_arrow:", {}),
    "label": ("pages/label.py", "Label images", ":material/keyboard:", {}),
    "measure": ("pages/label.py", "Label images", ":material/keyboard:", {"images": state.BLIND}),
    "import": ("pages/home.py", "Import images", ":material/upload:", {}),
    "confidence": ("pages/evaluate.py", "Choose a threshold", ":material/verified:", {state.SECTION: "confidence"}),
    "bundle": ("pages/evaluate.py", "Make a bundle", ":material/inventory_2:", {state.SECTION: "bundle"}),
    "use": ("pages/models.py", "Open Models", ":material/archive:", {}),
}
"""Page, label, icon and the rest of the address for each step. The errors stand below on the same page."""


def show_headline(shown: Evaluated, *, compact: bool) -> None:
    """Draw the share of right images and the next step; in one line if `compact`."""
    n, correct = shown.result["n"], shown.result["correct"]
    value, interval = share_and_interval(correct, n)
    title = score_title(shown.reference)
    if shown.reference == "people":
        title += f" on {named(shown.split, shown.source)}"
    title += ", with TTA" * shown.tta
    counts = f"{correct:,} of {n:,}, 95% interval {interval}"
    if compact:
        st.markdown(f"{layout.plain(title)}: **{value}** ({counts})")
        return
    with layout.errors(), layout.database() as db:
        conclusion = next_step(db, layout.home(), shown)
    result, advice = st.columns([2, 3], vertical_alignment="center")
    with result:
        layout.number(layout.plain(title), value, counts)
    with advice:
        _show_next(shown, conclusion)


def _show_next(shown: Evaluated, conclusion: Conclusion) -> None:
    st.markdown(f"**Next.** {layout.plain_sentence(conclusion.sentence)}")
    if conclusion.step in LINKS:
        page, label, icon, query = LINKS[conclusion.step]
        query = {"project": shown.project.name} | query
        if page == "pages/evaluate.py":
            query |= {state.RUN: shown.run.job.id}
        st.page_link(page, label=label, icon=icon, query_params=query, width="content")


def show_statistics(shown: Evaluated) -> None:
    """Draw the figures behind the headline, folded."""
    result = shown.result
    n = result["n"]
    with st.expander("Statistics"), st.grid("auto", min_column_width=170):
        if shown.tta:
            flips = result["tta_flips"]
            note = f"fixed and broken; {flips['without_tta']:,} of {n:,} without TTA"
            layout.number("Effect of TTA", f"+{flips['fixed']:,} −{flips['broken']:,}", note)
        for key, words in (("string_not_seen", "not seen"), ("string_seen", "seen")):
            part = result[key]
            if part["n"]:
                counts = f"{part['correct']:,} of {part['n']:,}"
                layout.number(f"Texts {words} in training", counts, share(part["correct"], part["n"]))
        layout.number(
            "Mean log loss",
            f"{result['nll']:.4f}" if result["nll"] >= 0.0001 else "<0.0001",
            f"per character; guessing gives {np.log(shown.spec.num_classes):.2f}",
        )
