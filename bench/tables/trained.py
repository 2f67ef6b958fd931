"""Runs with all labels: exact match of each, of their slices, and of the five folds together."""

from collections.abc import Mapping
from typing import Any

from bench.accuracy import accuracy
from bench.accuracy.data import FOLDS
from bench.tables.markdown import Results, cell_rows, of_group, table
from core.evaluation.percent import counted

FOLD_CELLS = tuple(f"portal6-fast-fold{fold}" for fold in range(FOLDS))
SLICES = {
    "repeat": "two equal neighbors",
    "no_repeat": "no equal neighbors",
    "seen": "text seen in training",
    "not_seen": "text not seen in training",
}
COLUMNS = ("images", "val with TTA", "test", "test with TTA", "fixed, broken by TTA", "training")
"""Columns of a table whose cells `trained_columns` makes, after the name."""


def trained_table(results: Results) -> str:
    head = ["cell", *COLUMNS]
    rows = []
    for row in cell_rows(of_group(accuracy.CELLS, "trained"), results, len(head) - 2, trained_columns):
        rows.append(row)
        name = row[0].strip("`")
        result = results.get(name)
        if result is not None and (count := corrected(result)):
            rows.append([row[0], f"same, audited labels ({count} corrected)", *audited_columns(result)])
        if name == FOLD_CELLS[-1]:
            rows += pooled_rows(results)
    return table(head, rows)


def trained_columns(result: Mapping[str, Any]) -> list[str]:
    return [*scores(result["splits"], "raw"), minutes(result)]


def audited_columns(result: Mapping[str, Any]) -> list[str]:
    return [*scores(result["splits"], "audited"), ""]


def scores(splits: Mapping[str, Any], labels: str) -> list[str]:
    val, test = splits["val"][labels], splits["test"][labels]
    flips = test["flips"]
    figures = [counted(part["k"], part["n"]) for part in (val["tta"], test["plain"], test["tta"])]
    return [*figures, f"{flips['fixed']}, {flips['broken']}"]


def minutes(result: Mapping[str, Any]) -> str:
    threads = result["choices"]["threads"]
    where = "GPU" if result["choices"]["device"] == "cuda" else f"{threads} thread{'s' * (threads > 1)}"
    if result["choices"].get("precision") == "bfloat16":  # earlier cells had no choice
        where += ", bfloat16"
    return f"{result['seconds'] / 60:.1f} min, {result['steps']:,} steps, {where}"


def corrected(result: Mapping[str, Any]) -> int:
    return sum(split["audited"]["corrected"] for split in result["splits"].values())


def pooled(results: Results, labels: str) -> dict[str, Any] | None:
    """Return the sums over the five held-out folds, which hold each image once; None while a fold is missing."""
    if any(name not in results for name in FOLD_CELLS):
        return None
    tests = [results[name]["splits"]["test"][labels] for name in FOLD_CELLS]
    sums: dict[str, Any] = {
        key: {
            "k": sum(test[key]["k"] for test in tests),
            "n": sum(test[key]["n"] for test in tests),
            "slices": {
                name: [sum(test[key]["slices"][name][place] for test in tests) for place in (0, 1)]
                for name in tests[0][key]["slices"]
            },
        }
        for key in ("plain", "tta")
    }
    return sums | {"flips": {key: sum(test["flips"][key] for test in tests) for key in ("fixed", "broken")}}


def pooled_rows(results: Results) -> list[list[str]]:
    rows = []
    for labels, what in (("raw", "all folds: every image held out once"), ("audited", "same, audited labels")):
        sums = pooled(results, labels)
        if sums is None:
            return [["**`portal6-fast`**", what, f"not run: needs all {FOLDS} folds", "", "", "", ""]]
        if labels == "audited" and not any(corrected(results[name]) for name in FOLD_CELLS):
            break
        figures = [f"**{counted(sums[key]['k'], sums[key]['n'])}**" for key in ("plain", "tta")]
        flips = f"{sums['flips']['fixed']}, {sums['flips']['broken']}"
        rows.append(["**`portal6-fast`**", what, "", *figures, flips, ""])
    return rows


def slices_table(results: Results) -> str:
    """Return the results of groups of test images with TTA, by audited labels; empty while there are no results."""
    rows = []
    for cell in of_group(accuracy.CELLS, "trained"):
        if cell.name in results and cell.name not in FOLD_CELLS:
            rows.append((cell.name, results[cell.name]["splits"]["test"]["audited"]["tta"]["slices"]))
        if cell.name == FOLD_CELLS[-1] and (sums := pooled(results, "audited")) is not None:
            rows.append(("portal6-fast", sums["tta"]["slices"]))
    if not rows:
        return ""
    lines = [
        [f"`{name}`", *(counted(*slices[key]) if slices[key][1] else "no such image" for key in SLICES)]
        for name, slices in rows
    ]
    return table(["test with TTA, audited", *SLICES.values()], lines)
