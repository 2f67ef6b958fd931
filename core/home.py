"""Paths of the Slotlab folder, and the default operator. Only this module builds these paths."""

import getpass
import os
import shutil
from dataclasses import dataclass
from pathlib import Path


def default_operator() -> str:
    """Return the name of this machine's user, used when no operator is given."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # KeyError before Python 3.13. A container's user id may have no name.
        return "operator"


@dataclass(frozen=True)
class Home:
    """A Slotlab folder: the database and one directory per job."""

    root: Path

    @classmethod
    def from_env(cls) -> "Home":
        """Return the folder in SLOTLAB_HOME, or `slotlab-data` in the current directory."""
        return cls(Path(os.environ.get("SLOTLAB_HOME") or "slotlab-data").expanduser().resolve())

    @classmethod
    def of_job(cls, directory: Path) -> "Home":
        """Return the folder that contains a job's directory."""
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

    @property
    def app_lock(self) -> Path:
        """Held by every app that serves this folder, so that nobody restores a database under it."""
        return self.root / "app.lock"

    @property
    def backup_lock(self) -> Path:
        """Held while a backup is made, so that two never run at once."""
        return self.backups / ".lock"

    def run(self, run_id: str) -> Path:
        return self.runs / run_id

    def remove(self) -> None:
        """Delete the files Slotlab created, and no others."""
        for path in self.root.glob(f"{self.db.name}*"):
            path.unlink()
        for folder in (self.runs, self.bundles, self.cache, self.backups):
            shutil.rmtree(folder, ignore_errors=True)

    def create(self) -> "Home":
        """Create the folders. Only their owner can read them, because they hold the portal's images."""
        for folder in (self.root, self.runs, self.bundles, self.cache, self.backups):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self
