"""Run the command line: `python -m slotlab`."""

from slotlab.launch import main

main()
