"""Rows and columns of any table, as Markdown."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from bench.cells import BenchCell

Results = Mapping[str, Mapping[str, Any]]
CellT = TypeVar("CellT", bound=BenchCell)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of these columns and rows."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell_rows(
    cells: Iterable[BenchCell], results: Results, columns: int, row: Callable[[Mapping[str, Any]], list[str]]
) -> list[list[str]]:
    """Return a row for each cell. `row` makes its columns; a cell without a result names what it needs."""
    rows = []
    for cell in cells:
        if (result := results.get(cell.name)) is not None:
            rows.append([f"`{cell.name}`", cell.what, *row(result)])
        else:
            needed = f" (needs {needed})" if (needed := cell.needed()) else ""
            rows.append([f"`{cell.name}`", cell.what, f"not run{needed}", *[""] * (columns - 1)])
    return rows


def of_group(cells: Iterable[CellT], group: str) -> list[CellT]:
    return [cell for cell in cells if cell.group == group]


def bold_unless_zero(n: int) -> str:
    """Return a count of faults, bold where there are any."""
    return f"**{n}**" if n else "0"
