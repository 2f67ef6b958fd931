"""Priority of background processes."""

import os
import sys


def lower() -> None:
    """Let this process run only on what others leave of the cores. Its children inherit that.

    `nice` is not enough. Where Linux groups processes by session, it counts within a session only, and each job has
    its own (sched(7), "The autogroup feature"). And a process at nice 19 still ends its slice before a woken one runs.
    One at SCHED_IDLE yields at once. The next image came after 17 ms alone, 26 ms beside readers at nice 19, and 17 to
    21 ms beside readers at SCHED_IDLE (medians of 50 labels, two cores).
    """
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(19)
