"""Words for counts."""

import pytest

from core.words import plural


@pytest.mark.parametrize(("n", "text"), [(0, "0 images"), (1, "1 image"), (1200, "1,200 images")])
def test_one_is_singular(n: int, text: str) -> None:
    assert plural(n, "image") == text
