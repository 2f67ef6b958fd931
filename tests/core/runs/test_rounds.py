"""The gain of a round, without mixing labels of people and readings."""

import pytest

from core.runs.rounds import line_of
from db.records import Job, Run


def run(number: int, reference: str, correct: int | None, n: int) -> Run:
    job = Job(f"{number:04}-fast", number, "train", 1, str(number), "finished", None, None, "", None)
    return Run(job, "fast", "{}", "", 100, n, correct, reference)


RESULT = {"run": "0001-fast", "accepted": 5, "proved": 1, "next_run": "0002-fast"}


@pytest.mark.parametrize("reference", ["people", "readers"])
def test_a_round_helps_if_more_of_val_is_right(reference: str) -> None:
    line = line_of(RESULT, run(1, reference, 8, 10), run(2, reference, 19, 20))

    assert line.helped
    assert "8 of 10 before, 19 of 20 after" in line.sentence()


def test_an_agreement_with_readers_is_not_compared_with_an_exact_match() -> None:
    """People labeled val between the two runs."""
    line = line_of(RESULT, run(1, "readers", 10, 10), run(2, "people", 3, 4))

    assert (line.before, line.after, line.reference, line.helped) == (None, (3, 4), "people", False)
    assert line.sentence() == (
        "0001-fast: 6 more labels. Exact match on val: 3 of 4 (0002-fast). 0001-fast was measured against another "
        "reference, so the gain is unknown."
    )
