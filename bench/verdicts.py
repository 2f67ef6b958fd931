"""A simulated portal: 50 labels by hand, then nothing but its verdicts. Writes JSON files to bench/results/verdicts.

    python -m bench.verdicts [--data DIR] [--only PATTERN] [--list] [--again] [--quick]

The portal accepts exactly the right text, and locks a login after three wrong ones in a row. Each day an automation
logs in with the newest bundle and a log. It asks for another image where it is not sure, and leaves the last try to a
person. Each night the log is imported, a run trains on all labels, and its bundle reads from then on. After the last
night the portal's verdicts set a threshold, and new images show what it is worth. Import, training, bundle, reader and
log are the real ones. A stopped cell continues.
"""

import json
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from bench.accuracy.data import SETS, freeze
from bench.accuracy.scores import audited, load_audit
from bench.cells import Bench, BenchCell, CellError, Interrupted, environment
from bench.grid import main
from core.bundle.reader import Reader, Reading, load
from core.data.importing import import_images, open_project, open_source
from core.data.labeling import apply_events
from core.data.verdicts import Origin, take_in
from core.evaluation.metrics import interval95
from core.home import Home
from core.images import renderer
from core.images.pixels import decode, pixel_hash
from core.jobs import control
from core.jobs.jobdir import JobStatus
from core.model.config import preset, with_options
from core.runs import thresholds
from core.runs.bundles import start_bundle
from core.runs.start import start_training
from core.training.snapshot import load_snapshot
from db import runs
from db.connection import opened
from db.records import Run
from db.sqlite import Database

LOCKOUT = 3
"""Wrong texts in a row that lock a login."""
IMAGES = 20
"""Images that the automation asks for in one login."""
SURE = 0.9
"""Confidence from which a reading is submitted while there is no threshold."""
MAX_RISK = 0.005
"""Error rate that the threshold of the last run allows."""
RENDERED_SEED, FRESH_SEED = 7000, 8000
MOST = 100_000
"""Rendered images that may come."""
OWNER, OPERATOR = "Slotlab", "bench"


@dataclass(frozen=True, kw_only=True)
class PortalCell(BenchCell):
    """Days at one portal."""

    images: str
    """Name of a set of bench.accuracy whose images come day by day; those of test are fresh ones."""
    hand: int = 50
    """Labels by hand."""
    days: int
    logins: int
    """Logins a day."""
    trial: int
    """Logins with the last bundle. Their verdicts set its threshold."""
    fresh: int = 0
    """Rendered images that measure each bundle. 0 takes those of test."""
    steps: int | None = None
    """Steps of a training. None is the preset's."""

    def needed(self) -> str:
        return "" if self.fresh else f"--data with {self.images}/"

    def missing(self, data: Path | None) -> str | None:
        absent = not self.fresh and not (data and (data / self.images).is_dir())
        return f"there is no --data folder with {self.images}/" if absent else None

    def changed(self, result: Mapping[str, Any]) -> bool:
        return bool(result["plan"] != self.plan)

    @property
    def plan(self) -> dict[str, Any]:
        names = ("images", "hand", "days", "logins", "trial", "fresh", "steps")
        return {name: getattr(self, name) for name in names}


CELLS = (
    PortalCell(
        name="hard", what="rendered, 6 digits, hard style", group="verdicts", images="hard4000", days=8, logins=300,
        trial=1500, fresh=10_000,
    ),
    PortalCell(
        name="digits4", what="real, 4 digits", group="verdicts", images="digits4", days=6, logins=400, trial=600,
    ),
)  # fmt: skip
QUICK = PortalCell(
    name="quick", what="rendered; shows no more than that the bench works", group="quick", images="quick", hand=40,
    days=2, logins=30, trial=30, fresh=40, steps=60,
)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """An image of the portal and its right text."""

    data: bytes
    text: str


@dataclass
class Day:
    """The logins of one day, or of the trial."""

    images: int = 0
    submitted: int = 0
    right: int = 0
    """Submitted texts that the portal accepted."""
    logins: int = 0
    by_person: int = 0
    """Logins left to a person: too many wrong texts, or no sure reading."""

    def log_in(self, reader: Reader, pictures: Iterator[Picture]) -> None:
        """Log in as the guide tells: submit what is sure, report what the portal says, stop before the lockout."""
        self.logins += 1
        left = LOCKOUT
        for picture in islice(pictures, IMAGES):
            self.images += 1
            reading = reader.read(picture.data)
            if not is_sure(reading):
                continue
            is_right = reading.text == picture.text
            self.submitted += 1
            self.right += is_right
            reading.accepted_by_portal(is_right, None if is_right else "captcha")
            left -= not is_right
            if is_right or left <= 1:
                self.by_person += not is_right
                return
        self.by_person += 1


