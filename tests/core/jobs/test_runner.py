"""A job from launch to end, and everything that can happen to its processes."""

import fcntl
import os
import signal
import time

import pytest

from core.jobs.jobdir import process_identity
from tests.helpers.stand_in import MakeJob, RunJob
from tests.helpers.waiting import wait_for, wait_for_end, wait_until_working


def test_a_job_runs_to_its_end(make_job: MakeJob, run_job: RunJob) -> None:
    """The worker writes a result and the runner the exit code."""
    job = make_job(steps=5)

    run_job(job)
    view = wait_for_end(job)

    assert (view.state, view.step, view.steps) == ("finished", 5, 5)
    assert job.read("exit.json")["code"] == 0
    assert job.read("result.json") == {"val": {"correct": 5}}


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        ("refuse", "The images are too small."),
        ("crash", "An unexpected ZeroDivisionError stopped the job; see the log."),
        (
            "fill the disk",
            "The disk or quota is full. Free some space, then resume. Earlier checkpoints are intact.",
        ),
    ],
)
def test_a_failure_has_a_reason(make_job: MakeJob, run_job: RunJob, behave: str, reason: str) -> None:
    """A failure gives one sentence for the user and a traceback in the log."""
    job = make_job(behave=behave)

    run_job(job)
    view = wait_for_end(job)

    assert (view.state, view.reason) == ("failed", reason)
    assert "Traceback" in job.log_tail(50)


def test_cancel_saves_and_stops(make_job: MakeJob, run_job: RunJob) -> None:
    """A cancel reaches the worker as SIGTERM, and it saves its state before exiting."""
    job = make_job()
    run_job(job)
    wait_until_working(job)

    job.write("cancel", {"at": time.monotonic()})
    view = wait_for_end(job)

    assert view.state == "canceled"
    assert job.read("saved.json")["step"] >= 2
    assert view.reason == f"Canceled at step {view.step}."


def test_cancel_before_start_never_starts(make_job: MakeJob, run_job: RunJob) -> None:
    """A job canceled before its runner starts does no work."""
    job = make_job()
    job.write("cancel", {"at": time.monotonic()})

    run_job(job).wait()

    assert job.observe().state == "canceled"
    assert job.metrics() == []


def test_a_worker_that_ignores_a_cancel_is_killed(make_job: MakeJob, run_job: RunJob) -> None:
    """SIGKILL follows after the grace period; the job is then canceled."""
    job = make_job(behave="ignore")
    run_job(job)
    worker = wait_until_working(job)

    job.write("cancel", {"at": time.monotonic()})
    view = wait_for_end(job)

    assert view.state == "canceled"
    assert job.read("exit.json")["signal"] == signal.SIGKILL
    assert process_identity(worker) is None


def test_cancel_after_the_end_changes_nothing(make_job: MakeJob, run_job: RunJob) -> None:
    """A finished job stays finished."""
    job = make_job(steps=1)
    run_job(job).wait()

    job.write("cancel", {"at": time.monotonic()})

    assert job.observe().state == "finished"


def test_a_killed_worker_is_a_failure_with_its_signal(make_job: MakeJob, run_job: RunJob) -> None:
    """The reason mentions memory, because the kernel kills this way when memory runs out."""
    job = make_job()
    run_job(job)
    worker = wait_until_working(job)

    os.kill(worker, signal.SIGKILL)
    view = wait_for_end(job)

    assert view.state == "failed"
    assert view.reason is not None
    assert "killed by signal 9" in view.reason
    assert "memory" in view.reason


def test_a_killed_runner_lets_the_worker_save(make_job: MakeJob, run_job: RunJob) -> None:
    """The worker notices that its runner died, saves and exits. It holds the lock until then."""
    job = make_job()
    runner = run_job(job)
    worker = wait_until_working(job)

    runner.kill()
    runner.wait()
    view = wait_for_end(job)

    assert view.state == "lost"
    assert job.read("saved.json")["step"] >= 2
    assert process_identity(worker) is None


def test_both_killed_is_lost(make_job: MakeJob, run_job: RunJob) -> None:
    """Without an exit.json, the free lock shows that the job is lost."""
    job = make_job()
    runner = run_job(job)
    worker = wait_until_working(job)

    os.kill(runner.pid, signal.SIGSTOP)  # so that it cannot record the worker's exit
    os.kill(worker, signal.SIGKILL)
    os.kill(runner.pid, signal.SIGKILL)
    view = wait_for_end(job)

    assert view.state == "lost"
    assert not (job.path / "exit.json").exists()


