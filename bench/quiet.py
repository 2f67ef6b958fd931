"""The part of the machine that other work takes during a measurement. Needs Linux."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

QUIET = 0.1
"""Cores that other work may take on a quiet machine."""
TICK = os.sysconf("SC_CLK_TCK")


@contextmanager
def watched() -> Iterator[dict[str, Any]]:
    """Fill the given figures at the end of the block: the load, the cores that other work took, and if it was quiet.

    Our own work is this process and its children that have ended.
    """
    figures: dict[str, Any] = {}
    load, began, busy, own = os.getloadavg()[0], time.monotonic(), _busy_s(), _own_s()
    yield figures
    taken = (_busy_s() - busy - (_own_s() - own)) / (time.monotonic() - began)
    figures |= {
        "load_before": round(load, 1),
        "load_after": round(os.getloadavg()[0], 1),
        "other_cores": round(max(0.0, taken), 2),
        "quiet": taken <= QUIET,
    }


def described(figures: dict[str, Any]) -> str:
    """Return such as "busy: other work took 1.3 cores, load 4.1"."""
    word = "quiet" if figures["quiet"] else "busy"
    return f"{word}: other work took {figures['other_cores']:g} cores, load {figures['load_before']:g}"


def _busy_s() -> float:
    """Return the CPU time of all processes since the start of the machine, in seconds."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _, _, *interrupts_and_steal = map(int, fields)
    return (user + nice + system + sum(interrupts_and_steal)) / TICK


def _own_s() -> float:
    return sum(os.times()[:4])
