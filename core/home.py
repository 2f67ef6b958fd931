"""Paths of the Slotlab folder, and the default operator. Only this module builds these paths."""

import getpass
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from core.errors import OptionError, StorageError
from core.files import checked_path
from core.names import MAX_OPERATOR, check_name


def default_operator() -> str:
    """Return the name of this machine's user, used when no operator is given."""
    try:
        name = getpass.getuser()  # the value of LOGNAME, which can be any text
        check_name("operator name", name, MAX_OPERATOR)
    except (KeyError, OSError, OptionError):  # KeyError before Python 3.13. A container's user id may have no name.
        return "operator"
    return name


@dataclass(frozen=True)
class Home:
    """A Slotlab folder: the database and one directory per job."""

    root: Path

    @classmethod
    def from_env(cls) -> "Home":
        """Return the folder in SLOTLAB_HOME, or `slotlab-data` in the current directory.

        Raises OptionError if it is not a folder that this user can read. It need not exist.
        """
        root = checked_path(Path(os.environ.get("SLOTLAB_HOME") or "slotlab-data"))
        if root.exists() and not root.is_dir():
            raise OptionError(f"The Slotlab folder {root} is not a folder. Set SLOTLAB_HOME to another path.")
        if root.exists() and not os.access(root, os.R_OK | os.X_OK, effective_ids=True):
            raise OptionError(f"You cannot read the Slotlab folder {root}. Set SLOTLAB_HOME to another folder.")
        return cls(root)

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
        """Held by every app and command that uses this folder, so that nobody restores a database under it."""
        return self.root / "app.lock"

    @property
    def backup_lock(self) -> Path:
        """Held while a backup is made, so that two never run at once."""
        return self.backups / ".lock"

    def run(self, run_id: str) -> Path:
        return self.runs / run_id

    def check_outside(self, path: Path) -> None:
        """Raise OptionError for a file or folder that Slotlab keeps, which an export would replace."""
        real, root = Path(os.path.realpath(path)), Path(os.path.realpath(self.root))
        inside = real.relative_to(root).parts if real.is_relative_to(root) else ()
        folders = {folder.name for folder in (self.runs, self.bundles, self.cache, self.backups)}
        is_database = bool(inside) and inside[0].startswith(self.db.name)
        if is_database or inside[:1] == (self.app_lock.name,) or folders & set(inside[:1]):
            raise OptionError(f"{path} belongs to the Slotlab folder {self.root}. Write to another place.")

    def remove(self) -> None:
        """Delete the files Slotlab created, and no others."""
        for path in self.root.glob(f"{self.db.name}*"):
            path.unlink()
        for folder in (self.runs, self.bundles, self.cache, self.backups):
            shutil.rmtree(folder, ignore_errors=True)

    def create(self) -> "Home":
        """Create the folders. Only their owner can read them, because they hold the portal's images.

        Raises StorageError.
        """
        for folder in (self.root, self.runs, self.bundles, self.cache, self.backups):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise StorageError(f"The folder {folder} cannot be created ({error.strerror}).") from error
        return self
