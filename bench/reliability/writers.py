"""Writers: processes that label through `apply_events` without a browser, and record each acknowledged event.

    python -m bench.reliability.writers DATABASE --project NAME --name NAME --folder FOLDER [--seed N] [--pause SECONDS]

A writer keeps its batch in an outbox file until the answer, as the labeling widget does. After a kill it sends the same
batch again. An acknowledgment is a line in a file, written and synced after `apply_events` returned.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.cells import ROOT, CellError
from core.charset import spec_of
from core.data.labeling import apply_events
from core.files import atomic_write
from db.connection import opened
from db.projects import find_project
from db.samples import find_sample, select_samples

BATCH = 5
"""Most events in one transaction."""
PATIENCE_SECONDS = 60.0
"""Timeout for the first acknowledgment of a started writer."""


@dataclass(frozen=True, kw_only=True)
class Acknowledgment:
    """An event that `apply_events` answered as stored."""

    event: str
    sample: str
    text: str
    operator: str
    status: str
    """saved, conflict (stored as history), or repeated (stored before a kill, acknowledged after it)"""


class Writer:
    """A writer process that can be killed and started again."""

    def __init__(
        self, database: Path, project: str, name: str, folder: Path, *, seed: int = 0, pause: float = 0
    ) -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir(parents=True)
        self.errors = self.folder / "errors.txt"
        self.process: subprocess.Popen[bytes] | None = None
        self.lives = 0
        self._command = [sys.executable, "-m", "bench.reliability.writers", str(database), "--project", project]
        self._command += ["--name", name, "--folder", str(self.folder), "--seed", str(seed), "--pause", str(pause)]

    def start(self) -> None:
        self.lives += 1
        with self.errors.open("ab") as errors:
            command = [*self._command, "--life", str(self.lives)]
            self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=errors)

    def wait_for(self, acknowledgments: int) -> None:
        """Return once the running process has recorded this many acknowledgments. Raises CellError if it does not."""
        end = time.monotonic() + PATIENCE_SECONDS
        path = self.folder / f"{self.lives}.jsonl"
        while not path.exists() or path.read_bytes().count(b"\n") < acknowledgments:
            if self.process is None or self.process.poll() is not None or time.monotonic() > end:
                raise CellError(f"Writer {self.name} labels nothing. {self.errors.read_text()}")
            time.sleep(0.01)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def acknowledgments(self) -> Iterator[Acknowledgment]:
        """Yield what all processes of this writer recorded. A kill may truncate the last line of each."""
        for path in self.folder.glob("*.jsonl"):
            for line in path.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    yield Acknowledgment(**json.loads(line))


def label_forever(
    database: Path, project_name: str, name: str, folder: Path, life: int, seed: int, pause: float
) -> None:
    """Label random samples of the project with random texts, a few in each transaction."""
    rng = random.Random(f"{seed} {name} {life}")
    outbox = folder / "outbox.json"
    with opened(database) as db:
        project = find_project(db, project_name)
        assert project is not None
        hashes = [sample.sha256 for sample in select_samples(db, project.id)]
    spec = spec_of(project)

    def new_batch() -> list[dict[str, Any]]:
        with opened(database) as db:
            found = [
                find_sample(db, project.id, sha256)
                for sha256 in rng.sample(hashes, min(len(hashes), rng.randint(1, BATCH)))
            ]
        return [
            {
                "event": f"{name}-{rng.getrandbits(64):016x}",
                "action": "label",
                "sample": sample.sha256,
                "text": "".join(rng.choices(spec.charset, k=spec.length)),
                "base": sample.version,
            }
            for sample in found
            if sample is not None
        ]

    with (folder / f"{life}.jsonl").open("ab", buffering=0) as file:
        batch = json.loads(outbox.read_bytes()) if outbox.exists() else new_batch()
        while True:
            with atomic_write(outbox) as note:
                note.write(json.dumps(batch).encode())
            with opened(database) as db:
                outcomes = apply_events(db, project, name, batch)
            lines = []
            for event, outcome in zip(batch, outcomes, strict=True):
                if outcome.status not in ("saved", "conflict", "repeated"):
                    raise CellError(f"Event {outcome.event_id} was {outcome.status}: {outcome.message}")
                acknowledgment = Acknowledgment(
                    event=outcome.event_id,
                    sample=outcome.sample,
                    text=event["text"],
                    operator=name,
                    status=outcome.status,
                )
                lines.append(json.dumps(asdict(acknowledgment)) + "\n")
            file.write("".join(lines).encode())
            os.fsync(file.fileno())
            time.sleep(rng.uniform(0, 2 * pause))
            batch = new_batch()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.reliability.writers")
    parser.add_argument("database", type=Path)
    parser.add_argument("--project", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--life", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pause", type=float, default=0)
    options = parser.parse_args()
    label_forever(
        options.database, options.project, options.name, options.folder, options.life, options.seed, options.pause
    )


if __name__ == "__main__":
    main()
