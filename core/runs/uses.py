"""Uses of the test set, as the pages and the report show them."""

from collections.abc import Sequence

from core.evaluation.percent import share
from db.records import NEXT, UseOfTest


def uses_text(count: int) -> str:
    """Return a sentence without its full stop."""
    if not count:
        return "The test set has not been used yet"
    return f"The test set has been used {'once' if count == 1 else f'{count:,} times'}"


def use_rows(uses: Sequence[UseOfTest]) -> list[tuple[str, str, str, str, str]]:
    """Return time (UTC), operator, run, TTA and result of each use."""
    return [
        (
            use.at.replace("T", " ")[:16],
            use.operator,
            use.run_id or "",
            "" if use.tta is None else "on" if use.tta else "off",
            _result(use),
        )
        for use in uses
    ]


def _result(use: UseOfTest) -> str:
    if use.n is None or use.correct is None:
        return "no result"
    of_source = " of a later source" if use.split == NEXT else ""
    return f"{use.correct:,} of {use.n:,}{of_source}, {share(use.correct, use.n)}"
