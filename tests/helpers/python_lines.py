"""A count of work that does not depend on what else the machine does."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def python_lines(call: Callable[[], object]) -> int:
    """Return how many lines of Python `call` runs: few where NumPy does the work, many in a loop over rows."""
    lines, before = 0, sys.gettrace()

    def trace(_: FrameType, event: str, __: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return lines
