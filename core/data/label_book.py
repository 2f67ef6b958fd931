"""The labels of an import: from a table, from names of files or folders, or none."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from core.charset import TextSpec
from core.data.sources import list_tables, read_inside, read_table_file
from core.data.tables import mapping, naming
from core.data.tables.cleaning import cleaned, fits, folded, without_formula_guard
from core.data.tables.formats import (
    FILE_NAMES,
    LABEL_NAMES,
    MAX_NAME,
    MAX_TABLE_BYTES,
    ContradictionError,
    Table,
    check_bytes,
    read_table,
    too_large,
)
from core.data.tables.matching import FileIndex, has_image_suffix, last_part
from core.errors import AmbiguousLabelsError, ImportSourceError, LabelError, OptionError
from core.files import shortened
from core.words import plural
from db.records import KINDS

RULES = ("auto", "none", "filename", "start", "end", "folder")
"""Ways to give labels other than the path of a table.

auto: the tables in the folder or zip, if there are any. filename: start or end, whichever fits.
"""
NAMED = ("filename", "start", "end", "folder")
"""Rules that read the paths of the images."""
MANIFEST = "sources.csv"
"""Table in an exported folder, with the kind of the label in each file name."""
MANIFEST_COLUMNS = {"filename", "label", "kind", "sha256"}
"""Columns that tell such a table from another file of this name."""
SHOWN = 5
"""Rows of a preview."""
START_BYTES = 64 * 1024
"""Bytes of a table that are checked before an import starts."""


class GivenLabel(NamedTuple):
    """A label that an import gives an image."""

    text: str
    kind: str = "import"
    """One of KINDS."""


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """Answers to the questions that labels may leave open."""

    pattern: str | None = None
    """Shape of the names, see core.data.tables.naming.pattern."""
    file_column: str | None = None
    """Name or number of a column of the table."""
    label_column: str | None = None
    """The same; several, divided by commas, have one character each."""
    separator: str | None = None
    fold_case: bool = False
    """True to write letters in the case of the charset."""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Labels as an import would read them."""

    origin: str
    """A sentence: where the labels come from."""
    files: int
    labels: int
    """Files with a label that fits the project."""
    refused: int
    """Files with a label that does not fit, and rows without a file."""
    rows: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    """The first files with a label: name, label if it fits, reason if not."""
    reasons: list[tuple[str, str]] = field(default_factory=list)
    """The first refusals: name and reason."""
    warnings: list[str] = field(default_factory=list)
    length_note: str = ""
    """A sentence, if most labels or names have another length than the texts of the project."""
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """Width and height of some of the images, in pixels; empty if they were not read."""
    is_numbering: bool = False
    """True if the labels in the names count up."""


