"""Plotly figures of the pages. Does not import Streamlit, which applies its theme to them.

The colors work on light and dark backgrounds.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.colors import sample_colorscale

from core.evaluation.calibration import Bin, Curve
from core.evaluation.metrics import interval95
from core.evaluation.percent import counted
from core.evaluation.reference import score_name
from core.runs.label_curve import STARTS as TITLES
from core.runs.label_curve import TICKS, Point, nines
from core.training.doctor import Line, lines_of_kind

POINTS = 400
"""Points per curve, about its width in pixels."""
BLUE, ORANGE, RED, GRAY = "#2f6fed", "#d9822b", "#d94838", "#8a8f98"
BLUE_BAND, ORANGE_BAND = "rgba(47, 111, 237, 0.18)", "rgba(217, 130, 43, 0.18)"
PAIR = ((BLUE, BLUE_BAND), (ORANGE, ORANGE_BAND))
"""Colors of two runs in one figure."""
HIGHEST = 3.0
"""Evidence of drift that is drawn, as a share of the limit. It grows with every changed image."""
AXES = ("step", "minutes")
_HOVER = {"step": "step %{x}", "minutes": "%{x:.1f} min"}


def loss_figure(metrics: Sequence[Line]) -> go.Figure:
    """Draw the training loss, averaged to POINTS, and the validation loss."""
    steps, val = lines_of_kind(metrics, "step"), lines_of_kind(metrics, "val")
    x, y = thinned(steps, "loss")
    figure = go.Figure()
    figure.add_scatter(x=x, y=y, name="train", mode="lines", line={"color": BLUE, "width": 1.5})
    figure.add_scatter(
        x=[line["step"] for line in val],
        y=[line["loss"] for line in val],
        name="validation",
        mode="lines+markers",
        line={"color": ORANGE},
        marker={"size": 5},
    )
    figure.update_traces(hovertemplate="step %{x}: %{y:.4f}")
    return _framed(figure, "Loss", "cross-entropy per character")


def accuracy_figure(metrics: Sequence[Line], num_classes: int, reference: str = "people") -> go.Figure:
    """Draw the score on validation images with its 95% interval, and the share of right characters."""
    steps, val = lines_of_kind(metrics, "step"), lines_of_kind(metrics, "val")
    x, y = thinned(steps, "accuracy")
    at = [line["step"] for line in val]
    figure = go.Figure()
    _add_band(figure, at, val, ORANGE_BAND)
    figure.add_scatter(
        x=x, y=y, name="train, characters", mode="lines", line={"color": BLUE, "width": 1.5},
        hovertemplate="step %{x}: %{y:.1%} of characters",
    )  # fmt: skip
    figure.add_scatter(
        x=at, y=[fmean(line["per_position"]) for line in val], name="validation, characters", mode="lines",
        line={"color": ORANGE, "width": 1.5, "dash": "dot"}, hovertemplate="step %{x}: %{y:.1%} of characters",
    )  # fmt: skip
    figure.add_scatter(
        x=at,
        y=[line["correct"] / line["n"] for line in val],
        name=f"validation, {score_name(reference)} with 95% interval",
        mode="lines+markers",
        line={"color": ORANGE},
        marker={"size": 5},
        text=[f"{counted(line['correct'], line['n'])}" for line in val],
        hovertemplate="step %{x}: %{text}",
    )
    figure.add_hline(y=1 / num_classes, line={"dash": "dot", "color": GRAY, "width": 1})
    figure.update_yaxes(range=[-0.02, 1.02], tickformat=".0%")
    return _framed(figure, _score_heading(reference), f"dotted line: guessing a character, 1 in {num_classes}")


def positions_figure(metrics: Sequence[Line], reference: str = "people") -> go.Figure:
    """Draw the share of right characters at each position on validation images."""
    val = lines_of_kind(metrics, "val")
    count = len(val[-1]["per_position"]) if val else 0
    figure = go.Figure()
    for position, color in enumerate(sample_colorscale("Turbo", max(count, 2), low=0.12, high=0.85)[:count], start=1):
        figure.add_scatter(
            x=[line["step"] for line in val],
            y=[line["per_position"][position - 1] for line in val],
            name=str(position),
            mode="lines",
            line={"color": color, "width": 1.5},
            hovertemplate=f"position {position}, step %{{x}}: %{{y:.1%}}<extra></extra>",
        )
    figure.update_yaxes(range=[-0.02, 1.02], tickformat=".0%")
    figure.update_layout(legend_title_text="position")
    share = "right characters" if reference == "people" else "agreement with readers"
    return _framed(figure, "Positions", f"validation, {share} at each position")


def overlaid_loss(runs: Mapping[str, Sequence[Line]], by: str) -> go.Figure:
    """Draw the losses of several runs by `step` or `minutes`: training thin, validation with markers."""
    figure = go.Figure()
    for (name, metrics), (color, _) in zip(runs.items(), PAIR, strict=False):
        x, y = thinned(lines_of_kind(metrics, "step"), "loss", by)
        figure.add_scatter(
            x=x, y=y, name=f"{name}, train", mode="lines", line={"color": color, "width": 1.2}, opacity=0.7
        )
        val = _timed(lines_of_kind(metrics, "val"), by)
        figure.add_scatter(
            x=[at for at, _ in val], y=[line["loss"] for _, line in val], name=f"{name}, validation",
            mode="lines+markers", line={"color": color}, marker={"size": 5},
        )  # fmt: skip
    figure.update_traces(hovertemplate=f"{_HOVER[by]}: %{{y:.4f}}")
    figure = _framed(figure, "Loss", "cross-entropy per character", by)
    return figure.update_layout(legend_y=-0.3)  # lower, because two rows would touch the axis title


def overlaid_accuracy(runs: Mapping[str, Sequence[Line]], by: str, reference: str = "people") -> go.Figure:
    """Draw the score of several runs on validation images with 95% intervals, by `step` or `minutes`."""
    figure = go.Figure()
    for (name, metrics), (color, band) in zip(runs.items(), PAIR, strict=False):
        val = _timed(lines_of_kind(metrics, "val"), by)
        _add_band(figure, [at for at, _ in val], [line for _, line in val], band)
        figure.add_scatter(
            x=[at for at, _ in val],
            y=[line["correct"] / line["n"] for _, line in val],
            name=name,
            mode="lines+markers",
            line={"color": color},
            marker={"size": 5},
            text=[counted(line["correct"], line["n"]) for _, line in val],
            hovertemplate=f"{_HOVER[by]}: %{{text}}",
        )
    figure.update_yaxes(range=[-0.02, 1.02], tickformat=".0%")
    subtitle = f"{score_name(reference)} on validation with 95% interval"
    return _framed(figure, _score_heading(reference), subtitle, by)


def _score_heading(reference: str) -> str:
    return "Accuracy" if reference == "people" else "Agreement"


def thinned(lines: Sequence[Line], key: str, by: str = "step") -> tuple[list[float], list[float]]:
    """Return steps or minutes and values. More than POINTS values are averaged over equal intervals."""
    values = [(at, line[key]) for at, line in _timed(lines, by) if line.get(key) is not None]
    if not values:
        return [], []
    parts = np.array_split(np.array(values, dtype=float), min(POINTS, len(values)))
    return [float(part[-1, 0]) for part in parts], [float(part[:, 1].mean()) for part in parts]


def _timed(lines: Sequence[Line], by: str) -> list[tuple[float, Line]]:
    """Pair each line with its place on the axis. Omit lines without a time if `by` is minutes."""
    if by == "step":
        return [(line["step"], line) for line in lines]
    return [(line["seconds"] / 60, line) for line in lines if line.get("seconds") is not None]


def _add_band(figure: go.Figure, at: Sequence[float], val: Sequence[Line], color: str) -> None:
    """Draw the 95% intervals of these validations as a band."""
    bounds = [interval95(line["correct"], line["n"]) for line in val]
    figure.add_scatter(
        x=[*at, *reversed(at)],
        y=[*(high for _, high in bounds), *(low for low, _ in reversed(bounds))],
        mode="lines",
        fill="toself",
        fillcolor=color,
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
    )


def _framed(figure: go.Figure, title: str, subtitle: str, by: str = "step") -> go.Figure:
    return figure.update_layout(
        title={"text": title, "subtitle": {"text": subtitle}},
        xaxis_title=by,
        height=340,
        margin={"l": 8, "r": 8, "t": 64, "b": 8},
        legend={"orientation": "h", "y": -0.22, "x": 0},
        hovermode="x",
    )


def confidence_figure(texts: Sequence[str], seconds: Sequence[str], probs_P2: NDArray[np.floating]) -> go.Figure:
    """Draw the probability of the two best characters at each position."""
    figure = go.Figure()
    places = [f"{place}" for place in range(1, len(texts) + 1)]
    for rank, (chars, color, name) in enumerate(((texts, BLUE, "best"), (seconds, GRAY, "second best"))):
        figure.add_bar(
            x=places,
            y=probs_P2[:, rank],
            name=name,
            text=[f"<b>{char}</b>" if rank == 0 else char for char in map(_escaped, chars)],
            textposition="outside",
            cliponaxis=False,
            marker={"color": color, "opacity": 0.85},
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
    """Draw the share of right readings by confidence, with intervals. On the line, confidence is calibrated."""
    shares = [part.correct / part.n for part in bins]
    figure = go.Figure()
    low = min(*(part.confidence for part in bins), *(part.ci95[0] for part in bins))
    figure.add_scatter(x=[low, 1], y=[low, 1], mode="lines", line={"color": GRAY}, opacity=0.6, hoverinfo="skip")
    figure.add_scatter(
        x=[part.confidence for part in bins],
        y=shares,
        mode="markers",
        marker={"size": 8, "color": BLUE},
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
    figure.update_yaxes(title="share right", tickformat=".0%", fixedrange=True)
    figure.update_layout(height=280, margin={"l": 8, "r": 8, "t": 8, "b": 8}, showlegend=False, dragmode=False)
    return figure


def risk_figure(curve: Curve, chosen: float | None) -> go.Figure:
    """Draw the error rate of accepted readings by coverage. The chosen coverage is a vertical line."""
    n = len(curve.wrong_N)
    # At most 1,000 points, as many as a screen can show.
    places = np.unique(np.linspace(0, n - 1, min(n, 1000)).astype(int))
    figure = go.Figure()
    figure.add_scatter(
        x=curve.coverage_N[places],
        y=curve.risk_N[places],
        mode="lines",
        line={"color": RED, "shape": "hv"},
        customdata=np.stack([curve.wrong_N[places], places + 1], axis=1).tolist(),
        hovertemplate="%{customdata[0]} wrong of the %{customdata[1]} most confident<extra></extra>",
    )
    if chosen is not None:
        figure.add_vline(x=chosen, line={"color": BLUE, "dash": "dot"})
    figure.update_xaxes(title="share of images accepted", tickformat=".0%", fixedrange=True, range=[0, 1.02])
    figure.update_yaxes(title="error rate", tickformat=".1%", fixedrange=True, rangemode="tozero")
    figure.update_layout(height=280, margin={"l": 8, "r": 8, "t": 8, "b": 8}, showlegend=False, dragmode=False)
    return figure


def drift_figure(curves: Mapping[str, Sequence[tuple[int, str, float]]]) -> go.Figure:
    """Draw the evidence of drift of each source in order of time, with the limit at 100%."""
    figure = go.Figure()
    for name, points in curves.items():
        figure.add_scatter(
            x=[place for place, _, _ in points],
            y=[min(height, HIGHEST) for *_, height in points],
            name="".join(map(_escaped, name)),
            mode="lines",
            text=[at[:10] for _, at, _ in points],
            hovertemplate="image %{x}, %{text}: %{y:.0%}",
        )
    figure.add_hline(y=1, line={"dash": "dot", "color": RED, "width": 1})
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    figure = _framed(
        figure, "Evidence", f"share of the limit, at most {HIGHEST:.0%}; over the dotted line is an alarm", "image"
    )
    return figure.update_layout(height=280, showlegend=len(curves) > 1, legend_y=-0.4)


STARTS = {"readers": "#2f9e6e", "rendered": BLUE, "scratch": ORANGE}


def labels_figure(points: Sequence[Point], title: str, present: int) -> go.Figure:
    """Draw exact match by number of labels, for one image set. A dotted line marks the labels that are present."""
    figure = go.Figure()
    for start, color in STARTS.items():
        line = [point for point in points if point.start == start]
        figure.add_scatter(
            x=[point.labels for point in line],
            y=[nines(point.share) for point in line],
            name=TITLES[start],
            mode="lines+markers",
            line={"color": color},
            marker={"size": 6},
            error_y={
                "array": [nines(point.ci95[1]) - nines(point.share) for point in line],
                "arrayminus": [nines(point.share) - nines(point.ci95[0]) for point in line],
                "thickness": 1,
                "width": 3,
            },
            text=[point.text for point in line],
            hovertemplate="%{x:,} labels: %{text}",
            showlegend=bool(line),
        )
    if present:
        figure.add_vline(x=present, line={"dash": "dot", "color": GRAY, "width": 1})
    figure.update_xaxes(
        title="labels", type="log", range=[1.5, 3.75], tickvals=[50, 200, 1000, 4000],
        ticktext=["50", "200", "1,000", "4,000"], fixedrange=True,
    )  # fmt: skip
    figure.update_yaxes(
        range=[-0.05, 3.05], tickvals=list(map(nines, TICKS)), ticktext=list(TICKS.values()), fixedrange=True
    )
    return figure.update_layout(
        title={"text": title.capitalize()}, height=320, margin={"l": 8, "r": 8, "t": 48, "b": 8}, dragmode=False,
        hovermode="closest", legend={"orientation": "h", "y": -0.3, "x": 0},
    )  # fmt: skip


def _escaped(char: str) -> str:
    """Escape a character, because Plotly interprets some HTML in texts."""
    return {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(char, char)
