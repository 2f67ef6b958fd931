"""Priority of background processes, as the kernel reports it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.jobs import priority

LOWER = "import os, subprocess, sys\nfrom core.jobs.priority import lower\nlower()\n"
LEVEL = "print(os.sched_getscheduler(0) if hasattr(os, 'sched_getscheduler') else 0, os.nice(0))"


def printed(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", LOWER + code], capture_output=True, check=True, text=True
    ).stdout.strip()


def test_a_lowered_process_lets_others_run_first() -> None:
    """Its threads and children too, and no other process."""
    before = os.nice(0)
    expected = f"{os.SCHED_IDLE} {before}" if priority.has_share() else f"0 {before + priority.NICENESS}"

    assert printed(LEVEL) == expected
    assert printed(f'subprocess.run([sys.executable, "-c", "import os; {LEVEL}"])') == expected
    assert printed(f"import threading\nthreading.Thread(target=lambda: {LEVEL}).start()") == expected
    assert os.nice(0) == before


@pytest.mark.parametrize(
    ("enabled", "groups", "expected"),
    [
        ("1\n", "0::/\n", True),
        ("1\n", "8:pids:/\n4:memory:/some/job\n1:cpu:/\n0::/\n", True),
        ("0\n", "0::/\n", False),
        ("1\n", "0::/user.slice/user-1000.slice\n", False),
        ("1\n", "4:cpu,cpuacct:/docker/7f\n0::/\n", False),
        (None, "0::/\n", False),
    ],
)
def test_sessions_share_the_cores_only_outside_of_control_groups(
    tmp_path: Path, enabled: str | None, groups: str, expected: bool
) -> None:
    """In a container, a process at SCHED_IDLE would stand still beside a run on all cores."""
    (tmp_path / "sys/kernel").mkdir(parents=True)
    (tmp_path / "self").mkdir()
    if enabled is not None:
        (tmp_path / "sys/kernel/sched_autogroup_enabled").write_text(enabled)
    (tmp_path / "self/cgroup").write_text(groups)

    assert priority.has_share(tmp_path) is expected