class LabelBook:
    """The labels of the files of an import."""

    def __init__(
        self,
        rule: str,
        spec: TextSpec,
        names: Sequence[str],
        source: Path | None = None,
        options: LabelOptions | None = None,
        *,
        decides: bool = True,
        table_bytes: int = MAX_TABLE_BYTES,
    ) -> None:
        """Read the tables. `rule` is one of RULES or the path of a table, perhaps inside `source`.

        `names` are the files' names. `source` is their folder or zip. With labels in names, each MANIFEST in it gives
        the kinds. A table has at most `table_bytes`. Without `decides`, "filename" means "start", so that
        the names at hand do not matter.
        Raises ImportSourceError or OptionError if a table cannot be used. AmbiguousLabelsError names the option that
        decides.
        """
        self._spec, self._names, self._options = spec, names, options or LabelOptions()
        self._labels: dict[str, GivenLabel] = {}
        self._unmatched: list[tuple[str, str]] = []
        self._skipped: list[tuple[str, str]] = []
        self._conflicts: dict[str, str] = {}
        self._naming: naming.Naming | None = None
        self._exported: dict[str, GivenLabel] = {}
        self._tables: list[Table] = []
        self._offers_names = False
        self._indexes: dict[str, FileIndex] = {}
        """Files by the folder of a table."""
        if self._options.pattern is not None and rule not in ("auto", "filename"):
            raise OptionError("A pattern describes names. Use it with labels from file names.")
        if rule in NAMED or self._options.pattern is not None:
            self._exported = read_manifests(source, names) if source is not None else {}
            self._rule = self._name_rule(rule, decides)
        elif rule == "auto":
            self._read_inside(source, table_bytes)
            self._rule = "table" if self._tables else "none"
            self._offers_names = not self._tables
        elif rule == "none":
            self._rule = "none"
        else:
            self._rule = "table"
            self._read_tables([_table_of(rule, source, table_bytes)])

    def _name_rule(self, rule: str, decides: bool) -> str:
        if self._options.pattern is not None:
            self._naming = naming.pattern(self._options.pattern, self._spec)
            return "pattern"
        if rule == "filename":
            others = [name for name in self._names if name not in self._exported]
            rule = naming.decided(others, self._spec) if decides else "start"
        self._naming = {"start": naming.start, "end": naming.end}.get(rule, lambda _: naming.folder)(self._spec)
        return rule

    def _read_inside(self, source: Path | None, table_bytes: int) -> None:
        """Read the tables of the folder or zip that name its files. Others are notes, or not about these images."""
        found = []
        for file in list_tables(source, table_bytes) if source is not None else []:
            data = None
            try:
                data = file.read()
                table = read_table(file.name, data, self._options.separator)
                if _names_files(table, *self._reach(file.name)):
                    mapping.refuse_readings(table, self._options.label_column)
                    found.append(table)
            except (ImportSourceError, AmbiguousLabelsError) as error:
                if data is not None and not _mentions(data, self._names):
                    continue
                if isinstance(error, AmbiguousLabelsError | ContradictionError):
                    raise
                self._skipped.append((file.name, str(error)))
        self._read_tables(found)

    def _reach(self, table: str) -> tuple[FileIndex, str]:
        """Return the files that a table may name, and its folder. Beside images, it names only those in its folder."""
        folder = PurePosixPath(table).parent.as_posix()
        if folder not in self._indexes:
            inside = [name for name in self._names if name.startswith(f"{folder}/")]
            self._indexes[folder] = FileIndex(inside or self._names)
        return self._indexes[folder], folder

    def _read_tables(self, tables: Sequence[Table | tuple[str, bytes]]) -> None:
        names, origins = {*self._names}, dict[str, tuple[bool, str]]()
        for given in tables:
            table = given if isinstance(given, Table) else read_table(*given, self._options.separator)
            files, folder = self._reach(table.name)
            columns = mapping.propose(table, files, self._spec, self._options.file_column, self._options.label_column)
            self._tables.append(table)
            for key, label in _labels(table, columns).items():
                found = _find(files, key, folder)
                if len(found) == 1 and key in names and key != found[0] and f"{folder}/{key}" != found[0]:
                    found = []  # the exact path of an image in another folder
                if len(found) != 1:
                    several = "several files have it. Use their paths in the table."
                    reason = f"The table has a label for this name, but {several if found else 'no file has it.'}"
                    self._unmatched.append((key, reason))
                elif label is not None:
                    self._take(found[0], label, table.name, key, origins)

    def _take(self, file: str, label: GivenLabel, table: str, key: str, origins: dict[str, tuple[bool, str]]) -> None:
        """Give a file its label. A row with the exact path wins over one with a similar path."""
        is_exact = key == file
        was_exact, before = origins.get(file, (False, table))
        if file not in origins or (is_exact and not was_exact and before == table):
            self._labels[file], origins[file] = label, (is_exact, table)
            self._conflicts.pop(file, None)
        elif self._labels[file] != label and before != table:
            raise AmbiguousLabelsError(f"{before} and {table} label {file} differently. Choose one with --labels.")
        elif self._labels[file] != label and is_exact == was_exact:
            texts = f"{self._labels[file].text!r} and {label.text!r}"
            self._conflicts[file] = f"The table has two labels for this file: {texts}."

    def label_of(self, name: str) -> GivenLabel | None:
        """Return the label of an image, or None. Raises LabelError if it does not fit the project."""
        if (given := self._given(name)) is None:
            return None
        in_table = self._naming is None
        text = cleaned(given.text, self._spec, fold_case=self._options.fold_case, in_table=in_table)
        exported = self._exported.get(name)
        return exported if exported and exported.text == text else given._replace(text=text)

    def _given(self, name: str) -> GivenLabel | None:
        """Return the label as written."""
        if reason := self._conflicts.get(name):
            raise LabelError(reason)
        return self._labels.get(name) if self._naming is None else GivenLabel(self._naming(name))

    def unmatched(self) -> Iterator[tuple[str, str]]:
        """Yield the rows without an image, each with the reason."""
        yield from self._unmatched

    def skipped(self) -> Iterator[tuple[str, str]]:
        """Yield the tables beside the images that give no labels, each with the reason."""
        yield from self._skipped

    def preview(self) -> Preview:
        """Return the labels as an import would read them."""
        rows: list[tuple[str, str | None, str | None]] = []
        fitting, refused, wrong = [], list[tuple[str, str]](), list[str]()
        for name in self._names:
            try:
                label = self.label_of(name)
            except LabelError as error:
                refused.append((name, str(error)))
                wrong += self._written(name)
                rows += [(name, None, str(error))] if len(rows) < SHOWN else []
                continue
            if label is not None:
                fitting.append(label.text)
                rows += [(name, label.text, None)] if len(rows) < SHOWN else []
        refused += self._unmatched
        is_numbering = naming.look_like_numbering(fitting)
        return Preview(
            origin=self._origin(),
            files=len(self._names),
            labels=len(fitting),
            refused=len(refused),
            rows=rows,
            reasons=refused[:SHOWN],
            warnings=list(self._warnings(fitting, wrong, is_numbering)),
            length_note=self._length_note(fitting, wrong),
            is_numbering=is_numbering and self._naming is not None and self._rule in ("start", "end"),
        )

    def _written(self, name: str) -> list[str]:
        """Return the refused label of an image as written. A name counts only if it has no other characters."""
        if self._naming is None:
            return [given.text for given in [self._labels.get(name)] if given]
        with suppress(LabelError):
            return [text for text in [self._naming(name)] if not {*text}.difference(self._spec.charset)]
        return []

    def _origin(self) -> str:
        if self._tables:
            return f"Labels come from {' and '.join(f'{table.name} ({table.form})' for table in self._tables)}."
        return {
            "none": "The images get no labels.",
            "start": "Labels stand at the start of the file names.",
            "end": "Labels stand at the end of the file names.",
            "folder": "Labels are the names of the folders.",
            "pattern": "Labels stand in the names as the pattern says.",
        }[self._rule]

    def _warnings(self, fitting: Sequence[str], wrong: Sequence[str], is_numbering: bool) -> Iterator[str]:
        yield from (f"Skipped {name}. {reason}" for name, reason in self._skipped)
        if is_numbering:
            yield f"The labels count up, from {min(fitting)} to {max(fitting)}. They look like numbers of files."
        if self._offers_names and self._names_fit():
            yield "The names of the files fit as labels. Use --labels filename if they are."
        if len(fitting) >= naming.NUMBERED and len({*fitting}) == 1:
            yield f"All {len(fitting):,} labels are {fitting[0]!r}."
        if count := sum(fits(folded(text.strip(), self._spec), self._spec) for text in wrong):
            yield f"{plural(count, 'label')} would fit in the other case of letters (--fold-case)."
        if len(self._unmatched) > len(self._labels) and self._unmatched:
            yield f"{plural(len(self._unmatched), 'row')} of the table have no file."

    def _length_note(self, fitting: Sequence[str], wrong: Sequence[str]) -> str:
        """Return a sentence if most labels, or names that may be labels, have another length than the project."""
        kind = "label"
        if self._offers_names and not self._names_fit():
            texts = [naming.start(self._spec)(name) for name in self._names]
            wrong = [text for text in texts if not {*text}.difference(self._spec.charset)]
            if len(wrong) < naming.NUMBERED or 10 * len(wrong) < 9 * len(texts) or naming.look_like_numbering(wrong):
                return ""
            kind = "name"
        lengths = Counter(len(text.strip()) for text in wrong)
        length, count = next(iter(lengths.most_common(1)), (0, 0))
        if not length or 2 * count <= len(fitting) or length == self._spec.length:
            return ""
        advice = f"A new project can have the text length {length}."
        return f"{plural(count, kind)} of {plural(length, 'character')}: the project uses {self._spec.length}. {advice}"

    def _names_fit(self) -> bool:
        fitting = naming.labels_of(self._names, naming.start(self._spec), self._spec)
        return bool(self._names) and 10 * len(fitting) >= 9 * len(self._names)


