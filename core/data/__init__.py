"""Images and labels: import, labeling, review, export."""

import db  # noqa: F401 - before sqlite_utils, so that it does not load pandas
