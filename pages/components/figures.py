"""Arrays as plotly figures. Imports no streamlit, which gives the figures its theme; colours hold on light and dark."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from core.calibration import Bin, Curve

RIGHT, WRONG, OTHER = "47, 111, 237", "217, 72, 56", "138, 143, 152"


def confusion_figure(counts_CC: NDArray[np.int64], charset: str) -> go.Figure:
    """One position: rows are true characters, columns what was read.

    Right answers are blue, errors red with their number: one error among a thousand right answers has to be seen.
    Colour follows the logarithm. A heatmap gives no click to Streamlit; the invisible points over it do, with the
    row and column of their cell as customdata.
    """
    chars = list(charset)
    right_CC = np.where(np.eye(len(chars), dtype=bool), counts_CC, 0)
    figure = go.Figure()
    for counts, rgb, faintest in ((right_CC, RIGHT, 0.12), (counts_CC - right_CC, WRONG, 0.55)):
        figure.add_heatmap(
            z=np.where(counts > 0, np.log1p(counts), np.nan),
            text=np.where(counts > 0, counts.astype(str), ""),
            texttemplate="%{text}" if rgb == WRONG else "",
            textfont={"size": 11, "color": "white"},
            x=chars,
            y=chars,
            zmin=0,
            zmax=max(float(np.log1p(counts.max())), 1.0),
            colorscale=[[0, f"rgba({rgb}, {faintest})"], [1, f"rgba({rgb}, 0.9)"]],
            showscale=False,
            hoverinfo="skip",
            xgap=1,
            ygap=1,
        )
    rows, columns = np.nonzero(counts_CC)
    texts = [f"{count:,}" for count in counts_CC[rows, columns]]
    return _clickable(figure, chars, rows, columns, texts)


def soft_confusion_figure(
    mass_CC: NDArray[np.float64], support_C: NDArray[np.int64], margin_C: NDArray[np.float64], charset: str
) -> go.Figure:
    """One position: the mean probability of each character where a true one stands.

    Red follows the logarithm from one in 100,000 to 1, so that the next error is seen before it happens.
    """
    chars = list(charset)
    diagonal_CC = np.eye(len(chars), dtype=bool)
    depth_CC = np.clip(1 + np.log10(np.maximum(mass_CC, 1e-12)) / 5, 0, 1)
    figure = go.Figure()
    for shown_CC, rgb in ((diagonal_CC, RIGHT), (~diagonal_CC, WRONG)):
        figure.add_heatmap(
            z=np.where(shown_CC & (support_C[:, None] > 0), depth_CC, np.nan),
            x=chars,
            y=chars,
            zmin=0,
            zmax=1,
            colorscale=[[0, f"rgba({rgb}, 0.02)"], [1, f"rgba({rgb}, 0.9)"]],
            showscale=False,
            hoverinfo="skip",
            xgap=1,
            ygap=1,
        )
    rows, columns = np.nonzero(np.isfinite(mass_CC) & (support_C[:, None] > 0))
    texts = [
        f"{mass_CC[row, column]:.2g} of the probability"
        f"<br>{support_C[row]:,} images, closest call {margin_C[row]:.1f} nats"
        for row, column in zip(rows, columns, strict=True)
    ]
    return _clickable(figure, chars, rows, columns, texts)


def _clickable(
    figure: go.Figure, chars: list[str], rows: NDArray[np.int64], columns: NDArray[np.int64], texts: list[str]
) -> go.Figure:
    """Lay invisible points over the cells, with row and column as customdata, and draw the axes."""
    figure.add_scatter(
        x=[chars[column] for column in columns],
        y=[chars[row] for row in rows],
        mode="markers",
        customdata=[[int(row), int(column), text] for row, column, text in zip(rows, columns, texts, strict=True)],
        hovertemplate="true %{y}, read as %{x}: %{customdata[2]}<extra></extra>",
        marker={"size": 18, "symbol": "square", "opacity": 0},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
    )
    axis = {"type": "category", "categoryarray": chars, "fixedrange": True, "showgrid": False, "zeroline": False}
    axis |= {"showline": True, "mirror": True, "linecolor": f"rgba({OTHER}, 0.5)", "ticks": ""}
    every = 1 if len(chars) <= 16 else 2
    figure.update_xaxes(**axis, categoryorder="array", title="read as", range=[-0.5, len(chars) - 0.5], dtick=every)
    figure.update_yaxes(**axis, categoryorder="array", title="true", range=[len(chars) - 0.5, -0.5], dtick=every)
    figure.update_layout(
        height=max(280, 12 * len(chars) + 70), margin={"l": 8, "r": 8, "t": 8, "b": 8}, showlegend=False, dragmode=False
    )
    return figure


def confidence_figure(texts: Sequence[str], seconds: Sequence[str], probs_P2: NDArray[np.float64]) -> go.Figure:
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
