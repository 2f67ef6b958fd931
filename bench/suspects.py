"""Wrong labels that Slotlab finds. Each cell writes a JSON file to bench/results/suspects.

    python -m bench.suspects --data DIR [--only 'readers-*'] [--list] [--again] [--quick]

DIR is that of bench.accuracy. A cell imports the images into a folder of its own, lets both readers read them, and
compares the suspected labels with bench/audits. Then it starts from the corrected labels, changes one character of 2%
of them at random, and repeats this with five seeds. A cell with folds trains networks on each of these. Doubtful
images of an audit count for neither side. An interrupted cell continues.
"""

import json
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.accuracy import accuracy
from bench.accuracy.cell import Cell, described
from bench.accuracy.data import freeze
from bench.accuracy.scores import AUDITS, audited, load_audit
from bench.cells import Bench, environment
from bench.grid import main
from core.charset import TextSpec
from core.data.labeling import apply_events
from core.data.proposing import start_proposing
from core.evaluation.metrics import interval95
from core.home import Home
from core.jobs import control
from core.model.config import TrainConfig
from core.readers.readers import READERS, available
from core.runs.folds import start_folds
from core.runs.suspects import Suspects, find_suspects
from core.training.snapshot import load_snapshot
from db import jobs, projects, samples
from db.connection import opened, write
from db.records import Project
from db.sqlite import Database

DRAWS = 5
SHARE = 0.02
"""Share of the labels that are changed."""
LOOKED_AT = AUDITS / "suspects"
"""Suspected labels outside of the audits that someone looked at."""
PROJECT = "suspects"
OPERATOR = "bench"


@dataclass(frozen=True, kw_only=True)
class SuspectCell(Cell):
    """Suspected labels of an image set."""

    splits: tuple[str, ...] = ("train", "val", "test")
    """The parts of the set that are taken."""
    audited: bool = True
    """False if only suspected labels were looked at, so no one knows which wrong ones were missed."""
    most: int | None = None
    """Number of images, the first by hash; None for all."""
    folds: bool = False

    def missing(self, data: Any) -> str | None:
        if not all(available().values()):
            return "needs the readers: pip install 'slotlab[readers]'"
        return super().missing(data)

    def changed(self, result: Mapping[str, Any]) -> bool:
        """Return whether the folds were trained with other settings. Readers have none."""
        return self.folds and TrainConfig.from_dict(result.get("config", {})) != self.config()


CELLS = (
    SuspectCell(
        name="readers-portal6", what="real, 6 digits, audited", group="suspects", images="portal6-all", preset=None
    ),
    SuspectCell(
        name="readers-digits4", what="real, 4 digits; val and test, audited", group="suspects", images="digits4",
        preset=None, splits=("val", "test"),
    ),
    SuspectCell(
        name="folds-digits4", what="real, 4 digits; 1,000 labels of train and val", group="suspects", images="digits4",
        options={"init": "auto", "steps": "300", "pretrained": "none"}, splits=("train", "val"), most=1000, folds=True,
        audited=False,
    ),
)  # fmt: skip
QUICK = SuspectCell(
    name="quick",
    what="rendered; shows no more than that the bench works",
    group="suspects",
    images="quick",
    options=accuracy.QUICK.options,
    folds=True,
)


def measure(cell: SuspectCell, bench: Bench) -> dict[str, Any]:
    """Read the images, then count the suspected labels among given and changed ones."""
    folder = cell.image_set.folder or ""
    frozen = freeze(cell.image_set, bench.work, bench.data)
    with _project(cell, bench) as (db, home, project):
        job = start_proposing(db, home, project, readers=list(READERS), labeled=True, operator=OPERATOR)
        job = control.finish(db, home, job.id, lambda status: bench.say(f"{cell.name}: {status.message}"))
        stored = samples.select_samples(db, project.id)
        keys, given = [each.sha256 for each in stored], [each.name for each in stored]
        audit = load_audit(folder)
        right = dict(zip(keys, audited(keys, given, audit), strict=True))
        more = load_audit(folder, LOOKED_AT)
        right |= {key: corrected for key, (_, corrected) in more.items() if key in right}
        doubtful = _doubtful(folder)
        _set_labels(db, project, dict(zip(keys, given, strict=True)))

        def look(name: str, labels: Mapping[str, str]) -> dict[str, Any]:
            """Count the suspected labels once. Later, networks trained on other labels would take part."""
            path = bench.folder(cell) / f"{name}.json"
            if not path.exists():
                _set_labels(db, project, labels)
                path.write_text(json.dumps(_count(find_suspects(db, home, project), labels, right, doubtful)))
            counts: dict[str, Any] = json.loads(path.read_text())
            return counts

        draws = [_changed(right, cell.image_set.spec, seed) for seed in range(DRAWS)]
        result = (
            described(cell, frozen)
            | environment(bench.threads)
            | {
                "readers": json.loads(job.result or "{}"),
                "images": len(keys),
                "readers_alone": _pooled([look(f"alone-{seed}", labels) for seed, labels in enumerate(draws)]),
            }
        )
        if cell.audited:
            result["audit"] = look("audit", dict(zip(keys, given, strict=True)))
        if cell.folds:
            counted = []
            for seed, labels in enumerate(draws):
                if not (bench.folder(cell) / f"folds-{seed}.json").exists():
                    _set_labels(db, project, labels)
                    _train_folds(db, home, project, cell, bench, seed)
                counted.append(look(f"folds-{seed}", labels))
            result |= {"config": cell.config().to_dict(), "with_folds": _pooled(counted)}
    return result


