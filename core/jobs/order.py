"""In which order the runs that wait for a device take it: by number, unless somebody moved one.

`queue.json`, beside the runs, lists those that waited when one was last moved, in their order; others follow by number.
It only sorts. Which runs wait is known from their own directories, so none can be lost by it.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import JobError, StorageError
from core.files import atomic_write
from core.jobs.jobdir import JobDir

ORDER = "queue.json"
Turn = tuple[int, int]


def waiting_runs(runs: Path) -> dict[str, list[JobDir]]:
    """The runs that wait, in the order of their turns, for each device that is waited for."""
    lines: dict[str, list[JobDir]] = {}
    for _, job, status in _queued(runs, _order(runs)):
        if not job.cancel_asked and _alive(job):
            lines.setdefault(str(status.get("device")), []).append(job)
    return dict(sorted(lines.items()))


def run_ahead(job: JobDir, device: str) -> str | None:
    """The run whose turn on this device is next, if it is not this one's."""
    order = _order(job.path.parent)
    mine = _turn(job, order)
    for turn, other, status in _queued(job.path.parent, order):
        if turn < mine and status.get("device") == device and _alive(other):
            return other.id
    return None


def move(runs: Path, job_id: str, *, before: str | None) -> None:
    """Give a run that waits the turn before another one's, or the last.

    The other is named, not counted from, so that a second press and somebody else's move at the same moment do no
    harm. Raises JobError when one of the two no longer waits, StorageError when the order cannot be written.
    """
    with _order_lock(runs):
        lines = [[job.id for job in line] for line in waiting_runs(runs).values()]
        line = next((line for line in lines if job_id in line), [])
        for name in (job_id, before):
            if name is not None and name not in line:
                raise JobError(f"Run {name} no longer waits for its turn{'' if name == job_id else ' there'}.")
        if job_id != before:
            line.remove(job_id)
            line.insert(len(line) if before is None else line.index(before), job_id)
            _save(runs, [name for line in lines for name in line])


def forget(runs: Path, job_id: str) -> None:
    """A run that is resumed has had its turn: it no longer stands where it was once moved to. Raises StorageError."""
    if job_id in _order(runs):
        with _order_lock(runs):
            _save(runs, [name for name in _order(runs) if name != job_id])


def _queued(runs: Path, order: dict[str, int]) -> list[tuple[Turn, JobDir, dict[str, Any]]]:
    """Runs that say they wait, by their turns; whether they live is not looked at yet."""
    queued = []
    for path in runs.glob("[0-9]*-*"):
        if (path / "exit.json").exists():  # most of them, and cheaper to see than a lock
            continue
        job = JobDir(path)
        status = job.read("status.json") or {}
        if status.get("state") == "queued":
            queued.append((_turn(job, order), job, status))
    return sorted(queued, key=lambda entry: entry[0])


def _alive(job: JobDir) -> bool:
    with job.unlocked() as free:
        return not free


def _turn(job: JobDir, order: dict[str, int]) -> Turn:
    return order.get(job.id, len(order)), job.number


def _order(runs: Path) -> dict[str, int]:
    try:
        ids = json.loads((runs / ORDER).read_bytes())["order"]
        return {str(name): place for place, name in enumerate(ids)}
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or damaged: then by number
        return {}


def _save(runs: Path, ids: list[str]) -> None:
    with atomic_write(runs / ORDER) as file:
        file.write(json.dumps({"order": ids}).encode())


@contextmanager
def _order_lock(runs: Path) -> Iterator[None]:
    """Moves follow one another: each starts from the order that the one before it left. Raises StorageError."""
    try:
        number = os.open(runs / "queue.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(number, fcntl.LOCK_EX)
            yield
        finally:
            os.close(number)
    except OSError as error:
        raise StorageError(f"The order of the runs could not be written ({error.strerror}).") from error
