"""Large projects: a million samples, and the pages of 100,000 predictions."""

from collections.abc import Mapping
from typing import Any

from bench.tables.markdown import Results, cell_rows, of_group, table
from bench.ui import ui


def million_table(results: Results) -> str:
    def row(result: Mapping[str, Any]) -> list[str]:
        made = result["made"]
        size = f"{made['samples']:,} samples, {made['bytes'] / 1e9:.1f} GB, made in {made['seconds']:.0f} s"
        if (first := result.get("first_image_ms")) is not None:
            return [f"{seconds(first)} (n = {first['n']})", size]
        if (pages := result.get("pages_ms")) is not None:
            return [", ".join(f"{page} {seconds(times)} (n = {times['n']})" for page, times in pages.items()), size]
        medians = sorted(query["median_ms"] for query in result["queries"])
        figure = f"{len(medians)} of them: median {medians[len(medians) // 2]:g} ms, slowest {medians[-1]:g} ms"
        return [figure, size]

    def seconds(times: Mapping[str, float]) -> str:
        return f"{times['median'] / 1000:.2f} s, at most {times['max'] / 1000:.2f} s"

    head = ["a million samples", "what", "median", "project"]
    cells = [cell for cell in of_group(ui.CELLS, "million") if cell.name != "million-latency"]
    return table(head, cell_rows(cells, results, len(head) - 2, row))


def pages_table(results: Results) -> str:
    """Return a row for each screen, and one for a server that has shown all of them."""
    head = ["100,000 predictions with nine views", "opened by address", "opened by click", "matrix cell to images"]
    head += ["first page after a start", "peak memory of the server"]
    (cell,) = of_group(ui.CELLS, "evaluate")
    if (result := results.get(cell.name)) is None:
        return table(head, [[f"`{cell.name}`", "not run", *[""] * (len(head) - 2)]])

    def times(found: Mapping[str, float] | None) -> str:
        return f"{found['median'] / 1000:.2f} s, at most {found['max'] / 1000:.2f} s" if found else ""

    rows = [
        [
            screen_title(each["screen"]),
            *(times(each.get(key)) for key in ("open_ms", "click_ms", "cell_ms")),
            f"{each['cold_ms'] / 1000:.1f} s",
            f"{each['peak_mb']:,.0f} MB",
        ]
        for each in result["screens"]
    ]
    peak = result["peak_mb"]
    for which, key in (("all pages without a model", "without_model"), ("all pages", "all")):
        rows.append([f"one server, {which}", *[""] * 4, f"{peak[key]:,.0f} MB"])
    counts = {each["open_ms"]["n"] for each in result["screens"]}
    head[0] += f"; medians of {', '.join(map(str, sorted(counts)))}"
    return table(head, rows)


def screen_title(name: str) -> str:
    """Return the name of a screen in the words of today's app; results keep the words of their time."""
    page, _, rest = name.partition(", ")
    tab, _, views = rest.partition(", ")
    tab = {"parts": "slices", "views": "TTA", "tta": "TTA", "trust": "confidence"}.get(tab, tab)
    return ", ".join(filter(None, (page, tab, views.replace("views", "with TTA"))))
