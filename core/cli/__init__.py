"""The `slotlab` command."""

import sys

if sys.platform == "win32":
    # The jobs need fcntl, which Windows lacks, so importing the commands would end in a traceback.
    sys.exit("slotlab: Slotlab runs on Linux and macOS. On Windows, run it inside WSL.")
