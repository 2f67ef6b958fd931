"""Backups of a folder: their result, how many are kept, and when the next is due."""

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from core.backup import backups, daily
from core.backup.backups import Backup, Failure, Last, back_up, last, problem
from core.errors import StorageError
from core.home import Home
from db import backup
from db.records import Project
from tests.helpers.labs import add_images, label
from tests.helpers.waiting import wait_until


def ago(hours: float) -> str:
    return (datetime.now(UTC) - timedelta(hours=hours)).isoformat()


def made(path: Path, hours: float) -> Backup:
    return Backup(path=str(path), bytes=1, samples=1, labels=1, seconds=1, at=ago(hours))


def age_all(home: Home) -> None:
    """Rename each backup as if it had been made a day earlier."""
    for path in backups.find_backups(home)[::-1]:
        day = datetime.strptime(path.name[8:24], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) - timedelta(days=1)
        path.rename(path.with_name(f"slotlab-{day:%Y%m%dT%H%M%SZ}{path.name[24:]}"))


@pytest.fixture
def labeled_home(home: Home, db: Database, project: Project) -> Home:
    """A folder with two images, one of them labeled."""
    first, _ = add_images(db, project, 2)
    label(db, project, first, 123)
    return home


def test_a_backup_is_recorded_with_its_contents(labeled_home: Home) -> None:
    """Home shows them. The labels of the day are there as text too, with the authorization of their source."""
    backup = back_up(labeled_home)

    assert last(labeled_home) == Last(good=backup)
    assert (backup.samples, backup.labels) == (2, 1)
    assert Path(backup.path).stat().st_size == backup.bytes
    (lines,) = labeled_home.backups.glob("labels-*.jsonl")
    (row,) = map(json.loads, lines.read_text().splitlines())
    assert (row["project"], row["label"], row["operator"], row["owner"], row["authorization"]) == (
        "portal", "000123", "Ann", "the team", "ticket 1",
    )  # fmt: skip


def test_a_backup_can_go_to_another_folder(labeled_home: Home, tmp_path: Path) -> None:
    """That folder gets one file and nothing else, and keeps all that are there."""
    disk = tmp_path / "disk"
    disk.mkdir()

    backup = back_up(labeled_home, disk)

    assert [str(path) for path in disk.iterdir()] == [backup.path]
    assert not list(labeled_home.backups.glob("slotlab-*"))
    with pytest.raises(StorageError, match="does not exist"):
        back_up(labeled_home, tmp_path / "missing")


def test_a_failure_keeps_the_last_good_backup(labeled_home: Home, tmp_path: Path) -> None:
    """Home shows both: the reason, and how old the last good one is."""
    good = back_up(labeled_home)

    with pytest.raises(StorageError):
        back_up(labeled_home, tmp_path / "missing")

    result = last(labeled_home)
    assert result.good == good
    assert result.failure is not None
    sentence = problem(result, ago(100))
    assert sentence is not None
    assert sentence.startswith("The last backup failed. The folder")


def test_two_backups_never_run_at_once(labeled_home: Home) -> None:
    """The second is refused while the first has the lock."""
    lock = backups.take_lock(labeled_home)
    assert backups.is_running(labeled_home)

    with pytest.raises(StorageError, match="already being made"):
        back_up(labeled_home)

    back_up(labeled_home, lock=lock)


def test_seven_backups_are_kept(labeled_home: Home) -> None:
    """The oldest go first. Of those before a migration the newest stays."""
    for schema in (4, 5):
        age_all(labeled_home)
        shutil.copy(
            back_up(labeled_home).path, labeled_home.backups / f"slotlab-20200101T00000{schema}Z-schema-{schema}.db"
        )
    for _ in range(backups.KEPT + 2):
        age_all(labeled_home)
        back_up(labeled_home)

    names = [path.name for path in backups.find_backups(labeled_home)]
    assert len(names) == backups.KEPT
    assert names == sorted(names, reverse=True)


