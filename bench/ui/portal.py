"""The app under test: a server with its own folder, a project with known texts, and a run beside it."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.cells import ROOT, CellError
from bench.ui.million import add_project
from bench.ui.proxy import delayed
from db.connection import opened
from db.projects import find_project
from tests.helpers.lab import Lab

RUN_SECONDS = 120.0
"""Timeout until a run is training."""


@dataclass(frozen=True)
class Portal:
    """A running app and one of its projects."""

    lab: Lab
    project: str
    truth: Mapping[str, str]
    """True text of each image, by pixel hash."""

    @property
    def url(self) -> str:
        return self.lab.url


@contextmanager
def served(home: Path) -> Iterator[Lab]:
    """Serve a folder with the app, and kill it at the end."""
    lab = Lab(home)
    try:
        start(lab)
        yield lab
    finally:
        lab.kill()


@contextmanager
def portal(project: str, n: int) -> Iterator[Portal]:
    """Serve a temporary folder with a project of `n` images."""
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder))
        with opened(lab.home.db, create=True) as db:
            _, truth = add_project(db, project, n)
        with served(lab.home.root) as lab:
            yield Portal(lab, project, truth)


def start(lab: Lab) -> None:
    """Start the server. Raises CellError with its log."""
    try:
        lab.start()
    except pytest.fail.Exception as error:
        raise CellError(str(error)) from None


@asynccontextmanager
async def line(lab: Lab, round_trip_ms: float) -> AsyncIterator[str]:
    """Yield the address of the app, behind a delaying proxy if requested."""
    if round_trip_ms:
        async with delayed(lab.port, round_trip_ms / 2000) as port:
            yield f"http://127.0.0.1:{port}"
    else:
        yield lab.url


def compared(portal: Portal, typed: Sequence[Mapping[str, str]]) -> dict[str, int]:
    """Compare the database with what each tab or operator typed and with the truth.

    lost: typed images without a label. misfiled: wrong labels, including superseded ones in the ledger. twice: images
    typed by two. conflicts: events that lost to an earlier one. tracebacks: in the server's log.
    """
    with opened(portal.lab.home.db) as db:
        project = find_project(db, portal.project)
        assert project is not None
        labels = dict(db.execute("SELECT sha256, label FROM samples WHERE project_id = ?", [project.id]).fetchall())
        ledger = db.execute(
            "SELECT sha256, text, l.version FROM labels l CROSS JOIN samples ON samples.id = sample_id"
            " WHERE project_id = ?",
            [project.id],
        ).fetchall()
    everything = [sample for each in typed for sample in each]
    wrong = {(sample, text) for sample, text in labels.items() if text is not None}
    wrong |= {(sample, text) for sample, text, _ in ledger if text is not None}
    return {
        "typed": len(set(everything)),
        "lost": sum(labels.get(sample) is None for sample in set(everything)),
        "misfiled": sum(text != portal.truth[sample] for sample, text in wrong),
        "twice": len(everything) - len(set(everything)),
        "events": len(ledger),
        "conflicts": sum(version is None for _, _, version in ledger),
        "tracebacks": portal.lab.log.read_text(encoding="utf-8", errors="replace").count("Traceback"),
    }


@contextmanager
def training(lab: Lab, options: Sequence[str]) -> Iterator[Callable[[], dict[str, Any] | None]]:
    """Train on a labeled project of the same folder. Yields a function for its state. Cancels it at the end."""
    if not options:
        yield lambda: None
        return
    with opened(lab.home.db) as db:
        add_project(db, "beside", 1000, seed=1, labeled=1.0)
    settings = [word for option in options for word in ("--set", option)]
    run = slotlab(lab, "train", "--project", "beside", *settings, "--detach", "--json")["run"]

    def state() -> dict[str, Any]:
        (row,) = (each for each in slotlab(lab, "runs", "--json") if each["run"] == run)
        return {"state": row["state"], "options": list(options)}

    try:
        end = time.monotonic() + RUN_SECONDS
        while state()["state"] != "running":
            if time.monotonic() > end:
                raise CellError(f"The run beside the cell is {state()['state']}.")
            time.sleep(0.5)
        yield state
    finally:
        slotlab(lab, "cancel", run)


def slotlab(lab: Lab, *words: str) -> Any:
    """Run a command and return its --json output. Raises CellError with its error."""
    done = subprocess.run(
        [sys.executable, "-m", "core.cli", *words],
        cwd=ROOT,
        env=os.environ | {"SLOTLAB_HOME": str(lab.home.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CellError(done.stderr.strip())
    return json.loads(done.stdout) if "--json" in words else None
