"""Run the cells: `python -m bench.ui`."""

import sys

from bench.ui.ui import command

sys.exit(command())
