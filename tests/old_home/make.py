"""Make the data directory beside this file, with the code of commit 1c3fe4b; see README.md."""

import itertools
import json
import shutil
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from core.acceptance import Acceptance
from core.calibration import choose_threshold, upper_bound
from core.config import TrainConfig
from core.ingest import Request, Upload, start_import
from core.labeling import apply_events, spec_of
from core.predictions import Predictions
from core.predictor import Predictor
from core.views import fingerprint
from sqlite_utils import Database

from core import jobs, recipes
from core.home import Home
from core.images import Pixels, encode_png
from db import projects, samples
from db.connection import opened, write
from db.jobs import find_job
from db.records import Project, Run, Sample
from db.runs import find_run

CHARSET = "ILX"
IMAGES, LABELLED = 90, 76
CONFIG = TrainConfig(
    device="cpu",
    backbone="test_resnet",
    stride=4,
    width=32,
    image_size=(32, 64),
    pretrained="none",
    layout="channels_last",
    batch_size=16,
    augment={},
    max_steps=40,
)


def draw(text: str, number: int) -> Pixels:
    """Draw `text` in flat colors, so that a PNG takes 300 bytes."""
    rng = np.random.default_rng(number)
    paper, ink = rng.integers(150, 256, 3), rng.integers(0, 100, 3)
    image = np.full((32, 64, 3), paper, dtype=np.uint8)
    strokes = {
        "I": [((0, -9), (0, 9))],
        "L": [((-6, -9), (-6, 9)), ((-6, 9), (7, 9))],
        "X": [((-8, -8), (8, 8)), ((-8, 8), (8, -8))],
    }
    for place, char in enumerate(text):
        x, y = 16 + 32 * place + int(rng.integers(-3, 4)), 16 + int(rng.integers(-3, 4))
        for (x0, y0), (x1, y1) in strokes[char]:
            cv2.line(image, (x + x0, y + y0), (x + x1, y + y1), ink.tolist(), 3)
    return image


