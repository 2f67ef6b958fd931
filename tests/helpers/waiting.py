"""Wait for another process. Not in stand_in.py, whose processes must not import pytest."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from core.jobs.jobdir import JobDir, JobStatus


def wait_until(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Return as soon as `condition` holds. Fail after `seconds`, which even a busy machine must not reach."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"The condition did not hold within {seconds} seconds.")
        time.sleep(0.02)


def wait_for(job: JobDir, wanted: Callable[[JobStatus], Any], seconds: float = 60) -> JobStatus:
    """Return the first matching status of the job."""
    end = time.monotonic() + seconds
    while not wanted(view := job.observe()):
        if time.monotonic() > end:
            pytest.fail(f"{view}\n{job.log_tail(50)}")
        time.sleep(0.02)
    return view


def wait_until_working(job: JobDir) -> int:
    """Wait for the worker's first steps and return its process id."""
    wait_for(job, lambda view: view.state == "running" and view.step > 2)
    return int(job.metrics()[-1]["pid"])


def wait_for_end(job: JobDir, seconds: float = 60) -> JobStatus:
    return wait_for(job, lambda view: not view.active, seconds)
