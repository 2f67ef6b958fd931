"""Sources that a run has not seen: held out when it starts, or imported later, as the images of next month.

A random split shares days, sessions and style between training and test. So its figure is too good for later images.
"""

import json

from core.errors import JobError, OptionError
from core.files import shortened
from core.home import Home
from core.model.config import TrainConfig
from core.model.init_choice import NAMES, is_run_name
from core.training.snapshot import snapshot_columns
from core.words import plural
from db import evaluations, projects, runs, samples
from db.records import NEXT, PEOPLE, Project, Run, Sample, Source
from db.sqlite import Database

NEWEST = "newest"


def find_source(db: Database, project: Project, name: str, *, labeled: bool = False) -> Source:
    """Return the source of this name. `newest` is the newest one, unless a source has that name. Raises OptionError.

    With `labeled` it is the newest one that has labels of people.
    """
    if source := projects.find_source(db, project.id, name):
        return source
    listed = projects.list_sources(db, project.id)
    if not listed or name != NEWEST:
        choose = f"choose from {', '.join(source.name for source in listed)}" if listed else "import images first"
        raise OptionError(f"Project {project.name} has no source {shortened(name)!r}; {choose}.")
    usable = [source for source in listed if not labeled or _has_labels(db, source)]
    if not usable:
        raise OptionError(
            f"No source of project {project.name} has an image with a label of people. Label some images."
        )
    return usable[-1]


def held_out_source(db: Database, project: Project, config: TrainConfig) -> Source | None:
    """Return the source that a run with these settings does not see. Raises OptionError if it does not exist."""
    return find_source(db, project, config.hold_out_source) if config.hold_out_source else None


def source_held_out_of(db: Database, run: Run) -> Source | None:
    """Return the source that a run did not see from its start."""
    return projects.find_source(db, run.job.project_id, json.loads(run.config).get("hold_out_source", ""))


def check_initial(db: Database, home: Home, config: TrainConfig, source: Source) -> None:
    """Raise OptionError if initial weights may have learned images of a source that is held out."""
    if config.init in NAMES:
        return
    if not is_run_name(config.init):
        raise OptionError(
            f"`init={config.init}` may have learned images of {source.name}, which is held out. "
            "Use a run, auto, rendered or scratch."
        )
    if found := _seen(db, home, config.init, source):
        raise OptionError(
            f"`init={config.init}`: run {found[0]} used {plural(found[1], 'image')} of {source.name}, "
            "which is held out."
        )


def unseen_samples(db: Database, home: Home, run: Run, source: Source) -> list[Sample]:
    """Return the images of a source with labels of people, of every split, for an evaluation of a run.

    Raises JobError if there are none, or if the run or one that it started from used any image of the source.
    """
    if found := _seen(db, home, run.job.id, source):
        raise JobError(
            f"Run {found[0]} trained or validated on {plural(found[1], 'image')} of source {source.name!r}, so it says "
            f"nothing about later images. Train a run with `hold_out_source={source.name}`."
        )
    chosen = [
        sample
        for kind in PEOPLE
        for sample in samples.select_samples(db, source.project_id, source_id=source.id, kind=kind)
    ]
    if not chosen:
        raise JobError(f"Source {source.name!r} has no image with a label of people. Label some of its images.")
    return chosen


def _has_labels(db: Database, source: Source) -> bool:
    return any(samples.count_samples(db, source.project_id, source_id=source.id, kind=kind) for kind in PEOPLE)


def has_test_images(db: Database, source: Source) -> bool:
    """Return whether an evaluation on a source would use the test set."""
    return any(
        samples.count_samples(db, source.project_id, source_id=source.id, split="test", kind=kind) for kind in PEOPLE
    )


def _seen(db: Database, home: Home, run_id: str, source: Source) -> tuple[str, int] | None:
    """Return the run, of this one and those whose weights it started from, that used a source, and on how many images.

    Raises StorageError if the data of such a run cannot be read.
    """
    hashes = samples.hashes_of_source(db, source.id)
    visited: set[str] = set()
    while is_run_name(run_id) and run_id not in visited:
        visited.add(run_id)
        (sha256,) = snapshot_columns(home.run(run_id) / "dataset.npz", "sha256")
        if count := len(hashes.intersection(sha256.tolist())):
            return run_id, count
        run = runs.find_run(db, run_id)
        run_id = json.loads(run.config).get("init", "scratch") if run else "scratch"
    return None


def next_sources(db: Database, run: Run) -> list[str]:
    """Return the sources that a run has not seen, as far as that is known without its data, newest first.

    It was evaluated on them, held them out, or they began after it.
    """
    known = {each.source for each in evaluations.list_evaluations(db, run.job.id, NEXT)}
    if held_out := source_held_out_of(db, run):
        known.add(held_out.name)
    listed = reversed(projects.list_sources(db, run.job.project_id))
    return [source.name for source in listed if source.name in known or source.created_at > run.job.created_at]
