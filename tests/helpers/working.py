"""The real worker of a training or an evaluation, without the seconds in which its process imports torch."""

import signal

from core.jobs.jobdir import JobDir
from core.jobs.work import run_worker
from core.runs import worker


def work_here(job: JobDir) -> int:
    """Run the worker in this process, where torch is loaded; return its exit code."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        return run_worker(str(job.path), worker.run_job)
    finally:
        signal.signal(signal.SIGTERM, before)
