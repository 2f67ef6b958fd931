"""The figures of a report as values in pixels; svg.html draws them: no script, and they print."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.evaluation.calibration import Bin, Curve
from core.evaluation.metrics import Ints

WIDE, HIGH, LEFT, LOW = 420, 250, 52, 38
"""Size of a chart, and the room for the numbers at its left and below it."""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Rows are true characters, columns read ones."""

    label: str
    charset: str
    cells: list[tuple[int, int, float, str, str]]
    """Row, column, depth of the color, text when pointed at, text inside."""

    @property
    def side(self) -> int:
        """Of a cell, in pixels."""
        return max(7, min(18, 190 // len(self.charset)))

    @property
    def roomy(self) -> bool:
        """Whether a cell has room for text, and each row for its character."""
        return self.side > 10


def counts_matrix(counts_CC: Ints, charset: str) -> Matrix:
    """Draw right answers blue, errors red with their number."""
    most = max(float(np.log1p(counts_CC.max())), 1.0)
    cells = []
    for row, column in np.argwhere(counts_CC).tolist():
        depth, count = float(np.log1p(counts_CC[row, column]) / most), f"{counts_CC[row, column]:,}"
        right = row == column
        cells.append((row, column, max(depth, 0.12 if right else 0.55), count, "" if right else count))
    return Matrix(label="counts", charset=charset, cells=cells)


def probability_matrix(mass_CC: NDArray[np.float64], charset: str) -> Matrix:
    """Draw a soft confusion matrix; its depth follows the logarithm from one in 100,000 to 1."""
    with np.errstate(invalid="ignore"):
        filled = np.argwhere(mass_CC > 1e-5).tolist()
    cells = [
        (row, column, 1 + float(np.log10(mass_CC[row, column])) / 5, f"{mass_CC[row, column]:.2g}", "")
        for row, column in filled
    ]
    return Matrix(label="mean probability", charset=charset, cells=cells)


class Chart:
    """Lines and dots in a box with a linear axis each way."""

    width, height, left, bottom = WIDE, HIGH, LEFT, HIGH - LOW

    def __init__(self, label: str, x: tuple[str, float, float], y: tuple[str, float, float]) -> None:
        """Each axis is given by its name and its ends."""
        self.label, self.x_axis, self.y_axis = label, x, y
        self.lines: list[tuple[str, str]] = []
        """Class and points."""
        self.dots: list[tuple[float, float, str]] = []
        """Place and text when pointed at."""
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


def reliability_chart(bins: Sequence[Bin]) -> Chart:
    """Draw how often answers of like confidence are right, with the interval; on the line the confidence is honest."""
    low = min(*(part.confidence for part in bins), *(part.ci95[0] for part in bins), 0.99)
    low = np.floor(low * 20) / 20
    chart = Chart("Share of right answers against confidence", ("mean confidence", low, 1.0), ("right", low, 1.0))
    chart.add_line("even", [(low, low), (1, 1)])
    for part in bins:
        chart.add_line("interval", [(part.confidence, end) for end in part.ci95])
        text = f"confidence {part.confidence:.2%}: {part.correct:,} of {part.n:,} right"
        chart.add_dot(part.confidence, part.correct / part.n, text)
    return chart


def risk_chart(curve: Curve, chosen: float | None) -> Chart:
    """Draw wrong answers among those used, as fewer and fewer are; the chosen coverage is a dotted line."""
    n = len(curve.wrong_N)
    places = np.unique(np.linspace(0, n - 1, min(n, 400)).astype(int))
    most = max(float(curve.risk_N[places].max()), 0.01)
    label = "Wrong answers among those used, against the share of images answered"
    chart = Chart(label, ("share of images answered", 0.0, 1.0), ("wrong among them", 0.0, most))
    chart.add_line("risk", list(zip(curve.coverage_N[places].tolist(), curve.risk_N[places].tolist(), strict=True)))
    if chosen is not None:
        chart.add_line("chosen", [(chosen, 0), (chosen, most)])
    return chart


def _tick(value: float, axis: tuple[str, float, float]) -> str:
    """Round a percentage as finely as the axis is long."""
    _, low, high = axis
    return f"{value:.{0 if high - low >= 0.2 else 1 if high - low >= 0.02 else 2}%}"
