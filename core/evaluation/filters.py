"""Filter expressions such as `confidence < 0.9 and source == "portal"`, applied to N samples.

A filter is parsed as a Python expression and walked node by node. It is never executed, and only the nodes handled here
are allowed. Error messages give the position in the filter.
"""

import ast
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import OptionError
from core.evaluation.metrics import margins_NP
from core.evaluation.predictions import Reading
from core.evaluation.ranking import losses_N
from core.evaluation.slices import Categorical

Bools = NDArray[np.bool_]
Column = NDArray[Any]
Columns = Mapping[str, Callable[[], Column]]
"""Name and lazily computed column: text (U), numbers or booleans."""
MAX_CHARS = 300
NAMES = {
    "label": "text of the label",
    "reading": "text that the run read",
    "char(1)": "character of the label at position 1",
    "reading_char(1)": "character of the reading at position 1",
    "wrong": "true if the reading is wrong",
    "seen": "true if the text also occurs in the training images",
    "confidence": "confidence of the reading, from 0 to 1",
    "margin": "smallest lead of a true character over the next, in nats; negative if it was read wrong",
    "loss": "negative log-likelihood of the label, in nats",
    "source": "name of the source",
    "day": 'day of import, such as "2026-11-23"',
    "operator": "operator who labeled the image",
    "width": "width of the image in pixels",
    "height": "height of the image in pixels",
    "colors": 'colors of ink and background, such as "blue on white", if the evaluation recorded them',
}
"""Names of the filter language and their meaning."""
EXAMPLES = (
    'confidence < 0.9 and source == "portal"',
    '"00" in label',
    'char(1) == "7" and reading_char(1) != "7"',
    "margin < 2",
    'operator in ("ann", "bob")',
    'day >= "2026-11-01" and width > 150',
)
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}
_KINDS = {"U": "text", "f": "a number", "b": "a condition"}


def select(text: str, columns: Columns, label_NP: Column, read_NP: Column) -> Bools:
    """Return the samples that match the filter. Raises OptionError.

    `label_NP` and `read_NP` are the characters of `char()` and `reading_char()`, as text.
    """
    text = " ".join(text.splitlines()).strip()
    if not text:
        raise OptionError('The filter is empty. Enter for example: confidence < 0.9 and "00" in label.')
    if len(text) > MAX_CHARS:
        raise OptionError(f"The filter has {len(text)} characters. Use at most {MAX_CHARS}.")
    walker = _Walker(text, columns, {"char": label_NP, "reading_char": read_NP})
    try:
        with warnings.catch_warnings(action="ignore"):  # Python warns of invalid escapes
            tree = ast.parse(text, mode="eval")
        with np.errstate(all="ignore"):
            match_N = walker.condition(tree.body)
    except SyntaxError as error:
        place = min(error.offset or 1, len(text))
        raise OptionError(f"Filter, at character {place} ({_near(text, place)}): syntax error.") from error
    except (RecursionError, MemoryError) as error:
        raise OptionError("The filter is nested too deeply.") from error
    except ValueError as error:  # a null character
        raise OptionError("The filter contains an invalid character.") from error
    members_N: Bools = np.broadcast_to(match_N, (len(label_NP),)).copy()
    return members_N


def filter_columns(labels: Sequence[str], reading: Reading, columns: Mapping[str, Categorical]) -> Columns:
    """Return the columns of an evaluation. `columns` come from core.evaluation.slices.all_columns."""

    def texts(kind: str) -> Callable[[], Column]:
        return lambda: np.array(columns[kind].values)[columns[kind].codes_N]

    def sides(place: int) -> Callable[[], Column]:
        def pixels() -> Column:
            sizes = columns["size"]
            numbers = [size.split(" x ")[place] if " x " in size else "nan" for size in sizes.values]
            return np.array(numbers, dtype=np.float64)[sizes.codes_N]

        return pixels

    result: dict[str, Callable[[], Column]] = {
        "label": lambda: np.array(labels),
        "wrong": lambda: ~reading.right_N,
        "seen": lambda: columns["text"].members("seen in training"),
        "confidence": lambda: reading.confidence_N,
        "margin": lambda: margins_NP(reading.log_probs_NPC, reading.targets_NP).min(axis=1),
        "loss": lambda: losses_N(reading.log_probs_NPC, reading.targets_NP),
        "source": texts("source"),
        "day": texts("import day"),
        "operator": texts("operator"),
        "width": sides(0),
        "height": sides(1),
    }
    return result | ({"colors": texts("colors")} if "colors" in columns else {})


def select_readings(
    text: str, labels: Sequence[str], reading: Reading, charset: str, columns: Mapping[str, Categorical]
) -> Bools:
    """Apply a filter to an evaluation, with all names in NAMES."""
    chars_C = np.array(list(charset))
    read_NP = chars_C[reading.predicted_NP]
    lookup = dict(filter_columns(labels, reading, columns))
    lookup["reading"] = lambda: np.ascontiguousarray(read_NP).view(f"U{read_NP.shape[1]}")[:, 0]
    return select(text, lookup, chars_C[reading.targets_NP], read_NP)


