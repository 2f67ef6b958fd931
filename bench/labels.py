"""Exact match by number of labels, start and image set, from the cells of bench.accuracy.

    python -m bench.labels            list the points that are measured and the commands of the others
    python -m bench.labels --write    write core/runs/label_curve.json and docs/images/labels-light.svg and -dark.svg

Only the committed results decide.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.accuracy.accuracy import CELLS, COUNTS, SEEDS, seeds_of
from bench.cells import RESULTS, ROOT, load_results
from core.files import atomic_write
from core.runs.label_curve import FILE, SETS, STARTS, TICKS, Point, nines, points_of

IMAGES = ROOT / "docs" / "images"
ALL = {"scratch": "fast", "rendered": "rendered"}
"""Starts with all labels, and how their cells are named."""
NAMES = {cell.name for cell in CELLS}


@dataclass(frozen=True)
class Planned:
    """A point of the curve and its cells."""

    images: str
    start: str
    count: int | None
    """Labels; None for all."""
    cells: tuple[str, ...]

    @property
    def pattern(self) -> str:
        """Pattern of its cells, for `--only` of bench.accuracy."""
        return self.cells[0].removesuffix("0") + "*"


def planned() -> Iterator[Planned]:
    """Yield every point. 100 labels are points where other tables have such cells."""
    for images in SETS:
        for start in STARTS:
            for count in sorted({*COUNTS, 100}):
                cells = tuple(f"{images}-{count}-{start}-seed{seed}" for seed in seeds_of(count))
                if cells[0] in NAMES:
                    yield Planned(images, start, count, cells)
            if start in ALL:
                yield Planned(images, start, None, tuple(f"{images}-{ALL[start]}-seed{seed}" for seed in SEEDS))


def point_of(point: Planned, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the point as label_curve.json has it, by audited labels with TTA; None if no cell of it has a result."""
    found = [results[name] for name in point.cells if name in results]
    if not found:
        return None
    tests = [result["splits"]["test"]["audited"]["tta"] for result in found]
    counts = found[0]["data"]["n"]
    return {
        "images": point.images,
        "start": point.start,
        "labels": point.count or counts["train"] + counts["val"],
        "right": [test["k"] for test in tests],
        "n": tests[0]["n"],
    }


def curve(results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the points whose seeds are all measured, with as many steps each."""
    return [
        values
        for point in planned()
        if (values := point_of(point, results)) is not None
        and len(values["right"]) == len(point.cells)
        and len({results[name]["steps"] for name in point.cells}) == 1
    ]


def listing(results: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each point: its figures, or the command that measures it."""
    for point in planned():
        values = point_of(point, results)
        missing = [name for name in point.cells if name not in results]
        state = points_of([values])[0].text if values else "not run"
        todo = f" --only '{point.pattern}': {len(missing)} of {len(point.cells)} cells missing" if missing else ""
        yield f"{point.images:9} {point.start:9} {point.count or 'all':>5}  {state}{todo}"


# Figure

THEMES = {
    "light": {"ink": "#31333f", "grid": "#e2e4e9", "paper": "#ffffff"},
    "dark": {"ink": "#e6e8ee", "grid": "#3a3f4b", "paper": "#0e1117"},
}
COLORS = {"readers": "#2f9e6e", "rendered": "#2f6fed", "scratch": "#d9822b"}
WIDE, HIGH, LEFT, TOP, GAP = 270, 210, 56, 62, 24
COUNT_TICKS = (50, 200, 1000, 4000)


def svg(points: Sequence[Point], theme: Mapping[str, str]) -> str:
    """Return the figure: a panel for each set, a line for each start, the interval of each point, and its seeds."""
    width = LEFT + len(SETS) * (WIDE + GAP)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {TOP + HIGH + 44}" font-size="12" '
        f'font-family="sans-serif" fill="{theme["ink"]}" role="img" aria-label="Exact match by number of labels">'
    )
    parts = [head, f'<rect width="100%" height="100%" fill="{theme["paper"]}"/>']
    starts = [start for start in STARTS if any(point.start == start for point in points)]
    for place, start in enumerate(starts):
        x = LEFT + 260 * place
        parts.append(f'<line x1="{x}" x2="{x + 22}" y1="16" y2="16" stroke="{COLORS[start]}" stroke-width="2.5"/>')
        parts.append(f'<text x="{x + 28}" y="20">{STARTS[start]}</text>')
    for place, (images, title) in enumerate(SETS.items()):
        left = LEFT + place * (WIDE + GAP)
        parts += panel([point for point in points if point.images == images], title, left, theme, ticks=place == 0)
    middle = LEFT + (width - LEFT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{TOP + HIGH + 38}" text-anchor="middle">labels of people</text>')
    return "\n".join([*parts, "</svg>", ""])


def panel(points: Sequence[Point], title: str, left: int, theme: Mapping[str, str], *, ticks: bool) -> Iterable[str]:
    """Yield the parts of one panel."""

    def x(labels: float) -> float:
        return left + math.log(labels / 40) / math.log(5000 / 40) * WIDE

    def y(share: float) -> float:
        return TOP + (1 - nines(share) / 3) * HIGH

    yield f'<text x="{left}" y="{TOP - 14}" font-weight="bold">{title}</text>'
    for share, name in TICKS.items():
        yield f'<path d="M{left} {y(share):.1f}h{WIDE}" stroke="{theme["grid"]}"/>'
        if ticks:
            yield f'<text x="{left - 6}" y="{y(share) + 4:.1f}" text-anchor="end">{name}</text>'
    for labels in COUNT_TICKS:
        yield f'<text x="{x(labels):.1f}" y="{TOP + HIGH + 18}" text-anchor="middle">{labels:,}</text>'
    for start, color in COLORS.items():
        line = [point for point in points if point.start == start]
        if len(line) > 1:
            path = " ".join(f"{x(point.labels):.1f},{y(point.share):.1f}" for point in line)
            yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>'
        for point in line:
            at, (low, high) = x(point.labels), point.ci95
            yield f'<path d="M{at:.1f} {y(low):.1f}V{y(high):.1f}" stroke="{color}" stroke-width="1.5"/>'
            if len(point.right) > 1:
                for right in point.right:
                    yield f'<path d="M{at - 6:.1f} {y(right / point.n):.1f}h12" stroke="{color}" stroke-width="1"/>'
            yield (
                f'<circle cx="{at:.1f}" cy="{y(point.share):.1f}" r="3.5" fill="{color}">'
                f"<title>{point.labels:,} labels: {point.text}</title></circle>"
            )


def files(results: Mapping[str, Mapping[str, Any]]) -> dict[Path, str]:
    """Return the content of every file that follows from the results."""
    values = curve(results)
    lines = ",\n".join(json.dumps(each) for each in values)
    figures = {IMAGES / f"labels-{name}.svg": svg(points_of(values), theme) for name, theme in THEMES.items()}
    return {FILE: f"[\n{lines}\n]\n"} | figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the data of the app and the figure of the page")
    options = parser.parse_args()
    results = load_results(RESULTS / "accuracy")
    if not options.write:
        print("\n".join(listing(results)))
        return 0
    for path, text in files(results).items():
        with atomic_write(path, sync=False) as file:
            file.write(text.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
