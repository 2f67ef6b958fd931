"""sqlite_utils and the SQLite that it prefers. Every other module imports them from here.

sqlite_utils imports pandas to map one more type to a column, which we never ask for. It takes half of the time in which
a command starts. The app imports pandas anyway, and its threads may do so at any moment.
"""

import sys

if not {"pandas", "streamlit"} & sys.modules.keys():
    sys.modules["pandas"] = None  # type: ignore[assignment] # to import it is an ImportError, as if it were not installed
    try:
        import sqlite_utils  # noqa: F401 - only the first import looks for pandas
    finally:
        del sys.modules["pandas"]

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations
from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]

__all__ = ["Database", "Migrations", "sqlite3"]
