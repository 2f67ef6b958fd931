"""Overlaid learning curves of two runs."""

import streamlit as st

from core.training.doctor import Line
from pages.components import charts


def overlay(metrics: dict[str, list[Line]]) -> None:
    """Draw the losses of two runs in one figure and their exact match in another."""
    by = st.segmented_control("x axis", charts.AXES, default="step", required=True, key="by", bind="query-params")
    names = " and ".join(metrics)
    grid = st.grid("auto", min_column_width=360)
    grid.plotly_chart(
        charts.overlaid_loss(metrics, by), key=f"loss {names}", alt=f"Loss of {names} by {by}, training and validation"
    )
    grid.plotly_chart(
        charts.overlaid_accuracy(metrics, by),
        key=f"accuracy {names}",
        alt=f"Exact match of {names} on the validation images by {by}, with 95% intervals",
    )
