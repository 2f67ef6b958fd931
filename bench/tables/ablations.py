"""Runs with one part changed, each beside the unchanged run of its seed."""

from collections.abc import Mapping
from typing import Any

from bench.accuracy import accuracy
from bench.accuracy.ablations import base_of, changed, paired95
from bench.tables.markdown import Results, cell_rows, of_group, table
from bench.tables.trained import COLUMNS, trained_columns
from core.evaluation.percent import counted
from core.evaluation.tta_effect import mcnemar

BASES = {cell.name: cell for cell in accuracy.CELLS}


def ablation_table(results: Results) -> str:
    def row(result: Mapping[str, Any]) -> list[str]:
        test = result["splits"]["test"]["audited"]["tta"]
        exact, base = counted(test["k"], test["n"]), base_of(result["cell"])
        if base is None:
            return [exact, "", "", ""]
        if base not in results:
            return [exact, f"`{base}` is not run", "", ""]
        if BASES[base].changed(results[base]):
            return [exact, f"`{base}` has former settings", "", ""]
        found = [changed(results[base], result, way) for way in ("plain", "tta")]
        if found[1] is None:
            return [exact, "too many errors to list", "", ""]
        plain, tta = (beside(*each) if each else "" for each in found)
        fixed, broken, _ = found[1]
        return [exact, plain, tta, f"{fixed}, {broken}; p = {mcnemar(fixed, broken):.2g}"]

    head = ["one change", "what is changed", "test with TTA", "difference with one view", "difference with TTA"]
    head.append("fixed, broken with TTA, McNemar p")
    return table(head, cell_rows(of_group(accuracy.CELLS, "ablations"), results, len(head) - 2, row))


def beside(fixed: int, broken: int, n: int) -> str:
    """Return a difference in points of a percent, with its interval. It is bold where the interval leaves out 0."""
    low, high = paired95(fixed, broken, n)
    text = f"{100 * (fixed - broken) / n:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"
    return f"**{text}**" if low > 0 or high < 0 else text


def kinds_table(results: Results) -> str:
    head = ["kind", *COLUMNS]
    return table(head, cell_rows(of_group(accuracy.CELLS, "kinds"), results, len(head) - 2, trained_columns))
