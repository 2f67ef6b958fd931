"""Priority of background processes."""

import os
from pathlib import Path

NICENESS = 10
"""Gives a tenth of a core that another process wants. Less could stop a job for hours."""
PROC = Path("/proc")


def lower() -> None:
    """Let other processes run first. Threads and children that this process starts later inherit that.

    `nice` is not enough where Linux groups processes by session: it counts within a session only, and each job has its
    own (sched(7), "The autogroup feature"). There, SCHED_IDLE makes a process yield at once, and its session keeps its
    share. The next image came after 17 ms alone, 26 ms beside readers at nice 19, and 17 to 21 ms beside readers at
    SCHED_IDLE (medians of 50 labels, two cores). Elsewhere, SCHED_IDLE would stop a process beside a run on all cores.
    """
    if has_share():
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(NICENESS)


def has_share(proc: Path = PROC) -> bool:
    """Return whether Linux gives each session an equal share of the cores.

    It does not inside a control group for CPU time, as in most containers.
    """
    try:
        enabled = (proc / "sys/kernel/sched_autogroup_enabled").read_text()
        lines = (proc / "self/cgroup").read_text().splitlines()
    except OSError:  # another system
        return False
    groups = [line.split(":", 2) for line in lines]
    ours = [path for _, controllers, path in groups if not controllers or "cpu" in controllers.split(",")]
    return enabled.strip() == "1" and all(path == "/" for path in ours)
