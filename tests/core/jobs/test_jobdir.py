"""Reading a job's directory after a kill, a full disk or a manual change."""

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
    """A kill during a write loses only that line."""
    job = make_job()
    job.append_metrics({"kind": "step", "step": 1})
    with (job.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"kind": "step", "st')

    assert job.metrics() == [{"kind": "step", "step": 1}]


def test_lines_after_a_torn_one_are_read(make_job: MakeJob) -> None:
    """A resumed run appends after a truncated line, and its first line must be readable."""
    job = make_job()
    (job.path / "metrics.jsonl").write_bytes(b'{"kind": "step", "st')

    job.append_metrics({"kind": "step", "step": 1})
    job.append_metrics({"kind": "step", "step": 2})

    assert job.metrics() == [{"kind": "step", "step": 1}, {"kind": "step", "step": 2}]


def test_a_log_of_a_gigabyte_is_shown_at_once(make_job: MakeJob) -> None:
    """Only the end of a log is read, and invalid bytes do no harm."""
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
    """A job without its directory has failed with that reason."""
    job = JobDir(tmp_path / "0001-fast")

    assert (job.observe().state, job.observe().reason) == ("failed", "The job's directory is missing.")
    assert job.metrics() == []
    assert job.log_tail(5) == ""
    with pytest.raises(JobError, match="missing or damaged"):
        job.spec()


def test_damaged_files_are_read_as_missing(make_job: MakeJob) -> None:
    """A page can show a job whose status file was emptied by a power cut."""
    job = make_job()
    (job.path / "status.json").write_bytes(b"")

    assert job.read("status.json") is None
    assert job.observe().state == "lost"


def test_a_file_is_replaced_whole_or_not_at_all(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk the old content stays, and no half-written file is left."""
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
    """A monotonic clock measures the silence, so changing the system clock does not stall a job."""
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


def test_observers_do_not_look_like_a_running_job(make_job: MakeJob) -> None:
    """Two observers do not mistake each other for the job, and a runner waits until both are done."""
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
    """A status of running with a live process id does not make a job alive."""
    job = make_job()
    job.write("status.json", {"state": "running", "step": 7, "pid": os.getpid()})
    (job.path / "lock").write_text(json.dumps([{"pid": os.getpid(), "identity": "x"}]))

    view = job.observe()

    assert view.state == "lost"
    assert view.reason is not None
    assert "at step 7" in view.reason


@pytest.mark.parametrize("end", [{"code": 143, "signal": None}, {"code": None, "signal": 15}])
def test_a_job_that_something_else_stopped_is_lost(tmp_path: Path, end: dict[str, int | None]) -> None:
    """This holds if the worker saved and exited, and if the signal killed it."""
    job = jobdir.JobDir(tmp_path)
    job.write("status.json", {"state": "running", "step": 7})
    job.write("exit.json", end)

    state, reason, cause = job.outcome()

    assert (state, cause) == ("lost", None)
    assert "at step 7" in (reason or "")
