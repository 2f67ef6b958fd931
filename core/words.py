"""Words for counts and characters."""

SHOWN_CHARS = 62
"""Characters that a sentence names: as many as there are digits and letters."""


def plural(n: int, noun: str) -> str:
    """Return a count with its noun: "1 image", "1,200 images"."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def are(n: int) -> str:
    """Return the verb of a count: "is" for 1."""
    return "is" if n == 1 else "are"


def shown(chars: str) -> str:
    """Return characters as they stand in a sentence, which cannot name thousands of them."""
    return chars if len(chars) <= SHOWN_CHARS else f"{chars[:SHOWN_CHARS]}…"


def unknown(reader: str, chars: str) -> str:
    """Return which characters a reader does not know, as a sentence without its end."""
    return f"{reader} does not know the character{'s' * (len(chars) > 1)} {' '.join(shown(chars))}"
