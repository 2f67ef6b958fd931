"""The openings of the sealed test images, as the pages and the report show them."""

from collections.abc import Sequence

from core.evaluation.percent import share
from db.records import TestOpening


def openings_text(count: int) -> str:
    """Say how often the test images were opened; without a full stop."""
    return f"The test images of this project were opened {'once' if count == 1 else f'{count:,} times'}"


def opening_rows(openings: Sequence[TestOpening]) -> list[tuple[str, str, str, str, str]]:
    """Return when (UTC), by whom, for which run and with which views each was opened, and the result."""
    return [
        (
            opening.at.replace("T", " ")[:16],
            opening.operator,
            opening.run_id or "",
            "" if opening.tta is None else "on" if opening.tta else "off",
            _result(opening),
        )
        for opening in openings
    ]


def _result(opening: TestOpening) -> str:
    if opening.n is None or opening.correct is None:
        return "no result"
    return f"{opening.correct:,} of {opening.n:,}, {share(opening.correct, opening.n)}"