def test_backups_of_the_future_do_not_replace_the_newest(labeled_home: Home) -> None:
    """A clock was wrong for a week. The next backup is kept, and the oldest of that week goes."""
    first = back_up(labeled_home)
    future = [labeled_home.backups / f"slotlab-2099010{day}T000000Z.db" for day in range(1, backups.KEPT)]
    for path in future:
        shutil.copy(first.path, path)
    age_all(labeled_home)
    future = sorted(labeled_home.backups.glob("slotlab-2*"))[1:]

    newest = back_up(labeled_home)

    assert backups.find_backups(labeled_home)[0] == Path(newest.path)
    assert not last(labeled_home).is_due()
    assert [path.exists() for path in future] == [False] + [True] * (backups.KEPT - 2)


def test_copies_that_people_name_are_never_deleted(labeled_home: Home) -> None:
    back_up(labeled_home)
    kept = [labeled_home.backups / f"slotlab-{name}.db" for name in ("20250101T000000Z-keep", "my-schema-", "x")]
    for path in kept:
        path.write_bytes(b"kept by hand")

    for _ in range(backups.KEPT + 2):
        age_all(labeled_home)
        back_up(labeled_home)

    assert all(path.read_bytes() == b"kept by hand" for path in kept)


def test_two_labs_back_up_to_one_folder_in_the_same_second(labeled_home: Home, tmp_path: Path) -> None:
    """Neither backup replaces the other, although both names would be equal."""
    other, disk = Home(tmp_path / "other"), tmp_path / "disk"
    shutil.copytree(labeled_home.root, other.root)
    disk.mkdir()
    time.sleep(1 - time.time() % 1)  # begin with a second

    with ThreadPoolExecutor() as threads:
        paths = list(threads.map(lambda home: back_up(home, disk).path, (labeled_home, other)))

    assert sorted(paths) == sorted(map(str, disk.iterdir()))
    assert len(paths) == 2


def test_a_published_backup_is_never_replaced(labeled_home: Home, tmp_path: Path) -> None:
    """Another lab may take the name while this one copies."""
    part, target = tmp_path / "part", tmp_path / "target"
    part.write_text("mine")
    target.write_text("theirs")

    with pytest.raises(backup.NameTakenError):
        backup._publish(part, target)

    assert target.read_text() == "theirs"


@pytest.mark.parametrize(
    "values",
    [
        {"good": {"at": "2026-01-01"}},
        {"good": {"path": 5}},
        {"good": {"labels": "many"}},
        {"failure": {"reason": 5, "at": "2026-01-01T00:00:00+00:00"}},
        {"failure": {"reason": "x", "at": "yesterday"}},
        {"failure": {"reason": "x", "at": 5}},
    ],
)
def test_a_damaged_result_counts_as_none(labeled_home: Home, values: dict[str, dict[str, Any]]) -> None:
    """The daily backup would stop for good, and Home could not be drawn."""
    good = asdict(back_up(labeled_home))
    record = {"good": good | values.get("good", {}), "failure": values.get("failure")}
    (labeled_home.backups / backups.LAST).write_text(json.dumps(record))

    assert last(labeled_home) == Last()
    assert last(labeled_home).is_due()