def text_of(number: int) -> str:
    return CHARSET[number % 3] + CHARSET[number // 3 % 3]


def upload() -> Upload:
    """Images with and without labels, one duplicate, one file that is not an image, one label that does not fit."""
    files = [
        (f"{text_of(number)}_{number}.png" if number < LABELLED else f"{number}.png", draw(text_of(number), number))
        for number in range(IMAGES)
    ]
    encoded = [(name, encode_png(pixels)) for name, pixels in files]
    return Upload(files=[*encoded, ("IL_again.png", encoded[0][1]), ("note.png", b"not an image")])


def label_by_hand(db: Database, project: Project) -> None:
    """Every kind of event, by two operators; some of them lose, and some are taken back."""
    numbers = itertools.count(1)

    def say(operator: str, sample: Sample, action: str, origin: str = "label", **more: object) -> str:
        event_id = f"event-{next(numbers)}"
        now = samples.get_sample(db, sample.id)
        event = {"event": event_id, "action": action, "sample": sample.sha256, "base": now.version, "ms": 900, **more}
        apply_events(db, project, operator, [event], origin)
        return event_id

    # Val and test labels stay as they are: the evaluations below are repeated by a test.
    waiting = [each for each in samples.select_samples(db, project.id, state="unlabelled") if each.split == "train"]
    done = samples.select_samples(db, project.id, state="labelled", split="train")
    for sample in waiting[:4]:
        say("ann", sample, "label", text=text_of(int(sample.name.removesuffix(".png"))))
    say("ann", waiting[4], "skip")
    say("ann", waiting[5], "skip", flag="unreadable")
    say("bob", waiting[6], "skip", flag="not_ours")
    label = say("ann", waiting[7], "label", text="II")
    say("ann", waiting[7], "undo", after=label)
    say("bob", waiting[0], "label", text="XX", base=0)  # comes second
    say("bob", done[0], "second", text=done[0].label)
    say("bob", done[1], "second", text="LL" if done[1].label != "LL" else "XX")  # disputed
    opinion = say("bob", done[2], "second", text="LL" if done[2].label != "LL" else "XX")
    say("bob", done[2], "undo", after=opinion)
    say("ann", done[3], "confirm", "review")
    say("bob", done[4], "doubt", "review")
    say("ann", done[4], "resolve", "review", text=done[4].label, seen=9)
    say("bob", done[5], "doubt", "review")  # disputed
    say("ann", done[6], "second", text=None, flag="unreadable")  # disputed
    say("bob", done[6], "resolve", "review", text=None, flag="not_ours", seen=1)  # too late
    say("bob", done[7], "label", "review", text=done[7].label)


def finished(db: Database, home: Home, job_id: str) -> Run | None:
    jobs.finish(db, home, job_id, lambda _: None)
    return find_run(db, job_id)


def keep_choices(home: Home, project: Project, run: Run) -> None:
    """Keep a threshold and a choice of views with the run, as the Evaluate page does."""
    directory, spec = home.run(run.job.id), spec_of(project)
    read = Predictions.load(directory / "predictions-val.npz")
    read.choice(read.ledger(spec), use=True, by="ann").save(directory)
    reading = read.reading(spec, tta=True)
    chosen = choose_threshold(reading.fitted_N, reading.right_N, 0.9)
    used_N = reading.fitted_N >= (threshold := chosen.threshold if chosen else float(np.median(reading.fitted_N)))
    used, wrong = int(used_N.sum()), int((~reading.right_N[used_N]).sum())
    Acceptance(
        step=read.step,
        tta=True,
        views=fingerprint(read.view_set or ()),
        temperature=reading.temperature,
        threshold=threshold,
        max_risk=0.9,
        n=len(reading.right_N),
        used=used,
        wrong=wrong,
        risk_bound=upper_bound(wrong, used, 0.05),
    ).save(directory)


def cancelled(db: Database, home: Home, project: Project) -> None:
    """Start a run and cancel it after its first steps."""
    # The checkpoint to resume from holds four times the weights: a smaller network keeps this folder small.
    small = {"backbone": "test_byobnet", "width": 8, "max_steps": 60, "recipe": "tilted@2", "augment": None}
    config = TrainConfig.from_dict(CONFIG.to_dict() | small)
    run = jobs.start_training(db, home, project, config, preset="fast", operator="bob")
    while jobs.observe(home, run.job.id).step < 3:
        time.sleep(0.05)
    jobs.cancel(db, home, run.job.id)
    jobs.follow(db, home, run.job.id, lambda _: None)


def predict(db: Database, home: Home, project: Project, run: Run) -> dict[str, str]:
    """What the finished run reads on val, with its views, by pixel hash."""
    predictor = Predictor.load(home.run(run.job.id))
    chosen = samples.select_samples(db, project.id, state="labelled", split="val")
    images = [draw(text_of(number), number) for number in (int(each.name[:-4].split("_")[-1]) for each in chosen)]
    return {each.sha256: said.text for each, said in zip(chosen, predictor.predict(images), strict=True)}


def tidy(home: Home) -> None:
    """Leave out locks, empty files and folders, and checkpoints that nothing reads."""
    for lock in [*home.runs.glob("*.lock"), *home.runs.glob("*/lock"), home.db.with_name("slotlab.db-journal")]:
        lock.unlink(missing_ok=True)
    for old in (home.run("0002-fast") / "checkpoints").glob("step-*"):
        old.unlink()
    for old in sorted((home.run("0006-fast") / "checkpoints").glob("step-*"))[:-2]:
        old.unlink()
    for folder in home.root.iterdir():
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def main(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    home = Home(target).create()
    with opened(home.db, create=True) as db:
        request = Request(
            project="portal", path=None, labels="filename", length=2, charset=CHARSET, source="drawn", owner="the team",
            authorization="ticket 1",
        )  # fmt: skip
        jobs.finish(db, home, start_import(db, home, request, operator="ann", upload=upload()).id, lambda _: None)
        project = projects.find_project(db, "portal")
        assert project is not None
        label_by_hand(db, project)
        for limit in (3, 6):
            settings = {"affine": {"p": 0.5, "rotate": [-limit, limit]}}
            recipes.save(db, project, "tilted", settings, operator="ann", note="A little more each time.")
        recipes.set_default(db, project, "tilted@1", operator="ann")
        run = jobs.start_training(db, home, project, CONFIG, preset="fast", operator="ann")
        run = finished(db, home, run.job.id)
        assert run is not None
        for split, tta in (("val", True), ("val", False), ("test", True)):
            job = jobs.start_evaluation(db, home, run, split, tta=tta, operator="ann")
            jobs.finish(db, home, job.id, lambda _: None)
        keep_choices(home, project, run)
        cancelled(db, home, project)
        relabelled = samples.select_samples(db, project.id, state="labelled", split="train")[-1]
        event = {"event": "event-late", "action": "skip", "sample": relabelled.sha256, "base": relabelled.version}
        apply_events(db, project, "bob", [event])
        assert find_job(db, "0006-fast").state == "cancelled"  # type: ignore[union-attr]
        read = predict(db, home, project, run)
        with write(db):
            db.execute("DELETE FROM leases")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("VACUUM")
    (target / "predicted.json").write_text(json.dumps(read, indent=1) + "\n")
    tidy(home)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