def test_a_stopped_job_resumes_where_it_was(make_job: MakeJob, run_job: RunJob) -> None:
    """SIGTERM from outside, as in a shutdown, loses nothing; the next runner continues."""
    job = make_job(steps=60)
    runner = run_job(job)
    wait_until_working(job)
    runner.terminate()
    runner.wait()
    stopped = job.observe()
    assert stopped.state == "lost"
    assert stopped.reason is not None
    assert "stopped at step" in stopped.reason

    job.remove("exit.json")
    run_job(job).wait()

    assert job.observe().state == "finished"
    assert len(job.metrics()) == 2
    assert job.read("result.json") == {"val": {"correct": 60}}


def test_a_second_runner_of_a_live_job_leaves(make_job: MakeJob, run_job: RunJob) -> None:
    """A directory never has two workers."""
    job = make_job()
    run_job(job)
    wait_until_working(job)

    assert run_job(job).wait() == 0

    assert job.observe().state == "running"
    assert len(job.metrics()) == 1


def test_a_launch_that_was_given_up_does_not_start(make_job: MakeJob, run_job: RunJob) -> None:
    """A runner that starts after its launch failed exits."""
    job = make_job()
    job.write("exit.json", {"error": "The job did not start within a minute; see the log."})

    run_job(job).wait()

    assert job.observe().state == "failed"
    assert job.metrics() == []


def test_an_unknown_format_fails(make_job: MakeJob, run_job: RunJob) -> None:
    """A directory of a newer version fails with a sentence instead of waiting forever."""
    job = make_job()
    job.write("run.json", {"format": 99})

    run_job(job).wait()

    view = job.observe()
    assert view.state == "failed"
    assert view.reason is not None
    assert "newer Slotlab (format 99)" in view.reason


def test_runs_use_the_device_in_the_order_of_their_numbers(make_job: MakeJob, run_job: RunJob) -> None:
    """One run has the device; queued runs name it, and the oldest goes first."""
    first, second, third = (make_job(name) for name in ("0001-fast", "0002-fast", "0003-article"))
    run_job(first)
    wait_until_working(first)
    run_job(third)
    wait_for(third, lambda view: view.state == "queued")
    run_job(second)

    view = wait_for(second, lambda view: view.state == "queued")
    assert view.message == "Waiting for the CPU: run 0001-fast is using it."
    wait_for(third, lambda view: view.message.endswith("Run 0002-fast comes before this one."))
    first.write("cancel", {"at": time.monotonic()})

    wait_until_working(second)
    assert third.observe().state == "queued"
    assert third.metrics() == []


def test_a_queued_run_can_be_canceled(make_job: MakeJob, run_job: RunJob) -> None:
    """It leaves the queue without starting."""
    first, second = make_job("0001-fast"), make_job("0002-fast")
    run_job(first)
    wait_until_working(first)
    run_job(second)
    wait_for(second, lambda view: view.state == "queued")

    second.write("cancel", {"at": time.monotonic()})

    assert wait_for_end(second).reason == "Canceled before the first step."
    assert first.observe().state == "running"


def test_short_jobs_do_not_wait_for_the_device(make_job: MakeJob, run_job: RunJob) -> None:
    """Imports and evaluations do not wait for a long training."""
    training, importing = make_job("0001-fast"), make_job("0002-import", kind="import", steps=3)
    run_job(training)
    wait_until_working(training)

    run_job(importing).wait()

    assert importing.observe().state == "finished"
    assert training.observe().state == "running"


def test_only_the_processes_of_the_job_are_killed(make_job: MakeJob) -> None:
    """A process id in an old lock file may belong to another process: here, to this test."""
    job = make_job()
    lock = job.take_lock(wait_s=0)
    assert lock is not None
    (job.path / "lock").write_text(f'[{{"pid": {os.getpid()}, "identity": "another boot:12345"}}]')

    assert not job.kill()  # the lock is held, the number lives, the identity differs

    fcntl.flock(lock, fcntl.LOCK_UN)
    job.name_processes(lock, os.getpid())
    assert not job.kill()  # the identity is right, but the lock is free
    os.close(lock)
