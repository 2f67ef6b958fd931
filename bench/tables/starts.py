"""Starts of a run beside each other, and exact match by number of labels."""

from collections.abc import Mapping
from typing import Any

from bench.accuracy import accuracy
from bench.accuracy.ablations import changed
from bench.labels import planned, point_of
from bench.tables.markdown import Results, cell_rows, of_group, table
from bench.tables.trained import minutes
from core.evaluation.percent import counted
from core.evaluation.tta_effect import mcnemar
from core.runs.label_curve import STARTS, points_of
from core.words import plural


def few_table(results: Results) -> str:
    """Return exact match on test after training on few labels, by audited labels."""

    def row(result: Mapping[str, Any]) -> list[str]:
        test = result["splits"]["test"]["audited"]
        return [*(counted(test[key]["k"], test[key]["n"]) for key in ("plain", "tta")), minutes(result)]

    head = ["few labels, audited", "images", "test", "test with TTA", "training"]
    return table(head, cell_rows(of_group(accuracy.CELLS, "few"), results, len(head) - 2, row))


def start_table(results: Results) -> str:
    """Return the runs from rendered weights beside those from scratch, with TTA on the same test images."""

    def exact(run: Mapping[str, Any]) -> str:
        test = run["splits"]["test"]["audited"]["tta"]
        return f"{counted(test['k'], test['n'])}, {run['steps']:,} steps"

    def row(result: Mapping[str, Any]) -> list[str]:
        scratch = results.get(result["cell"].replace("-rendered-", "-fast-"))
        if scratch is None:
            return [exact(result), "not run", "", ""]
        if (found := changed(scratch, result)) is None:
            return [exact(result), exact(scratch), "", ""]
        fixed, broken, _ = found
        return [exact(result), exact(scratch), f"{fixed}, {broken}", f"{mcnemar(fixed, broken):.2f}"]

    head = ["all labels, audited", "images", "rendered start", "from scratch", "fixed, broken", "McNemar p"]
    return table(head, cell_rows(of_group(accuracy.CELLS, "start"), results, len(head) - 2, row))


def labels_table(results: Results) -> str:
    """Return exact match by number of labels, by audited labels with TTA: the mean of the seeds, and each of them."""
    by_place: dict[tuple[str, str], dict[int | None, str]] = {}
    for point in planned():
        values = point_of(point, results)
        missing = sum(name not in results for name in point.cells)
        text = points_of([values])[0].text if values else "not run"
        by_place.setdefault((point.images, point.start), {})[point.count] = (
            f"{text}; {plural(missing, 'seed')} not run" if values and missing else text
        )
    counts = [*sorted({count for row in by_place.values() for count in row if count is not None}), None]
    head = ["labels of people", "start", *("all" if count is None else f"{count:,}" for count in counts)]
    rows = [[f"`{images}`", STARTS[start], *(row.get(count, "") for count in counts)]
            for (images, start), row in by_place.items()]  # fmt: skip
    return table(head, rows)
