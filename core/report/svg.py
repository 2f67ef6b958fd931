"""The figures of a report, as coordinates in pixels. svg.html draws them without scripts, so they print."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.evaluation.calibration import Bin, Curve
from core.evaluation.metrics import Ints

WIDE, HIGH, LEFT, LOW = 420, 250, 52, 38
"""Size of a chart, and of the margins for tick labels at the left and below."""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A confusion matrix. Rows are characters of the target, columns the characters read."""

    label: str
    target: str
    """Name of the text that is compared with the reading."""
    charset: str
    cells: list[tuple[int, int, float, str, str]]
    """Row, column, opacity, tooltip, text inside."""

    @property
    def side(self) -> int:
        """Side of a cell in pixels."""
        return max(7, min(18, 190 // len(self.charset)))

    @property
    def roomy(self) -> bool:
        """True if cells have room for text and all rows for their character."""
        return self.side > 10


def counts_matrix(counts_CC: Ints, charset: str, target: str) -> Matrix:
    """Return a matrix of counts: right readings blue, errors red with their count."""
    most = max(float(np.log1p(counts_CC.max())), 1.0)
    cells = []
    for row, column in np.argwhere(counts_CC).tolist():
        depth, count = float(np.log1p(counts_CC[row, column]) / most), f"{counts_CC[row, column]:,}"
        right = row == column
        cells.append((row, column, max(depth, 0.12 if right else 0.55), count, "" if right else count))
    return Matrix(label="counts", target=target, charset=charset, cells=cells)


def probability_matrix(mass_CC: NDArray[np.float64], charset: str, target: str) -> Matrix:
    """Return a matrix of probabilities. The opacity is logarithmic, from one in 100,000 to 1."""
    with np.errstate(invalid="ignore"):
        filled = np.argwhere(mass_CC > 1e-5).tolist()
    cells = [
        (row, column, 1 + float(np.log10(mass_CC[row, column])) / 5, f"{mass_CC[row, column]:.2g}", "")
        for row, column in filled
    ]
    return Matrix(label="mean probability", target=target, charset=charset, cells=cells)


class Chart:
    """Lines and dots on two linear axes."""

    width, height, left, bottom = WIDE, HIGH, LEFT, HIGH - LOW

    def __init__(self, label: str, x: tuple[str, float, float], y: tuple[str, float, float]) -> None:
        """Create an empty chart. Each axis has a name, a low and a high end."""
        self.label, self.x_axis, self.y_axis = label, x, y
        self.lines: list[tuple[str, str]] = []
        """CSS class and points."""
        self.dots: list[tuple[float, float, str]] = []
        """Position and tooltip."""
        self.x_ticks = [(self.x(value), _tick(value, x)) for value in np.linspace(*x[1:], 5)]
        self.y_ticks = [(self.y(value), _tick(value, y)) for value in np.linspace(*y[1:], 5)]

    def x(self, value: float) -> float:
        _, low, high = self.x_axis
        return LEFT + (value - low) / (high - low) * (WIDE - LEFT - 12)

    def y(self, value: float) -> float:
        _, low, high = self.y_axis
        return HIGH - LOW - (value - low) / (high - low) * (HIGH - LOW - 12)

    def add_line(self, kind: str, points: Sequence[tuple[float, float]]) -> None:
        self.lines.append((kind, " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)))

    def add_dot(self, x: float, y: float, text: str) -> None:
        self.dots.append((self.x(x), self.y(y), text))


def reliability_chart(bins: Sequence[Bin], score: str) -> Chart:
    """Return a reliability diagram with intervals. On the diagonal, confidence equals the share of right readings.

    `score` is the name of that share.
    """
    low = min(*(each.confidence for each in bins), *(each.ci95[0] for each in bins), 0.99)
    low = np.floor(low * 20) / 20
    chart = Chart(f"{score.capitalize()} by confidence", ("mean confidence", low, 1.0), (score, low, 1.0))
    chart.add_line("even", [(low, low), (1, 1)])
    for each in bins:
        chart.add_line("interval", [(each.confidence, end) for end in each.ci95])
        text = f"confidence {each.confidence:.2%}: {each.correct:,} of {each.n:,} right"
        chart.add_dot(each.confidence, each.correct / each.n, text)
    return chart


def risk_chart(curve: Curve, coverage: float | None) -> Chart:
    """Return a risk-coverage curve. A dotted line marks the coverage of the threshold."""
    n = len(curve.wrong_N)
    indices = np.unique(np.linspace(0, n - 1, min(n, 400)).astype(int))
    highest = max(float(curve.risk_N[indices].max()), 0.01)
    label = "Error rate by share of accepted readings"
    chart = Chart(label, ("share of accepted readings", 0.0, 1.0), ("error rate", 0.0, highest))
    chart.add_line("risk", list(zip(curve.coverage_N[indices].tolist(), curve.risk_N[indices].tolist(), strict=True)))
    if coverage is not None:
        chart.add_line("chosen", [(coverage, 0), (coverage, highest)])
    return chart


def _tick(value: float, axis: tuple[str, float, float]) -> str:
    """Format a percentage with as many digits as the axis needs."""
    _, low, high = axis
    return f"{value:.{0 if high - low >= 0.2 else 1 if high - low >= 0.02 else 2}%}"