def is_sure(reading: Reading) -> bool:
    """Return whether a reading is submitted. Without a threshold, a fixed confidence decides."""
    if reading.accepted is None:
        return reading.confidence >= SURE and reading.unfamiliar is None
    return reading.accepted


@dataclass(frozen=True)
class Portal:
    """The images of a cell."""

    after: Callable[[int], Iterator[Picture]]
    """Yields the images from a place on, in the order in which they come."""
    fresh: Sequence[Picture]
    """Images that never come, to measure with."""
    length: int
    charset: str


def portal_of(cell: PortalCell, bench: Bench) -> Portal:
    """Return the portal of a cell. The right texts of real images are their audited labels."""
    image_set = SETS[cell.images]
    if cell.fresh:
        drawn = partial(_rendered, cell)
        fresh = list(drawn(cell.fresh, FRESH_SEED))
        return Portal(
            lambda place: islice(drawn(MOST, RENDERED_SEED), place, None), fresh, image_set.length, image_set.charset
        )
    snapshot = load_snapshot(freeze(image_set, bench.work, bench.data and bench.data.resolve()).path)
    given = [label or "" for label in snapshot.labels]
    right = audited(snapshot.sha256, given, load_audit(image_set.folder))
    pictures = [Picture(snapshot.blob(place), text) for place, text in enumerate(right)]
    coming = [picture for picture, split in zip(pictures, snapshot.splits, strict=True) if split != "test"]
    random.Random(0).shuffle(coming)
    fresh = [picture for picture, split in zip(pictures, snapshot.splits, strict=True) if split == "test"]
    return Portal(lambda place: iter(coming[place:]), fresh, image_set.length, image_set.charset)


def _rendered(cell: PortalCell, count: int, seed: int) -> Iterator[Picture]:
    image_set = SETS[cell.images]
    for _, text, data in renderer.samples(count, seed, image_set.length, image_set.charset, image_set.style):
        yield Picture(data, text)


