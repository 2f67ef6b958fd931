"""Reading of very many files with a bundle, by processes on this host (core.runs.batch_worker).

Only this process writes, so a worker that outlives it writes nothing.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from queue import Queue
from threading import Lock, Thread
from typing import Any

from core.errors import JobError
from core.runs.inputs import Input, Record
from core.runs.parts import Parts

CHUNK = 64
"""Inputs of a message to a worker."""


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_batch(
    inputs: Iterable[Input],
    parts: Parts,
    bundle: Path,
    *,
    jobs: int,
    int8: bool,
    show: Callable[[int], None],
    note: Callable[[Record], None],
) -> None:
    """Read what `parts` does not have. Calls `show` with the number of files so far, and `note` for each new row.

    Raises JobError if a worker ends early. What was read is written then, too.
    """
    chunks = _Shared(_chunks(inputs, parts))
    answers: Queue[list[Record] | JobError | None] = Queue(maxsize=2 * jobs)
    setup = {"bundle": str(bundle.resolve()), "int8": int8}
    workers = [_Worker(setup) for _ in range(jobs)]
    for worker in workers:
        Thread(target=worker.serve, args=(chunks, answers), daemon=True).start()
    done, running = 0, jobs
    try:
        while running:
            answer = answers.get()
            if isinstance(answer, JobError):
                raise answer
            if answer is None:
                running -= 1
                continue
            done += len(answer)
            new = [row for row in answer if "known" not in row]
            parts.add(new)
            for row in new:
                note(row)
            show(done)
    finally:
        for worker in workers:
            worker.kill()


def _chunks(inputs: Iterable[Input], parts: Parts) -> Iterator[list[tuple[Input, str]]]:
    """Yield inputs with the pixel hashes under which they are in the parts."""
    waiting = iter(inputs)
    while chunk := [(item, parts.known(item.name).hex()) for item in islice(waiting, CHUNK)]:
        yield chunk


class _Shared:
    """Chunks that several threads take from."""

    def __init__(self, chunks: Iterator[Any]) -> None:
        self._chunks, self._lock = chunks, Lock()

    def take(self) -> Any:
        """Return the next chunk; None at the end."""
        with self._lock:
            return next(self._chunks, None)


class _Worker:
    """A process that reads chunks. It ends when its input ends, also if this process is killed."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "core.runs.batch_worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._setup = setup

    def serve(self, chunks: _Shared, answers: "Queue[list[Record] | JobError | None]") -> None:
        """Let the process read chunks until there are none, and put its answers, then None, or an error."""
        try:
            self._send(self._setup)
            while chunk := chunks.take():
                self._send(chunk)
                answers.put(self._receive())
            answers.put(None)
        except (OSError, ValueError):
            answers.put(JobError("A process of the batch ended early. Run again to continue."))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def _receive(self) -> list[Record]:
        assert self._process.stdout is not None
        rows: list[Record] = json.loads(self._process.stdout.readline())
        return rows
