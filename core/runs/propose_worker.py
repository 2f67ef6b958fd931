"""The job in which readers read a project's images: `python -m core.runs.propose_worker JOB_DIR`.

It reads what no reader has read yet, so running it again finishes an interrupted one, and later reads only new images.
"""

import sys
from collections.abc import Sequence
from typing import Any

from core.charset import spec_of
from core.data import priorities
from core.data.proposals import rule_in
from core.data.proposing import read_images, report, store_reader
from core.errors import OptionError
from core.home import Home
from core.jobs.priority import lower
from core.jobs.work import Work, run_worker
from core.readers.builtin import NAME as BUILTIN
from core.readers.readers import ProposingReader, load
from db import projects, proposals
from db.connection import opened, write


def _work(work: Work) -> dict[str, Any] | None:
    spec = work.spec
    work.say("Loading the readers")
    readers = load_readers(spec["readers"])
    with opened(Home.of_job(work.job.path).db) as db:
        project = projects.project_of_job(db, work.job.id)
        if project is None:
            raise OptionError(f"Project {spec['project']['name']} no longer exists.")
        with write(db):
            stored = [store_reader(db, project, reader) for reader in readers]
            proposals.delete_others(db, project.id, stored)
        read = read_images(work, db, project, readers, stored, labeled=spec["labeled"])
        if read is None:
            return None
        work.say("Comparing the readings")
        missing = {reader.name: reader.missing(spec_of(project)) for reader in readers}
        result = report(db, project, stored, missing, spec.get("agree", len(stored))) | {"read": read}
        priorities.update(db, project, rule=rule_in(result))
        return result


def load_readers(names: Sequence[str]) -> list[ProposingReader]:
    """Load readers by name. Raises CheckpointError if weights are damaged."""
    general = [name for name in names if name != BUILTIN]
    readers: list[ProposingReader] = [*load(general)] if general else []
    if BUILTIN in names:
        from core.model.builtin import Builtin  # imports torch, in 3 s

        readers.append(Builtin())
    return readers


if __name__ == "__main__":
    lower()  # the readers take a core for minutes, while people label
    sys.exit(run_worker(sys.argv[1], _work))
