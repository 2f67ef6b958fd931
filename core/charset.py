"""Fixed-length text over a charset, and its conversion to class numbers and back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from core.errors import LabelError, OptionError
from core.words import plural

MAX_LENGTH = 32
"""Characters. One head per position does not suit longer texts."""


MAX_CHARSET = 10_000
"""Characters. Each is a class of every head."""


@dataclass(frozen=True)
class TextSpec:
    """The text length and charset of a project."""

    length: int
    """Characters in every text; the number of positions and of heads."""
    charset: str
    """The allowed characters, each once. Their order defines the class numbers."""

    def __post_init__(self) -> None:
        if not 1 <= self.length <= MAX_LENGTH:
            raise OptionError(f"The length must be between 1 and {MAX_LENGTH}, got {self.length}.")
        if len(self.charset) < 2:
            raise OptionError(f"The charset needs at least two characters, got {self.charset!r}.")
        if len(self.charset) > MAX_CHARSET:
            raise OptionError(f"The charset has {len(self.charset):,} characters. The limit is {MAX_CHARSET:,}.")
        for char in self.charset:
            if self.charset.count(char) > 1:
                raise OptionError(f"The charset contains {char!r} more than once.")
            if char.isspace() or not char.isprintable():
                raise OptionError(f"The charset contains the invisible character {char!r}.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TextSpec":
        """Read `length` and `charset` from a run.json or checkpoint; ignore other keys. Raises OptionError."""
        length, charset = values.get("length"), values.get("charset")
        if type(length) is not int or not isinstance(charset, str) or abs(length) > MAX_CHARSET:
            raise OptionError("The text length and charset of the run are missing or damaged.")
        return cls(length, charset)

    @property
    def num_classes(self) -> int:
        return len(self.charset)

    def check(self, text: str) -> str:
        """Return `text` unchanged, or raise LabelError with the reason."""
        quoted = repr(text if len(text) <= 2 * MAX_LENGTH else text[:MAX_LENGTH] + "…")
        if len(text) != self.length:
            raise LabelError(f"{quoted} has {plural(len(text), 'character')}; this project uses {self.length}.")
        for char in text:
            if char not in self.charset:
                raise LabelError(f"{quoted} contains {char!r}, which is not in the charset {self.charset!r}.")
        return text

    def encode(self, text: str) -> list[int]:
        """Return the class number of each character. Raises LabelError."""
        return [self.charset.index(char) for char in self.check(text)]

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self.charset[index] for index in ids)


class FixedLength(Protocol):
    """Anything with a text length and a charset, such as a project."""

    @property
    def length(self) -> int: ...
    @property
    def charset(self) -> str: ...


def spec_of(project: FixedLength) -> TextSpec:
    """Return the length and charset of a project."""
    return TextSpec(project.length, project.charset)
