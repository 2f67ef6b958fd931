"""Words for counts."""


def plural(n: int, noun: str) -> str:
    """Return a count with its noun: "1 image", "1,200 images"."""
    return f"{n:,} {noun}{'s' * (n != 1)}"
