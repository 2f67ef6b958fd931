"""The job of a round: `python -m core.runs.round_worker JOB_DIR`. It ends when the next run has started.

The run of the round is then evaluated again, if people have labeled images of val since it was measured.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.bundle.reader import aggregate, at_temperature
from core.charset import TextSpec
from core.data import priorities
from core.data.accepting import accept, describe
from core.data.proposing import read_images, store_reader
from core.errors import StorageError
from core.evaluation.predictions import Predictions
from core.evaluation.sure_readings import CONFIDENCE, PROVED, Image, Texts, choose, rare_characters, record
from core.home import Home
from core.images.pixels import Pixels
from core.jobs import control
from core.jobs.work import Work, run_worker
from core.model import checkpoint
from core.model.config import TrainConfig
from core.model.predictor import Predictor
from core.readers.decoder import Reading
from core.runs.rounds import get_run, measure_again
from core.runs.start import start_training
from db import proposals, samples, verdicts
from db.connection import opened, write
from db.projects import get_project
from db.records import PEOPLE, Project
from db.records import Reader as StoredReader
from db.sqlite import Database

MIN_NEW_SHARE = 0.01
"""New labels, as a share of those of train, below which a new run is not worth its time."""


class RunReader:
    """A run as a reader: its views, its calibrated confidence."""

    def __init__(self, directory: Path) -> None:
        self._predictor = Predictor.load(directory)
        self.name, self.version = directory.name, f"step {self._predictor.step}"
        self.sha256 = checkpoint.hash_of(directory / "checkpoints", self._predictor.step)
        self._temperature = _temperature(directory, self._predictor.spec, tta=self._predictor.choice.use)

    def read(self, images: Sequence[Pixels], spec: TextSpec) -> list[Reading]:
        """Return a reading for each image, in order."""
        if not images:
            return []
        log_probs_VNPC, _ = self._predictor.read(images, self._predictor.views())
        probs_NPC = np.exp(at_temperature(aggregate(log_probs_VNPC), self._temperature))
        tops_NP = probs_NPC.max(axis=2)
        return [
            Reading(text=spec.decode(ids), confidence=float(tops.prod()), positions=tuple(map(float, tops)))
            for ids, tops in zip(probs_NPC.argmax(axis=2).tolist(), tops_NP, strict=True)
        ]


def _temperature(directory: Path, spec: TextSpec, *, tta: bool) -> float:
    """Return the temperature that fits the run's readings of the validation images."""
    try:
        predictions = Predictions.load(directory / "predictions-val.npz")
    except StorageError as error:
        raise StorageError(f"Run {directory.name} has no validation result. Evaluate it on val first.") from error
    return predictions.reading(spec, tta=tta and len(predictions.views) > 1).temperature


def _work(work: Work) -> dict[str, Any] | None:
    home, run_id = Home.of_job(work.job.path), work.spec["run"]
    with opened(home.db) as db:
        run = get_run(db, run_id)
        project = get_project(db, run.job.project_id)
        work.say("Loading the run")
        reader = RunReader(home.run(run_id))
        with write(db):
            row = store_reader(db, project, reader, "run")
        if read_images(work, db, project, [reader], [row], labeled=False) is None:
            return None
        work.say("Choosing the sure readings")
        result = _accept(db, project, row, work.spec["operator"], work.job.id)
        priorities.update(db, project)
        if work.should_stop():
            return None
        if not (result["next_run_worth_it"] or work.spec.get("retry")):
            return result | {"run": run_id, "next_run": None}
        work.say("Starting the next run")
        config = TrainConfig.from_dict(control.spec(home, run_id)["config"])
        following = start_training(
            db, home, project, config, preset=run.preset, operator=work.spec["operator"],
            request_id=f"{work.job.id} run",  # so that a second start after a crash is harmless
        )  # fmt: skip
        again = measure_again(db, home, project, run, operator=work.spec["operator"])
        return result | {"run": run_id, "next_run": following.job.id, "evaluation": again and again.id}


def _accept(db: Database, project: Project, row: StoredReader, operator: str, round_id: str) -> dict[str, Any]:
    """Turn the sure readings into labels, and return what the round did, also before it was interrupted."""
    general = proposals.list_readers(db, project.id)
    names = [reader.name for reader in general]
    right, wrong = record(_labeled(db, project, general, names))
    texts = proposals.select_texts(db, project.id, [row, *general], split="train", state="unlabeled")
    confidences = proposals.confidences_of(db, project.id, row, split="train", state="unlabeled")
    rejected = verdicts.rejected_texts(db, project.id)
    images = {
        sample_id: Image(
            run_text, confidences[sample_id], dict(zip(names, each, strict=True)), rejected.get(sample_id, frozenset())
        )
        for sample_id, (run_text, *each) in texts.items()
        if run_text is not None
    }
    of_run, of_readers = choose(images, right, wrong)
    left = len(texts) - accept(
        db, project, of_run, kind="run", readers=[row], operator=operator,
        rule={"rule": "run and a reader", "confidence": CONFIDENCE, "with": [describe(reader) for reader in general]}
        | {"round": round_id},
    )  # fmt: skip
    left -= accept(
        db, project, of_readers, kind="readers", readers=general, operator=operator,
        rule={"rule": "one reader, proved by labels", "labels": PROVED, "round": round_id},
    )  # fmt: skip
    accepted, proved = (_accepted(db, project, kind, round_id) for kind in ("run", "readers"))
    labels = samples.labels_of(db, project.id, "train")
    everything = proposals.select_texts(db, project.id, [row], split="train")
    readings = labels + [text for (text,) in everything.values() if text is not None]
    return {
        "images": left + accepted + proved,
        "accepted": accepted,
        "proved": proved,
        "left": left,
        "rare": rare_characters(labels, readings),
        "next_run_worth_it": accepted + proved > MIN_NEW_SHARE * len(labels),
    }


def _accepted(db: Database, project: Project, kind: str, round_id: str) -> int:
    """Return the number of readings that a round has turned into labels of a kind."""
    return sum(
        acceptance.n
        for acceptance in proposals.list_acceptances(db, project.id)
        if acceptance.kind == kind and json.loads(acceptance.rule).get("round") == round_id
    )


def _labeled(
    db: Database, project: Project, general: Sequence[StoredReader], names: Sequence[str]
) -> list[tuple[str, Texts]]:
    """Return label and readings of the training images that people labeled, or whose text the portal accepted."""
    texts = proposals.select_texts(db, project.id, general, split="train", state="labeled")
    chosen = [
        sample
        for kind in (*PEOPLE, "verdict")
        for sample in samples.select_samples(db, project.id, kind=kind, split="train")
    ]
    return [
        (sample.label or "", dict(zip(names, texts[sample.id], strict=True))) for sample in chosen if sample.id in texts
    ]


if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1], _work))
