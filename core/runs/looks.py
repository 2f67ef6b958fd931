"""The look of a run's images, learned at the end of its training."""

from collections.abc import Callable
from pathlib import Path

from core.evaluation import familiarity
from core.evaluation.familiarity import Learner
from core.training.snapshot import Snapshot

CHUNK = 128
"""Images between two looks at a request to stop."""


def learn_look(run_dir: Path, snapshot: Snapshot, should_stop: Callable[[], bool]) -> bool:
    """Write what a run's images look like to its directory, unless it is there. Return False if the job should stop.

    Runs of earlier versions lack it, or what drift is measured by. Raises StorageError.
    """
    known = familiarity.load(run_dir)
    if known is not None and known.expected is not None:
        return True
    learner = Learner()
    for split, add in (("train", learner.train), ("val", learner.val)):
        indices = snapshot.labeled(split)
        for start in range(0, len(indices), CHUNK):
            if should_stop():
                return False
            for index in indices[start : start + CHUNK]:
                add(snapshot.pixels(index))
    if (familiar := learner.familiar()) is not None:
        familiarity.save(familiar, run_dir)
    return True