class Automation:
    """The lab, the automation and the portal of one cell. Each step is done once, also after a stop."""

    def __init__(self, cell: PortalCell, bench: Bench, db: Database, home: Home) -> None:
        self._cell, self._bench, self._db, self._home = cell, bench, db, home
        self._portal = portal_of(cell, bench)
        self._folder = bench.folder(cell)
        self._project = open_project(db, "portal", self._portal.length, self._portal.charset)

    def run(self) -> dict[str, Any]:
        """Live through all days and return the figures."""
        self._label_by_hand()
        place, days = self._cell.hand, list[dict[str, Any]]()
        for number in range(self._cell.days + 1):
            run = self._train(number)
            bundle = self._bundle(run, f"bundle {number}")
            days.append(self._standing(run) | {"fresh": self._measured(f"fresh-{number}", bundle)})
            self._bench.say(f"{self._cell.name}: day {number}, {json.dumps(days[-1])}")
            is_last = number == self._cell.days
            logins = self._cell.trial if is_last else self._cell.logins
            day = self._live(number, bundle, place, logins)
            place += day.images
            days[-1]["day"] = asdict(day)
            if not is_last:
                take_in(self._db, self._project, self._log(number), operator=OPERATOR, origin=Origin())
        return {"days": days, "threshold": self._trial(run)}

    def _label_by_hand(self) -> None:
        folder = self._folder / "hand"
        folder.mkdir(exist_ok=True)
        pictures = {pixel_hash(decode(each.data)): each for each in islice(self._portal.after(0), self._cell.hand)}
        for sha256, picture in pictures.items():
            (folder / f"{sha256}.png").write_bytes(picture.data)
        source = open_source(self._db, self._project, "by hand", OWNER, "rendered or public images")
        import_images(self._db, self._project, source, folder, "none", operator=OPERATOR, on_progress=lambda *_: None)
        events = [
            {"event": f"hand {sha256}", "action": "label", "sample": sha256, "text": picture.text, "base": 0}
            for sha256, picture in pictures.items()
        ]
        outcomes = apply_events(self._db, self._project, OPERATOR, events)
        if wrong := [outcome.message for outcome in outcomes if outcome.status not in ("saved", "repeated")]:
            raise CellError(f"A label was not saved: {wrong[0]}")

    def _train(self, number: int) -> Run:
        options = {"max_steps": str(self._cell.steps)} if self._cell.steps else {}
        config = with_options(preset("fast"), options)
        run = start_training(
            self._db, self._home, self._project, config, preset="fast", operator=OPERATOR,
            request_id=f"night {number}",
        )  # fmt: skip
        self._finish(run.job.id)
        found = runs.find_run(self._db, run.job.id)
        assert found is not None
        return found

    def _bundle(self, run: Run, request: str) -> Path:
        job = start_bundle(self._db, self._home, run, operator=OPERATOR, request_id=request)
        self._finish(job.id)
        return self._home.bundles / job.id

    def _finish(self, job_id: str) -> None:
        """Wait for a job, which goes on where a stopped command left it."""
        if control.find_job(self._db, job_id).state in ("failed", "canceled", "lost"):
            control.resume(self._db, self._home, job_id)
        control.finish(self._db, self._home, job_id, self._watch)

    def _watch(self, _: JobStatus) -> None:
        if self._bench.stop.is_set():
            raise Interrupted

    def _log(self, number: int) -> Path:
        return self._folder / f"day-{number}" / "log.jsonl"

    def _live(self, number: int, bundle: Path, place: int, logins: int) -> Day:
        """Log in all day, or return the figures of a day that is over."""
        folder = self._folder / f"day-{number}"
        if not folder.exists():
            begun = self._folder / f"day-{number}.begun"
            shutil.rmtree(begun, ignore_errors=True)
            begun.mkdir()
            reader, day = load(bundle, log=begun / "log.jsonl", log_images=True), Day()
            pictures = self._portal.after(place)
            while day.logins < logins:
                before = day.images
                day.log_in(reader, pictures)
                if day.images == before:
                    raise CellError(f"The portal has no image left on day {number}. Plan fewer logins.")
            (begun / "day.json").write_text(json.dumps(asdict(day)))
            begun.rename(folder)
        return Day(**json.loads((folder / "day.json").read_text()))

    def _standing(self, run: Run) -> dict[str, Any]:
        """Return the labels that a run learned from, by kind."""
        kinds = control.spec(self._home, run.job.id)["dataset"].get("kinds", {})
        return {"train": run.train_n, "val": run.val_n, "verdict": kinds.get("verdict", 0)}

    def _measured(self, name: str, bundle: Path) -> dict[str, Any]:
        """Return on how many fresh images a bundle is right, sure, and both."""
        path = self._folder / f"{name}.json"
        if not path.exists():
            reader, n, right, sure, sure_right = load(bundle), 0, 0, 0, 0
            for picture in self._portal.fresh:
                reading = reader.read(picture.data)
                is_right, is_kept = reading.text == picture.text, is_sure(reading)
                n, right, sure, sure_right = (
                    n + 1,
                    right + is_right,
                    sure + is_kept,
                    sure_right + (is_right and is_kept),
                )
                if self._bench.stop.is_set():
                    raise Interrupted
            path.write_text(json.dumps({"n": n, "right": right, "sure": sure, "sure_right": sure_right}))
        result: dict[str, Any] = json.loads(path.read_text())
        return result | {"ci95": list(interval95(result["right"], result["n"]))}

    def _trial(self, run: Run) -> dict[str, Any] | None:
        """Choose the threshold of the last run by the verdicts on its bundle. Return it with its worth on fresh images.

        None if the verdicts cannot show MAX_RISK.
        """
        take_in(self._db, self._project, self._log(self._cell.days), operator=OPERATOR, origin=Origin())
        judged = thresholds.by_verdicts(self._db, self._home, run)
        chosen = judged.choose(MAX_RISK) if judged else None
        if judged is None or chosen is None:
            return None
        accepted = judged.acceptance(chosen, max_risk=MAX_RISK, tries=LOCKOUT)
        accepted.save(self._home.run(run.job.id))
        fresh = self._measured("fresh-threshold", self._bundle(run, "bundle with threshold"))
        return {"chosen": asdict(accepted), "fresh": fresh}


def measure(cell: PortalCell, bench: Bench) -> dict[str, Any]:
    """Live through the days of a cell."""
    folder = bench.folder(cell)
    folder.mkdir(parents=True, exist_ok=True)
    home = Home(folder / "lab").create()
    with opened(home.db, create=True) as db:
        figures = Automation(cell, bench, db, home).run()
    return {"cell": cell.name, "what": cell.what, "plan": cell.plan, **environment(bench.threads), **figures}


def command() -> int:
    return main("verdicts", __doc__ or "", CELLS, (QUICK,), measure)


if __name__ == "__main__":
    sys.exit(command())