class _Walker:
    """An evaluator with one method for each supported kind of node."""

    def __init__(self, text: str, columns: Columns, characters: Mapping[str, Column]) -> None:
        self.text, self.columns, self.characters = text, columns, characters

    def condition(self, node: ast.expr) -> Column:
        value = self.value(node)
        if value.dtype.kind != "b":
            raise self.error(node, f"expected a condition, got {_KINDS[value.dtype.kind]}")
        return value

    def value(self, node: ast.expr) -> Column:
        match node:
            case ast.Constant(value=bool() | str() as value):
                return np.array(value)
            case ast.Constant(value=int() | float() as value):
                return self.number(node, value)
            case ast.Name(id=name):
                return self.column(node, name)
            case ast.Call():
                return self.character(node)
            case ast.BoolOp(op=op, values=parts):
                join = np.logical_and if isinstance(op, ast.And) else np.logical_or
                joined = self.condition(parts[0])
                for part in parts[1:]:
                    joined = join(joined, self.condition(part))
                return np.asarray(joined)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return np.asarray(~self.condition(operand))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return np.asarray(-self.numeric(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return np.asarray(_ARITHMETIC[type(op)](self.numeric(left), self.numeric(right)))
            case ast.Compare():
                return self.comparison(node)
        raise self.error(node, "this is not supported. Open Help for the syntax")

    def number(self, node: ast.expr, value: float) -> Column:
        try:
            return np.array(float(value))
        except OverflowError as error:
            raise self.error(node, "this number is too large") from error

    def numeric(self, node: ast.expr) -> Column:
        value = self.value(node)
        if value.dtype.kind != "f":
            raise self.error(node, f"expected a number, got {_KINDS[value.dtype.kind]}")
        return value

    def column(self, node: ast.expr, name: str) -> Column:
        if name in self.characters:
            raise self.error(node, f"{name} needs a position, such as {name}(1)")
        if name not in self.columns:
            names = ", ".join([*sorted(self.columns), *(f"{name}(1)" for name in self.characters)])
            raise self.error(node, f"unknown name {name!r}. Put text in quotes, or use one of {names}")
        column = self.columns[name]()
        return column.astype(np.float64) if column.dtype.kind in "iu" else column

    def character(self, node: ast.Call) -> Column:
        if not isinstance(node.func, ast.Name) or node.func.id not in self.characters:
            raise self.error(node, f"only {' and '.join(f'{name}(1)' for name in self.characters)} can be called")
        chars_NP = self.characters[node.func.id]
        match node:
            case ast.Call(args=[ast.Constant(value=int() as place)], keywords=[]) if 1 <= place <= chars_NP.shape[1]:
                return np.asarray(chars_NP[:, int(place) - 1])
        raise self.error(node, f"{node.func.id} takes one position, from 1 to {chars_NP.shape[1]}")

    def comparison(self, node: ast.Compare) -> Column:
        holds: Column = np.array(True)
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(op, ast.In | ast.NotIn):
                inside = self.inside(left, right)
                holds = holds & (inside if isinstance(op, ast.In) else ~inside)
            elif type(op) in _COMPARISONS:
                first, second = self.value(left), self.value(right)
                self.check_same_kind(right, first, second)
                holds = holds & _COMPARISONS[type(op)](first, second)
            else:
                raise self.error(right, "compare with ==, !=, <, <=, >, >= or in")
            left = right
        return np.asarray(holds)

    def inside(self, left: ast.expr, right: ast.expr) -> Column:
        """Evaluate `in`: a text in another, or a value in a list of values."""
        value = self.value(left)
        if isinstance(right, ast.Tuple | ast.List | ast.Set):
            inside: Column = np.zeros(value.shape, dtype=bool)
            for each in right.elts:
                one = self.value(each)
                self.check_same_kind(each, value, one)
                inside = inside | (value == one)
            return inside
        whole = self.value(right)
        if value.dtype.kind != "U" or whole.dtype.kind != "U":
            raise self.error(right, '"in" finds text in text, or a value in a list such as ("a", "b")')
        return np.asarray(np.strings.find(whole, value) >= 0)

    def check_same_kind(self, node: ast.expr, first: Column, second: Column) -> None:
        one, other = (_KINDS[value.dtype.kind] for value in (first, second))
        if one != other:
            raise self.error(node, f"cannot compare {one} with {other}")

    def error(self, node: ast.expr, message: str) -> OptionError:
        # col_offset counts bytes.
        place = len(self.text.encode()[: node.col_offset].decode(errors="ignore")) + 1
        return OptionError(f"Filter, at character {place} ({_near(self.text, place)}): {message}.")


def _near(text: str, place: int) -> str:
    """Return an excerpt of the text from this character."""
    rest = text[place - 1 :]
    return rest if len(rest) <= 24 else f"{rest[:20]}..."
