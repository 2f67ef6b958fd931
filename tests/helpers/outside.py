"""Records every name that a process and its children look up, and every address to which they connect."""

import json
from pathlib import Path

from tests.helpers.repository import ROOT

RECORDER = """
import json, os, sys

def record(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        asked = arguments[0]
    elif event in ("socket.connect", "socket.sendto"):
        asked = arguments[1]
    else:
        return
    line = json.dumps([event, asked if isinstance(asked, (str, list, tuple)) else repr(asked)]) + "\\n"
    file = os.open({path!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, line.encode())
    os.close(file)

record("socket.getaddrinfo", ["localhost"])  # so that the file proves that this module was loaded
sys.addaudithook(record)
"""
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class Recorder:
    """A module `sitecustomize` for the environment of a process. Python imports it at each start."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "asked"
        (folder / "sitecustomize.py").write_text(RECORDER.format(path=str(self.path)))
        self.env = {"PYTHONPATH": f"{folder}:{ROOT}"}

    def outside(self) -> list[str]:
        """Return the names and addresses of other machines. Paths of Unix sockets stay on this machine."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        asked = [json.loads(line)[1] for line in lines]
        names = [each[0] if isinstance(each, list) else each for each in asked]
        return [name for name in names if name not in LOOPBACK and not name.startswith("/")]
