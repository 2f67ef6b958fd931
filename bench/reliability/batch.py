"""Kill `slotlab batch` and its processes at random, continue, and check that every file is in the output exactly once.

    python -m bench.reliability.batch BUNDLE [--files 100000] [--kills 6] [--int8] [--quick]

Writes that many different images. First a part of them is read without a kill, which gives the rate and the memory.
Then all of them are read, and the command or one of its processes gets SIGKILL again and again. Writes
bench/results/reliability/batch.json. --quick reads few images and writes no file. Needs Linux.
"""

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench import quiet
from bench.cells import RESULTS, ROOT, CellError, cores, environment, save_result
from bench.repeat import repeated
from bench.ui.million import variants
from core.runs.targets import is_bundle

MADE_OF = ("core", "bench/*.py", "bench/reliability", "bench/ui/million.py")
PACKAGES = ("onnxruntime", "numpy", "pillow", "pyarrow")
FOLDER = 1000
"""Files of a folder."""
REPEATED = ("text", "accepted", "unfamiliar", "sha256")
"""Columns that must be equal in both outputs."""
CLOSE = 1e-4
"""Largest difference of a confidence, which depends on the images that are read together, by rounding."""
END_SECONDS = 20.0
"""Time for the processes of a killed command to notice."""
TARGET = 300
"""Images that a core should read in a second of CPU time."""


@dataclass
class Attack:
    """The kills, and what contradicts the promise."""

    kills: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    """Kills that came too late."""
    wrong: list[str] = field(default_factory=list)