def _table_of(rule: str, source: Path | None, most: int) -> tuple[str, bytes]:
    """Return name and bytes of the table at a path, or of that name inside the folder or zip of the images."""
    path = Path(rule)
    if source is not None and not path.exists() and (data := read_inside(source, path.as_posix())) is not None:
        name = path.as_posix()
    else:
        name, data = path.name, read_table_file(path, most + 1)
    if len(data) > most:
        raise too_large(name, most)
    return name, data


def check_table(path: Path) -> None:
    """Raise ImportSourceError if the label table is too large, not a file or not text. Reads only its start."""
    check_bytes(path.name, read_table_file(path, START_BYTES))


def _names_files(table: Table, files: FileIndex, folder: str) -> bool:
    """Return True if one of the first rows in ten names a file, or all rows name one file in ten.

    The second holds for the table of a large set beside some of its images. A number names a file only in a column for
    files.
    """
    named, first, rows = set[str](), 0, 1
    for place, row in enumerate(table.rows()):
        if place == mapping.EVIDENCE_ROWS and 10 * first >= place:
            return True
        found = {
            names[0]
            for column, cell in zip(table.columns, row.cells, strict=False)
            if cell and (column in FILE_NAMES or has_image_suffix(cell))
            if len(names := _find(files, cell, folder)) == 1
        }
        named |= found
        if place < mapping.EVIDENCE_ROWS:
            first, rows = first + bool(found), place + 1
    return 10 * first >= rows or 10 * len(named) >= max(len(files), 1)