def test_backups_take_a_fifth_of_the_free_disk(labeled_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older ones make room, but the newest stays whatever it takes. A daily one that would take more is refused."""
    size = back_up(labeled_home).bytes
    free = {"bytes": size * 100}
    usage = shutil.disk_usage(labeled_home.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free["bytes"]))
    for _ in range(3):
        age_all(labeled_home)
        back_up(labeled_home)
    assert len(backups.find_backups(labeled_home)) == 4

    free["bytes"] = 9 * size  # with the five backups 14, of which a fifth has room for two
    age_all(labeled_home)
    back_up(labeled_home)
    assert len(backups.find_backups(labeled_home)) == 2

    free["bytes"] = 2 * size
    with pytest.raises(StorageError, match="more than a fifth of the free disk"):
        back_up(labeled_home, daily=True)
    age_all(labeled_home)
    back_up(labeled_home)
    assert len(backups.find_backups(labeled_home)) == 1


@pytest.mark.parametrize(
    ("good", "failure", "is_due", "start"),
    [
        (None, None, True, None),
        (1, None, False, None),
        (25, None, True, None),
        (27, None, True, "The last backup is 27 hours old"),
        (25, 0.5, False, "The last backup failed. The disk is full. The last good one is 25 hours old."),
        (25, 2, True, "The last backup failed."),
        (-5, None, False, None),  # the clock was set back
        (-80_000, None, True, "The last backup is 3333 days old"),  # it was made by a wrong clock
        (25, -80_000, True, "The last backup failed."),
    ],
)
def test_a_daily_backup_is_due_and_overdue(
    tmp_path: Path, good: float | None, failure: float | None, is_due: bool, start: str | None
) -> None:
    """Due after a day, overdue after 26 hours. A failure is tried again an hour later."""
    result = Last(
        good=None if good is None else made(tmp_path, good),
        failure=None if failure is None else Failure(reason="The disk is full.", at=ago(failure)),
    )

    assert result.is_due() == is_due
    sentence = problem(result, ago(1))
    assert sentence is None if start is None else (sentence or "").startswith(start)


def test_a_backup_on_another_disk_does_not_replace_the_daily_one(
    labeled_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise `backups/`, which the sentence for a lost database names, would grow old. It does if it has no room."""
    back_up(labeled_home, tmp_path)
    assert backups.is_due(labeled_home)
    usage = shutil.disk_usage(labeled_home.root)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
        assert not backups.is_due(labeled_home)

    back_up(labeled_home)
    assert not backups.is_due(labeled_home)


@pytest.mark.parametrize(("hours", "age"), [(0, "less than an hour"), (1, "about an hour"), (3, "3 hours")])
def test_the_age_of_the_last_good_backup_is_in_words(tmp_path: Path, hours: int, age: str) -> None:
    result = Last(good=made(tmp_path, hours), failure=Failure(reason="The disk is full.", at=ago(0)))

    assert f"The last good one is {age} old." in (problem(result, ago(1)) or "")


def test_a_lab_without_a_backup_is_reported_after_a_day(tmp_path: Path) -> None:
    assert problem(Last(), ago(1)) is None
    assert problem(Last(), ago(27)) == "There is no backup yet."
    assert problem(Last(good=made(tmp_path / "gone", 1)), ago(27)) is not None


def test_a_damaged_record_counts_as_none(labeled_home: Home) -> None:
    back_up(labeled_home)
    (labeled_home.backups / backups.LAST).write_text("{")

    assert last(labeled_home) == Last()


# In the background


def test_two_apps_make_one_daily_backup(labeled_home: Home) -> None:
    """The lock belongs to the process that makes it, from its start on."""
    processes = [daily.start(labeled_home, daily=True) for _ in range(2)]

    first, second = processes
    assert first is not None
    assert second is None
    assert backups.is_running(labeled_home)
    assert first.wait(60) == 0
    assert not backups.is_running(labeled_home)
    assert daily.start(labeled_home, daily=True) is None  # made just now
    assert len(backups.find_backups(labeled_home)) == 1


def test_a_backup_outlives_the_process_that_started_it(labeled_home: Home) -> None:
    """The button of Home starts it in a session apart."""
    assert daily.start_now(labeled_home)

    wait_until(lambda: last(labeled_home).good is not None)


def test_a_folder_without_a_database_gets_no_backup(home: Home) -> None:
    assert daily.start(home, daily=True) is None
    assert not daily.start_now(home)
    with pytest.raises(StorageError, match="nothing to back up"):
        back_up(home)