class Batch:
    """A running `slotlab batch`, in its own session."""

    def __init__(self, bundle: Path, folder: Path, out: Path, *, jobs: int, int8: bool) -> None:
        words = ["batch", bundle, folder, "--out", out, "--jobs", jobs, "--json", *(["--int8"] if int8 else [])]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe that nobody reads would block the command
        self.process = subprocess.Popen(
            [sys.executable, "-m", "core.cli", *map(str, words)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=self._errors, text=True, start_new_session=True,
        )  # fmt: skip

    def finish(self) -> dict[str, Any]:
        """Wait for the end and return the output. Raises CellError if the command fails."""
        output, _ = self.process.communicate()
        if self.process.returncode:
            self._errors.seek(0)
            raise CellError(f"slotlab batch exited with {self.process.returncode}: {self._errors.read().decode()}")
        found: dict[str, Any] = json.loads(output)
        return found

    def processes(self) -> list[int]:
        """Return the process ids of the command and of its workers, also of those that outlive it."""
        return [number for number, session in _sessions() if session == self.process.pid]

    def kill(self) -> None:
        """Kill everything. Nothing happens if it has ended."""
        for number in self.processes():
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self.process.wait()


def _sessions() -> Iterator[tuple[int, int]]:
    """Yield process id and session of every living process."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            state, _, _, session, *_ = path.read_text().rpartition(")")[2].split()
            if state != "Z":
                yield int(path.parent.name), int(session)


def write_files(folder: Path, n: int) -> None:
    """Write `n` different images into subfolders."""
    for index, image in enumerate(variants(n)):
        path = folder / f"{index // FOLDER:04}" / f"{index:07}.png"
        if index % FOLDER == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(image.png)


def measure(bundle: Path, work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Read a part without a kill and everything with kills, and compare. Raises CellError."""
    rng, jobs, attack = random.Random(options.seed), cores(), Attack()
    folder, began = work / "images", time.monotonic()
    write_files(folder, options.files)
    written_s, part = time.monotonic() - began, work / "part"
    part.mkdir()
    for path in sorted(folder.iterdir())[: max(1, options.files // FOLDER // 5)]:
        (part / path.name).mkdir()
        for file in path.iterdir():
            (part / path.name / file.name).hardlink_to(file)
    rate = whole(Batch(bundle, part, work / "whole", jobs=jobs, int8=options.int8))
    expected_s = options.files / rate["files"] * rate["seconds"]
    began, out = time.monotonic(), work / "killed"
    kill_often(bundle, folder, out, options, rng, expected_s, attack)
    final = Batch(bundle, folder, out, jobs=jobs, int8=options.int8).finish()
    seconds = time.monotonic() - began
    attack.wrong += check(folder, part, work / "whole", out)
    return {
        "files": options.files,
        "seed": options.seed,
        "int8": options.int8,
        "jobs": jobs,
        "written_s": round(written_s, 1),
        "without_kills": rate,
        "kills": dict(sorted(attack.kills.items())),
        "missed": attack.missed,
        "seconds_with_kills": round(seconds, 1),
        "read_before_the_last_start": final["before"],
        "compared": rate["files"],
        "wrong": attack.wrong,
    }


def whole(batch: Batch) -> dict[str, Any]:
    """Let a batch finish. Return its rate by the clock and by CPU time, and its peak memory."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with quiet.watched() as machine, peak_memory(batch) as memory:
        found = batch.finish()
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "files": found["files"],
        "failed": found["failed"],
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_s, 2),
        "images_a_second": round(found["files"] / seconds, 1),
        "images_a_cpu_second": round(found["files"] / cpu_s, 1),
        "machine": machine,
    } | memory


@contextmanager
def peak_memory(batch: Batch) -> Iterator[dict[str, float]]:
    """Fill the given figures at the end of the block: the most memory of all processes at once.

    A page that processes share counts once.
    """
    figures: dict[str, float] = {}
    sizes = [0.0]
    with repeated(lambda: sizes.append(sum(map(_memory_mb, batch.processes()))), seconds=0.2):
        yield figures
    figures["peak_mb"] = round(max(sizes), 1)


def _memory_mb(process: int) -> float:
    with suppress(OSError):  # it has ended
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1000
    return 0.0


def kill_often(
    bundle: Path, folder: Path, out: Path, options: argparse.Namespace, rng: random.Random, expected_s: float,
    attack: Attack,
) -> None:  # fmt: skip
    """Start the command again and again, and kill it or one of its processes. Record what is wrong after each kill."""
    victims = ["command", "worker"] * options.kills
    victims = victims[: options.kills]
    rng.shuffle(victims)
    rows = Counter[str]()
    for victim in victims:
        batch = Batch(bundle, folder, out, jobs=cores(), int8=options.int8)
        try:
            # The longest delays together are shorter than the batch, so it does not end before the last kill.
            if kill_one(batch, victim, rng, rng.uniform(0.2, 1.0) * expected_s / (options.kills + 1)):
                attack.kills[victim] += 1
            else:
                attack.missed += 1
            if not has_ended(batch):
                attack.wrong.append(f"{END_SECONDS:g} s after the kill of a {victim}, processes are alive")
        finally:
            batch.kill()
        now = files_of(out)
        if rows - now:
            attack.wrong.append(f"{len(rows - now)} files were in the output before the kill of a {victim}")
        rows = now


def kill_one(batch: Batch, victim: str, rng: random.Random, delay: float) -> bool:
    """Kill the command or a worker `delay` seconds after the workers start. Return False if it has ended before."""
    due = None
    while batch.process.poll() is None:
        workers = [number for number in batch.processes() if number != batch.process.pid]
        if workers and due is None:
            due = time.monotonic() + delay
        if workers and due is not None and time.monotonic() >= due:
            with suppress(ProcessLookupError):
                os.kill(batch.process.pid if victim == "command" else rng.choice(workers), signal.SIGKILL)
                return True
        time.sleep(0.02)
    return False


def has_ended(batch: Batch) -> bool:
    """Wait until the command and all workers have ended. Return False after END_SECONDS."""
    end = time.monotonic() + END_SECONDS
    while batch.process.poll() is None or batch.processes():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def table_of(out: Path) -> pa.Table:
    """Return all rows of an output. Raises CellError if a part is not whole."""
    try:
        return pa.concat_tables([pq.read_table(path) for path in sorted(out.glob("part-*"))])
    except (pa.ArrowException, OSError) as error:
        raise CellError(f"A part of the output is damaged: {error}") from error


def files_of(out: Path) -> Counter[str]:
    """Return how often each file is in an output. It may have no part yet."""
    return Counter(table_of(out)["file"].to_pylist()) if any(out.glob("part-*")) else Counter()


def check(folder: Path, part: Path, whole: Path, killed: Path) -> list[str]:
    """Return what is wrong with the output after the kills. `whole` is that of `part`, without a kill."""
    wanted = {str(path) for path in folder.rglob("*.png")}
    found, wrong = files_of(killed), list[str]()
    if missing := wanted - found.keys():
        wrong.append(f"{len(missing)} files are missing, such as {min(missing)}")
    if twice := [file for file, n in found.items() if n > 1]:
        wrong.append(f"{len(twice)} files are there twice, such as {min(twice)}")
    if foreign := found.keys() - wanted:
        wrong.append(f"{len(foreign)} files were never given, such as {min(foreign)}")
    if left := [path.name for path in killed.glob(".*.tmp")]:
        wrong.append(f"{len(left)} half-written files are left")
    rows = {row["file"]: row for row in table_of(killed).to_pylist()}
    different = 0
    for expected in table_of(whole).to_pylist():
        row = rows.get(str(folder / Path(expected["file"]).relative_to(part)))
        different += row is not None and not _is_equal(row, expected)
    if different:
        wrong.append(f"{different} files have another reading than without a kill")
    return wrong


def _is_equal(row: dict[str, Any], other: dict[str, Any]) -> bool:
    close = abs((row["confidence"] or 0) - (other["confidence"] or 0)) <= CLOSE
    return close and all(row[name] == other[name] for name in REPEATED)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.reliability.batch", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of a bundle")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=6, help="half of the command, half of its processes (6)")
    parser.add_argument("--seed", type=int, default=0, help="of the victims and moments (0); the timing still differs")
    parser.add_argument("--int8", action="store_true", help="use the smaller model of the bundle")
    parser.add_argument("--work", type=Path, help="existing folder for the images and the output; default temporary")
    parser.add_argument("--quick", action="store_true", help="read 3,000 images, as a smoke test")
    options = parser.parse_args()
    if options.quick:
        options.files = 3000
    if options.files < FOLDER or options.kills < 1:
        parser.error(f"--files must be at least {FOLDER}, and --kills at least 1")
    if not is_bundle(options.bundle):
        parser.error(f"{options.bundle} is not the folder of a bundle")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM acts like Ctrl-C
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        try:
            figures = measure(options.bundle.resolve(), Path(work).resolve(), options)
        except CellError as error:
            print(f"python -m bench.reliability.batch: {error}", file=sys.stderr)
            return 1
    result = {"cell": "batch"} | environment(cores(), PACKAGES, MADE_OF) | figures
    if options.quick:
        print(json.dumps(result, indent=1))
    else:
        save_result(RESULTS / "reliability" / f"batch{'-int8' * options.int8}.json", result)
    rate = figures["without_kills"]
    print(
        f"{sum(figures['kills'].values())} kills, {len(figures['wrong'])} wrong. "
        f"{rate['images_a_cpu_second']:g} images a CPU second (target {TARGET}). "
        f"The machine was {quiet.described(rate['machine'])}.",
        file=sys.stderr,
    )
    return 1 if figures["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
