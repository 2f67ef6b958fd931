"""Latency and reliability of labeling in a real browser. Each cell writes a JSON file to bench/results/ui.

    python -m bench.ui [--only 'typing-60keys*'] [--bundle DIR] [--list] [--again] [--quick]

A cell starts the app on its own folder with rendered images, types their true texts, and compares the database with
them. Interrupted cells start over. Run nothing else meanwhile. --quick runs short forms of the cells that write no
file. `python -m bench.tables` writes the tables of docs/benchmarks.md. Needs Chromium and the test extra. A cell beside
the service of a bundle needs --bundle.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cells import ROOT, Bench, BenchCell, CellError, Interrupted, cores, environment
from bench.grid import main
from bench.ui.faults import FAULTS, fault, type_through
from bench.ui.million import PROJECT as MILLION
from bench.ui.million import load_truth, make, save_truth
from core.data.queues import lease
from core.home import Home
from core.images.renderer import samples
from core.readers.readers import available
from core.runs.targets import is_bundle
from db import jobs, queues
from db.connection import opened, write
from db.projects import find_project, list_sources
from db.sqlite import sqlite3

if TYPE_CHECKING:
    from bench.ui.portal import Portal

RATES = (10, 20, 60)
SPARE = 200
"""Extra images: every tab holds some, and a closed tab's are released after a minute."""
WARMUPS = 3
"""Labels before latency is measured."""
START_SECONDS = 5
"""Time for the readers to load."""
LOADS: dict[str, float | None] = {"alone": None, "50 requests a second": 50, "16 clients without pauses": 0}
"""Requests a second to the service while typing. None sends none, 0 as many as it answers."""
CLIENTS = 16
"""Clients of the service."""
STRIDE = 2
"""Labels that are typed between two looks at the clock."""
LEASES = 5
PER_MINUTE = 4
"""Labels per minute of an operator over the websocket."""
MADE_OF = ("app.py", ".streamlit", "pages", "core", "db", "bench/*.py", "tests/helpers/lab.py")
PACKAGES = ("streamlit", "playwright", "websockets", "sqlite-utils", "pillow")


