"""Name and limits of the built-in reader. Its network is in core.model.builtin, because it needs torch."""

import string

from core.charset import TextSpec
from core.errors import OptionError
from core.words import unknown

NAME = "builtin"
CHARS = string.digits + string.ascii_uppercase + string.ascii_lowercase
"""Characters that it knows."""
LENGTHS = range(1, 11)
"""Text lengths that it can read."""
STRIDE = 8
"""Pixels per cell of its feature map."""


def known_part(spec: TextSpec) -> str:
    """Return the allowed characters that the built-in reader knows, in the order of the charset."""
    return "".join(char for char in spec.charset if char in CHARS)


def unknown_part(spec: TextSpec) -> str:
    """Return the allowed characters that the built-in reader does not know, and so never reads."""
    return "".join(char for char in spec.charset if char not in CHARS)


def caution(spec: TextSpec) -> str:
    """Return a sentence with the allowed characters that the built-in reader does not know; empty if it knows all."""
    if not (chars := unknown_part(spec)):
        return ""
    them = "it" if len(chars) == 1 else "them"
    return f"{unknown('The built-in reader', chars)}, so it misreads images that have {them}."


def check_spec(spec: TextSpec) -> None:
    """Raise OptionError if the built-in reader cannot read texts of this length and charset."""
    if spec.length not in LENGTHS:
        raise OptionError(
            f"The built-in reader reads texts of {LENGTHS[0]} to {LENGTHS[-1]} characters, not of {spec.length}."
        )
    if len(known_part(spec)) < 2:
        raise OptionError("The built-in reader knows only digits and the letters A-Z and a-z.")


def shown_name(reader: str) -> str:
    """Return the name of a reader for people."""
    return "built-in" if reader == NAME else reader


def can_read(spec: TextSpec) -> bool:
    """Return True if the built-in reader can read texts of this length and charset."""
    return spec.length in LENGTHS and len(known_part(spec)) > 1
