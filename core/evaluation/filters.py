"""A filter typed by a person, as `confidence < 0.9 and source == "portal"`: which of N samples it holds for.

The text is parsed as a Python expression and walked node by node; nothing of it is ever executed, and only what stands
here is understood. Every mistake is one sentence with its place.
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
"""Each name that can be asked for; its column is made only when it is: text (U), numbers, or truths."""
LONGEST = 300
NAMES = {
    "label": "the text as it was labeled",
    "read": "the text as the run read it",
    "char(1)": "the first character of the label; char(2) the second",
    "read_char(1)": "the first character that was read",
    "wrong": "whether any character was read wrong",
    "seen": "whether the text also occurs in the training images",
    "confidence": "the probability of the whole answer, from 0 to 1",
    "margin": "lead of the true character over the next where it is smallest, in nats; below 0 it was read wrong",
    "loss": "how improbable the label is, in nats over all positions",
    "source": "name under which the image was imported",
    "day": 'of the import, as "2026-11-23"',
    "operator": "who labeled it",
    "width": "of the image, in pixels",
    "height": "of the image, in pixels",
    "colors": 'of ink and background, as "blue on white"; where the evaluation recorded them',
}
"""What a filter can ask for, and what it means."""
EXAMPLES = (
    'confidence < 0.9 and source == "portal"',
    '"00" in label',
    'char(1) == "7" and read_char(1) != "7"',
    "margin < 2",
    'operator in ("ann", "bob")',
    'day >= "2026-11-01" and width > 150',
)
_COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}
_COMPUTED: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}
_KINDS = {"U": "a text", "f": "a number", "b": "yes or no"}


def select(text: str, columns: Columns, label_NP: Column, read_NP: Column) -> Bools:
    """Which samples the filter holds for. Raises OptionError.

    `label_NP` and `read_NP` hold the characters that `char(1)` and `read_char(1)` mean, as text.
    """
    text = " ".join(text.splitlines()).strip()
    if not text:
        raise OptionError('The filter is empty; a filter is for example: confidence < 0.9 and "00" in label.')
    if len(text) > LONGEST:
        raise OptionError(f"The filter has {len(text)} characters; at most {LONGEST} are read.")
    walker = _Walker(text, columns, {"char": label_NP, "read_char": read_NP})
    try:
        with warnings.catch_warnings(action="ignore"):  # of Python, about odd escapes
            tree = ast.parse(text, mode="eval")
        with np.errstate(all="ignore"):
            truth = walker.truth(tree.body)
    except SyntaxError as error:
        place = min(error.offset or 1, len(text))
        raise OptionError(f"The filter is no whole expression at character {place}: {_near(text, place)}.") from error
    except (RecursionError, MemoryError) as error:
        raise OptionError("The filter is nested too deeply.") from error
    except ValueError as error:  # a null character
        raise OptionError("The filter holds a character that cannot be read.") from error
    members_N: Bools = np.broadcast_to(truth, (len(label_NP),)).copy()
    return members_N


def columns_of(labels: Sequence[str], reading: Reading, columns: Mapping[str, Categorical]) -> Columns:
    """The names of NAMES for what a run read; `columns` are those of core.evaluation.slices.all_columns."""

    def texts(kind: str) -> Callable[[], Column]:
        return lambda: np.array(columns[kind].values)[columns[kind].codes_N]

    def sides(place: int) -> Callable[[], Column]:
        def pixels() -> Column:
            sizes = columns["size"]
            numbers = [size.split(" x ")[place] if " x " in size else "nan" for size in sizes.values]
            return np.array(numbers, dtype=np.float64)[sizes.codes_N]

        return pixels

    made: dict[str, Callable[[], Column]] = {
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
    return made | ({"colors": texts("colors")} if "colors" in columns else {})


def select_read(
    text: str, labels: Sequence[str], reading: Reading, charset: str, columns: Mapping[str, Categorical]
) -> Bools:
    """`select` for what a run read, with all names of NAMES."""
    chars_C = np.array(list(charset))
    read_NP = chars_C[reading.predicted_NP]
    known = dict(columns_of(labels, reading, columns))
    known["read"] = lambda: np.ascontiguousarray(read_NP).view(f"U{read_NP.shape[1]}")[:, 0]
    return select(text, known, chars_C[reading.targets_NP], read_NP)


class _Walker:
    """One method for each kind of node that is understood."""

    def __init__(self, text: str, columns: Columns, characters: Mapping[str, Column]) -> None:
        self.text, self.columns, self.characters = text, columns, characters

    def truth(self, node: ast.expr) -> Column:
        value = self.value(node)
        if value.dtype.kind != "b":
            what = _KINDS[value.dtype.kind]
            raise self.mistake(node, f"a filter asks a question, and this is {what}; compare it with something")
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
                joined = self.truth(parts[0])
                for part in parts[1:]:
                    joined = join(joined, self.truth(part))
                return np.asarray(joined)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return np.asarray(~self.truth(operand))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return np.asarray(-self.numeric(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _COMPUTED:
                return np.asarray(_COMPUTED[type(op)](self.numeric(left), self.numeric(right)))
            case ast.Compare():
                return self.comparison(node)
        raise self.mistake(node, "this is not understood; what is, stands in the help")

    def number(self, node: ast.expr, value: float) -> Column:
        try:
            return np.array(float(value))
        except OverflowError as error:
            raise self.mistake(node, "this number is too large") from error

    def numeric(self, node: ast.expr) -> Column:
        value = self.value(node)
        if value.dtype.kind != "f":
            raise self.mistake(node, f"one can reckon with numbers, and this is {_KINDS[value.dtype.kind]}")
        return value

    def column(self, node: ast.expr, name: str) -> Column:
        if name in self.characters:
            raise self.mistake(node, f"{name} needs a position, as {name}(1)")
        if name not in self.columns:
            names = ", ".join(sorted(self.columns))
            raise self.mistake(node, f"there is no {name!r}; texts stand in quotes, and the names are {names}")
        column = self.columns[name]()
        return column.astype(np.float64) if column.dtype.kind in "iu" else column

    def character(self, node: ast.Call) -> Column:
        if not isinstance(node.func, ast.Name) or node.func.id not in self.characters:
            raise self.mistake(node, f"only {' and '.join(f'{name}(1)' for name in self.characters)} can be called")
        chars_NP = self.characters[node.func.id]
        match node:
            case ast.Call(args=[ast.Constant(value=int() as place)], keywords=[]) if 1 <= place <= chars_NP.shape[1]:
                return np.asarray(chars_NP[:, int(place) - 1])
        raise self.mistake(node, f"{node.func.id} takes one position, from 1 to {chars_NP.shape[1]}")

    def comparison(self, node: ast.Compare) -> Column:
        holds: Column = np.array(True)
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(op, ast.In | ast.NotIn):
                inside = self.inside(left, right)
                holds = holds & (inside if isinstance(op, ast.In) else ~inside)
            elif type(op) in _COMPARED:
                first, second = self.value(left), self.value(right)
                self.same_kind(right, first, second)
                holds = holds & _COMPARED[type(op)](first, second)
            else:
                raise self.mistake(right, "compare with ==, !=, <, <=, >, >= or in")
            left = right
        return np.asarray(holds)

    def inside(self, left: ast.expr, right: ast.expr) -> Column:
        """A text in another, or a value in a list of values."""
        value = self.value(left)
        if isinstance(right, ast.Tuple | ast.List | ast.Set):
            inside: Column = np.zeros(value.shape, dtype=bool)
            for each in right.elts:
                one = self.value(each)
                self.same_kind(each, value, one)
                inside = inside | (value == one)
            return inside
        whole = self.value(right)
        if value.dtype.kind != "U" or whole.dtype.kind != "U":
            raise self.mistake(right, '"in" looks for a text in a text, or for a value in a list as ("a", "b")')
        return np.asarray(np.strings.find(whole, value) >= 0)

    def same_kind(self, node: ast.expr, first: Column, second: Column) -> None:
        one, other = (_KINDS[value.dtype.kind] for value in (first, second))
        if one != other:
            raise self.mistake(node, f"this is {other}, and what it is compared with is {one}")

    def mistake(self, node: ast.expr, what: str) -> OptionError:
        # Python counts bytes.
        place = len(self.text.encode()[: node.col_offset].decode(errors="ignore")) + 1
        return OptionError(f"Filter, at character {place} ({_near(self.text, place)}): {what}.")


def _near(text: str, place: int) -> str:
    """What stands there, short enough for a sentence."""
    rest = text[place - 1 :]
    return rest if len(rest) <= 24 else f"{rest[:20]}..."
