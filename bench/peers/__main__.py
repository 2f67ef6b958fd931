"""Run the cells: `python -m bench.peers`."""

import sys

from bench.peers.peers import command

sys.exit(command())
