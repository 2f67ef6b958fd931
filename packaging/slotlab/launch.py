"""The `slotlab` command: it makes the app's modules importable, then runs core.cli.

A wheel installs them as data under slotlab/_tree, so that `core`, `db` and `pages` cannot collide with other packages.
"""

import os
import sys
from pathlib import Path

INSTALLED = Path(__file__).resolve().parent / "_tree"
CHECKOUT = Path(__file__).resolve().parents[2]
"""Root of the repository, if this file is in one: an editable install has no copy of the modules."""


def main() -> None:
    """Put the modules first on the import path of this process and its children, then run the command line."""
    tree = str(INSTALLED if INSTALLED.is_dir() else CHECKOUT)
    sys.path.insert(0, tree)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [tree, os.environ.get("PYTHONPATH")]))
    from core.cli import commands

    commands.main()
