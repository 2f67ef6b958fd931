"""Work in another thread, because browser tests leave an event loop running in the main one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def aside(work: Callable[[], T]) -> T:
    """Return what `work` returns. It may call asyncio.run."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()
