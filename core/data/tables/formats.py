"""Bytes of a label table as rows of texts: delimited text, JSON, JSON lines, Label Studio, a Python dict.

The content decides, never the name. Texts stay as written: a spreadsheet's reader would turn 00123 into 123.
"""

import ast
import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from core.data.tables.cleaning import unwrapped
from core.data.tables.matching import has_image_suffix
from core.errors import AmbiguousLabelsError, ImportSourceError, OptionError
from core.files import shortened

MAX_TABLE_BYTES = 64 * 1024**2
MAX_PYTHON_BYTES = 4 * 1024**2
"""Python needs about 100 bytes of memory for each byte of a dict in its own language."""
MAX_TABLE_ROWS = 1_000_000
MAX_TABLE_COLUMNS = 100
MAX_NAME = 4096
"""Characters of a cell that is used. No path is longer."""
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
SNIFFED = 64 * 1024
"""Characters that decide about the separator and the header."""
SNIFFED_ROWS = 200
SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";", "bar": "|", "space": " "}
"""Words of the option --separator. The character itself is accepted too."""
FILE_NAMES = (
    "filename", "file_name", "filepath", "file_path", "image_path", "img_path", "imagepath", "path", "file", "image",
    "image_name", "img_name", "imagename", "img", "images", "picture", "name", "ocr", "captcha", "url", "image_url",
    "image_id", "id", "key",
)  # fmt: skip
"""Usual names of the column that names the file, the clearest first."""
LABEL_NAMES = (
    "label", "text", "labels", "transcription", "plate_text", "plate", "plate_number", "ground_truth", "groundtruth",
    "gt", "value", "answer", "solution", "target", "code", "words", "word", "result", "string", "reading", "digits",
    "number", "captcha_text", "image_text", "ocr_text", "content",
)  # fmt: skip
"""Usual names of the column that has the label."""


class ContradictionError(ImportSourceError):
    """A table has two labels for one name."""


class Row(NamedTuple):
    """One row of a table."""

    line: int
    """Number of the line or entry, counted from 1."""
    cells: Sequence[str | None]
    """One for each column. None: there is no value."""


@dataclass(frozen=True)
class Table:
    """A table of texts."""

    name: str
    form: str
    """For people: CSV, JSON, Label Studio ..."""
    columns: Sequence[str]
    """Names in lower case. Columns without a header are named by their numbers."""
    has_header: bool
    rows: Callable[[], Iterator[Row]]
    """Yield the rows. Raises ImportSourceError at a row that could be misread."""


def read_table(name: str, data: bytes, separator: str | None = None) -> Table:
    """Return the table in the bytes of a file.

    Raises ImportSourceError, and AmbiguousLabelsError if several separators fit.
    """
    text = decoded(name, data)
    start = text.lstrip()[:1]
    if start in ("{", "[") and separator is None:
        return _json_table(name, text)
    if match := re.match(r"(?:\s*#[^\n]*\n)*\s*\w+\s*=\s*(?=\{)", text[:SNIFFED]):
        return _of_value(name, "Python", _python_value(name, text[match.end() :]))
    return _delimited(name, text, None if separator is None else _separator(separator))


