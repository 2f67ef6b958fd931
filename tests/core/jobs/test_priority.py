"""Priority of background processes, as the kernel reports it."""

import os
import subprocess
import sys

import pytest

LOWER = "import os, subprocess, sys\nfrom core.jobs.priority import lower\nlower()\n"


def printed(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", LOWER + code], capture_output=True, check=True, text=True
    ).stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has SCHED_IDLE")
def test_a_lowered_process_yields_to_every_other() -> None:
    own = os.sched_getscheduler(0)
    assert printed("print(os.sched_getscheduler(0))") == str(os.SCHED_IDLE)
    assert os.sched_getscheduler(0) == own


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has SCHED_IDLE")
def test_threads_and_processes_of_a_lowered_process_yield_too() -> None:
    child = 'subprocess.run([sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"])'
    assert printed(child) == str(os.SCHED_IDLE)
    thread = (
        "import threading\n"
        "threading.Thread(target=lambda: print(os.sched_getscheduler(threading.get_native_id()))).start()"
    )
    assert printed(thread) == str(os.SCHED_IDLE)
