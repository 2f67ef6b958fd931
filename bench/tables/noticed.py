"""Faults that Slotlab notices: wrong labels, unfamiliar images, drift, and the verdicts of a portal."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench import drift, unfamiliar
from bench.tables.markdown import Results, cell_rows, of_group, table
from core.evaluation.metrics import interval95
from core.evaluation.percent import counted


def suspects_table(results: Results) -> str:
    """Return the wrong labels that were found, and the share of wrong ones among the suspected."""
    head = ["cell", "labels", "wrong labels", "suspected by", "found", "wrong among suspected"]
    kinds = (
        ("audit", "those of the audit", "readers"),
        ("readers_alone", "2% changed, {draws}", "readers"),
        ("with_folds", "2% changed, {draws}", "readers and folds"),
    )
    rows = [
        [
            f"`{name}`",
            f"{result['images']:,}",
            wrong.format(draws=f"n = {len(counts.get('draws', ()))}"),
            who,
            counted(counts["found"], counts["wrong"]),
            counted(counts["found"], counts["suspected"]),
        ]
        for name, result in sorted(results.items(), reverse=True)
        for key, wrong, who in kinds
        if (counts := result.get(key)) is not None and counts["suspected"] and counts["wrong"]
    ]
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def verdicts_table(results: Results) -> str:
    """Return what each day at a simulated portal brought, and what the threshold is worth that its verdicts set."""
    head = [
        "cell", "day", "labels of people, of verdicts", "new images right", "sure of, right", "portal accepted",
        "images a login", "logins left to a person",
    ]  # fmt: skip
    rows = []
    for name, result in sorted(results.items()):
        for number, each in enumerate(result["days"]):
            fresh, day = each["fresh"], each["day"]
            rows.append(
                [
                    f"`{name}`", str(number), f"{each['train'] + each['val'] - each['verdict']:,}, {each['verdict']:,}",
                    counted(fresh["right"], fresh["n"]), counted(fresh["sure_right"], fresh["sure"]),
                    counted(day["right"], day["submitted"]), f"{day['images'] / day['logins']:.2f}",
                    counted(day["by_person"], day["logins"]),
                ]
            )  # fmt: skip
        if found := result["threshold"]:
            fresh, chosen = found["fresh"], found["chosen"]
            threshold = f"from {chosen['threshold']:.3f}: at most {chosen['risk_bound']:.1%} wrong"
            sure = counted(fresh["sure_right"], fresh["sure"])
            rows.append([f"`{name}`", "threshold", threshold, counted(fresh["right"], fresh["n"]), sure, "", "", ""])
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def unfamiliar_table(results: Results) -> str:
    """Return the flagged images of each set: familiar ones, and unfamiliar ones in two halves of the kinds."""

    def row(found: Sequence[Mapping[str, Any]]) -> list[str]:
        kinds = [(kind, counts) for result in found for kind, counts in result["kinds"].items() if not counts["has"]]
        halves = [[counts for kind, counts in kinds if (kind in unfamiliar.SAME) == same] for same in (False, True)]
        return [flagged([result["familiar"] for result in found]), *map(flagged, halves)]

    head = ["cell", "images", "familiar, flagged", "other size or colors, flagged", "same size and colors, flagged"]
    cells = of_group(unfamiliar.CELLS, "unfamiliar")
    rows = cell_rows(cells, results, len(head) - 2, lambda result: row([result]))
    if all(cell.name in results for cell in cells):
        rows.append(["**pooled**", "all of these", *row([results[cell.name] for cell in cells])])
    few = cell_rows(of_group(unfamiliar.CELLS, "few"), results, len(head) - 2, lambda result: row([result]))
    return table(head, rows + few)


def unfamiliar_kinds_table(results: Results) -> str:
    """Return the flagged images of each kind, over all sets, and of those sets whose training has the kind."""
    found = [results[cell.name] for cell in of_group(unfamiliar.CELLS, "unfamiliar") if cell.name in results]
    head = ["kind", "unlike training, flagged", "training has it, flagged"]
    rows = []
    for kind in found[0]["kinds"] if found else ():
        parts = [
            [result["kinds"][kind] for result in found if result["kinds"][kind]["has"] == has] for has in (False, True)
        ]
        rows.append([kind, *(flagged(part) if part else "" for part in parts)])
    return table(head, rows or [["not run", "", ""]])


def flagged(counts: Sequence[Mapping[str, int]]) -> str:
    return counted(sum(each["k"] for each in counts), sum(each["n"] for each in counts))


def drift_table(results: Results) -> str:
    """Return the false alarms of each set, and the share of its changed streams that are noticed within 50 images."""

    def row(found: Sequence[Mapping[str, Any]]) -> list[str]:
        images, alarms = (sum(result["false"][key] for result in found) for key in ("images", "alarms"))
        low, high = (1e4 * end for end in interval95(alarms, images))
        kinds = [counts for result in found for counts in result.get("kinds", {}).values() if not counts["has"]]
        halves = [[counts for counts in kinds if counts["keeps"] == keeps] for keeps in (False, True)]
        rate = f"{alarms} in {images:,} = {1e4 * alarms / images:.2f} in 10,000 ({low:.2f} to {high:.2f})"
        return [rate, *(noticed(half) if half else "" for half in halves)]

    head = ["cell", "images", "false alarms", "other size or colors, within 50", "same size and colors, within 50"]
    cells = of_group(drift.CELLS, "drift")
    rows = cell_rows(cells, results, len(head) - 2, lambda result: row([result]))
    if all(cell.name in results for cell in cells):
        rows.append(["**pooled**", "all of these", *row([results[cell.name] for cell in cells])])
    simulated = cell_rows(of_group(drift.CELLS, "simulated"), results, len(head) - 2, lambda result: row([result]))
    few = cell_rows(of_group(drift.CELLS, "few"), results, len(head) - 2, lambda result: row([result]))
    return table(head, rows + few + simulated)


def drift_kinds_table(results: Results) -> str:
    """Return the delays of each kind of change, over all sets whose training does not have it."""
    found = [results[cell.name] for cell in of_group(drift.CELLS, "drift") if cell.name in results]
    head = ["change", "keeps size and colors", "made after the rule", "noticed within 50 images"]
    head += ["median delay, lowest and highest set", "90th percentile, highest set"]
    rows = []
    for kind in found[0]["kinds"] if found else ():
        counts = [each for result in found if not (each := result["kinds"][kind])["has"]]
        medians, slowest = [each["median"] for each in counts], max(each["p90"] for each in counts)
        rows.append(
            [
                kind,
                *("yes" if counts[0][key] else "" for key in ("keeps", "fresh")),
                noticed(counts),
                f"{_images(min(medians), counts[0])} to {_images(max(medians), counts[0])}",
                _images(slowest, counts[0]),
            ]
        )
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def noticed(counts: Sequence[Mapping[str, int]]) -> str:
    return counted(sum(each["soon"] for each in counts), sum(each["n"] for each in counts))


def _images(delay: float, counts: Mapping[str, Any]) -> str:
    return f"over {counts['most']}" if delay > counts["most"] else f"{delay:.0f}"
