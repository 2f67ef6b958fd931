"""Arrays as plotly figures. Imports no streamlit, which gives the figures its theme; colours hold on light and dark."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from core.evaluation.calibration import Bin, Curve

RIGHT, WRONG, OTHER = "47, 111, 237", "217, 72, 56", "138, 143, 152"


def confidence_figure(texts: Sequence[str], seconds: Sequence[str], probs_P2: NDArray[np.floating]) -> go.Figure:
    """For each position, how sure the best character is, and the second best beside it."""
    figure = go.Figure()
    places = [f"{place}" for place in range(1, len(texts) + 1)]
    for rank, (chars, rgb, name) in enumerate(((texts, RIGHT, "best"), (seconds, OTHER, "second best"))):
        figure.add_bar(
            x=places,
            y=probs_P2[:, rank],
            name=name,
            text=[f"<b>{char}</b>" if rank == 0 else char for char in map(_escaped, chars)],
            textposition="outside",
            cliponaxis=False,
            marker_color=f"rgba({rgb}, 0.85)",
            hovertemplate="%{text} at position %{x}: %{y:.2%}<extra></extra>",
        )
    figure.update_xaxes(title="position", type="category", fixedrange=True)
    figure.update_yaxes(range=[0, 1.2], tickvals=[0, 0.5, 1], tickformat=".0%", fixedrange=True)
    figure.update_layout(
        height=240,
        margin={"l": 8, "r": 8, "t": 24, "b": 8},
        barmode="group",
        bargap=0.25,
        legend={"orientation": "h", "y": 1.2, "x": 0},
        dragmode=False,
    )
    return figure


def reliability_figure(bins: Sequence[Bin]) -> go.Figure:
    """How often answers of like confidence are right, with its interval; on the line the confidence is honest."""
    shares = [part.correct / part.n for part in bins]
    figure = go.Figure()
    low = min(*(part.confidence for part in bins), *(part.ci95[0] for part in bins))
    figure.add_scatter(x=[low, 1], y=[low, 1], mode="lines", line={"color": f"rgba({OTHER}, 0.6)"}, hoverinfo="skip")
    figure.add_scatter(
        x=[part.confidence for part in bins],
        y=shares,
        mode="markers",
        marker={"size": 8, "color": f"rgb({RIGHT})"},
        error_y={
            "array": [part.ci95[1] - share for part, share in zip(bins, shares, strict=True)],
            "arrayminus": [share - part.ci95[0] for part, share in zip(bins, shares, strict=True)],
            "thickness": 1,
            "width": 3,
        },
        customdata=[[part.correct, part.n] for part in bins],
        hovertemplate="confidence %{x:.2%}: %{customdata[0]} of %{customdata[1]} right<extra></extra>",
    )
    figure.update_xaxes(title="mean confidence", tickformat=".0%", fixedrange=True)
    figure.update_yaxes(title="right", tickformat=".0%", fixedrange=True)
    figure.update_layout(height=280, margin={"l": 8, "r": 8, "t": 8, "b": 8}, showlegend=False, dragmode=False)
    return figure


def risk_figure(curve: Curve, chosen: float | None) -> go.Figure:
    """Wrong answers among those used, as fewer and fewer are; the chosen coverage is a line."""
    n = len(curve.wrong_N)
    # A thousand points are all that a screen shows.
    places = np.unique(np.linspace(0, n - 1, min(n, 1000)).astype(int))
    figure = go.Figure()
    figure.add_scatter(
        x=curve.coverage_N[places],
        y=curve.risk_N[places],
        mode="lines",
        line={"color": f"rgb({WRONG})", "shape": "hv"},
        customdata=np.stack([curve.wrong_N[places], places + 1], axis=1).tolist(),
        hovertemplate="%{customdata[0]} wrong of the %{customdata[1]} surest<extra></extra>",
    )
    if chosen is not None:
        figure.add_vline(x=chosen, line={"color": f"rgb({RIGHT})", "dash": "dot"})
    figure.update_xaxes(title="share of images answered", tickformat=".0%", fixedrange=True, range=[0, 1.02])
    figure.update_yaxes(title="wrong among them", tickformat=".1%", fixedrange=True, rangemode="tozero")
    figure.update_layout(height=280, margin={"l": 8, "r": 8, "t": 8, "b": 8}, showlegend=False, dragmode=False)
    return figure


def _escaped(char: str) -> str:
    """Plotly reads texts as a kind of HTML."""
    return {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(char, char)