def _mentions(data: bytes, names: Sequence[str]) -> bool:
    """Return True if the start of a damaged table names an image, or its first line the columns of a table."""
    text = data[:START_BYTES].decode("utf-8", "replace")
    words, first = ({*re.split(r"[\s,;|:\"'/\\]+", part)} for part in (text, text.lstrip().split("\n", 1)[0].lower()))
    return not words.isdisjoint(map(last_part, names)) or bool(first & {*FILE_NAMES} and first & {*LABEL_NAMES})


def _find(files: FileIndex, key: str, folder: str) -> list[str]:
    """Return the files that a key means. A table inside a folder may count from there. An export guards names."""
    inside = files.find(f"{folder}/{key}") if folder not in ("", ".") else []
    return inside if len(inside) == 1 else files.find(key) or files.find(without_formula_guard(key))


def _labels(table: Table, columns: mapping.Columns) -> dict[str, GivenLabel | None]:
    """Return the label of each key, None for a row without one. Raises ImportSourceError with the line."""
    labels: dict[str, GivenLabel | None] = {}
    for row in table.rows():
        key, text = columns.file_of(row), columns.label_of(row)
        place = f"{table.name} line {row.line}"
        if max(len(key), len(text or "")) > MAX_NAME:
            raise ImportSourceError(f"{place} has a name or label of more than {MAX_NAME:,} characters.")
        kind = "" if columns.kind is None else (row.cells[columns.kind] or "").strip()
        if kind not in ("", *KINDS):
            raise ImportSourceError(f"{place} has the kind {shortened(kind)!r}. Use {', '.join(KINDS)}, or none.")
        given = None if text is None else GivenLabel(text, kind or "import")
        if labels.get(key, given) != given:
            raise ContradictionError(f"{place} gives {key} a different label than before.")
        labels[key] = given
    return labels


def read_manifests(source: Path, names: Sequence[str]) -> dict[str, GivenLabel]:
    """Return the labels in the manifests beside files of a folder or zip, by the names of the files.

    Raises ImportSourceError if a manifest is damaged.
    """
    rows: dict[str, GivenLabel] = {}
    for folder in {PurePosixPath(name).parent for name in names}:
        name = (folder / MANIFEST).as_posix()
        data = read_inside(source, name)
        header = (data or b"")[:START_BYTES].split(b"\n", 1)[0].decode("utf-8-sig", "replace").strip()
        if data is None or not {*header.split(",")} >= MANIFEST_COLUMNS:
            continue
        table = read_table(name, data, "comma")
        file, label, kind = (table.columns.index(column) for column in ("filename", "label", "kind"))
        labels = _labels(table, mapping.Columns(file, (label,), kind))
        named = {without_formula_guard(key): given for key, given in labels.items()}
        rows |= {(folder / key).as_posix(): given for key, given in named.items() if given is not None}
    return rows
