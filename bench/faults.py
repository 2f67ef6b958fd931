"""A neighbour who holds the database: `python -m bench.faults DATABASE` until it is ended.

Another process begins a write transaction and keeps it for half a second, again and again; every save waits for it.
"""

import sys
import time
from pathlib import Path

from db.connection import opened, write

HOLD_SECONDS = 0.5
GAP_SECONDS = 0.15
"""SQLite asks for the lock at most 0.1 s apart, so that whoever waits gets it in each gap."""


def main() -> None:
    with opened(Path(sys.argv[1])) as db:
        while True:
            with write(db):
                time.sleep(HOLD_SECONDS)
            time.sleep(GAP_SECONDS)


if __name__ == "__main__":
    main()
