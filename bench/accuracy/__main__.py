"""Run the cells: `python -m bench.accuracy`."""

import sys

from bench.accuracy.accuracy import command

sys.exit(command())
