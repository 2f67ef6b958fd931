"""Imports, trainings and evaluations whose processes are killed, and which users run again or resume."""

import signal
import zipfile
from collections.abc import Iterator
from itertools import count, cycle, islice

from bench.cells import CellError
from bench.reliability.scene import VICTIMS, Scene
from bench.ui.million import Variant, renders
from core.jobs import control
from db.connection import opened
from db.projects import find_project

FILES = 120
"""New images for each import that is killed."""
IMPORT_SECONDS = 1.5
TRAIN_SECONDS = 8.0
EVALUATE_SECONDS = 5.0
"""Longest delay from the start of a job to its kill. Some hit its start, some its end."""
KILLS_OF_A_RUN = 4
TRAINED = "trained"
"""Project of the trainings."""
TINY = (
    "device=cpu", "backbone=test_resnet", "width=32", "image_size=32x96", "batch_size=16", "pretrained=none",
    "steps=60",
)  # fmt: skip
ORIGIN = ("--source", "rendered", "--owner", "Slotlab", "--authorization", "rendered by this program")


class Shelf:
    """A folder, zip or watched folder that gets more images before each import."""

    def __init__(self, scene: Scene, kind: str, images: Iterator[Variant]) -> None:
        self.scene = scene
        self.kind = kind
        self.path = scene.home.root / "shelves" / (f"{kind}.zip" if kind == "zip" else kind)
        self.path.parent.mkdir(exist_ok=True)
        if kind != "zip":
            self.path.mkdir()
        self.expected: dict[str, str] = {}
        """Label by pixel hash."""
        self._images = images

    def add(self) -> None:
        """Add images, named by their labels."""
        new = list(islice(self._images, FILES))
        files = {f"{image.text}_{image.sha256[:8]}.png": image.png for image in new}
        if self.kind == "zip":
            with zipfile.ZipFile(self.path, "a") as archive:
                for name, data in files.items():
                    archive.writestr(name, data)
        else:
            for name, data in files.items():
                (self.path / name).write_bytes(data)
        self.expected |= {image.sha256: image.text for image in new}

    def words(self) -> list[object]:
        watching = ["--watch", "--every", "0.2"] if self.kind == "watched" else []
        return ["import", self.path, "--project", self.kind, *ORIGIN, "--labels", "filename", *watching]

    def is_complete(self) -> bool:
        return not self.missing()

    def missing(self) -> str:
        """Return how the project differs from the shelf: every image once, with one label event."""
        with opened(self.scene.home.db) as db:
            project = find_project(db, self.kind)
            rows = db.execute(
                "SELECT sha256, label, (SELECT count(*) FROM labels WHERE sample_id = samples.id) FROM samples"
                " WHERE project_id = ?",
                [project.id if project else 0],
            ).fetchall()
        labels = {sha256: label for sha256, label, _ in rows}
        if labels != self.expected:
            same = sum(labels.get(sha256) == text for sha256, text in self.expected.items())
            return f"project {self.kind} has {same} of {len(self.expected)} images, and {len(labels) - same} others"
        twice = sum(events != 1 for *_, events in rows)
        return f"{twice} images of project {self.kind} have another number of label events than one" if twice else ""


def imports(scene: Scene, kills: int) -> None:
    """Kill imports of a folder, a zip and a watched folder, each with more images. Then import all of them."""
    rng = scene.rng("imports")
    images = (image.variant(number) for number in count() for image in renders(FILES, seed=2))
    shelves = [Shelf(scene, kind, images) for kind in ("folder", "zip", "watched")]
    plan = cycle((shelf, victim) for victim in VICTIMS for shelf in shelves)
    done = 0
    while done < kills:
        shelf, victim = next(plan)
        if shelf.kind != "watched":
            shelf.add()
        command, directory = scene.start_job("import", *shelf.words())
        if shelf.kind == "watched":
            shelf.add()
        scene.pause(rng.uniform(0, IMPORT_SECONDS))
        done += scene.kill_job(directory, victim, rng)
        command.finish()
    for shelf in shelves:
        if not shelf.expected:
            continue
        command = scene.slotlab(*shelf.words())
        if shelf.kind == "watched":
            shelf.add()  # only a command that runs can import it, so the interrupt does not meet a starting interpreter
            scene.has_passed("the watched folder is not imported", shelf.is_complete)
            command.process.send_signal(signal.SIGINT)
        command.succeed()
        if missing := shelf.missing():
            scene.record(missing)


def trainings(scene: Scene, kills: int, evaluations: int) -> None:
    """Kill trainings and resume each until it finishes. Then kill evaluations of the last one."""
    rng = scene.rng("trainings")
    victims = cycle(VICTIMS)
    settings = [word for option in TINY for word in ("--set", option)]
    done, run = 0, ""
    while done < kills or not run:
        record = scene.slotlab("train", "--project", TRAINED, *settings, "--detach", "--json").succeed()
        if record is None:
            raise CellError("No run could be started.")
        run = record["run"]
        for _ in range(min(KILLS_OF_A_RUN, kills - done)):
            scene.pause(rng.uniform(0, TRAIN_SECONDS))
            if not scene.kill_job(scene.home.run(run), victim := next(victims), rng):
                break
            done += 1
            if not has_ended(scene, run, victim):
                break
            scene.slotlab("resume", run, "--detach").finish()
        scene.slotlab("resume", run, "--json").succeed()
    done = 0
    while done < evaluations:
        command, directory = scene.start_job("evaluate", "evaluate", run, "--split", "test")
        scene.pause(rng.uniform(0, EVALUATE_SECONDS))
        done += scene.kill_job(directory, next(victims), rng)
        command.finish()
    scene.slotlab("evaluate", run, "--split", "test", "--json").succeed()


def has_ended(scene: Scene, job_id: str, victim: str) -> bool:
    """Wait until a killed job is no longer active. Record it as wrong if it stays active."""

    def ended() -> bool:
        with opened(scene.home.db) as db:
            return all(job.id != job_id for job in control.active(db, scene.home))

    return scene.has_passed(f"{job_id} is active, although its {victim} was killed", ended)
