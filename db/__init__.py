"""The database: one SQLite file, which only db.connection opens."""

import sys

if "pandas" not in sys.modules:
    # sqlite-utils loads pandas to store its numbers, which we never do. That would be a third of a command's start.
    sys.modules["pandas"] = None  # type: ignore[assignment]
    import sqlite_utils  # noqa: F401

    del sys.modules["pandas"]
