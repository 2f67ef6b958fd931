"""A bundle of the toy run, made by the real worker in this process, and a process that has only the bundle."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from core.bundle.reader import MANIFEST, SUMS
from core.jobs.jobdir import JobDir
from core.jobs.work import run_worker
from core.runs.bundle_worker import make_bundle
from core.training.snapshot import dataset_hash
from tests.helpers import toy

RUN, JOB = "0001-fast", "0001-bundle"
SOURCES = [{"name": "June", "owner": "the *team*", "authorization": "ticket 1"}]


def place_run(root: Path, folder: Path) -> JobDir:
    """Copy the toy run into a Slotlab folder, with the run.json of a run."""
    run = JobDir(shutil.copytree(folder, root / "runs" / RUN))
    run.write(
        "run.json",
        {
            "format": 1,
            "kind": "train",
            "project": {"name": "toy", "length": toy.SPEC.length, "charset": toy.SPEC.charset},
            "config": toy.LEARNED.to_dict(),
            "dataset": {"sha256": dataset_hash(folder / "dataset.npz")},
        },
    )
    (root / "bundles").mkdir()
    return run


def bundle_job(root: Path, **values: object) -> JobDir:
    """Return the directory of a job that makes a bundle of the toy run."""
    job = JobDir(root / "runs" / JOB)
    job.path.mkdir()
    job.write("run.json", {"format": 1, "kind": "bundle", "run": RUN, "sources": SOURCES, "test": None} | values)
    return job


def work(job: JobDir) -> tuple[int, dict[str, Any]]:
    """Run the worker here. Return its exit code and its last status."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        return run_worker(str(job.path), make_bundle), job.read("status.json") or {}
    finally:
        signal.signal(signal.SIGTERM, before)


def make(root: Path, folder: Path) -> Path:
    """Make a bundle of the toy run in an empty folder. Return its directory."""
    place_run(root, folder)
    code, status = work(bundle_job(root))
    assert code == 0, status
    return root / "bundles" / JOB


def change_manifest(bundle: Path, **values: Any) -> None:
    """Change the manifest of a bundle, and its hash."""
    manifest = json.loads((bundle / MANIFEST).read_bytes()) | values
    before = hashlib.sha256((bundle / MANIFEST).read_bytes()).hexdigest()
    data = json.dumps(manifest).encode()
    (bundle / MANIFEST).write_bytes(data)
    sums = (bundle / SUMS).read_text().replace(before, hashlib.sha256(data).hexdigest())
    (bundle / SUMS).write_text(sums)


def bare(packages: Path, bundle: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python with only these packages in the folder of a bundle."""
    return subprocess.run(
        [sys.executable, "-S", "-P", *map(str, arguments)],
        check=False,
        cwd=bundle,
        env={
            "PYTHONPATH": f"{packages}{os.pathsep}{bundle}",
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",  # tests share the folder
        },
        capture_output=True,
        text=True,
        timeout=100,
    )
