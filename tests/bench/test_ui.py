"""The browser benchmark in short form: nothing lost, nothing misfiled. Times need a quiet machine."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.cells import ROOT, Bench
from bench.tables import page
from bench.tables.labeling import beside_service_table
from bench.ui import million, pages, readings, ui
from bench.ui.faults import FAULTS
from bench.ui.million import DAYS, PROJECT, SOURCES, add_project, load_truth, make, variants
from bench.ui.operators import operate
from bench.ui.portal import Portal, compared, portal
from bench.ui.proxy import delayed
from bench.ui.typist import check_shown, summary
from core.bundle.reader import aggregate
from core.data.labeling import apply_events
from core.data.queues import lease
from core.errors import OptionError
from core.home import Home
from core.images.pixels import data_url, decode, pixel_hash, split_of
from core.jobs.jobdir import JobDir
from core.model.predictor import Predictor
from db import labels, projects, samples
from db.connection import opened
from db.queues import Queue, days_waiting
from tests.helpers.aside import aside
from tests.helpers.lab import Lab

browser = [
    pytest.mark.browser,
    pytest.mark.skipif(
        shutil.which("chromium") is None and not os.environ.get("SLOTLAB_REQUIRE_BROWSER"),
        reason="there is no chromium on this machine (Debian: apt install chromium)",
    ),
]


def cell(name: str) -> ui.UiCell:
    return next(cell for cell in ui.CELLS if cell.name == name)


def measured(name: str, folder: Path, **changes: Any) -> dict[str, Any]:
    """Return the result of a cell in its short form."""
    bench = Bench(kind="ui", work=folder, results=folder)
    return aside(lambda: ui.measure(replace(ui.short(cell(name)), **changes), bench))


def in_browser(test: Any) -> Any:
    for mark in browser:
        test = mark(test)
    return test


# Cells


@pytest.mark.long
@in_browser
def test_latency_is_measured_for_every_label(tmp_path: Path) -> None:
    """Ten labels give ten times, and every shown image matches its hash."""
    result = measured("latency-loopback", tmp_path)

    assert (result["typed"], result["lost"], result["misfiled"], result["events"]) == (13, 0, 0, 13)
    assert (result["browser"]["latency_ms"]["n"], result["browser"]["answer_ms"]["n"]) == (10, 10)
    assert result["browser"]["pictures"] == {"n": 14, "wrong": 0}
    assert result["tracebacks"] == 0
    assert not cell("latency-loopback").changed({"config": cell("latency-loopback").settings})


@pytest.mark.long
@in_browser
def test_labels_are_timed_in_turn_alone_and_beside_a_service(tmp_path: Path, bundled_home: Home) -> None:
    """Every label belongs to one of the three loads, and the service answers while they are typed."""
    bench = Bench(kind="ui", work=tmp_path, results=tmp_path, data=bundled_home.bundles / "0001-bundle")
    result = aside(lambda: ui.measure(ui.short(cell("latency-service")), bench))

    assert {key: result[key] for key in ("lost", "misfiled", "tracebacks")} == dict.fromkeys(
        ("lost", "misfiled", "tracebacks"), 0
    )
    alone, few, many = result["phases"].values()
    counts = [(each["latency_ms"]["n"], each["answer_ms"]["n"]) for each in (alone, few, many)]
    assert sum(timed for timed, _ in counts) == result["typed"] - ui.WARMUPS
    assert all(timed == answered > 0 for timed, answered in counts)
    assert alone["requests_a_second"] == 0
    assert 0 < few["requests_a_second"] <= 51
    assert many["requests_a_second"] > 0


def test_the_cell_beside_a_service_needs_a_bundle(tmp_path: Path) -> None:
    """It says how to name one, and each load comes first in turn."""
    assert cell("latency-service").missing(None) == "it needs the folder of a bundle: --bundle DIR"
    assert cell("latency-service").missing(tmp_path) == "it needs the folder of a bundle: --bundle DIR"
    assert [ui.rotated("abc", turn)[0] for turn in range(4)] == ["a", "b", "c", "a"]


@pytest.mark.long
@in_browser
def test_a_server_killed_twice_at_twenty_keys_a_second_loses_nothing(tmp_path: Path) -> None:
    """The typist continues while the server is down. The current image may appear again after each restart."""
    result = measured("typing-20keys-kill", tmp_path, labels=18)

    assert len(result["fault"]["away_s"]) == 2
    again = result["browsers"][0]["shown_again"]
    assert again <= 2
    assert result["typed"] + again == 18
    assert {key: result[key] for key in ("lost", "misfiled", "twice")} == {"lost": 0, "misfiled": 0, "twice": 0}


@pytest.mark.long
def test_operators_over_the_websocket_are_given_different_images() -> None:
    """Four operators label for ten seconds. Every label is saved, and no image goes to two."""
    with portal("team", 160) as place:
        team = operate(place.url, "team", place.truth, operators=4, per_minute=40, seconds=10)
        reports = aside(lambda: asyncio.run(team))
        given = [sample for each in reports for sample in each["given"]]
        result = compared(place, [each["typed"] for each in reports])

    assert [each["errors"] for each in reports] == [[]] * 4
    assert min(len(each["typed"]) for each in reports) >= 1
    assert sum(each["unanswered"] for each in reports) == 0
    assert len(given) == len(set(given))
    assert {key: result[key] for key in ("lost", "misfiled", "twice", "conflicts", "tracebacks")} == dict.fromkeys(
        ("lost", "misfiled", "twice", "conflicts", "tracebacks"), 0
    )
    assert result["events"] == result["typed"] == sum(len(each["acknowledge_ms"]) for each in reports)


def test_a_loss_and_a_wrong_label_are_counted(tmp_path: Path) -> None:
    """The comparison must be able to detect errors."""
    lab = Lab(tmp_path)
    lab.log.touch()
    with opened(lab.home.db, create=True) as db:
        project, truth = add_project(db, "portal", 4)
        right, swapped, lost, fixed = truth
        events = [(right, truth[right]), (swapped, truth[right]), (fixed, truth[lost]), (fixed, truth[fixed])]
        for number, (sample, text) in enumerate(events):
            event = {"event": str(number), "action": "label", "sample": sample, "text": text, "base": number // 3}
            (answer,) = apply_events(db, project, "Ann", [event])
            assert answer.status == "saved"
    result = compared(Portal(lab, "portal", truth), [dict(truth), {right: truth[right]}])

    assert {key: result[key] for key in ("typed", "lost", "misfiled", "twice", "events")} == {
        "typed": 4, "lost": 1, "misfiled": 2, "twice": 1, "events": 4,
    }  # fmt: skip


def test_another_picture_than_that_of_the_hash_is_noticed() -> None:
    """The typist reads the hash, and the image shown is checked by its pixels."""
    first, second = variants(2)

    assert check_shown({first.sha256: data_url(first.png), second.sha256: data_url(second.png)}) == {"n": 2, "wrong": 0}
    assert check_shown({first.sha256: data_url(second.png)}) == {"n": 1, "wrong": 1}


def test_percentiles_are_values_that_were_measured() -> None:
    """Percentiles use the nearest rank."""
    assert summary(range(1, 201)) == {"n": 200, "median": 100.5, "p95": 190, "p99": 198, "max": 200}
    assert summary([]) == {"n": 0}


def test_a_slow_line_delays_both_ways_and_keeps_the_bytes() -> None:
    """Data sent at once arrives at once, one round trip later."""
    sent = bytes(range(256)) * 4000

    async def exchange() -> tuple[float, bytes]:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.read(-1))
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        clock = asyncio.get_running_loop().time
        async with server, delayed(server.sockets[0].getsockname()[1], 0.1) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            began = clock()
            writer.write(sent)
            writer.write_eof()
            received = await reader.read(-1)
            return clock() - began, received

    seconds, received = aside(lambda: asyncio.run(exchange()))

    assert received == sent
    assert seconds >= 0.2


# The large project


def test_a_large_project_is_consistent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every hash matches the stored pixels, and labels, ledger, counts, sources and days agree."""
    monkeypatch.setattr(million, "RENDERS", 50)
    home = Home(tmp_path / "home")
    made = make(home, 1000)
    truth = load_truth(home.root / "truth.txt")
    with opened(home.db) as db:
        project = projects.find_project(db, PROJECT)
        assert project is not None
        rows = samples.select_samples(db, project.id)
        blobs = samples.image_bytes(db, [row.id for row in rows])
        counts = samples.counts(db, project.id)
        events = [labels.events_of(db, row.id) for row in rows]
        days = days_waiting(db, project.id, "unlabeled")
        batch = lease(db, project, Queue(), holder="tab", operator="Ann", have=[], n=20)

    assert len(truth) == len(rows) == made["samples"] == 1000
    assert [pixel_hash(decode(blobs[row.id])) for row in rows] == [row.sha256 for row in rows] == list(truth)
    assert [row.split for row in rows] == [split_of(row.sha256) for row in rows]
    assert sum(n for (_, state), n in counts.items() if state == "labeled") == 90
    assert sum(counts.values()) == 1000
    assert all(row.label in (None, truth[row.sha256]) for row in rows)
    assert all(
        [(row.state, row.label, row.flag, row.version)] == [(e.state, e.text, e.flag, e.version) for e in history]
        for row, history in zip(rows, events, strict=True)
        if row.version
    )
    assert len({row.source_id for row in rows}) == SOURCES
    assert len({row.created_at[:10] for row in rows}) >= DAYS
    assert len(days) >= DAYS - 1
    assert len(batch.samples) == 20


