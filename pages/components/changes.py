"""The notice that labels have changed since an evaluation."""

import streamlit as st

from core.runs.evaluated import Evaluated
from core.words import plural
from db.labels import labels_since
from pages.components import layout

FRAGMENT = "changed labels"
"""Key of the notice, which the gallery redraws when it has saved a label."""


def count_changed(shown: Evaluated) -> int:
    """Return the number of labels that have changed since the evaluation."""
    if shown.reference == "readers":
        return 0
    with layout.errors(), layout.database() as db:
        now = labels_since(db, shown.project.id, shown.run.job.created_at)
    before = zip(shown.predictions.sha256, shown.predictions.labels, strict=True)
    return sum(now.get(sha256, label) != label for sha256, label in before) if now else 0


@st.fragment(key=FRAGMENT)
def show_changed(shown: Evaluated, counted: list[int]) -> None:
    """Draw the notice. `counted` holds the number for the first drawing; a later one counts again."""
    changed = counted.pop() if counted else count_changed(shown)
    if changed:
        labels = f"{plural(changed, 'label')} {'has' if changed == 1 else 'have'}"
        st.warning(f"{labels} changed since this evaluation. Evaluate again to update the numbers.")
