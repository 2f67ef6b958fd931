"""Priority of background processes.

Each job has a session of its own. Where Linux groups processes by session, it shares the cores between the groups, and
`nice` counts within a group only. So a job at nice 19 took as much of a core as the app. See sched(7), "The autogroup
feature".
"""

import contextlib
import os
from pathlib import Path

LOWEST = 19
AUTOGROUP = Path("/proc/self/autogroup")


def lower() -> None:
    """Give this process and its session the lowest priority, so that it takes only what others leave.

    Elsewhere than on Linux with groups by session, only the process.
    """
    os.nice(LOWEST)
    with contextlib.suppress(OSError):  # no such file, or changed less than a tenth of a second ago
        AUTOGROUP.write_text(str(LOWEST))
