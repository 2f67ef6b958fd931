"""A backup while 20 operators label: what it takes, what it costs them, and that a restore is equal.

    python -m bench.reliability.backup [--samples 1000000] [--home DIR]

The operators label over the app's websocket. Meanwhile a plain copy (cp, then fsync) and a backup are made on the same
disk, with a pause before and after each. The backup is then restored into another folder. Ledger and image bytes of
both are compared. Writes bench/results/reliability/backup-SAMPLES.json, and deletes all copies.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.cells import ROOT, CellError, cores, environment, save_result
from bench.ui.million import PROJECT, TRUTH, make
from bench.ui.portal import served, slotlab
from bench.ui.typist import summary
from core.cli.progress import Progress
from core.errors import SlotlabError
from core.home import Home
from db.connection import opened
from tests.helpers.lab import Lab

RESULTS = ROOT / "bench" / "results" / "reliability"
MADE_OF = ("app.py", "pages", "core", "db", "bench/*.py", "bench/reliability", "bench/ui")
PACKAGES = ("streamlit", "pysqlite3", "sqlite-utils")
Span = tuple[float, float]
"""Start and end of a phase, on the clock that all processes share."""


def measure(home: Home, options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Run the phases on one folder, and return the figures."""
    made = make(home, options.samples, progress)
    scratch = home.root / "bench"
    with served(home.root) as lab:
        team, spans, figures = _label_through(lab, home, options, scratch, progress)
    latencies = [pair for each in team for pair in zip(each["acknowledged_at"], each["acknowledge_ms"], strict=True)]
    progress.note("Restoring and comparing")
    began = time.monotonic()
    restored = slotlab_at(scratch / "restored", "restore", figures["backup"]["path"], "--json")
    figures["restore_s"] = round(time.monotonic() - began, 1)
    del figures["backup"]["path"]
    return {
        "samples": options.samples,
        "made": made,
        "seconds": {name: round(end - start, 1) for name, (start, end) in spans.items()},
        "more_than_plain_s": round(_length(spans["backup"]) - _length(spans["plain copy"]), 1),
        "answer_ms": {name: _latency(latencies, span) for name, span in spans.items()},
        "operators": {
            "n": options.operators,
            "per_minute": options.per_minute,
            "labels": sum(len(each["typed"]) for each in team),
            "unanswered": sum(each["unanswered"] for each in team),
            "errors": [f"{each['name']}: {error}" for each in team for error in each["errors"]],
        },
        **figures,
        "equal": compare(home, Home(scratch / "restored"), figures["events_before"]) | {"labels": restored["labels"]},
    }


def _label_through(
    lab: Lab, home: Home, options: argparse.Namespace, scratch: Path, progress: Progress
) -> tuple[list[dict[str, Any]], dict[str, Span], dict[str, Any]]:
    """Copy and back up while operators label. Return their reports, the phases and the figures."""
    scratch.mkdir()
    size, spans = home.db.stat().st_size, dict[str, Span]()
    # A guess of the time for both copies. The phase after them lasts until the operators stop.
    seconds = 3 * options.seconds + 60 + size / 15e6
    command: list[object] = [sys.executable, "-m", "bench.ui.operators", lab.url, "--project", PROJECT]
    command += ["--truth", home.root / TRUTH, "--operators", options.operators, "--seconds", seconds]
    command += ["--per-minute", options.per_minute]
    with subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            _wait(60 / options.per_minute)  # every operator has started

            def phase(name: str, work: Callable[[], Any]) -> Any:
                progress.note(name)
                start = time.monotonic()
                result = work()
                spans[name] = (start, time.monotonic())
                return result

            phase("before", lambda: _wait(options.seconds))
            phase("plain copy", lambda: _plain_copy(home.db, scratch / "plain.db"))
            (scratch / "plain.db").unlink()
            phase("between", lambda: _wait(options.seconds))
            events = count_events(home)
            backup = phase("backup", lambda: slotlab(lab, "backup", "--to", str(scratch), "--json"))
            phase("after", lambda: _wait(options.seconds))
            output, _ = process.communicate(timeout=seconds + 120)
        finally:
            process.kill()
    if process.returncode:
        raise CellError(f"The operators exited with code {process.returncode}.")
    if "Traceback" in lab.log.read_text(encoding="utf-8", errors="replace"):
        raise CellError("The log of the app has a traceback.")
    return json.loads(output), spans, {"backup": backup, "events_before": events}


