"""Jobs with a stand-in for their worker, each run by a real runner in a real process."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.jobs.jobdir import JobDir
from tests.helpers.made_once import made_once
from tests.helpers.stand_in import FOREVER, MakeJob, RunJob, start_runner

if TYPE_CHECKING:
    from tests.helpers import toy


@pytest.fixture
def make_job(tmp_path: Path) -> MakeJob:
    """The directory of a job as it is when its runner is launched."""

    def made(name: str = "0001-fast", *, behave: str = "work", steps: int = FOREVER, kind: str = "train") -> JobDir:
        job = JobDir(tmp_path / name)
        job.path.mkdir()
        config = {"device": "cpu"}
        job.write("run.json", {"format": 1, "kind": kind, "behave": behave, "steps": steps, "config": config})
        job.write("status.json", {"state": "launching"})
        (job.path / "lock").touch(0o600)
        return job

    return made


@pytest.fixture
def run_job() -> Iterator[RunJob]:
    """Start the runner of a job; whatever is left of it is killed after the test."""
    started: list[tuple[JobDir, subprocess.Popen[bytes]]] = []

    def run(job: JobDir) -> subprocess.Popen[bytes]:
        started.append((job, start_runner(job)))
        return started[-1][1]

    yield run
    for job, process in started:
        job.kill()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory) -> "toy.Trained":
    """A run that reads the toy portal; copy its folder before writing to it."""
    from tests.helpers import toy  # torch, which most tests here do without

    return toy.trained(made_once(tmp_path_factory, "toy", toy.train))


@pytest.fixture(scope="session")
def toy_bundle(toy_run: "toy.Trained", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the toy run, in a Slotlab folder; copy it before writing to it."""
    from tests.helpers import bundling

    return bundling.make(tmp_path_factory.mktemp("bundle"), toy_run.folder)
