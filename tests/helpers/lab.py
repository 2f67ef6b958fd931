"""A Slotlab folder and the app serving it, for browser tests."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from core.home import Home
from core.images import renderer
from core.images.pixels import encode_png, pixel_hash, split_of
from db import projects
from db.connection import opened, write
from db.records import Project
from db.samples import insert_sample
from tests.helpers.repository import ROOT

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox",  # tests may run as root, where Chromium's sandbox does not start
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Lab:
    """A new Slotlab folder and the app serving it on a free port, in its own process group."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root).create()
        self.log = root / "server.log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.read = 0
        self.options: list[str] = []
        """Options of Streamlit."""
        self.env: dict[str, str] = {}
        """Environment of the server, in addition to that of the tests."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, within_seconds: float = 60) -> None:
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(self.port), *self.options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ
                | {"SLOTLAB_HOME": str(self.home.root), "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
                | self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + within_seconds
        while not is_healthy(self.url):
            if self.process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"The server did not start:\n{self.log.read_text()}")
            time.sleep(0.05)

    def kill(self, with_signal: signal.Signals = signal.SIGKILL) -> None:
        """Kill the server and its children. start() restarts it on the same port."""
        if self.process is not None:
            os.killpg(self.process.pid, with_signal)
            self.process.wait()
            self.process = None

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Freeze the server during the block."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.process.pid, signal.SIGCONT)

    def mistakes(self) -> str:
        """Return the server log since the last call if it has a traceback, else an empty string."""
        with self.log.open() as log:
            log.seek(self.read)
            logged = log.read()
            self.read = log.tell()
        return logged if "Traceback" in logged else ""

    def make_project(self, name: str, n: int, length: int = 6, charset: str = "0123456789") -> Project:
        """Create a project with `n` unlabeled rendered images. The pixels depend on the name."""
        rng = np.random.default_rng([len(name), *name.encode()])
        with opened(self.home.db, create=True) as db, write(db):
            project = projects.insert_project(db, name, length, charset)
            source = projects.insert_source(db, project.id, "rendered", "tests", "own images")
            for index in range(n):
                pixels = renderer.render("".join(rng.choice(list(charset), length)), rng)
                sha256 = pixel_hash(pixels)
                insert_sample(
                    db,
                    project_id=project.id,
                    source_id=source.id,
                    sha256=sha256,
                    name=f"{index:04}.png",
                    width=pixels.shape[1],
                    height=pixels.shape[0],
                    split=split_of(sha256),
                    image=encode_png(pixels),
                )
        return project

    def labels(self, project: Project) -> dict[str, str]:
        """Return the current label by pixel hash."""
        with opened(self.home.db) as db:
            sql = "SELECT sha256, label FROM samples WHERE project_id = ? AND label IS NOT NULL"
            return dict(db.execute(sql, [project.id]).fetchall())

    def actions(self, project: Project) -> list[str]:
        """Return the ledger's actions, oldest first."""
        with opened(self.home.db) as db:
            sql = "SELECT action FROM labels JOIN samples s ON s.id = sample_id WHERE project_id = ? ORDER BY labels.id"
            return [action for (action,) in db.execute(sql, [project.id])]


def is_healthy(url: str) -> bool:
    """Return whether the app at `url` answers."""
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=5) as answer:
            return bool(answer.read() == b"ok")
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