def test_a_million_samples_are_all_different(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changing a few pixels gives another image with the same text: 500 variants each, as a million needs."""
    monkeypatch.setattr(million, "RENDERS", 2)
    images = list(variants(1000))

    assert len({image.sha256 for image in images}) == len({image.png for image in images}) == 1000
    assert len({image.text for image in images}) == 2
    assert all(pixel_hash(decode(image.png)) == image.sha256 for image in images[-50:])


def test_a_large_project_is_made_once(tmp_path: Path) -> None:
    """It never overwrites other contents."""
    home = Home(tmp_path)
    made = make(home, 20)
    changed = home.db.stat().st_mtime_ns

    assert make(home, 20) == made
    assert home.db.stat().st_mtime_ns == changed
    with pytest.raises(OptionError, match="has 20 samples, not 30"):
        make(home, 30)

    (tmp_path / "made.json").unlink()
    with pytest.raises(OptionError, match="an unfinished or foreign database"):
        make(home, 20)


# Pages over very many predictions


@pytest.mark.long
@in_browser
def test_a_page_over_generated_predictions_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time the page by address and by click, and a click on a matrix cell to its images."""
    monkeypatch.setattr(million, "RENDERS", 50)
    monkeypatch.setattr(pages, "known", lambda _: [screen("errors, counts, views")])
    result = measured("evaluate-100k", tmp_path, openings=1)
    (row,) = result["screens"]

    assert result["made"]["predictions"] == 2000
    assert result["tracebacks"] == 0
    assert row["screen"] == "evaluate, errors, counts, views"
    assert [row[name]["n"] for name in ("open_ms", "click_ms", "cell_ms")] == [1, 1, 1]
    assert 0 < row["click_ms"]["max"] < row["cold_ms"]
    assert 100 < result["peak_mb"]["without_model"] <= result["peak_mb"]["all"]


def test_every_section_of_evaluate_is_timed() -> None:
    """Every page and section has an entry in the benchmark."""
    names = {each.page for each in pages.SCREENS}

    assert {path.stem for path in (ROOT / "pages").glob("*.py")} <= names
    assert set(pages.sections(ROOT / "pages")) <= {each.tab for each in pages.SCREENS}
    assert pages.known(ROOT / "pages")


def test_generated_predictions_are_read_like_those_of_a_run() -> None:
    """They are log-probabilities with about 99% of images right, and TTA fixes more than it breaks."""
    targets_NP = np.random.default_rng(0).integers(0, 10, (5000, 6))
    log_probs_VNPC = readings.generated(targets_NP, 9, readings.RUNS[2], seed=0)
    plain_N, views_N = (
        (chosen_NPC.argmax(axis=2) == targets_NP).all(axis=1)
        for chosen_NPC in (log_probs_VNPC[0], aggregate(log_probs_VNPC))
    )

    np.testing.assert_allclose(np.exp(log_probs_VNPC).sum(axis=3), 1, rtol=1e-5)
    assert 0.985 < plain_N.mean() < 0.999
    assert views_N.mean() > plain_N.mean()


def test_the_weights_beside_generated_predictions_can_read(tmp_path: Path) -> None:
    """Predict and Augment load them."""
    readings.save_weights(JobDir(tmp_path), seed=0)

    predictor = Predictor.load(tmp_path)

    assert predictor.spec.length == readings.LENGTH


def screen(name: str) -> pages.Screen:
    return next(each for each in pages.SCREENS if each.name == f"evaluate, {name}")


# Command and tables


def test_every_cell_has_a_unique_name() -> None:
    """There is a cell for each fault at each rate, and names are unique."""
    names = [each.name for each in ui.CELLS]

    assert len(set(names)) == len(names)
    assert {f"typing-{rate}keys-{name}" for rate in (10, 20, 60) for name in FAULTS} < set(names)


def test_the_command_lists_its_cells() -> None:
    """It starts nothing."""
    command = [sys.executable, "-m", "bench.ui", "--list", "--only", "latency-*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "latency-loopback",
        "latency-80ms",
        "latency-readers",
        "latency-service",
    ]


def made_up(name: str, **figures: Any) -> Mapping[str, Any]:
    """Return a result like a cell's."""
    times = {"n": 200, "median": 9.5, "p95": 15, "p99": 20, "max": 31}
    browser_report = {"keys_per_s": 19.9, "waited_s": 0.25, "latency_ms": times, "answer_ms": times}
    return {
        "cell": name,
        "hardware": {"cpu": "a processor", "cores": 2, "gpu": None},
        "versions": {"python": "3.11", "streamlit": "1.67.0", "chromium": "156"},
        "git": {"commit": "0123456789", "dirty": False},
        "typed": 200, "lost": 0, "misfiled": 0, "twice": 0, "given_twice": 0, "errors": [], "answered_s": 0.4,
        "browser": browser_report, "browsers": [browser_report], "run": {"state": "running"},
        "operators": {"answer_ms": times},
    } | figures  # fmt: skip


def test_the_table_compares_labeling_alone_and_beside_a_service() -> None:
    """One row for each load."""
    times = {"n": 160, "median": 9.5, "p95": 15, "p99": 20, "max": 31}
    phase = {"latency_ms": times, "answer_ms": times, "requests_a_second": 0.0}
    phases = {"alone": phase, "50 requests a second": phase | {"requests_a_second": 49.9}}
    result = {"phases": phases, "other_load": 0.3, "hardware": {"cores": 2}}

    text = beside_service_table({"latency-service": result})

    assert "| alone |  | 9.5 ms | 15 ms | 31 ms | 160 | 9.5, 20 ms | 0.3 on 2 cores |" in text
    assert "| beside `slotlab api`, 50 requests a second | 49.9 requests/s | 9.5 ms |" in text
    assert "not run" in beside_service_table({})


def test_tables_show_losses_in_bold_and_name_missing_cells() -> None:
    """Nonzero losses must stand out in a table of zeros."""
    made = {"made": {"samples": 1_000_000, "seconds": 81.0, "bytes": 4_500_000_000}}
    results = {
        name: made_up(name, **figures)
        for name, figures in (
            ("latency-80ms", {}),
            ("typing-20keys-kill", {}),
            ("typing-60keys-kill", {"lost": 2}),
            ("operators-20", {}),
            ("million-first-image", made | {"first_image_ms": {"n": 10, "median": 900, "max": 1234}}),
            ("million-queries", made | {"queries": [{"median_ms": 3}, {"median_ms": 20.5}]}),
        )
    }
    text = page.section({}, {}, results)

    assert "| 9.5 ms | 15 ms | 31 ms | 200 at 19.9 keys/s | 9.5, 20 ms |" in text
    assert "| not run | 0 of 200 lost, 0 of 200 misfiled; 19.9 keys/s, waited 0.2 s, all saved 0.4 s after" in text
    assert "| **2 of 200 lost**, 0 of 200 misfiled;" in text
    assert "0 of 200 misfiled, 0 given to two, 0 errors | 9.5, 20, 31 ms (n = 200)" in text
    assert "| 0.90 s, at most 1.23 s (n = 10) | 1,000,000 samples, 4.5 GB, made in 81 s |" in text
    assert "2 of them: median 20.5 ms, slowest 20.5 ms" in text
    assert "| `latency-loopback` | server and browser on one machine | not run |" in text
    assert "* a processor, 2 cores, Python 3.11, streamlit 1.67.0, chromium 156, 0123456: `latency-80ms`," in text