def _wait(seconds: float) -> None:
    time.sleep(seconds)


def _plain_copy(source: Path, target: Path) -> None:
    """Copy a file as cp does, and make it durable. The copy of an open database is not a backup."""
    subprocess.run(["cp", source, target], check=True)
    number = os.open(target, os.O_RDWR)
    os.fsync(number)
    os.close(number)


def _length(span: Span) -> float:
    return span[1] - span[0]


def _latency(pairs: list[tuple[float, float]], span: Span) -> dict[str, float] | None:
    """Return the distribution of the answers that arrived during a phase; None without any."""
    values = [ms for at, ms in pairs if span[0] <= at <= span[1]]
    return summary(values) if values else None


def slotlab_at(root: Path, *words: str) -> Any:
    """Run a command on another folder and return its --json output. Raises CellError."""
    done = subprocess.run(
        [sys.executable, "-m", "core.cli", *words],
        cwd=ROOT, env=os.environ | {"SLOTLAB_HOME": str(root)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise CellError(done.stderr.strip())
    return json.loads(done.stdout)


def count_events(home: Home) -> int:
    with opened(home.db) as db:
        return int(db.execute("SELECT count(*) FROM labels").fetchone()[0])


def compare(home: Home, restored: Home, events_before: int) -> dict[str, Any]:
    """Compare the restored ledger with the beginning of the ledger, and every image."""
    events = count_events(restored)
    return {
        "events": events,
        "events_missing": max(0, events_before - events),
        "ledger": _hash(home, _events, events) == _hash(restored, _events, events),
        "images": _hash(home, _images, -1) == _hash(restored, _images, -1),
    }


def _hash(home: Home, rows: Callable[[Home, int], Iterator[Any]], limit: int) -> str:
    total = hashlib.sha256()
    for row in rows(home, limit):
        total.update(repr(row).encode())
    return total.hexdigest()


def _events(home: Home, limit: int) -> Iterator[Any]:
    with opened(home.db) as db:
        yield from db.execute("SELECT * FROM labels ORDER BY id LIMIT ?", [limit])


def _images(home: Home, limit: int) -> Iterator[Any]:
    with opened(home.db) as db:
        sql = "SELECT samples.id, sha256, bytes FROM samples JOIN images ON sample_id = samples.id ORDER BY samples.id"
        for sample_id, sha256, data in db.execute(f"{sql} LIMIT ?", [limit]):
            yield sample_id, sha256, hashlib.sha256(data).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.reliability.backup", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--home", type=Path, help="folder of the project, made if missing; default temporary")
    parser.add_argument("--operators", type=int, default=20)
    parser.add_argument("--per-minute", type=float, default=4.0)
    parser.add_argument("--seconds", type=float, default=120.0, help="length of each pause")
    parser.add_argument("--out", type=Path, help="result file")
    options = parser.parse_args()
    out = options.out or RESULTS / f"backup-{options.samples}.json"
    record = environment(cores(), PACKAGES, MADE_OF)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Progress() as progress:
        home = Home((options.home or Path(folder)).resolve())
        try:
            result = measure(home, options, progress)
        except SlotlabError as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            subprocess.run(["rm", "-rf", home.root / "bench"], check=False)
    save_result(out, record | result)
    print(json.dumps(result, indent=1))
    equal = result["equal"]
    return 0 if equal["ledger"] and equal["images"] and not equal["events_missing"] else 1


if __name__ == "__main__":
    sys.exit(main())