@contextmanager
def _project(cell: SuspectCell, bench: Bench) -> Iterator[tuple[Database, Home, Project]]:
    """Open the cell's folder, with the images of the set as samples. Their names are the given labels."""
    frozen = freeze(cell.image_set, bench.work, bench.data)
    home = Home(bench.folder(cell) / "home").create()
    with opened(home.db, create=True) as db:
        project = projects.find_project(db, PROJECT)
        if project is None:
            snapshot, spec = load_snapshot(frozen.path), cell.image_set.spec
            chosen = [place for place, split in enumerate(snapshot.splits) if split in cell.splits][: cell.most]
            with write(db):
                project = projects.insert_project(db, PROJECT, spec.length, spec.charset)
                source = projects.insert_source(db, project.id, cell.images, OPERATOR, "bench")
                for place in chosen:
                    samples.insert_sample(
                        db, project_id=project.id, source_id=source.id, sha256=snapshot.sha256[place],
                        name=snapshot.labels[place] or "", width=1, height=1,
                        split=snapshot.splits[place], image=snapshot.blob(place),
                    )  # fmt: skip
        yield db, home, project


def _train_folds(db: Database, home: Home, project: Project, cell: Cell, bench: Bench, seed: int) -> None:
    """Train networks on the labels of a draw. Continue if that was interrupted."""
    note = bench.folder(cell) / f"job-{seed}.txt"
    if note.exists():
        job = jobs.get_job(db, note.read_text())
        job = job if job.state == "finished" else control.resume(db, home, job.id)
    else:
        job = start_folds(db, home, project, cell.config(), operator=OPERATOR)
        note.write_text(job.id)
    control.finish(db, home, job.id, lambda status: bench.say(f"{cell.name}: draw {seed + 1}: {status.message}"))


def _set_labels(db: Database, project: Project, labels: Mapping[str, str]) -> None:
    """Label the images whose label differs."""
    events = [
        {"event": f"{each.sha256} {each.version}", "action": "label", "sample": each.sha256, "base": each.version,
         "text": labels[each.sha256]}
        for each in samples.select_samples(db, project.id)
        if each.label != labels[each.sha256]
    ]  # fmt: skip
    apply_events(db, project, OPERATOR, events)


def _changed(right: Mapping[str, str], spec: TextSpec, seed: int) -> dict[str, str]:
    """Return the labels with one character of 2% of them changed."""
    rng, labels = random.Random(seed), dict(right)
    for key in rng.sample(sorted(labels), max(1, round(SHARE * len(labels)))):
        place = rng.randrange(spec.length)
        char = rng.choice([char for char in spec.charset if char != labels[key][place]])
        labels[key] = labels[key][:place] + char + labels[key][place + 1 :]
    return labels


def _doubtful(folder: str) -> set[str]:
    paths = [AUDITS / f"{folder}.json", LOOKED_AT / f"{folder}.json"]
    return {
        entry["sha256"] for path in paths if path.exists()
        for entry in json.loads(path.read_text(encoding="utf-8")).get("doubtful", [])
    }  # fmt: skip


def _count(
    suspects: Suspects, labels: Mapping[str, str], right: Mapping[str, str], doubtful: set[str]
) -> dict[str, Any]:
    """Count wrong labels, suspected ones, and both. Doubtful images count only if their label was changed."""
    wrong = {key for key, label in labels.items() if label != right[key]}
    suspected = {each.sample.sha256: each.suggested for each in suspects.entries}
    counted = suspected.keys() - (doubtful - wrong)
    hits = wrong & counted
    return {
        "wrong": len(wrong),
        "suspected": len(counted),
        "found": len(hits),
        "corrected": sum(suspected[key] == right[key] for key in hits),
        "doubtful": len(suspected) - len(counted),
        "false": sorted(counted - wrong),
        "missed": sorted(wrong - hits),
        **_shares(len(hits), len(wrong), len(counted)),
    }


def _shares(found: int, wrong: int, suspected: int) -> dict[str, Any]:
    """Return recall and precision, each with its 95% interval."""
    shares: dict[str, Any] = {}
    for name, n in (("recall", wrong), ("precision", suspected)):
        shares[name] = round(found / n, 4) if n else None
        shares[f"{name}_ci95"] = [round(bound, 4) for bound in interval95(found, n)] if n else None
    return shares


def _pooled(draws: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the draws and their sums. The intervals take the labels of all draws as independent."""
    sums = {key: sum(draw[key] for draw in draws) for key in ("wrong", "suspected", "found", "corrected", "doubtful")}
    return sums | _shares(sums["found"], sums["wrong"], sums["suspected"]) | {"draws": draws}


if __name__ == "__main__":
    sys.exit(main("suspects", __doc__, CELLS, (QUICK,), measure))