def decoded(name: str, data: bytes) -> str:
    """Return the text in UTF-8, UTF-16 or the code page of Western Windows. Raises ImportSourceError."""
    check_bytes(name, data)
    if data.startswith(UTF_16):
        encodings = ["utf-16"]
    elif b"\0" in data[:2]:
        encodings = ["utf-16-be" if data[:1] == b"\0" else "utf-16-le"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            raise _with_nul(name)
        return text
    raise ImportSourceError(f"{name} is not text in UTF-8, UTF-16 or Windows-1252.")


def check_bytes(name: str, data: bytes) -> None:
    """Raise ImportSourceError if the data, which may be the start of a table, is too large, empty or not text."""
    if len(data) > MAX_TABLE_BYTES:
        raise too_large(name, MAX_TABLE_BYTES)
    if data.startswith(b"PK\3\4"):
        raise ImportSourceError(f"{name} is a zip file or a workbook, not a label table. Save the sheet as CSV.")
    if b"\0" in data and not data.startswith(UTF_16) and b"\0" not in data[:2]:
        raise _with_nul(name)
    if not data.strip():
        raise ImportSourceError(f"{name} is empty.")


def _with_nul(name: str) -> ImportSourceError:
    return ImportSourceError(f"{name} contains NUL characters and is not a label table.")


def too_large(name: str, most: int) -> ImportSourceError:
    return ImportSourceError(f"{name} has more than {most:,} bytes. Divide the images into several imports.")


# Delimited text


def _separator(word: str) -> str:
    """Return the character of the option --separator. Raises OptionError."""
    if (char := SEPARATORS.get(word.lower(), word)) in SEPARATORS.values():
        return char
    raise OptionError(f"{word!r} is not a separator. Choose from {', '.join(SEPARATORS)}.")


def _delimited(name: str, text: str, separator: str | None) -> Table:
    sample = text[:SNIFFED]
    is_cut = len(text) > SNIFFED
    separator = separator or _sniffed(name, sample, is_cut)
    first = _sample(sample, separator, is_cut)
    if not first or len(first[0]) < 2:
        raise ImportSourceError(
            f"{name} is not a label table: its first line needs a column for the file and one for the label."
        )
    has_header = _is_header(first)
    numbers = [str(at + 1) for at in range(len(first[0]))]
    columns = [cell.strip().lower() for cell in first[0]] if has_header else numbers
    if len(columns) > MAX_TABLE_COLUMNS:
        raise ImportSourceError(f"{name} has {len(columns)} columns. Use at most {MAX_TABLE_COLUMNS}.")

    def rows() -> Iterator[Row]:
        for number, (line, cells) in enumerate(_records(name, text, separator)):
            if number == 0 and has_header:
                continue
            if len(cells) != len(columns):
                raise ImportSourceError(f"{name} line {line} has {len(cells)} fields instead of {len(columns)}.")
            yield Row(line, [unwrapped(cell) for cell in cells])

    return Table(name, "CSV" if separator != "\t" else "tab-separated", columns, has_header, rows)


def _records(name: str, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells. Raises ImportSourceError."""
    if separator == " ":  # aligned by any number of blanks, and never quoted
        for number, line in enumerate(text.splitlines(), 1):
            _check_row(name, number)
            if line.strip():
                yield number, line.split(maxsplit=1)
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    try:
        for cells in reader:
            _check_row(name, reader.line_num)
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise ImportSourceError(f"{name} line {reader.line_num} is not valid CSV ({error}).") from error


def _check_row(name: str, number: int) -> None:
    if number > MAX_TABLE_ROWS:
        raise ImportSourceError(f"{name} has more than {MAX_TABLE_ROWS:,} lines. Import fewer images at once.")


def _sample(text: str, separator: str, is_cut: bool) -> list[list[str]]:
    """Return the first rows; fewer if a row is damaged."""
    rows: list[list[str]] = []
    try:
        rows.extend(cells for _, cells in islice(_records("", text, separator), SNIFFED_ROWS + 1))
    except ImportSourceError:
        is_cut = False
    return rows[:-1] if is_cut and len(rows) > 1 else rows


def _sniffed(name: str, text: str, is_cut: bool) -> str:
    """Return the separator. Raises AmbiguousLabelsError if several fit equally."""
    scores: dict[str, int] = {}
    for separator in SEPARATORS.values():
        rows = _sample(text, separator, is_cut)
        if rows and len(rows[0]) > 1:
            scores[separator] = _score(rows)
    if not scores:
        return ","
    if len(scores) > 1:  # a blank or a tab may also stand inside the cells of a table
        scores.pop(" ", None)
    best = [separator for separator, score in scores.items() if score == max(scores.values())]
    if "\t" in best:
        return "\t"
    if len(best) > 1:
        words = [word for word, char in SEPARATORS.items() if char in best]
        raise AmbiguousLabelsError(f"{name} can be divided by {' or '.join(words)}. Choose one with --separator.")
    return best[0]


def _score(rows: list[list[str]]) -> int:
    """Return 0 to 3: names of images in one column count more than rows of equal length."""
    has_images = any(_names_images([row[at] for row in rows if len(row) > at]) for at in range(len(rows[0])))
    return 2 * has_images + all(len(row) == len(rows[0]) for row in rows)


def _names_images(cells: list[str]) -> bool:
    return sum(map(has_image_suffix, cells)) * 2 > len(cells)


def _is_header(rows: list[list[str]]) -> bool:
    """Return True if the first row names columns."""
    first, rest = [cell.strip() for cell in rows[0]], rows[1:]
    if any(map(has_image_suffix, first)):
        return False
    if {cell.lower() for cell in first} & {*FILE_NAMES, *LABEL_NAMES}:
        return True
    for at, cell in enumerate(first):
        cells = [row[at].strip() for row in rest if len(row) > at]
        if cells and (_names_images(cells) or (not cell.isdecimal() and all(map(str.isdecimal, cells)))):
            return True
    return False


# JSON and Python


def _json_table(name: str, text: str) -> Table:
    lines = text.lstrip().split("\n", 1)
    if len(lines) > 1 and lines[1].strip() and isinstance(_loaded(name, lines[0]), dict):
        return _json_lines(name, text)
    try:
        value = _loads(name, text)
    except RecursionError as error:
        raise ImportSourceError(f"{name} is nested too deeply.") from error
    except ValueError as error:
        if (value := _python_or_none(name, text)) is None:
            raise ImportSourceError(f"{name} is not valid JSON ({error}).") from error
        return _of_value(name, "Python", value)
    return _of_value(name, "JSON", value)


def _loads(name: str, text: str) -> Any:
    """Return the value with its numbers as written. Raises ContradictionError."""

    def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        for key, value in pairs if len(values) < len(pairs) else []:
            if values[key] != value:
                raise _contradiction(name, key)
        return values

    return json.loads(text, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=checked)


def _contradiction(name: str, key: object) -> ContradictionError:
    return ContradictionError(f"{name} gives {shortened(str(key))} a different label than before.")


def _loaded(name: str, text: str) -> Any:
    try:
        return _loads(name, text)
    except (ValueError, RecursionError):
        return None


def _json_lines(name: str, text: str) -> Table:
    def records() -> Iterator[tuple[int, Any]]:
        for number, line in enumerate(text.splitlines(), 1):
            _check_row(name, number)
            if line.strip():
                if not isinstance(record := _loaded(f"{name} line {number}", line), dict):
                    raise ImportSourceError(f"{name} line {number} is not a JSON object.")
                yield number, record

    return _of_records(name, "JSON lines", records)


def _python_or_none(name: str, text: str) -> Any:
    try:
        return _python_value(name, text)
    except ContradictionError:
        raise
    except ImportSourceError:
        return None


def _python_value(name: str, text: str) -> Any:
    if len(text) > MAX_PYTHON_BYTES:
        raise ImportSourceError(f"{name} has more than {MAX_PYTHON_BYTES:,} bytes of Python. Save it as JSON.")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        value = ast.literal_eval(tree)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ImportSourceError(f"{name} is not a dict in Python ({type(error).__name__}).") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            _check_keys(name, node)
    return value


def _check_keys(name: str, node: ast.Dict) -> None:
    """Raise ContradictionError if a dict in Python has one key with two values."""
    values: dict[object, ast.expr] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and ast.dump(values.setdefault(key.value, value)) != ast.dump(value):
            raise _contradiction(name, key.value)


def _of_value(name: str, form: str, value: Any) -> Table:
    """Return the table of a dict of labels, a list of objects, or a list of pairs."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(inner := next(iter(value.values())), list):
        value = inner
    if isinstance(value, dict):
        keys = {str(key).lower() for key in value}
        if keys & {*FILE_NAMES} and keys & {*LABEL_NAMES}:
            value = [value]  # one record
        elif all(isinstance(each, dict) for each in value.values()):
            value = [{"name": key} | each for key, each in value.items()]
        else:
            value = [{"name": key, "label": each} for key, each in value.items()]
    if not isinstance(value, list) or not value:
        raise ImportSourceError(f"{name} has no labels.")
    if all(isinstance(each, list | tuple) and len(each) == 2 for each in value):
        value = [{"name": each[0], "label": each[1]} for each in value]
    entries: list[Any] = value
    if len(entries) > MAX_TABLE_ROWS:
        raise ImportSourceError(f"{name} has more than {MAX_TABLE_ROWS:,} entries. Import fewer images at once.")
    if isinstance(entries[0], dict) and "data" in entries[0] and {"annotations", "completions"} & {*entries[0]}:
        return _of_records(name, "Label Studio", lambda: enumerate(map(_task, entries), 1))
    return _of_records(name, form, lambda: enumerate(entries, 1))


def _of_records(name: str, form: str, records: Callable[[], Iterator[tuple[int, Any]]]) -> Table:
    columns: dict[str, None] = {}
    for number, record in islice(records(), SNIFFED_ROWS):
        if not isinstance(record, Mapping):
            raise ImportSourceError(f"{name} entry {number} is not an object.")
        columns |= {str(key).strip().lower(): None for key in record}
    if len(columns) > MAX_TABLE_COLUMNS:
        raise ImportSourceError(f"{name} has {len(columns)} columns. Use at most {MAX_TABLE_COLUMNS}.")

    def rows() -> Iterator[Row]:
        for number, record in records():
            if not isinstance(record, Mapping):
                raise ImportSourceError(f"{name} entry {number} is not an object.")
            values = {str(key).strip().lower(): _text(value) for key, value in record.items()}
            yield Row(number, [values.get(column) for column in columns])

    return Table(name, form, list(columns), True, rows)


def _text(value: object) -> str | None:
    """Return a value as text; None if there is none."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if value is None or isinstance(value, dict | list | tuple):
        return None
    return value if isinstance(value, str) else str(value)


def _task(task: Any) -> Mapping[str, str | None]:
    """Return file and label of a task of Label Studio. Annotations that disagree give all texts, which fits nothing."""
    if not isinstance(task, dict):
        return {}
    data = task.get("data")
    values = [value for value in data.values() if isinstance(value, str)] if isinstance(data, dict) else []
    file = next((value for value in values if has_image_suffix(value.partition("?")[0])), None)
    file = file or next(filter(has_image_suffix, values), None) or _text(task.get("file_upload"))
    texts: dict[str, None] = {}
    for annotation in task.get("annotations") or task.get("completions") or []:
        if isinstance(annotation, dict) and not annotation.get("was_cancelled"):
            texts |= dict.fromkeys(_texts(annotation.get("result")))
    kind = {"kind": data["kind"]} if isinstance(data, dict) and isinstance(data.get("kind"), str) else {}
    return {"image": file or next(iter(values), None), "label": " | ".join(texts) if texts else None} | kind


def _texts(results: object) -> Iterator[str]:
    for result in results if isinstance(results, list) else []:
        value = result.get("value") if isinstance(result, dict) else None
        for key in ("text", "choices"):
            found = value.get(key) if isinstance(value, dict) else None
            yield from [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, str)]
