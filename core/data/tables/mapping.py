"""Columns of a label table: which names the file, which has the label, and which has its kind."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from core.charset import TextSpec
from core.data.tables.cleaning import cleaned
from core.data.tables.formats import FILE_NAMES, LABEL_NAMES, Row, Table
from core.data.tables.matching import FileIndex, has_image_suffix
from core.errors import AmbiguousLabelsError, ImportSourceError, LabelError, OptionError
from core.files import shortened
from db.records import KINDS

EVIDENCE_ROWS = 500
"""Rows that decide about the columns."""
OTHER_NAMES = (
    "split", "sha256", "state", "flag", "kind", "operator", "labeled_at", "source", "owner", "authorization", "tags",
    "tagged_by", "tagged_at",
)  # fmt: skip
"""Columns of an export that are never the label."""

READING_COLUMNS = {"text", "confidence"}
"""Columns of a file of readings. Its texts are what a reader saw, not what is right."""


@dataclass(frozen=True)
class Columns:
    """Numbers of the columns that are used, counted from 0."""

    file: int
    label: tuple[int, ...]
    """One, or one for each position of the text."""
    kind: int | None = None

    def label_of(self, row: Row) -> str | None:
        """Return the label as written; None if the row has none."""
        if len(self.label) == 1:
            return row.cells[self.label[0]] or None
        return "".join(_character(row.cells[at]) for at in self.label) or None

    def file_of(self, row: Row) -> str:
        return row.cells[self.file] or ""


def _character(cell: str | None) -> str:
    """Return the cell of one position. Spreadsheets write 4 as 4.0."""
    return re.sub(r"(?<=^[0-9])\.0+$", "", (cell or "").strip())


def propose(
    table: Table, files: FileIndex, spec: TextSpec, file_column: str | None = None, label_column: str | None = None
) -> Columns:
    """Return the columns, which the options can name.

    Raises AmbiguousLabelsError, whose sentence names the option that decides, and ImportSourceError.
    """
    if table.has_header and (twice := next((name for name in table.columns if table.columns.count(name) > 1), None)):
        raise ImportSourceError(f"{table.name} has the column {shortened(twice)} more than once. Keep one.")
    refuse_readings(table, label_column)
    rows = list(islice(table.rows(), EVIDENCE_ROWS))
    file = _named(table, file_column)[0] if file_column else _file_column(table, rows, files)
    label = _named(table, label_column) if label_column else _label_columns(table, rows, file, spec)
    return Columns(file, label, _kind_column(table, rows, file, label))


def refuse_readings(table: Table, label_column: str | None) -> None:
    """Raise ImportSourceError if the labels would be the texts of a file of readings."""
    if not table.has_header or not {*table.columns} >= READING_COLUMNS:
        return
    if label_column is None or table.columns.index("text") in _named(table, label_column):
        raise ImportSourceError(
            f"{table.name} has readings instead of labels. Accept readings in Propose, or name a column of labels "
            "with --label-column."
        )


def _named(table: Table, names: str) -> tuple[int, ...]:
    """Return the columns of an option: one name or number, or several divided by commas. Raises OptionError."""
    columns = list(table.columns)
    wanted = [names] if names.strip().lower() in columns else names.split(",")
    numbers = []
    for name in (each.strip().lower() for each in wanted):
        if name in columns:
            numbers.append(columns.index(name))
        elif name.isdecimal() and 1 <= int(name[:9]) <= len(columns):
            numbers.append(int(name) - 1)
        else:
            shown = shortened(", ".join(columns))
            raise OptionError(f"{table.name} has no column {shortened(name)!r}. It has: {shown}.")
    return tuple(numbers)


def _file_column(table: Table, rows: Sequence[Row], files: FileIndex) -> int:
    others = [at for at, name in enumerate(table.columns) if name not in LABEL_NAMES]
    candidates = others or list(range(len(table.columns)))
    found = {at: _found(rows, at, files) for at in candidates}
    best = [at for at in candidates if found[at] and len(found[at]) == max(map(len, found.values()))]
    if not best:  # a table for other files too, or for none of these
        best = [at for at in candidates if sum(has_image_suffix(row.cells[at] or "") for row in rows) * 2 > len(rows)]
    if len(best) > 1:
        best = [at for at in best if any(has_image_suffix(row.cells[at] or "") for row in rows)] or best
    if len(best) != 1 and table.has_header:
        known = [name for name in FILE_NAMES if name in table.columns]
        named = [at for at in map(table.columns.index, known) if at in (best or candidates)]
        best = named[:1] or best
    if len(best) > 1 and all(found[at] == found[best[0]] for at in best):
        best = best[:1]
    if len(best) > 1:
        raise _several(table, "the file could be named by", [best], "--file-column")
    if not best:
        raise ImportSourceError(
            f"No column of {table.name} names the files ({shortened(', '.join(table.columns))}). "
            "Name the column with --file-column."
        )
    return best[0]


def _several(table: Table, meaning: str, columns: Sequence[Sequence[int]], option: str) -> AmbiguousLabelsError:
    """Return the error about columns of which each fits, and perhaps about others that fit together."""
    each, *together = columns
    names = " or ".join(_title(table, at) for at in each)
    names += "".join(f", or {','.join(_title(table, at) for at in group)} together" for group in together)
    return AmbiguousLabelsError(f"In {table.name}, {meaning} {names}. Choose with {option}.")


def _found(rows: Sequence[Row], at: int, files: FileIndex) -> list[str]:
    """Return the files that the cells of a column mean."""
    return [found[0] for row in rows if (cell := row.cells[at]) and len(found := files.find(cell)) == 1]


def _label_columns(table: Table, rows: Sequence[Row], file: int, spec: TextSpec) -> tuple[int, ...]:
    rest = [at for at, name in enumerate(table.columns) if at != file and name not in OTHER_NAMES]
    known = [at for at in rest if table.has_header and table.columns[at] in LABEL_NAMES]
    if len(known) == 1:
        return (known[0],)
    fitting = [at for at in (known or rest) if _fits(rows, at, spec)]
    if not known and spec.length > 1 and len(positions := _positions(table, rows, rest, spec)) == spec.length:
        if fitting:
            raise _several(table, "the label could be", [fitting, positions], "--label-column")
        return tuple(positions)
    best = fitting or known or (rest if len(rest) == 1 else [])
    if len(best) > 1 and all(len({row.cells[at] for at in best}) == 1 for row in rows):
        best = best[:1]
    if len(best) > 1:
        raise _several(table, "the label could be", [best], "--label-column")
    if not best:
        raise AmbiguousLabelsError(
            f"No column of {table.name} fits a text of {spec.length} ({shortened(', '.join(table.columns))}). "
            "Name the column of the label with --label-column."
        )
    return (best[0],)


def _fits(rows: Sequence[Row], at: int, spec: TextSpec) -> bool:
    """Return True if at least half of the labels in a column fit the project."""
    cells = [cell for row in rows if (cell := row.cells[at])]
    return bool(cells) and sum(_is_label(cell, spec) for cell in cells) * 2 >= len(cells)


def _is_label(cell: str, spec: TextSpec) -> bool:
    try:
        return bool(cleaned(cell, spec, fold_case=True))
    except LabelError:
        return False


def _positions(table: Table, rows: Sequence[Row], rest: Sequence[int], spec: TextSpec) -> list[int]:
    """Return the columns of single characters: those named alike, in the order of their numbers, or all."""
    single = [at for at in rest if rows and all(_character(row.cells[at]) in {*spec.charset, ""} for row in rows)]
    if len(single) > spec.length and table.has_header:
        by_stem = groupby(sorted(single, key=lambda at: _stem(table, at)), key=lambda at: _stem(table, at))
        series = [group for _, found in by_stem if len(group := list(found)) == spec.length]
        single = series[0] if len(series) == 1 else []
    if table.has_header and len({_stem(table, at) for at in single}) == 1:
        single = sorted(single, key=lambda at: int(table.columns[at].removeprefix(_stem(table, at)) or 0))
    return single


def _stem(table: Table, at: int) -> str:
    return table.columns[at].rstrip("0123456789")


def _kind_column(table: Table, rows: Sequence[Row], file: int, label: Sequence[int]) -> int | None:
    """Return the column of an export. Other programs may use this name for something else."""
    if not table.has_header or "kind" not in table.columns:
        return None
    at = table.columns.index("kind")
    is_ours = table.columns[file] in ("filename", "name") and [table.columns[each] for each in label] == ["label"]
    is_kind = all((row.cells[at] or "").strip() in ("", *KINDS) for row in rows)
    return at if at not in (file, *label) and (is_ours or is_kind) else None


def _title(table: Table, at: int) -> str:
    return table.columns[at] if table.has_header else f"column {at + 1}"
