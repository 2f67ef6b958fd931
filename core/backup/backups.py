"""Backups of a Slotlab folder: make one, keep a few, know the last result.

Files in `backups/`:

* `slotlab-20261128T235959Z.db`: a verified copy of the database, which restores alone.
* `slotlab-20261128T235959Z-schema-5.db`: the same, made before the schema changed.
* `labels-20261128.jsonl`: the labels of that day as text, for other programs.
* `last.json`: the last good backup and the failure after it, for Home.
* `.lock`: held while a backup is made.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.errors import StorageError
from core.files import atomic_write
from core.home import Home
from core.jobs.jobdir import try_lock
from db import backup, damage
from db.records import now

KEPT = 7
"""Backups and label files to keep."""
DISK_SHARE = 5
"""Backups take at most one part in this many of the free disk."""
DAILY = timedelta(hours=24)
OVERDUE = timedelta(hours=26)
"""A good backup older than this is reported as a problem."""
RETRY = timedelta(hours=1)
"""Time from a failure to the next automatic try."""
LAST = "last.json"
NAME = re.compile(r"slotlab-[0-9]{8}T[0-9]{6}Z(-schema-[0-9]+)?\.db")


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A verified backup."""

    path: str
    bytes: int
    samples: int
    labels: int
    """Samples that have a label."""
    seconds: float
    at: str


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A backup that was not made."""

    reason: str
    at: str


@dataclass(frozen=True, kw_only=True)
class Last:
    """The last good backup, and the failure after it, if any."""

    good: Backup | None = None
    failure: Failure | None = None

    def age(self) -> timedelta | None:
        """Return the age of the last good backup; None if there is none or its file is gone."""
        return _age(self.good.at) if self.good and Path(self.good.path).exists() else None

    def is_due(self) -> bool:
        """Return whether the app should make its daily backup now."""
        age = self.age()
        return (age is None or age >= DAILY) and not self.has_just_failed()

    def has_just_failed(self) -> bool:
        """Return whether it is too early to try again."""
        return self.failure is not None and _age(self.failure.at) < RETRY


def _age(at: str) -> timedelta:
    """Return the time since `at`, or until `at`: a wrong clock gives times in the future, which are as far off."""
    return abs(datetime.now(UTC) - datetime.fromisoformat(at))


# Making


def back_up(home: Home, folder: Path | None = None, *, lock: int | None = None, daily: bool = False) -> Backup:
    """Make a verified backup in `folder`, or in `backups/`, where it replaces the oldest. Returns it.

    `lock` is a lock that the caller has from `take_lock`. A daily backup is refused if it would take more than its
    share of the free disk. Raises StorageError; the result is recorded either way.
    """
    if damage.is_lost(home.db):
        raise StorageError(damage.lost_sentence(home.db))
    if not home.db.exists():
        raise StorageError(f"There is no database at {home.db}, so there is nothing to back up.")
    home.create()
    number = take_lock(home) if lock is None else lock
    if number is None:
        raise StorageError("A backup is already being made. Wait until it is done.")
    try:
        made = _back_up(home, folder, daily=daily)
    except StorageError as error:
        with suppress(StorageError):  # on a full disk the record fails too, and this reason is the better one
            _record(home, Last(good=last(home).good, failure=Failure(reason=str(error), at=now())))
        raise
    else:
        _record(home, Last(good=made))
    finally:
        if lock is None:
            os.close(number)
    return made


def _back_up(home: Home, folder: Path | None, *, daily: bool) -> Backup:
    began, folder = time.monotonic(), folder or home.backups
    if not folder.is_dir():
        raise StorageError(f"The folder {folder} does not exist. Create it first.")
    if daily and backup.size_of(home.db) > budget(home):
        raise StorageError(
            f"The database has {backup.size_of(home.db) / 1e6:,.1f} MB, more than a fifth of the free disk. Free some "
            "space, or run `slotlab backup --to` another disk each day."
        )
    target, contents = _copy(home, folder.resolve())
    if folder.resolve() == home.backups.resolve():
        if contents.is_current:
            _write_labels(home, target)
        rotate(home)
    return Backup(
        path=str(target), bytes=contents.bytes, samples=contents.samples, labels=contents.labels,
        seconds=round(time.monotonic() - began, 1), at=now(),
    )  # fmt: skip


def _copy(home: Home, folder: Path) -> tuple[Path, backup.Contents]:
    """Copy the database to a new file in `folder`. Several labs may share the folder and start in the same second."""
    while True:
        target = folder / f"slotlab-{backup.stamp()}.db"
        try:
            return target, backup.copy(home.db, target, folder / f".slotlab-{_lab(home)}.part")
        except backup.NameTakenError:
            time.sleep(1)


def _lab(home: Home) -> str:
    """Return a short name of this folder, because several labs may keep their backups in one place."""
    return hashlib.sha256(str(home.root.resolve()).encode()).hexdigest()[:8]


def _write_labels(home: Home, copy: Path) -> None:
    """Write the labels of a backup as text, over those of the same day."""
    day = copy.stem.removeprefix("slotlab-")[:8]
    try:
        with atomic_write(home.backups / f"labels-{day}.jsonl") as file:
            for row in backup.label_rows(copy):
                file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise StorageError(f"The labels could not be written as text ({error.strerror}).") from error


# Keeping


def find_backups(home: Home) -> list[Path]:
    """Return all backups in `backups/`, newest first, with those made before a change of the schema.

    Ignores files with other names, which people put there. A wrong clock gives names in the future. They count as the
    oldest, so that `rotate` keeps the backup just made.
    """
    latest = f"slotlab-{backup.stamp()}"
    named = [path for path in home.backups.glob("slotlab-*.db") if NAME.fullmatch(path.name)]
    return sorted(named, key=lambda path: (path.name[:24] <= latest, path.name[:24]), reverse=True)


def budget(home: Home) -> int:
    """Return the bytes that backups may take: their share of what would be free without them."""
    free = shutil.disk_usage(home.backups).free
    return (free + sum(path.stat().st_size for path in find_backups(home))) // DISK_SHARE


def rotate(home: Home) -> None:
    """Delete the oldest backups beyond KEPT or the budget, but never the newest one."""
    before_migration = [path for path in find_backups(home) if "-schema-" in path.name]
    for path in before_migration[1:]:
        path.unlink(missing_ok=True)
    room = budget(home)
    for number, path in enumerate(find_backups(home)):
        room -= path.stat().st_size
        if number and (number >= KEPT or room < 0):
            path.unlink(missing_ok=True)
    for path in sorted(home.backups.glob("labels-*.jsonl"), reverse=True)[KEPT:]:
        path.unlink(missing_ok=True)


# The last result


def is_due(home: Home) -> bool:
    """Return whether the app should make its daily backup now.

    A backup in another folder takes its place only if `backups/` has no room for one.
    """
    result = last(home)
    if result.is_due() or result.has_just_failed():
        return result.is_due()
    since = backup.stamp(datetime.now(UTC) - DAILY)
    daily = [path for path in find_backups(home) if "-schema-" not in path.name]
    return all(path.name[8:24] <= since for path in daily) and backup.size_of(home.db) <= budget(home)


def last(home: Home) -> Last:
    """Return the last result; empty if there is none."""
    try:
        values = json.loads((home.backups / LAST).read_bytes())
        good, failure = values["good"], values["failure"]
        result = Last(good=good and Backup(**good), failure=failure and Failure(**failure))
        _check(result)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # missing or damaged: the next backup writes it
        return Last()
    return result


def _check(result: Last) -> None:
    """Raise ValueError or TypeError if a value cannot be used."""
    if result.good:
        _age(result.good.at)
        Path(result.good.path)
        f"{result.good.samples:,} {result.good.labels:,}"
    if result.failure:
        _age(result.failure.at)
        if not isinstance(result.failure.reason, str):
            raise TypeError("the reason is not a text")


def problem(result: Last, since: str) -> str | None:
    """Return why the backups need attention, or None. `since` is when the first project was created."""
    age = result.age()
    if result.failure:
        kept = f"The last good one is {_hours(age)} old." if age is not None else "There is no good one."
        return f"The last backup failed. {result.failure.reason} {kept}"
    if age is not None:
        return (
            f"The last backup is {_hours(age)} old. The app makes one each day while it runs."
            if age > OVERDUE
            else None
        )
    if result.good:
        return f"The last backup, {result.good.path}, is gone."
    return "There is no backup yet." if _age(since) > OVERDUE else None


def _hours(age: timedelta) -> str:
    hours = round(age.total_seconds() / 3600)
    if hours < 2:
        return "about an hour" if hours else "less than an hour"
    return f"{hours} hours" if hours < 48 else f"{hours // 24} days"


def _record(home: Home, result: Last) -> None:
    try:
        with atomic_write(home.backups / LAST) as file:
            file.write(json.dumps(asdict(result)).encode())
    except OSError as error:
        raise StorageError(f"The result of the backup could not be stored ({error.strerror}).") from error


# One at a time


def take_lock(home: Home) -> int | None:
    """Take the lock of backups and return its file descriptor; None if another process has it.

    Every process that inherits the descriptor holds the lock.
    """
    try:
        home.create()
        number = os.open(home.backup_lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(f"{home.backups} cannot be written ({error.strerror}).") from error
    if try_lock(number, fcntl.LOCK_EX):
        return number
    os.close(number)
    return None


def is_running(home: Home) -> bool:
    """Return whether a backup is being made."""
    try:
        number = os.open(home.backup_lock, os.O_RDONLY)
    except OSError:  # never made one
        return False
    try:
        return not try_lock(number, fcntl.LOCK_SH)
    finally:
        os.close(number)
