"""Cells of label tables: the text that was meant, without what spreadsheets and annotation tools add."""

import json
import re
from functools import lru_cache

from core.charset import TextSpec
from core.errors import LabelError

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def with_formula_guard(value: str) -> str:
    """Return the value for a CSV cell, prefixed with a quote if a spreadsheet would run it as a formula."""
    guarded = value.startswith(FORMULA_STARTS) or (value[:1] == "'" and value[1:].startswith((*FORMULA_STARTS, "'")))
    return "'" + value if guarded else value


def without_formula_guard(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith((*FORMULA_STARTS, "'")) else cell


def unwrapped(cell: str) -> str:
    """Return the text inside a list of one: `["1234"]` of Label Studio, `[{"transcription": "1234"}]` of PPOCRLabel."""
    if not cell.startswith("["):
        return cell
    try:
        values = json.loads(cell, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return cell
    value = values[0] if isinstance(values, list) and len(values) == 1 else None
    if isinstance(value, dict):
        value = value.get("transcription")
    return value if isinstance(value, str) else cell


def fits(text: str, spec: TextSpec) -> bool:
    """Return True if the text has the length and the characters of the project."""
    return len(text) == spec.length and _characters(spec.charset).issuperset(text)


@lru_cache(maxsize=8)
def _characters(charset: str) -> frozenset[str]:
    return frozenset(charset)


def has_one_case(spec: TextSpec) -> bool:
    """Return True if the charset has upper-case or lower-case letters, but not both."""
    return spec.charset.upper() != spec.charset.lower() and spec.charset in (spec.charset.upper(), spec.charset.lower())


def folded(text: str, spec: TextSpec) -> str:
    """Return the text in the case of a charset that has only one."""
    if not has_one_case(spec):
        return text
    return text.upper() if spec.charset == spec.charset.upper() else text.lower()


def cleaned(text: str, spec: TextSpec, *, fold_case: bool = False, in_table: bool = True) -> str:
    """Return the label that was meant. Raises LabelError with the reason, and a hint where there is one.

    Removes blanks around it, the quote that marks text in a spreadsheet, and the `.0` of a number. Never pads or cuts.
    """
    if fits(text, spec):
        return text
    stripped = text.strip()
    unquoted = stripped.removeprefix("'")
    whole = re.sub(r"(?<=[0-9])\.0+$", "", unquoted)
    candidates = [stripped, unquoted, whole]
    if fold_case:
        candidates += [folded(candidate, spec) for candidate in candidates]
    for candidate in candidates:
        if fits(candidate, spec):
            return candidate
    try:
        return spec.check(stripped)
    except LabelError as error:
        raise LabelError(f"{error}{_hint(unquoted, whole, spec, in_table)}") from error


def _hint(unquoted: str, whole: str, spec: TextSpec, in_table: bool) -> str:
    if any(fits(folded(text, spec), spec) for text in (unquoted, whole)):
        return " Ignore the case of letters (--fold-case) to accept it."
    if in_table and whole.isdecimal() and len(whole) < spec.length and fits(whole.zfill(spec.length), spec):
        return " Spreadsheets remove leading zeros. Write the column as text."
    return ""
