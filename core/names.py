"""The rules for names that people choose: of projects, sources, owners, authorizations and operators, and for tags."""

from core.errors import OptionError
from core.files import shortened

MAX_PROJECT = 64
MAX_ORIGIN = 200
"""Characters of a source's name, owner and authorization."""
MAX_OPERATOR = 60
MAX_TAG = 40
"""Characters of a tag of a project, run or sample, and of the name of saved filters."""


def check_name(title: str, name: str, longest: int) -> None:
    """Raise OptionError unless the name has 1 to `longest` visible characters, without spaces around it.

    Control characters could control a terminal, and a line break would make two lines of one.
    """
    if not 1 <= len(name) <= longest or not name.isprintable() or name.strip() != name:
        raise OptionError(f"{shortened(name)!r} is not a valid {title}. Use 1 to {longest} visible characters.")


def check_tag(tag: str) -> None:
    """Raise OptionError unless the text can be a tag."""
    check_name("tag", tag, MAX_TAG)
    if "," in tag:
        raise OptionError(f"The tag {tag!r} has a comma, which separates tags.")
