"""Priority of background processes, as the kernel reports it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LOWERED = "from core.jobs.priority import AUTOGROUP, lower\nimport os\nlower()\nprint(os.nice(0))\n"
GROUPED = Path("/proc/sys/kernel/sched_autogroup_enabled")


def in_own_session(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], start_new_session=True, capture_output=True, check=True, text=True
    )
    return done.stdout.split("\n")


def test_a_lowered_process_has_the_lowest_priority_and_no_other_has() -> None:
    before = os.nice(0)
    assert in_own_session(LOWERED)[0] == "19"
    assert os.nice(0) == before


@pytest.mark.skipif(
    not GROUPED.exists() or GROUPED.read_text().strip() != "1", reason="this system has no groups by session"
)
def test_where_sessions_are_groups_the_whole_session_is_lowered() -> None:
    """`nice` alone would count only within the session."""
    own = Path("/proc/self/autogroup").read_text()
    assert in_own_session(LOWERED + "print(AUTOGROUP.read_text())")[1].endswith("nice 19")
    assert Path("/proc/self/autogroup").read_text() == own


def test_a_session_without_a_group_is_lowered_too(tmp_path: Path) -> None:
    """Other systems have no such file."""
    code = (
        "from pathlib import Path\nfrom core.jobs import priority\n"
        f"priority.AUTOGROUP = Path({str(tmp_path / 'none' / 'autogroup')!r})\n"
        "priority.lower()\nimport os\nprint(os.nice(0))\n"
    )
    assert in_own_session(code)[0] == "19"
