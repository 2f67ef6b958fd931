"""The shape of the result of each kind of job: what pages and commands read of it.

Rows get only results of this shape. So whoever reads one need not look for damage.
"""

from collections.abc import Mapping
from typing import Any

MOST = 1 << 62
"""Larger than any number of a result. SQLite has integers of 64 bits."""
NUMBER = int | float
COUNTS = dict.fromkeys(("files", "imported", "duplicates", "labeled", "rejected", "label_problems"), int)
READER = {"name": str, "version": str, "sha256": str}
SHAPES: dict[str, Mapping[Any, Any]] = {
    "train": {"val": {"correct": int}},
    "evaluate": {"n": int, "correct": int, "tta": bool, "per_position": [NUMBER]},
    "import": COUNTS | {"reasons": [{"name": str, "reason": str}]},
    "propose": {
        "readers": [READER], "images": int, "usable": bool, "verdict": str, "unread": [int],
        "by_position": [NUMBER | None], "by_character": {str: (int, int)}, "confusions": [(str, str, int)],
    },
    "round": {"run": str, "accepted": int, "proved": int, "next_run": str | None},
    "folds": {"n": int, "correct": int},
    "bundle": {
        "n": int, "largest_difference": NUMBER, "bytes": int, "int8_bytes": int | None, "int8_changed": int,
        "settings": dict,
    },
}  # fmt: skip
"""A list has any number of items of one shape, a tuple one of each shape, `{str: shape}` any keys. The result of drift
is checked where it is read."""


def check_result(kind: str, result: object) -> None:
    """Raise ValueError if a result is damaged."""
    if not _fits(result, SHAPES.get(kind, {})):
        raise ValueError(f"this is not the result of a job of kind {kind}")


def _fits(value: object, shape: Any) -> bool:
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return False
        if str in shape:
            return all(_fits(each, shape[str]) for each in value.values())
        return all(name in value and _fits(value[name], each) for name, each in shape.items())
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(each, shape[0]) for each in value)
    if isinstance(shape, tuple):
        return isinstance(value, list) and len(value) == len(shape) and all(map(_fits, value, shape))
    return isinstance(value, shape) and (not isinstance(value, NUMBER) or abs(value) <= MOST)
