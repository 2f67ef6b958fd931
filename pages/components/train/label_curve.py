"""Charts of exact match by number of labels in the benchmarks."""

import streamlit as st

from core.runs.label_curve import SETS, load_points
from core.words import plural
from pages.components.charts import labels_figure


@st.fragment
def show_label_curve(labels: int) -> None:
    """Draw exact match by number of labels for three image sets, folded. `labels` are those the project has.

    The charts are drawn when it is opened: folded ones delayed the page by 0.2 s.
    """
    with st.expander(
        "How many labels do I need?", icon=":material/stacked_line_chart:", on_change="rerun", key="label curve"
    ) as curve:
        if curve.open:
            _draw(labels)


def _draw(labels: int) -> None:
    st.caption(
        "Share that preset fast reads right of images that trained nothing, with 95% intervals. Lines have only "
        "points that were measured. Your images may need more or fewer labels. "
        f"The dotted line is this project: {plural(labels, 'label')}."
    )
    points = load_points()
    grid = st.grid("auto", min_column_width=220)
    for images, title in SETS.items():
        figure = labels_figure([point for point in points if point.images == images], title, labels)
        grid.plotly_chart(figure, key=f"labels {images}", alt=f"Exact match by number of labels, {title}")
