"""Rights of an ordinary user, for tests that run as root."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

VERSION_3 = 0x20080522
READ_AND_WRITE_ALL = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, which let root read and write everything."""


@contextmanager
def ordinary_rights() -> Iterator[None]:
    """Let file permissions hold for this thread, also if it is root's. Its children have all rights again."""
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("needs capabilities")
    libc = ctypes.CDLL(None, use_errno=True)
    header, before = (ctypes.c_uint32 * 2)(VERSION_3, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0
    ordinary = (ctypes.c_uint32 * 6)(before[0] & ~READ_AND_WRITE_ALL, *before[1:])
    assert libc.capset(header, ordinary) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0
