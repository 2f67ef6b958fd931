"""Base classes of the benchmarks: cells, their folders, and the environment recorded in every result.

It imports neither torch nor the database, so cells without training run without torch.
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
PACKAGES = (
    "torch", "timm", "albumentations", "opencv-python-headless", "numpy", "pillow", "onnxruntime",
    "ddddocr", "rapidocr", "scikit-image",
)  # fmt: skip
MADE_OF = ("core", "bench/*.py", "bench/audits")
"""Paths whose state affects the figures."""


class CellError(SlotlabError):
    """A cell failed. The sentence says why."""


class Interrupted(Exception):  # noqa: N818 - a request to stop is not an error
    pass


@dataclass(frozen=True, kw_only=True)
class BenchCell(ABC):
    """One figure to measure."""

    name: str
    what: str
    group: str
    """Table of the results."""

    @abstractmethod
    def needed(self) -> str:
        """Return the requirements, met or not. Empty if there are none."""

    @abstractmethod
    def missing(self, data: Path | None) -> str | None:
        """Return why the cell cannot run here, or None."""

    @abstractmethod
    def changed(self, result: Mapping[str, Any]) -> bool:
        """Return whether the settings have changed since this result."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Settings and folders of one command."""

    kind: str
    work: Path
    results: Path
    data: Path | None = None
    """Folder of the images. Cells of the user interface take a bundle instead."""
    threads: int = 1
    recount: bool = False
    """Only recompute the figures of finished runs, even if their settings have changed since."""
    stop: threading.Event = field(default_factory=threading.Event)

    def folder(self, cell: BenchCell) -> Path:
        """Return the folder of a cell's job directories."""
        return self.work / self.kind / cell.name

    def result(self, cell: BenchCell) -> Path:
        return self.results / f"{cell.name}.json"

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


# Environment of a result


def environment(threads: int, packages: Sequence[str] = PACKAGES, made_of: Sequence[str] = MADE_OF) -> dict[str, Any]:
    """Return the current machine, versions and state of the code."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": {
            "cpu": _cpu(),
            "cores": cores(),
            "threads": threads,
            "ram_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            "gpu": _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or None,
        },
        "versions": {"python": platform.python_version()}
        | {name: number for name in packages if (number := _version(name))},
        "git": {
            "commit": _output("git", "rev-parse", "HEAD") or None,
            "dirty": bool(_output("git", "status", "--porcelain", "--", *made_of)),
        },
    }


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu() -> str:
    with suppress(OSError):
        if match := re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
            return match[1]
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _output(*command: str) -> str:
    """Return the output of a program, empty if it is missing or fails."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


# Results


def load_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Return every result of a folder by cell name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def save_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result atomically, each list of plain values on one line."""
    text = json.dumps(result, indent=1, ensure_ascii=False)
    # JSON strings never contain line breaks, so this changes only the layout.
    text = re.sub(r"\[\n *([^\[\]{}]*)\n *\]", lambda match: "[" + re.sub(r"\n *", " ", match[1]) + "]", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, sync=False) as file:
        file.write(f"{text}\n".encode())
