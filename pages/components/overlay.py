"""Overlaid learning curves of two runs."""

import streamlit as st

from core.evaluation.reference import score_title
from core.training.doctor import Line
from pages.components import address, charts


def overlay(metrics: dict[str, list[Line]], reference: str) -> None:
    """Draw the losses of two runs with the same reference in one figure and their scores in another."""
    keywords = address.widget("by", charts.AXES, "step")
    by = st.segmented_control("x axis", charts.AXES, default="step", required=True, **keywords)
    names = " and ".join(metrics)
    grid = st.grid("auto", min_column_width=360)
    grid.plotly_chart(
        charts.overlaid_loss(metrics, by), key=f"loss {names}", alt=f"Loss of {names} by {by}, training and validation"
    )
    grid.plotly_chart(
        charts.overlaid_accuracy(metrics, by, reference),
        key=f"accuracy {names}",
        alt=f"{score_title(reference)} of {names} on the validation images by {by}, with 95% intervals",
    )
