"""Tasks that are repeated: looks during a measurement, and parts that take turns."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Tasks = dict[str, Callable[[int], object]]
"""Tasks by name. Each gets the number of the round."""


@contextmanager
def repeated(look: Callable[[], object], seconds: float) -> Iterator[None]:
    """Call `look` in a thread, `seconds` after each call, until the block ends."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(seconds):
            look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def in_turn(tasks: Tasks, rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each task, without the first round.

    They take turns, so other work on the machine slows all of them.
    """
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for round_ in range(rounds):
        for name, task in tasks.items():
            began = time.perf_counter()
            task(round_)
            times[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(each[1:]) for name, each in times.items()}
