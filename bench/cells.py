"""What a bench is made of: cells, where their work lies, and what every result says of itself.

Imports neither torch nor a database: a cell without training runs where there is no torch.
"""

import json
import os
import platform
import re
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core.errors import SlotlabError
from core.files import atomic_write

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
PACKAGES = ("torch", "timm", "albumentations", "opencv-python-headless", "numpy", "pillow", "ddddocr", "onnxruntime")
MADE_OF = ("core", "bench/*.py", "bench/audits")
"""What makes the figures; earlier results and texts do not."""


class CellError(SlotlabError):
    """A cell could not be finished; the sentence says why."""


class Interrupted(Exception):  # noqa: N818 - somebody wants the bench to stop; that is no error
    pass


@dataclass(frozen=True, kw_only=True)
class BenchCell(ABC):
    """One figure to be measured."""

    name: str
    what: str
    group: str
    """The table it belongs to."""

    @abstractmethod
    def needed(self) -> str:
        """What it takes to run it, whatever is there; empty when it runs everywhere."""

    @abstractmethod
    def missing(self, data: Path | None) -> str | None:
        """Why it cannot be run here and now."""

    @abstractmethod
    def changed(self, result: Mapping[str, Any]) -> bool:
        """Whether its settings have changed since this result."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """How and where the cells of one command are run."""

    kind: str
    work: Path
    results: Path
    data: Path | None = None
    threads: int = 1
    recount: bool = False
    """Finished runs are only counted again, also those whose settings are no longer today's."""
    stop: threading.Event = field(default_factory=threading.Event)

    def folder(self, cell: BenchCell) -> Path:
        """Job directories of a cell."""
        return self.work / self.kind / cell.name

    def result(self, cell: BenchCell) -> Path:
        return self.results / f"{cell.name}.json"

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


# What every result says of itself


def environment(threads: int, packages: Sequence[str] = PACKAGES, made_of: Sequence[str] = MADE_OF) -> dict[str, Any]:
    """Machine, versions and state of the code, as they are now."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": {
            "cpu": _cpu(),
            "cores": cores(),
            "threads": threads,
            "ram_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            "gpu": _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or None,
        },
        "versions": {"python": platform.python_version()} | {name: found for name in packages if (found := _has(name))},
        "git": {
            "commit": _output("git", "rev-parse", "HEAD") or None,
            "dirty": bool(_output("git", "status", "--porcelain", "--", *made_of)),
        },
    }


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu() -> str:
    with suppress(OSError):
        if match := re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
            return match[1]
    return platform.processor() or platform.machine()


def _has(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _output(*command: str) -> str:
    """What a program prints; nothing when it is not there or fails."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


# Results


def load_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Every result of a folder by the name of its cell."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def save_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result whole or not at all, a list of plain values in one line."""
    text = json.dumps(result, indent=1, ensure_ascii=False)
    # A line break is never part of a JSON string, so only the layout is changed.
    text = re.sub(r"\[\n *([^\[\]{}]*)\n *\]", lambda match: "[" + re.sub(r"\n *", " ", match[1]) + "]", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, sync=False) as file:
        file.write(f"{text}\n".encode())
