"""Reading without a label or with few labels of people: the readers, and the runs that they teach."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.accuracy import accuracy
from bench.accuracy.untrained import WAYS
from bench.tables.markdown import Results, cell_rows, of_group, table
from bench.tables.trained import minutes
from core.evaluation.percent import counted
from core.readers.builtin import NAME as BUILTIN
from core.readers.readers import READERS


def zero_table(results: Results, group: str) -> str:
    """Return the runs with few labels of people beside their teachers, by audited labels where there are any."""
    head = ["cell", "images", "agreed in train", "right among them", *READERS, "run with TTA", "training"]
    cells = of_group(accuracy.CELLS, group)
    rows = cell_rows(cells, results, len(head) - 2, lambda result: [*zero_columns([result]), minutes(result)])
    real = [result for cell in cells if cell.image_set.folder and (result := results.get(cell.name)) is not None]
    if len(real) == sum(cell.image_set.folder is not None for cell in cells):
        rows.append(["**pooled**", "all real images", *zero_columns(real), ""])
    return table(head, rows)


def zero_columns(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return agreement, its accuracy, and exact match on test of each reader and of the run, summed over results."""
    train = [result["agreement"]["train"] for result in found]
    tests = [result["splits"]["test"] for result in found]
    pairs = [(sum(each["agreed"] for each in train), sum(each["n"] for each in train))]
    pairs.append((sum(each["right_audited"] for each in train), pairs[0][0]))
    for name in READERS:
        scores_of = [test["readers"]["audited"][name] for test in tests]
        pairs.append((sum(each["k"] for each in scores_of), sum(each["n"] for each in scores_of)))
    own = [test["audited"]["tta"] for test in tests]
    pairs.append((sum(each["k"] for each in own), sum(each["n"] for each in own)))
    return [counted(*pair) for pair in pairs]


def builtin_table(results: Results) -> str:
    """Return exact match of the built-in reader on test, without a label of the set."""

    def row(result: Mapping[str, Any]) -> list[str]:
        test = result["splits"]["test"]
        given, right = (test[labels][BUILTIN] for labels in ("raw", "audited"))
        weights = f"{result['weights']['images']:,} in {result['weights']['cpu_hours']:g} CPU hours"
        return [weights, counted(given["k"], given["n"]), counted(right["k"], right["n"])]

    head = ["the built-in reader, no label", "images", "rendered images seen", "labels as given", "labels as audited"]
    return table(head, cell_rows(of_group(accuracy.CELLS, "builtin"), results, len(head) - 2, row))


def three_readers_table(results: Results) -> str:
    """Return exact match of each reader and what their agreement leaves, on val and test, by audited labels."""

    def row(result: Mapping[str, Any]) -> list[str]:
        splits = list(result["splits"].values())
        figures = []
        for name in (*READERS, BUILTIN):
            k, n = (sum(split["audited"][name][key] for split in splits) for key in ("k", "n"))
            figures.append(counted(k, n))
        for rule in ("general", "two", "all"):
            found = [split["agreement"][rule] for split in splits]
            taken, right, n = (sum(each[key] for each in found) for key in ("agreed", "right_audited", "n"))
            figures.append(f"{taken} of {n}, {taken - right} wrong")
        return figures

    head = [
        "readers, no label, audited",
        "images",
        *READERS,
        BUILTIN,
        "both general agree",
        "any two agree",
        "all agree",
    ]
    return table(head, cell_rows(of_group(accuracy.CELLS, "three-readers"), results, len(head) - 2, row))


def untrained_table(results: Results) -> str:
    """Return exact match of the general readers on test, in each of the WAYS."""

    def row(result: Mapping[str, Any]) -> list[str]:
        test = result["splits"]["test"]["audited"]
        return [counted(test[way]["k"], test[way]["n"]) for way in WAYS]

    head = ["general readers, audited", "images", "any characters", "allowed characters", "exactly N of them"]
    return table(head, cell_rows(of_group(accuracy.CELLS, "untrained"), results, len(head) - 2, row))