@dataclass(frozen=True, kw_only=True)
class UiCell(BenchCell):
    """One figure of the user interface."""

    labels: int = 200
    """Labels typed in browsers, by all tabs together."""
    keys_per_s: float = 10
    fault: str = "none"
    round_trip_ms: float = 0
    operators: int = 0
    """Operators over the websocket. The browser types as long as they do."""
    per_minute: float = PER_MINUTE
    seconds: float = 0
    samples: int = 0
    """Size of the large project."""
    openings: int = 10
    training: tuple[str, ...] = ()
    """Options of a run that trains meanwhile."""
    read: int = 0
    """Images that the general readers read meanwhile."""
    rounds: int = 0
    """Times to type alone, beside a service with few requests, and beside a busy one. `seconds` is the time of each."""

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings that the figure depends on, as in its file."""
        values = asdict(self) | {"training": list(self.training)}
        for name in ("read", "rounds"):
            if not values[name]:
                del values[name]  # unknown to results of earlier versions
        return {key: values[key] for key in values if key not in ("name", "what", "group")}

    def needed(self) -> str:
        return "make readers" if self.read else "--bundle" if self.rounds else ""

    def missing(self, data: Path | None) -> str | None:
        if self.rounds and not (data and is_bundle(data)):
            return "it needs the folder of a bundle: --bundle DIR"
        if self.read and not all(available().values()):
            return "the readers are not installed: make readers"
        if find_spec("playwright") is None or find_spec("pytest") is None:
            return "the test extra is not installed here"
        return None if shutil.which("chromium") else "chromium is not installed here"

    def changed(self, result: Mapping[str, Any]) -> bool:
        return bool(result["config"] != self.settings)


CELLS: tuple[UiCell, ...] = (
    UiCell(name="latency-loopback", what="server and browser on one machine", group="latency"),
    UiCell(name="latency-80ms", what="over a line of 40 ms each way", group="latency", round_trip_ms=80),
    UiCell(
        name="latency-readers", what="beside the general readers, which read 3,000 images", group="readers", read=3000
    ),
    UiCell(
        name="latency-service",
        what="in turn alone and beside `slotlab api` under load",
        group="service",
        labels=0,
        rounds=5,
        seconds=20,
    ),
    *(
        UiCell(
            name=f"typing-{rate}keys-{name}",
            what=f"{rate} keys a second{how}",
            group="typing",
            keys_per_s=rate,
            fault=name,
        )
        for rate in RATES
        for name, how in FAULTS.items()
    ),
    UiCell(
        name="operators-20",
        what=f"20 operators, {PER_MINUTE} labels a minute each, and a browser at 20 keys a second, beside a run",
        group="operators",
        labels=0,
        keys_per_s=20,
        operators=20,
        seconds=600,
        training=("max_minutes=30", "steps=1000000"),  # longer than the cell takes
    ),
    *(
        UiCell(name=f"million-{name}", what=what, group="million", labels=labels, samples=1_000_000)
        for name, what, labels in (
            ("first-image", "from the address to the first image painted, a fresh browser each time", 0),
            ("latency", "as latency-loopback", 200),
            ("pages", "from the address to a page that stands still, a fresh browser each time", 0),
            ("queries", "20 images leased, every order and filter", 0),
        )
    ),
    UiCell(
        name="evaluate-100k",
        what="from the address, or a click, to the drawn page; 100,000 predictions under nine views",
        group="evaluate",
        labels=0,
        samples=100_000,
    ),
)

TINY = ("device=cpu", "backbone=test_resnet", "width=32", "image_size=32x96", "batch_size=16", "pretrained=none")


def short(cell: UiCell) -> UiCell:
    """Return the cell for --quick: a smoke test with meaningless times."""
    return replace(
        cell,
        labels=min(cell.labels, 24 if cell.group == "typing" else 10),
        operators=min(cell.operators, 4),
        per_minute=30,  # otherwise no operator would label twice
        seconds=min(cell.seconds, 3 if cell.rounds else 20),
        samples=min(cell.samples, 2000),
        read=min(cell.read, 40),
        rounds=min(cell.rounds, 2),
        openings=2,
        training=(*cell.training, *TINY) if cell.training else (),
    )


def measure(cell: UiCell, bench: Bench) -> dict[str, Any]:
    """Run a cell and return its result."""
    of_group = {
        "latency": latency, "readers": readers, "service": beside_service, "typing": typing, "operators": operators,
        "million": million, "evaluate": evaluation,
    }  # fmt: skip
    header = {"cell": cell.name, "what": cell.what, "config": cell.settings, **surroundings()}
    began = time.monotonic()
    figures = asyncio.run(of_group[cell.group](cell, bench))
    return header | {"seconds": round(time.monotonic() - began, 1)} | figures


def surroundings(packages: Sequence[str] = PACKAGES, made_of: Sequence[str] = MADE_OF) -> dict[str, Any]:
    """Return the environment, with the versions of browser and SQLite."""
    record = environment(cores(), packages, made_of)
    words = subprocess.run(["chromium", "--version"], capture_output=True, text=True, check=False).stdout.split()
    number = next((word for word in words if word[0].isdigit()), "unknown")
    record["versions"] |= {"chromium": number, "sqlite": sqlite3.sqlite_version}
    return record


# Latency


async def latency(cell: UiCell, bench: Bench) -> dict[str, Any]:
    """Measure from the last key to the next image."""
    from bench.ui.portal import portal

    with portal(cell.name, cell.labels + SPARE) as place:
        return await _type_alone(cell, bench, place)


async def _type_alone(cell: UiCell, bench: Bench, place: "Portal") -> dict[str, Any]:
    from bench.ui.portal import compared, line
    from bench.ui.typist import Typist, chromium, new_context, open_label, summary

    async with chromium() as browser, line(place.lab, cell.round_trip_ms) as url:
        typist = Typist(place.truth, cell.keys_per_s, bench.stop)
        context = await new_context(browser, url, "Ann")
        await typist.sit_down(await open_label(context, url, place.project))
        await typist.type_labels(WARMUPS + cell.labels)
        await typist.all_answered()
        await typist.take_notes()
    timed = typist.latencies[WARMUPS:]
    if len(timed) != cell.labels:
        raise CellError(f"Only {len(timed)} of {cell.labels} labels were timed.")
    report = typist.report() | {"latency_ms": summary(timed), "answer_ms": summary(typist.answers[WARMUPS:])}
    return compared(place, [typist.typed]) | {"browser": report}


async def readers(cell: UiCell, bench: Bench) -> dict[str, Any]:
    """Measure as `latency` does, first alone, then while the general readers read the images of the project."""
    from bench.ui.portal import compared, portal, slotlab
    from bench.ui.typist import Typist, chromium, new_context, open_label, summary

    with portal(cell.name, cell.read + 2 * cell.labels + SPARE) as place:
        async with chromium() as browser:
            typist = Typist(place.truth, cell.keys_per_s, bench.stop)
            await typist.sit_down(
                await open_label(await new_context(browser, place.url, "Ann"), place.url, place.project)
            )
            await typist.type_labels(WARMUPS + cell.labels)
            await typist.all_answered()
            await typist.take_notes()
            alone = {"latency_ms": summary(typist.latencies[WARMUPS:]), "answer_ms": summary(typist.answers[WARMUPS:])}
            typist.latencies, typist.answers = [], []
            job = asyncio.create_task(
                asyncio.to_thread(slotlab, place.lab, "propose", "--project", place.project, "--json")
            )
            await asyncio.sleep(START_SECONDS)
            await typist.type_labels(cell.labels)
            were_reading = not job.done()
            await typist.all_answered()
            await typist.take_notes()
        proposed = await job
        with opened(place.lab.home.db) as db:
            row = jobs.get_job(db, proposed["job"])
        assert row.finished_at is not None
        return compared(place, [typist.typed]) | {
            "alone": alone,
            "browser": typist.report(),
            "were_reading": were_reading,
            "proposed": {key: proposed[key] for key in ("images", "agreed", "read")},
            "reading_s": (
                datetime.fromisoformat(row.finished_at) - datetime.fromisoformat(row.created_at)
            ).total_seconds(),
        }


async def beside_service(cell: UiCell, bench: Bench) -> dict[str, Any]:
    """Measure as `latency` does: in turn alone, and beside a service with few and with as many requests as it answers.

    The clients are a process of their own, because they would delay the typist.
    """
    from bench.ui.portal import compared, portal
    from bench.ui.typist import Typist, chromium, new_context, open_label, summary
    from tests.helpers.service import load_of, serving

    assert bench.data is not None
    images, other_load = [data for _, _, data in samples(64, seed=5)], round(os.getloadavg()[0], 1)
    typed = int(len(LOADS) * cell.rounds * cell.seconds * cell.keys_per_s / 6)
    times = {name: {"latency_ms": list[float](), "answer_ms": list[float]()} for name in LOADS}
    answered = dict.fromkeys(LOADS, 0)
    with (
        portal(cell.name, typed + len(LOADS) * cell.rounds * STRIDE + SPARE) as place,
        serving(bench.data.resolve()) as service,
        ProcessPoolExecutor(1, get_context("spawn")) as pool,
    ):
        # The first requests start threads and fill caches.
        await asyncio.wrap_future(pool.submit(load_of, service.port, images, CLIENTS, 1))
        async with chromium() as browser:
            typist = Typist(place.truth, cell.keys_per_s, bench.stop)
            await typist.sit_down(
                await open_label(await new_context(browser, place.url, "Ann"), place.url, place.project)
            )
            await typist.type_labels(WARMUPS)
            await typist.all_answered()
            await typist.take_notes()
            for turn in range(cell.rounds):
                for name in rotated(tuple(LOADS), turn):
                    typist.latencies, typist.answers = [], []
                    load, end = None, time.monotonic() + cell.seconds
                    if LOADS[name] is not None:
                        load = pool.submit(load_of, service.port, images, CLIENTS, cell.seconds, LOADS[name] or None)
                    while not load.done() if load else time.monotonic() < end:
                        await typist.type_labels(STRIDE)
                    await typist.all_answered()
                    await typist.take_notes()
                    times[name]["latency_ms"] += typist.latencies
                    times[name]["answer_ms"] += typist.answers
                    answered[name] += load.result().statuses[200] if load else 0
        return compared(place, [typist.typed]) | {
            "other_load": other_load,
            "phases": {
                name: {key: summary(values) for key, values in found.items()}
                | {"requests_a_second": round(answered[name] / (cell.rounds * cell.seconds), 1)}
                for name, found in times.items()
            },
        }


def rotated(names: Sequence[str], turn: int) -> Sequence[str]:
    """Return the names, beginning with another one each turn."""
    place = turn % len(names)
    return (*names[place:], *names[:place])


# Typing


async def typing(cell: UiCell, bench: Bench) -> dict[str, Any]:
    """Type through a fault. No label may be lost or misfiled."""
    from bench.ui.portal import compared, portal
    from bench.ui.typist import Typist, chromium, new_context, open_label

    tabs = 2 if cell.fault in ("two-tabs", "two-operators") else 1
    with portal(cell.name, cell.labels + SPARE) as place:
        async with chromium() as browser:
            typists = [Typist(place.truth, cell.keys_per_s, bench.stop) for _ in range(tabs)]
            context = await new_context(browser, place.url, "Ann")
            for number, typist in enumerate(typists):
                if number and cell.fault == "two-operators":
                    context = await new_context(browser, place.url, "Bob")
                await typist.sit_down(await open_label(context, place.url, place.project))
            each = cell.labels // tabs
            async with fault(cell.fault, place, typists, each) as record:
                await asyncio.gather(*(type_through(cell.fault, place, typist, each) for typist in typists))
                # Keep the fault active until the last answer, because it may affect answers too.
                answered_s = max(await asyncio.gather(*(typist.all_answered() for typist in typists)))
            for typist in typists:
                await typist.take_notes()
        return compared(place, [typist.typed for typist in typists]) | {
            "answered_s": round(answered_s, 2),
            "fault": record,
            "browsers": [typist.report() for typist in typists],
        }


# Many operators


async def operators(cell: UiCell, bench: Bench) -> dict[str, Any]:
    """Run operators over the websocket beside a browser that types without pauses and a training run."""
    from bench.ui.portal import compared, portal, training
    from bench.ui.typist import Typist, chromium, new_context, open_label, summary

    typed = cell.seconds * (cell.keys_per_s / 6 + cell.operators * cell.per_minute / 60)
    with (
        portal(cell.name, int(typed) + 50 * cell.operators + SPARE) as place,
        training(place.lab, cell.training) as run,
    ):
        truth = place.lab.home.root / "truth.txt"
        save_truth(truth, place.truth)
        command: list[object] = [sys.executable, "-m", "bench.ui.operators", place.url, "--project", place.project]
        command += ["--truth", truth, "--operators", cell.operators, "--per-minute", cell.per_minute]
        command += ["--seconds", cell.seconds]
        async with chromium() as browser:
            context = await new_context(browser, place.url, "Ann")
            typist = Typist(place.truth, cell.keys_per_s, bench.stop)
            await typist.sit_down(await open_label(context, place.url, place.project))
            end = time.monotonic() + cell.seconds
            team = await asyncio.create_subprocess_exec(*map(str, command), cwd=ROOT, stdout=asyncio.subprocess.PIPE)
            output = asyncio.create_task(team.communicate())
            try:
                while time.monotonic() < end:
                    await typist.type_labels(5)
                answered_s = await typist.all_answered()
                reports = json.loads((await output)[0] or "null")
            finally:
                if team.returncode is None:
                    team.kill()
            await typist.take_notes()
        if team.returncode:
            raise CellError(f"The operators exited with code {team.returncode}.")
        given = [*typist.shown, *(sample for each in reports for sample in each["given"])]
        return compared(place, [typist.typed, *(each["typed"] for each in reports)]) | {
            "given_twice": len(given) - len(set(given)),
            "errors": [f"{each['name']}: {error}" for each in reports for error in each["errors"]],
            "answered_s": round(answered_s, 2),
            "operators": {
                "n": len(reports),
                "labels": sum(len(each["typed"]) for each in reports),
                "fewest": min(len(each["typed"]) for each in reports),
                "messages": sum(each["messages"] for each in reports),
                "unanswered": sum(each["unanswered"] for each in reports),
                "waited_s": round(sum(each["waited_s"] for each in reports), 2),
                "answer_ms": summary([ms for each in reports for ms in each["acknowledge_ms"]]),
            },
            "browser": typist.report(),
            "run": run(),
        }


# A million samples


async def million(cell: UiCell, bench: Bench) -> dict[str, Any]:
    """Measure on one large folder that the first cell creates. Each result has the record of its creation."""
    from bench.ui.portal import Portal, served
    from bench.ui.typist import chromium, new_context, open_label

    home = Home(bench.work / "ui" / f"project-{cell.samples}")
    made = {"made": await asyncio.to_thread(make, home, cell.samples)}
    if cell.name == "million-queries":
        return made | {"queries": await asyncio.to_thread(lease_times, home, bench)}
    with served(home.root) as lab:
        async with chromium() as browser:  # warm up: the first visit imports and compiles
            await open_label(await new_context(browser, lab.url, "Ann"), lab.url, MILLION)
        if cell.name == "million-latency":
            truth = await asyncio.to_thread(load_truth, home.root / "truth.txt")
            return made | await _type_alone(cell, bench, Portal(lab, MILLION, truth))
        if cell.name == "million-first-image":
            return made | {"first_image_ms": await _openings(cell, bench, lab.url, "label")}
        pages = [page for page in ("home", "samples", "review") if (ROOT / "pages" / f"{page}.py").exists()]
        return made | {"pages_ms": {page: await _openings(cell, bench, lab.url, page) for page in pages}}


async def _openings(cell: UiCell, bench: Bench, url: str, name: str) -> dict[str, Any]:
    """Return milliseconds from the address to the drawn page, each with a fresh browser."""
    from bench.ui.typist import FIRST, STILL, chromium, new_context, summary

    times: list[float] = []
    for _ in range(cell.openings):
        async with chromium() as browser:
            page = await (await new_context(browser, url, "Ann")).new_page()
            path = "" if name == "home" else name
            await page.goto(f"{url}/{path}?project={MILLION}", wait_until="commit")
            times.append(await page.evaluate(FIRST if name == "label" else STILL))
        if bench.stop.is_set():
            raise Interrupted
    return summary(times)


def lease_times(home: Home, bench: Bench) -> list[dict[str, Any]]:
    """Time a lease for every order and filter of the queues, and release the leases."""
    with opened(home.db) as db:
        project = find_project(db, MILLION)
        assert project is not None
        sources = [None, *(source.id for source in list_sources(db, project.id))]
        combinations = [
            queues.Queue(kind=kind, order=order, source_id=source, day=day, flag=flag)
            for kind in queues.KINDS
            for order in queues.ORDERS
            for source in sources
            for day in (None, *queues.days_waiting(db, project.id, kind))
            for flag in ((None, "unreadable", "not_ours", queues.PASSED) if kind == "skipped" else (None,))
        ]
        rows = []
        for queue in combinations:
            if bench.stop.is_set():
                raise Interrupted
            times = []
            for _ in range(LEASES):
                began = time.perf_counter()
                batch = lease(db, project, queue, holder="bench", operator="Ann", have=[], n=20)
                times.append(1000 * (time.perf_counter() - began))
            figures = {"leased": len(batch.samples), "median_ms": sorted(times)[LEASES // 2], "max_ms": max(times)}
            rows.append(asdict(queue) | {key: round(value, 1) for key, value in figures.items()})
        with write(db):
            queues.end_leases(db, "bench", now=0, latest=0)
    return rows


# Pages over very many predictions


async def evaluation(cell: UiCell, bench: Bench) -> dict[str, Any]:
    """Measure every page and section on a folder that is created once. The result has the record of its creation."""
    from bench.ui import pages, readings

    home = Home(bench.work / "ui" / f"readings-{cell.samples}")
    made = await asyncio.to_thread(readings.make, home, cell.samples)
    screens = pages.known(ROOT / "pages")
    return {"made": made} | await pages.measured(home.root, screens, readings.PROJECT, cell.openings, bench.stop)


def command() -> int:
    return main("ui", __doc__, CELLS, tuple(map(short, CELLS)), measure, trains=False)
