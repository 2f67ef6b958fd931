"""Out-of-fold readings: networks that read labeled images which they were not trained on.

The labeled images are divided into five folds. For each fold a network is trained on the others and reads it
(core.runs.fold_worker). A label that such a network contradicts is suspected (core.runs.suspects).
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import OptionError, StorageError, TrainingError
from core.evaluation.predictions import check_stored
from core.files import atomic_write
from core.home import Home
from core.jobs import control
from core.model.config import TrainConfig
from core.model.init_choice import NAMES, choose_init
from core.runs import recipes
from core.runs.start import write_dataset
from core.words import plural
from db import jobs, samples
from db.records import ACTIVE, Job, Project
from db.sqlite import Database

FOLDS = 5
MIN_LABELS = 50
"""Labels below which a network learns nothing that could contradict one."""


@dataclass(frozen=True)
class OutOfFold:
    """Log-probabilities of images by networks that were not trained on them."""

    sha256: list[str]
    log_probs_NPC: NDArray[np.float32]

    def save(self, path: Path) -> None:
        with atomic_write(path) as file:
            np.savez(file, sha256=np.array(self.sha256, dtype=np.str_), log_probs=self.log_probs_NPC)

    @classmethod
    def load(cls, path: Path) -> "OutOfFold":
        """Raises StorageError if the file is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                check_stored(arrays)
                return cls(arrays["sha256"].tolist(), arrays["log_probs"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise StorageError(f"The out-of-fold readings {path.name} are missing or damaged ({error}).") from error

    @classmethod
    def of_job(cls, directory: Path) -> "OutOfFold":
        """Load the readings of all folds of a finished job. Raises StorageError."""
        parts = [cls.load(fold_file(directory, number)) for number in range(1, FOLDS + 1)]
        return cls([key for part in parts for key in part.sha256], np.concatenate([p.log_probs_NPC for p in parts]))

    def places(self, hashes: Sequence[str]) -> list[int]:
        """Return the places in `hashes` of the images that have readings."""
        known = set(self.sha256)
        return [place for place, key in enumerate(hashes) if key in known]

    def of(self, hashes: Sequence[str]) -> NDArray[np.float32]:
        """Return the log-probabilities of images that have readings, in their order."""
        rows = {key: row for row, key in enumerate(self.sha256)}
        return self.log_probs_NPC[[rows[key] for key in hashes]]


def fold_file(directory: Path, number: int) -> Path:
    """Return the file of a fold's readings in the directory of its job. It exists once the fold is done."""
    return directory / f"fold-{number}.npz"


# Starting


def start_folds(
    db: Database,
    home: Home,
    project: Project,
    config: TrainConfig,
    *,
    operator: str,
    with_test: bool = False,
    request_id: str | None = None,
) -> Job:
    """Start the folds of a project in the background, or return its active folds job.

    Their images are the labeled ones of train and val. `with_test` adds those of test, to check the labels of test.
    Raises TrainingError if there are too few labels, OptionError if the project does not have the augmentation recipe
    or the initial weights do not fit.
    """
    for job in jobs.list_jobs(db, project_id=project.id, kind="folds"):
        if job.state in ACTIVE:
            return job
    if config.init not in NAMES:
        # Those weights may have learned the labels that a fold holds out.
        raise OptionError(f"`init={config.init}`: suspected labels need `init=auto`, rendered or scratch.")
    choose_init(config, project.length)
    config = recipes.resolve(db, project, replace(config, drop_seen_strings=False, hold_out_source=""))
    splits = ("train", "val", "test") if with_test else ("train", "val")
    labeled = [
        sample for split in splits for sample in samples.select_samples(db, project.id, state="labeled", split=split)
    ]
    if len(labeled) < MIN_LABELS:
        raise TrainingError(
            f"The project has {plural(len(labeled), 'labeled image')}. Suspected labels need at least "
            f"{MIN_LABELS}, so label more."
        )

    def fill(directory: Path) -> dict[str, Any]:
        return {"dataset": {"sha256": write_dataset(db, directory, labeled)}}

    spec = {"config": config.to_dict(), "images": len(labeled), "operator": operator}
    return control.start_job(db, home, project, "folds", spec, request_id=request_id, fill=fill, single=True)


def unfinished_folds(db: Database, project: Project) -> Job | None:
    """Return the newest folds job of a project if it did not finish. It can be resumed."""
    newest = jobs.find_newest(db, project.id, "folds")
    return newest if newest and newest.state not in (*ACTIVE, "finished") else None


def newest_out_of_fold(db: Database, home: Home, project: Project) -> OutOfFold | None:
    """Return the readings of the newest finished folds job; None without one. Raises StorageError if it is damaged."""
    for job in jobs.list_jobs(db, project_id=project.id, kind="folds"):
        if job.state == "finished":
            return OutOfFold.of_job(home.run(job.id))
    return None
