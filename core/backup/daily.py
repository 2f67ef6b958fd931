"""Backups in the background: `python -m core.backup.daily HOME LOCK` makes one, at low priority.

LOCK is the descriptor of the lock that the starting process took. So a backup counts as running from the click on, and
two apps that serve one folder start one.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from core.backup import backups
from core.backup.restore import hold
from core.errors import SlotlabError
from core.home import Home
from core.jobs.priority import lower

ROOT = Path(__file__).resolve().parents[2]
FIRST_SECONDS = 60.0
"""Time from the start of the app to its first look, which leaves the first pages to the operators."""
EVERY_SECONDS = 300.0
_serving = threading.Lock()
_served: set[Path] = set()
"""Folders that this process serves."""


def start(home: Home, *, daily: bool = False) -> subprocess.Popen[bytes] | None:
    """Start a backup in a process that outlives this one; None if one is running, or if `daily` and none is due."""
    if not home.db.exists() or (daily and not backups.is_due(home)):
        return None
    lock = backups.take_lock(home)
    if lock is None:
        return None
    try:
        if daily and not backups.is_due(home):  # another app has just made it
            return None
        return subprocess.Popen(
            [sys.executable, "-m", "core.backup.daily", str(home.root), str(lock), *["--daily"] * daily],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(lock,),
        )
    finally:
        os.close(lock)


def start_now(home: Home) -> bool:
    """Start a backup in the background. Return whether it started; it has not if one is already running."""
    process = start(home)
    if process is None:
        return False
    # Reap the process, or it stays a zombie until this one exits.
    threading.Thread(target=process.wait, daemon=True).start()
    return True


def serve(home: Home) -> None:
    """Mark the folder as used by this process until it ends, and make its daily backups. Repeated calls do nothing.

    `slotlab restore` refuses while the folder is marked. Raises StorageError during a restore. A folder that is missing
    or cannot be written is not marked: its pages can still be read, and nothing can be saved or restored there.
    """
    with _serving:
        if home.root in _served or hold(home) is None:
            return
        threading.Thread(target=_look, args=(home,), name="daily backup", daemon=True).start()
        _served.add(home.root)


def _look(home: Home) -> None:
    time.sleep(FIRST_SECONDS)
    while home.root.is_dir():
        with contextlib.suppress(SlotlabError, OSError):  # a full or read-only disk: Home reports the old backup
            process = start(home, daily=True)
            if process is not None:
                process.wait()
        time.sleep(EVERY_SECONDS)


def main() -> int:
    root, lock, *options = sys.argv[1:]
    lower()
    try:
        backups.back_up(Home(Path(root)), lock=int(lock), daily="--daily" in options)
    except SlotlabError as error:  # also recorded for Home
        print(f"slotlab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
