"""Reading a job's directory in whatever state a kill, a full disk or a hand has left it."""

import json
import os
import time
import tracemalloc
from pathlib import Path

import pytest

from core.errors import JobError
from core.jobs import jobdir
from core.jobs.jobdir import JobDir
from tests.helpers.stand_in import MakeJob


def test_a_torn_last_line_of_the_metrics_is_left_out(make_job: MakeJob) -> None:
    """A kill in the middle of a write costs that line and no other."""
    job = make_job()
    job.append_metrics({"kind": "step", "step": 1})
    with (job.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"kind": "step", "st')

    assert job.metrics() == [{"kind": "step", "step": 1}]


def test_lines_after_a_torn_one_are_read(make_job: MakeJob) -> None:
    """A resumed run appends behind what the kill has torn; its first line must not be lost with it."""
    job = make_job()
    (job.path / "metrics.jsonl").write_bytes(b'{"kind": "step", "st')

    job.append_metrics({"kind": "step", "step": 1})
    job.append_metrics({"kind": "step", "step": 2})

    assert job.metrics() == [{"kind": "step", "step": 1}, {"kind": "step", "step": 2}]


def test_a_log_of_a_gigabyte_is_shown_at_once(make_job: MakeJob) -> None:
    """Only the end of a log is read, and bytes that are no text do no harm."""
    job = make_job()
    with (job.path / "log.txt").open("wb") as file:
        file.truncate(1 << 30)  # sparse
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast but one \xff\nlast\n")

    tracemalloc.start()
    text = job.log_tail(2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 2_000_000
    assert text == "last but one �\nlast"


def test_a_missing_directory_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    """A directory that somebody deleted leaves a job that says so."""
    job = JobDir(tmp_path / "0001-fast")

    assert (job.observe().state, job.observe().reason) == ("failed", "Its directory is gone.")
    assert job.metrics() == []
    assert job.log_tail(5) == ""
    with pytest.raises(JobError, match="missing or damaged"):
        job.spec()


def test_damaged_files_are_read_as_missing(make_job: MakeJob) -> None:
    """A status that a power cut has emptied is not an error of the page that shows it."""
    job = make_job()
    (job.path / "status.json").write_bytes(b"")

    assert job.read("status.json") is None
    assert job.observe().state == "lost"


def test_a_file_is_replaced_whole_or_not_at_all(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk the former content stays, and no half file takes the last room."""
    job = make_job()
    job.write("status.json", {"step": 1})

    def disk_full(number: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space"):
        job.write("status.json", {"step": 2})

    assert job.read("status.json") == {"step": 1}
    assert not list(job.path.glob(".*.tmp"))


def test_a_job_without_heartbeats_is_stalled(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the viewer's own clock that measures the silence: setting the machine's clock makes no job stall."""
    job = make_job()
    lock = job.take_lock(wait_s=0)
    assert lock is not None
    job.write("status.json", {"state": "running", "beat": 7})
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert not job.observe().stalled

    monkeypatch.setattr(jobdir, "STALLED_SECONDS", 0.0)
    assert job.observe().stalled
    job.write("status.json", {"state": "running", "beat": 8})
    assert not job.observe().stalled
    os.close(lock)


def test_looking_does_not_look_like_living(make_job: MakeJob) -> None:
    """Two who look at the same time do not take each other for the job, and a runner waits until they are gone."""
    job = make_job()

    with job.unlocked() as free, job.unlocked() as free_too:
        assert free
        assert free_too
        assert job.take_lock(wait_s=0) is None

    lock = job.take_lock(wait_s=0)
    assert lock is not None
    with job.unlocked() as free:
        assert not free
    os.close(lock)


def test_the_status_file_never_decides_whether_a_job_lives(make_job: MakeJob) -> None:
    """A status that says running, with the number of a living process in it, is of a job that is gone."""
    job = make_job()
    job.write("status.json", {"state": "running", "step": 7, "pid": os.getpid()})
    (job.path / "lock").write_text(json.dumps([{"pid": os.getpid(), "identity": "x"}]))

    view = job.observe()

    assert view.state == "lost"
    assert view.reason is not None
    assert "at step 7" in view.reason


@pytest.mark.parametrize("end", [{"code": 143, "signal": None}, {"code": None, "signal": 15}])
def test_a_job_that_something_else_stopped_is_lost(tmp_path: Path, end: dict[str, int | None]) -> None:
    """Whether its worker could still save and leave by itself, or died of the signal."""
    job = jobdir.JobDir(tmp_path)
    job.write("status.json", {"state": "running", "step": 7})
    job.write("exit.json", end)

    state, reason, cause = job.outcome()

    assert (state, cause) == ("lost", None)
    assert "at step 7" in (reason or "")
