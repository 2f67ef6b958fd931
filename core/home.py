"""Where files live, and who is at this machine. No other module joins these names to a path."""

import getpass
import os
import shutil
from dataclasses import dataclass
from pathlib import Path


def default_operator() -> str:
    """Name the user of this machine: who acts where nobody has given a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # before and from Python 3.13 on: a container may run under a user id without a name
        return "operator"


@dataclass(frozen=True)
class Home:
    """One Slotlab folder: a database, and a directory for each job."""

    root: Path

    @classmethod
    def from_env(cls) -> "Home":
        """The folder named by SLOTLAB_HOME, else `slotlab-data` in the current directory."""
        return cls(Path(os.environ.get("SLOTLAB_HOME") or "slotlab-data").expanduser().resolve())

    @classmethod
    def of_job(cls, directory: Path) -> "Home":
        """The folder that a job's directory belongs to."""
        return cls(directory.resolve().parent.parent)

    @property
    def db(self) -> Path:
        return self.root / "slotlab.db"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def bundles(self) -> Path:
        return self.root / "bundles"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def backups(self) -> Path:
        return self.root / "backups"

    def run(self, run_id: str) -> Path:
        return self.runs / run_id

    def remove(self) -> None:
        """Delete what Slotlab has made here, and nothing else that may lie in the folder."""
        for path in self.root.glob(f"{self.db.name}*"):
            path.unlink()
        for folder in (self.runs, self.bundles, self.cache, self.backups):
            shutil.rmtree(folder, ignore_errors=True)

    def create(self) -> "Home":
        """Make the folders; readable by their owner only, because whoever has them can read the portal's images."""
        for folder in (self.root, self.runs, self.bundles, self.cache, self.backups):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self
