"""The rule for names that people choose: of projects, sources, owners, authorizations and operators."""

from core.errors import OptionError
from core.files import shortened

MAX_PROJECT = 64
MAX_ORIGIN = 200
"""Characters of a source's name, owner and authorization."""
MAX_OPERATOR = 60


def check_name(title: str, name: str, longest: int) -> None:
    """Raise OptionError unless the name has 1 to `longest` visible characters, without spaces around it.

    Control characters could control a terminal, and a line break would make two lines of one.
    """
    if not 1 <= len(name) <= longest or not name.isprintable() or name.strip() != name:
        raise OptionError(f"{shortened(name)!r} is not a valid {title}. Use 1 to {longest} visible characters.")
