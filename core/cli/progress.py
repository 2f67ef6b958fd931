"""Progress of long work: one line redrawn in a terminal, occasional lines in a log."""

import sys
import time
from types import TracebackType
from typing import Self

from core.cli.terminal import printable
from core.jobs.jobdir import JobStatus, duration

LINE_SECONDS = 10.0
"""Seconds between lines in a log."""


class Progress:
    """A progress display on stderr; stdout is for results."""

    def __init__(self) -> None:
        self._moves = sys.stderr.isatty()
        self._last = ""
        self._next_line = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._moves and self._last:
            print(file=sys.stderr)

    def show_job(self, view: JobStatus) -> None:
        self.show(view.step, view.steps, view.message, view.eta_s)

    def show(self, done: int, total: int, message: str, eta_s: float | None = None) -> None:
        """Show done of total (0: unknown), a message, and the seconds left if known."""
        bar = f"[{'█' * (20 * done // total):░<20}] " if total else ""
        left = f", {duration(eta_s)} left" if eta_s is not None else ""
        line = printable(f"{bar}{message}{left}")
        if line == self._last:
            return
        if self._moves:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() >= self._next_line or done == total > 0:
            print(line, file=sys.stderr, flush=True)
            self._next_line = time.monotonic() + LINE_SECONDS
        self._last = line

    def note(self, text: str) -> None:
        """Print a permanent line; progress continues below it."""
        print("\r\x1b[K" * self._moves + printable(text), file=sys.stderr, flush=True)
        self._last = ""
