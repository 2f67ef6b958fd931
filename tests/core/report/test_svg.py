"""The figures of a report, drawn by its template."""

import string

import numpy as np
import pytest

from core.report.document import TEMPLATES
from core.report.svg import counts_matrix

DRAW = TEMPLATES.from_string('{% from "svg.html" import matrix %}{{ matrix(it) }}')


@pytest.mark.parametrize("charset", ["0123456789", string.digits + string.ascii_lowercase])
def test_a_matrix_of_any_charset_is_drawn(charset: str) -> None:
    """If rows have no room for their character, every other row has one."""
    counts_CC = np.diag(np.arange(1, len(charset) + 1))
    counts_CC[0, -1] = 3

    drawn = DRAW.render(it=counts_matrix(counts_CC, charset, "label"))

    assert drawn.count("<rect") == 1 + np.count_nonzero(counts_CC)
    assert f"label 0, read as {charset[-1]}: 3" in drawn
    named = [char for char in charset if f'text-anchor="end">{char}</text>' in drawn]
    assert named == list(charset if len(charset) < 19 else charset[::2])
