"""Figures as SVG text: they stand inside one HTML file, need no script, and print. Their colours are the page's CSS."""

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from core.evaluation.calibration import Bin, Curve
from core.evaluation.metrics import Ints

_WIDE, _HIGH, _LEFT, _LOW = 420, 250, 52, 38
"""Size of a chart, and the room for the numbers at its left and below it."""


def counts_svg(counts_CC: Ints, charset: str) -> str:
    """A confusion matrix: rows true, columns read; right answers blue, errors red with their number."""
    most = max(float(np.log1p(counts_CC.max())), 1.0)
    cells = [
        (row, column, float(np.log1p(counts_CC[row, column]) / most), f"{counts_CC[row, column]:,}")
        for row, column in np.argwhere(counts_CC).tolist()
    ]
    return _matrix(
        charset,
        [
            (row, column, max(depth, 0.12 if row == column else 0.55), count, "" if row == column else count)
            for row, column, depth, count in cells
        ],
        "counts",
    )


def probability_svg(mass_CC: NDArray[np.float64], charset: str) -> str:
    """A soft confusion matrix; red follows the logarithm from one in 100,000 to 1."""
    with np.errstate(invalid="ignore"):
        seen = np.argwhere(mass_CC > 1e-5).tolist()
    return _matrix(
        charset,
        [
            (row, column, 1 + float(np.log10(mass_CC[row, column])) / 5, f"{mass_CC[row, column]:.2g}", "")
            for row, column in seen
        ],
        "mean probability",
    )


def _matrix(charset: str, cells: Sequence[tuple[int, int, float, str, str]], what: str) -> str:
    """Cells are row, column, depth of colour, what they say when pointed at, and what is written in them."""
    side = max(7, min(18, 190 // len(charset)))
    size, every = side * len(charset), 1 if side > 10 else 2
    parts = [f'<rect class="frame" x="20" y="16" width="{size}" height="{size}"/>']
    for place, char in enumerate(charset):
        middle = side * (place + 0.5)
        if place % every == 0:
            parts.append(f'<text x="{20 + middle}" y="12" text-anchor="middle">{escape(char)}</text>')
            parts.append(f'<text x="15" y="{19 + middle}" text-anchor="end">{escape(char)}</text>')
    for row, column, depth, title, text in cells:
        x, y = 20 + side * column, 16 + side * row
        kind = "right" if row == column else "wrong"
        pair = f"true {charset[row]}, read as {charset[column]}: {title}"
        parts.append(
            f'<rect class="{kind}" x="{x}" y="{y}" width="{side - 1}" height="{side - 1}"'
            f' fill-opacity="{depth:.2f}"><title>{escape(pair)}</title></rect>'
        )
        if text and side > 10:
            parts.append(
                f'<text class="inside" x="{x + side / 2}" y="{y + side / 2 + 3}" text-anchor="middle">{text}</text>'
            )
    return _svg(size + 24, size + 20, parts, f"Confusion matrix, {what}; rows true, columns read")


def reliability_svg(bins: Sequence[Bin]) -> str:
    """How often answers of like confidence are right, with its interval; on the line the confidence is honest."""
    low = min(*(part.confidence for part in bins), *(part.ci95[0] for part in bins), 0.99)
    low = np.floor(low * 20) / 20
    chart = _Chart((low, 1.0), (low, 1.0))
    parts = [*chart.axes("mean confidence", "right"), chart.line([(low, low), (1, 1)], "even")]
    for part in bins:
        share = part.correct / part.n
        x = chart.x(part.confidence)
        parts.append(chart.line([(part.confidence, part.ci95[0]), (part.confidence, part.ci95[1])], "interval"))
        parts.append(
            f'<circle class="right" cx="{x:.1f}" cy="{chart.y(share):.1f}" r="4"><title>confidence'
            f" {part.confidence:.2%}: {part.correct:,} of {part.n:,} right</title></circle>"
        )
    return _svg(_WIDE, _HIGH, parts, "Share of right answers against confidence")


def risk_svg(curve: Curve, chosen: float | None) -> str:
    """Wrong answers among those used, as fewer and fewer are; the chosen coverage is a dotted line."""
    n = len(curve.wrong_N)
    places = np.unique(np.linspace(0, n - 1, min(n, 400)).astype(int))
    most = max(float(curve.risk_N[places].max()), 0.01)
    chart = _Chart((0.0, 1.0), (0.0, most))
    points = list(zip(curve.coverage_N[places].tolist(), curve.risk_N[places].tolist(), strict=True))
    parts = [*chart.axes("share of images answered", "wrong among them"), chart.line(points, "risk")]
    if chosen is not None:
        parts.append(chart.line([(chosen, 0), (chosen, most)], "chosen"))
    return _svg(_WIDE, _HIGH, parts, "Wrong answers among those used, against the share of images answered")


class _Chart:
    """A box with a linear axis each way."""

    def __init__(self, across: tuple[float, float], up: tuple[float, float]) -> None:
        self.across, self.up = across, up

    def x(self, value: float) -> float:
        low, high = self.across
        return _LEFT + (value - low) / (high - low) * (_WIDE - _LEFT - 12)

    def y(self, value: float) -> float:
        low, high = self.up
        return _HIGH - _LOW - (value - low) / (high - low) * (_HIGH - _LOW - 12)

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> str:
        places = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        return f'<polyline class="{kind}" points="{places}"/>'

    def axes(self, across: str, up: str) -> list[str]:
        parts = []
        for share in (0, 0.25, 0.5, 0.75, 1):
            x = self.across[0] + share * (self.across[1] - self.across[0])
            y = self.up[0] + share * (self.up[1] - self.up[0])
            parts.append(self.line([(self.across[0], y), (self.across[1], y)], "grid"))
            parts.append(f'<text x="{_LEFT - 6}" y="{self.y(y) + 3:.1f}" text-anchor="end">{_tick(y, self.up)}</text>')
            text = _tick(x, self.across)
            parts.append(f'<text x="{self.x(x):.1f}" y="{_HIGH - _LOW + 15}" text-anchor="middle">{text}</text>')
        middle, height = (_WIDE + _LEFT) / 2, (_HIGH - _LOW) / 2
        parts.append(f'<text x="{middle:.1f}" y="{_HIGH - 4}" text-anchor="middle">{across}</text>')
        parts.append(
            f'<text x="11" y="{height:.1f}" text-anchor="middle" transform="rotate(-90 11 {height:.1f})">{up}</text>'
        )
        return parts


def _tick(value: float, span: tuple[float, float]) -> str:
    return f"{value:.{0 if span[1] - span[0] >= 0.2 else 1 if span[1] - span[0] >= 0.02 else 2}%}"


def _svg(width: float, height: float, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img"'
        f' aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )
