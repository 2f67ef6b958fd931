"""The run queue of each device: the oldest first, unless someone moves a run.

`queue.json`, next to the runs, stores the order of the runs that were queued at the last move. Other runs follow, the
oldest first. Searches for wrong labels wait in the same queue and have numbers of their own, so time decides. The file
only sorts: the directories of the runs say which are queued, so it cannot lose a run.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from core.errors import JobError, StorageError
from core.files import atomic_write
from core.jobs.jobdir import JobDir, job_directories

ORDER = "queue.json"
Turn = tuple[int, str, int, str]


def waiting_runs(runs: Path) -> dict[str, list[JobDir]]:
    """Return the queued runs of each device, in order."""
    lines: dict[str, list[JobDir]] = {}
    for _, job, status in _queued(runs, _order(runs)):
        if not job.cancel_asked and job.is_alive:
            lines.setdefault(str(status.get("device")), []).append(job)
    return dict(sorted(lines.items()))


def run_ahead(job: JobDir, device: str) -> str | None:
    """Return a run ahead of this one in the device's queue; None if it is first."""
    order = _order(job.path.parent)
    mine = _turn(job, order)
    for turn, other, status in _queued(job.path.parent, order):
        if turn < mine and status.get("device") == device and other.is_alive:
            return other.id
    return None


def starts_after(runs: Path, device: str) -> str | None:
    """Return the run after which a new one would start on this device: the last of its queue, else its present one."""
    if line := waiting_runs(runs).get(device):
        return line[-1].id
    with suppress(OSError, UnicodeDecodeError):  # nothing has run on it yet
        holder = (runs / f"{device}.lock").read_text()
        if holder and JobDir(runs / holder).is_alive:
            return holder
    return None


def move(runs: Path, job_id: str, *, before: str | None) -> None:
    """Move a queued run before another one, or to the end.

    The target is a run and not an index, so repeated or concurrent moves do no harm. Raises JobError if either run is
    no longer queued, StorageError if the order cannot be saved.
    """
    with _order_lock(runs):
        lines = [[job.id for job in line] for line in waiting_runs(runs).values()]
        line = next((line for line in lines if job_id in line), [])
        for name in (job_id, before):
            if name is not None and name not in line:
                raise JobError(f"Run {name} is no longer in {'the' if name == job_id else 'this'} queue.")
        if job_id != before:
            line.remove(job_id)
            line.insert(len(line) if before is None else line.index(before), job_id)
            _save(runs, [name for line in lines for name in line])


def forget(runs: Path, job_id: str) -> None:
    """Drop the saved place of a resumed run, so that it queues by its age again. Raises StorageError."""
    if job_id in _order(runs):
        with _order_lock(runs):
            _save(runs, [name for name in _order(runs) if name != job_id])


def _queued(runs: Path, order: dict[str, int]) -> list[tuple[Turn, JobDir, dict[str, Any]]]:
    """Return runs whose status is queued, in order, without checking that they are alive."""
    queued = []
    for job in job_directories(runs):
        if (job.path / "exit.json").exists():  # true for most runs, and cheaper to check than a lock
            continue
        status = job.read("status.json") or {}
        if status.get("state") == "queued":
            queued.append((_turn(job, order), job, status))
    return sorted(queued, key=lambda entry: entry[0])


def _turn(job: JobDir, order: dict[str, int]) -> Turn:
    created_at = str((job.read("run.json") or {}).get("created_at", ""))
    return order.get(job.id, len(order)), created_at, job.number, job.id


def _order(runs: Path) -> dict[str, int]:
    try:
        ids = json.loads((runs / ORDER).read_bytes())["order"]
        return {str(name): place for place, name in enumerate(ids)}
    except (OSError, ValueError, KeyError, TypeError):  # missing or damaged: order by age
        return {}


def _save(runs: Path, ids: list[str]) -> None:
    with atomic_write(runs / ORDER) as file:
        file.write(json.dumps({"order": ids}).encode())


@contextmanager
def _order_lock(runs: Path) -> Iterator[None]:
    """Serialize changes, so each starts from the order the previous one saved. Raises StorageError."""
    try:
        number = os.open(runs / "queue.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(number, fcntl.LOCK_EX)
            yield
        finally:
            os.close(number)
    except OSError as error:
        raise StorageError(f"The run queue could not be saved ({error.strerror}).") from error
