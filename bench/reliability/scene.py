"""The shared record of one bench: the folder under attack, what was killed, and what users were shown."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.cells import ROOT, CellError, Interrupted
from core.home import Home
from core.jobs.jobdir import JobDir

PATIENCE_SECONDS = 300.0
"""Timeout for everything that must happen after a kill: a command that exits, a process that starts."""
VICTIMS = ("worker", "runner", "runner and worker")
"""Processes that a kill of a job hits."""


@dataclass
class Scene:
    """One folder, and the record of everything done to it."""

    home: Home
    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    """Kills by victim."""
    missed: Counter[str] = field(default_factory=Counter)
    """Kills of a process that had ended before."""
    wrong: list[str] = field(default_factory=list)
    """Everything that must not happen, except lost labels."""
    sentences: Counter[str] = field(default_factory=Counter)
    """Last lines of failed commands, with N for each number."""
    done: threading.Event = field(default_factory=threading.Event)
    """Set when all planned kills have happened, or the bench is stopped."""

    def rng(self, name: str) -> random.Random:
        return random.Random(f"{self.seed} {name}")

    def count(self, victim: str) -> None:
        self.kills[victim] += 1
        if (total := self.kills.total()) % 10 == 0:
            print(f"{total} kills: {dict(sorted(self.kills.items()))}", file=sys.stderr, flush=True)

    def record(self, wrong: str) -> None:
        print(wrong, file=sys.stderr, flush=True)
        self.wrong.append(wrong)

    def pause(self, seconds: float) -> None:
        """Wait. Raises Interrupted if the bench is stopped meanwhile."""
        if self.done.wait(seconds):
            raise Interrupted

    def slotlab(self, *words: object) -> "Command":
        return Command(self, *map(str, words))

    def has_passed(self, what: str, condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> bool:
        """Wait until the condition holds. After `seconds`, record `what` as wrong and return False."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                self.record(f"after {seconds:g} s: {what}")
                return False
            self.pause(0.02)
        return True

    def start_job(self, kind: str, *words: object) -> tuple["Command", Path]:
        """Run a command and return it with the directory of the job it starts. Raises CellError if it starts none.

        Only one thread may start jobs of a kind.
        """
        known = set(self.home.runs.glob(f"*-{kind}"))
        command = self.slotlab(*words)
        while not (new := set(self.home.runs.glob(f"[0-9]*-{kind}")) - known):
            if command.process.poll() is not None:
                raise CellError(f"{command} started no job: {command.errors()}")
            self.pause(0.01)
        return command, new.pop()

    def kill_job(self, directory: Path, victim: str, rng: random.Random) -> bool:
        """Kill the worker, the runner or both as soon as they are alive. Return False if the job ended before."""
        kind = JobDir(directory).spec()["kind"]
        wanted = victim.split(" and ")
        end = time.monotonic() + PATIENCE_SECONDS
        while not set(wanted) <= (alive := processes(directory)).keys():
            if not JobDir(directory).observe().active or time.monotonic() > end:
                self.missed[f"{kind} {victim}"] += 1
                return False
            self.pause(0.01)
        rng.shuffle(wanted)
        try:
            for name in wanted:
                os.kill(alive[name], signal.SIGKILL)
        except ProcessLookupError:
            self.missed[f"{kind} {victim}"] += 1
            return False
        self.count(f"{kind} {victim}")
        return True


class Command:
    """A `slotlab` command as a user runs it. A traceback in its output is wrong."""

    def __init__(self, scene: Scene, *words: str) -> None:
        self.scene = scene
        self.words = words
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe that nobody reads would block the command
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "core.cli", *words],
            cwd=ROOT,
            env=os.environ | {"SLOTLAB_HOME": str(scene.home.root), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._errors,
            start_new_session=True,
        )

    def finish(self) -> int:
        """Wait for the end and return the exit code."""
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.scene.record(f"after {PATIENCE_SECONDS:g} s: {self} has not ended")
            os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait()
        errors = self.errors()
        if "Traceback" in errors or code not in (0, 1):
            self.scene.record(f"{self} exited with {code}: {errors}")
        elif code:
            line = errors.splitlines()[-1] if errors else "no error message"
            self.scene.sentences[f"{self.words[0]}: {re.sub(r'[0-9]+', 'N', line)}"] += 1
        return code

    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()

    def succeed(self) -> Any:
        """Wait for the end. Record a failure as wrong, and return the --json output."""
        code = self.finish()
        if code:
            self.scene.record(f"{self} failed: {self.errors()}")
            return None
        self._output.seek(0)
        return json.loads(self._output.read()) if "--json" in self.words else None

    def __str__(self) -> str:
        return f"slotlab {' '.join(self.words[:2])}"


def processes(directory: Path) -> dict[str, int]:
    """Return the process ids of a job's runner and worker.

    They are read from /proc, because the lock file does not name a process at once.
    """
    alive = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        except OSError:  # it has ended
            continue
        if os.fsencode(directory) in words:
            alive["runner" if any(b"core.jobs.runner" in word for word in words) else "worker"] = int(path.name)
    return alive
