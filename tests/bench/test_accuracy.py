"""Accuracy benchmarks: cells run once and resume after a kill, and figures and tables match the readings."""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from bench.accuracy import accuracy, speed, untrained
from bench.accuracy.cell import Cell
from bench.accuracy.data import FOLDS, SETS, ImageSet, Readings, drawn, fold_of, freeze, taught
from bench.accuracy.reading import parameters
from bench.accuracy.scores import AUDITS, audited, load_audit, score_run, tally
from bench.accuracy.singles import HALF_TURNED, single_rows
from bench.cells import RESULTS, ROOT, Bench, BenchCell, save_result
from bench.grid import run, state_of
from bench.peers import peers
from bench.tables import page
from bench.tables.claims import claims_table, pooled_table
from bench.tables.trained import FOLD_CELLS
from core.charset import TextSpec
from core.errors import LabelError
from core.evaluation.percent import counted
from core.evaluation.predictions import Predictions
from core.images.pixels import Pixels, decode, encode_png
from core.jobs.jobdir import JobDir
from core.readers.builtin import NAME as BUILTIN
from core.readers.readers import READERS
from core.training.snapshot import Row, load_snapshot
from tests.helpers.networks import make
from tests.helpers.pictures import png, write_files

SPEC = TextSpec(3, "0123456789")


def command(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", f"bench.{module}", *map(str, arguments)]


def bench_in(folder: Path) -> Bench:
    return Bench(kind="accuracy", work=folder / "work", results=folder / "results")


# The command


@pytest.mark.parametrize(("kind", "cells"), page.CELLS.items())
def test_every_cell_with_a_result_has_a_state(tmp_path: Path, kind: str, cells: Sequence[BenchCell]) -> None:
    """Results of every kind can be compared to the settings of today."""
    bench = Bench(kind=kind, work=tmp_path, results=RESULTS / kind)
    measured = [cell for cell in cells if bench.result(cell).exists()]
    assert measured
    assert all(state_of(cell, bench).startswith("done") for cell in measured)


@pytest.mark.long
def test_a_killed_cell_resumes_and_writes_its_results(tmp_path: Path) -> None:
    """After `kill -9` of the bench and its worker, the cell resumes."""
    arguments = ("--quick", "--work", tmp_path / "work", "--results", tmp_path / "results")
    job = JobDir(tmp_path / "work" / "accuracy" / "quick" / "train")
    killed = subprocess.Popen(command("accuracy", *arguments), cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list((job.path / "checkpoints").glob("step-*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.kill()
    killed.wait()

    assert job.kill()

    done = subprocess.run(command("accuracy", *arguments), cwd=ROOT, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)

    assert "Resuming from step" in job.log_tail(20)
    assert len(result["resumed"]) == 1
    assert (result["cell"], result["steps"]) == ("quick", 20)
    assert result["data"]["n"] == {"train": 64, "val": 16, "test": 16}
    assert result["splits"]["test"]["raw"]["tta"]["n"] == 16
    assert len(result["splits"]["test"]["errors"]) == 16 - result["splits"]["test"]["raw"]["tta"]["k"]
    assert ".png" not in done.stdout


@pytest.mark.long
def test_the_speed_bench_reads_its_own_clock(tmp_path: Path) -> None:
    """Validation lines are timed from the start of the process, so all are within its lifetime."""
    done = subprocess.run(command("accuracy.speed", "--quick"), cwd=ROOT, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    seconds = [line["seconds"] for line in result["validation"]]

    assert len(seconds) == 5
    assert seconds == sorted(seconds)
    assert result["seconds"] < seconds[-1] <= result["process_seconds"]
    assert result["reading"]["parameters"]["total"] > result["reading"]["parameters"]["heads"] > 0


def test_only_the_parameters_that_a_network_reads_with_are_counted() -> None:
    """The shared weights are folded into each head, which leaves zeros."""
    model = make()
    model.heads.fold()

    counts = parameters(model)

    assert counts["heads"] == 3 * (10 * 32 + 10)
    assert counts["total"] == sum(p.numel() for name, p in model.named_parameters() if "heads.shared" not in name)
    assert counts["total"] == sum(counts[part] for part in ("backbone", "neck", "pool", "heads"))


def test_finished_cells_are_skipped_and_impossible_ones_say_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cell is measured once, unless `again` is set."""
    bench, cell = bench_in(tmp_path), replace(accuracy.QUICK, name="made-up")
    measured: list[str] = []

    def measure(cell: Any, bench: Bench) -> dict[str, Any]:
        measured.append(cell.name)
        config = json.loads(json.dumps(cell.config().to_dict()))
        return {"cell": cell.name, "config": config, "choices": {}, "steps": 20, "data": {"n": {"train": 64}}}

    needy = replace(cell, name="needy", images="digits4")
    for again in (False, False, True):
        assert run([cell, needy], bench, measure, again=again) == 0

    assert measured == ["made-up", "made-up"]
    assert state_of(cell, bench) == "done"
    assert state_of(replace(cell, options={}), bench) == "done, but its settings have changed"
    assert state_of(needy, bench) == "not run: there is no --data folder with digits4/"
    assert "needy: not run, there is no --data folder with digits4/" in capsys.readouterr().err


def test_a_result_with_other_steps_than_the_settings_plan_has_changed() -> None:
    """The rule of automatic steps is not in the settings. With a limit of minutes, the machine decides."""
    cell = Cell(name="few", what="", group="few", images="quick", options={"init": "rendered"})
    limited = replace(cell, options={"init": "rendered", "max_minutes": "3"})

    def result(cell: Cell, steps: int) -> dict[str, Any]:
        n = {"train": 3600, "val": 400}
        return {"config": cell.config().to_dict(), "choices": {"init": "rendered"}, "steps": steps, "data": {"n": n}}

    assert not cell.changed(result(cell, 2240))
    assert cell.changed(result(cell, 1120))
    assert not limited.changed(result(limited, 1120))


@pytest.mark.parametrize(
    ("kind", "cells"),
    [("accuracy", accuracy.CELLS), ("peers", peers.CELLS), ("speed", (*speed.CELLS, *speed.STEPS))],
)
def test_every_kept_result_can_be_listed(kind: str, cells: Sequence[Cell], tmp_path: Path) -> None:
    """Results of steps have no settings, and those of a peer a rate that its search chose."""
    bench = Bench(kind=kind, work=tmp_path, results=RESULTS / kind)

    states = [state_of(cell, bench) for cell in cells if bench.result(cell).exists()]

    assert states
    assert all(state.startswith("done") for state in states)


def test_a_failed_cell_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code reports the failure. A fault of the bench itself shows where it is."""
    bench, names = bench_in(tmp_path), ("bad", "faulty", "good")

    def measure(cell: Any, bench: Bench) -> dict[str, Any]:
        if cell.name == "bad":
            cell = replace(cell, options={"lr": "much"})
            cell.config()
        if cell.name == "faulty":
            raise FileNotFoundError("no such list")
        return {"cell": cell.name}

    assert run([replace(accuracy.QUICK, name=name) for name in names], bench, measure) == 1
    assert [path.stem for path in bench.results.iterdir()] == ["good"]
    said = capsys.readouterr().err
    assert "bad: FAILED, lr must be a number, got 'much'." in said
    assert "faulty: FAILED, Traceback" in said
    assert "no such list" in said


def test_names_and_image_sets_are_sound() -> None:
    """Each cell has a unique name, an existing image set and valid options."""
    cells = [*accuracy.CELLS, *speed.CELLS]

    assert len({cell.name for cell in cells}) == len(cells)
    assert [cell.name for cell in cells if cell.images not in SETS] == []
    assert {cell.config().seed for cell in cells if cell.name.endswith("seed2")} == {2}


# Images


def test_few_labels_are_drawn_from_train_and_val() -> None:
    """All test images stay. Another draw takes others."""
    splits = [("train", 200), ("val", 30), ("test", 25)]
    rows: list[Row] = [(f"{split} {n}", split, "1", "n", b"") for split, count in splits for n in range(count)]
    first, again, other = drawn(rows, 50, 0), drawn(rows, 50, 0), drawn(rows, 50, 1)

    assert Counter(row[1] for row in first) == {"train": 45, "val": 5, "test": 25}
    assert first == again
    assert first != other


def test_labels_of_people_go_first_where_readers_disagree() -> None:
    """Then they go to val. Those that val leaves over replace readings of train. A tenth is in test."""
    splits = ["train"] * 60 + ["val"] * 10 + ["test"] * 10
    rows: list[Row] = [(f"{place:02}", split, "right", "n", b"") for place, split in enumerate(splits)]
    readings: Readings = {row[0]: [("read", 0.9), ("read" if int(row[0]) % 6 else "other", 0.5)] for row in rows}

    def labels(count: int) -> Counter[tuple[str, str | None]]:
        labeled, kinds = taught(rows, count, readings)
        assert {key for key, split, text, *_ in labeled if split == "train" and text == "read"} == set(kinds)
        return Counter((split, text) for _, split, text, *_ in labeled)

    test = {("test", "right"): 10}
    assert labels(0) == test | {("train", "read"): 50, ("train", None): 10, ("val", "read"): 8, ("val", None): 2}
    assert labels(10) == test | {("train", "read"): 50, ("train", "right"): 8, ("train", None): 2,
                                 ("val", "right"): 1, ("val", None): 9}  # fmt: skip
    assert labels(40) == test | {("train", "read"): 34, ("train", "right"): 26, ("val", "right"): 10}


def test_the_built_in_reader_is_scored_without_training(tmp_path: Path) -> None:
    """The small set is rendered in the style of the demo, which the reader has not seen."""
    cell = replace(accuracy.QUICK, name="builtin-quick", preset=None, readers=(BUILTIN,))
    result = accuracy.measure(cell, bench_in(tmp_path))
    test = result["splits"]["test"]

    assert list(result["splits"]) == ["test"]
    assert test["raw"][BUILTIN]["n"] == 16
    assert test["raw"][BUILTIN]["k"] >= 8
    assert len(test["errors"]) == 16 - test["raw"][BUILTIN]["k"]
    assert result["weights"]["images"] > 0


def test_folds_are_disjoint_and_complete() -> None:
    """Every image is held out exactly once, and never selects the checkpoint tested on it."""
    rows: list[Row] = [(f"{n:064x}", "val" if n % 10 == 0 else "train", "1", "n", b"") for n in range(103)]
    folds = [fold_of(fold)(rows) for fold in range(FOLDS)]
    held_out = [row[0] for fold in folds for row in fold if row[1] == "test"]

    assert sorted(held_out) == [row[0] for row in rows]
    assert {len(fold) for fold in folds} == {103}
    assert {row[1] for fold in folds for row in fold} == {"train", "val", "test"}
    assert all(row[2:] == rows[index][2:] for fold in folds for index, row in enumerate(fold))


def test_single_characters_are_cut_where_their_columns_are_apart() -> None:
    """A digit is a bar of its own color and height here. In half of the images the bars touch."""
    rng = random.Random(0)
    colors = [(20 * digit, 200 - 20 * digit, 90) for digit in range(10)]

    def row(index: int) -> Row:
        text = f"{rng.randrange(10_000):04}"
        image = np.full((42, 120, 3), 255, np.uint8)
        for place, char in enumerate(text):
            left = 15 + place * (24 if index % 2 else 15)
            image[8:34, left : left + 15] = colors[int(char)]
        return f"{index:04}", "train", text, f"{index}.png", encode_png(image)

    singles = single_rows([[row(index) for index in range(240)]], (("train", 90), ("test", 30)))

    assert Counter(split for _, split, *_ in singles) == {"train": 90, "test": 30}
    assert 2 < sum(label == HALF_TURNED for _, _, label, *_ in singles) < 30
    for _, _, label, _, data in singles:
        image = decode(data)
        assert 20 <= image.shape[1] <= 65
        assert 32 <= image.shape[0] <= 112
        if label != HALF_TURNED:
            center = image[image.shape[0] // 2, image.shape[1] // 2].astype(int)
            assert np.abs(center - colors[int(label or "")]).max() < 10


def test_a_folder_is_frozen_by_pixels(tmp_path: Path) -> None:
    """Equal pixels with two names count once. Files without a label are excluded."""
    files = {f"{n}.png": png(n) for n in range(30)} | {"again.png": png(0), "unlabeled.png": png(99)}
    labels = "filename,label\n" + "".join(f"{n}.png,{n:03}\n" for n in range(30)) + "again.png,000\n"
    write_files(tmp_path / "data" / "some", files | {"labels.csv": labels.encode()})
    images = ImageSet(name="some", length=3, folder="some", labels="labels.csv")
    frozen = freeze(images, tmp_path / "work", tmp_path / "data")
    snapshot = load_snapshot(frozen.path)

    assert sorted(label or "" for label in snapshot.labels) == [f"{n:03}" for n in range(30)]
    assert Counter(snapshot.splits) == frozen.counts


def test_rendering_is_done_once(tmp_path: Path) -> None:
    """A changed recipe renders again."""
    images = SETS["quick"]
    first = freeze(images, tmp_path, None)
    written = first.path.stat().st_mtime_ns

    assert freeze(images, tmp_path, None) == first
    assert first.path.stat().st_mtime_ns == written
    assert freeze(replace(images, length=5), tmp_path, None).path != first.path


# Figures


def predictions(labels: list[str], plain: list[str], other: list[str]) -> Predictions:
    """Predictions of two views. The second is more confident, so it decides."""
    log_probs_VNPC = np.full((2, len(labels), 3, 10), np.log(0.01), dtype=np.float32)
    for view, reads in enumerate((plain, other)):
        for place, read in enumerate(reads):
            for position, char in enumerate(read):
                log_probs_VNPC[view, place, position, int(char)] = np.log(0.6 + 0.3 * view)
    sha256 = [f"{place:064x}" for place in range(len(labels))]
    return Predictions(sha256=sha256, labels=labels, views=["as it is", "other"], log_probs_VNPC=log_probs_VNPC)


LABELS, PLAIN, OTHER = ["112", "123", "456", "789"], ["112", "124", "456", "788"], ["112", "123", "455", "788"]


def test_slices_positions_and_flips() -> None:
    """Count on artificial readings."""
    out = score_run(predictions(LABELS, PLAIN, OTHER), SPEC, seen={"123"}, audit={})
    plain, tta = out["raw"]["plain"], out["raw"]["tta"]

    assert (plain["k"], tta["k"], tta["n"]) == (2, 2, 4)
    assert plain["slices"] == {"repeat": [1, 1], "no_repeat": [1, 3], "seen": [0, 1], "not_seen": [2, 3]}
    assert tta["slices"]["seen"] == [1, 1]
    assert tta["per_position"] == [4, 4, 2]
    assert out["raw"]["flips"] == {"fixed": 1, "broken": 1}
    assert [error[1] for error in out["errors"]] == ["788", "455"]


def test_audited_labels_change_only_the_audited_figure() -> None:
    """The reading for 789 was right, and the label was wrong."""
    before = score_run(predictions(LABELS, PLAIN, OTHER), SPEC, seen={"123"}, audit={})
    audit = {f"{3:064x}": ("789", "788"), "f" * 64: ("000", "001")}
    after = score_run(predictions(LABELS, PLAIN, OTHER), SPEC, seen={"123"}, audit=audit)

    assert after["raw"] == before["raw"]
    assert after["errors"] == before["errors"]
    assert (before["audited"]["corrected"], after["audited"]["corrected"]) == (0, 1)
    assert (before["audited"]["tta"]["k"], after["audited"]["tta"]["k"]) == (2, 3)
    assert [len(score["audited"]["wrong"]) for score in (before, after)] == [2, 1]
    assert [len(score["audited"]["wrong_plain"]) for score in (before, after)] == [2, 1]
    assert f"{3:064x}" in set(before["audited"]["wrong"]) - set(after["audited"]["wrong"])


def test_every_audit_is_found() -> None:
    """Folders may have no audit, so a wrong path would go unnoticed."""
    assert {path.stem for path in AUDITS.glob("*.json")} == {"digits4", "henan4", "portal6"}
    assert all(load_audit(path.stem) for path in AUDITS.glob("*.json"))
    assert load_audit("nobody looked") == {}


def test_an_audit_of_other_labels_is_refused() -> None:
    """The audit is for data that have changed since."""
    with pytest.raises(LabelError, match="its label is '112'"):
        audited(["a"], ["112"], {"a": ("113", "112")})


def test_a_reading_of_another_length_is_wrong() -> None:
    """A general reader has no fixed length. Its characters still count by position."""
    scores = tally(["112", "123"], ["11", "1234"], None)

    assert (scores["k"], scores["per_position"]) == (0, [2, 2, 1])
    assert "seen" not in scores["slices"]


def test_times_to_an_accuracy() -> None:
    """Return when it is reached first, and when for good."""
    lines = [{"seconds": 10.0 * n, "step": n, "k": k, "n": 100} for n, k in enumerate((50, 95, 94, 96, 97))]
    goal = speed.times_to(lines, 0.95)

    assert (goal["first"]["step"], goal["lasting"]["step"]) == (1, 3)
    assert speed.times_to(lines, 0.99) == {"goal": 0.99, "first": None, "lasting": None}


# Tables


def made_up(cell: str, k: int, *, corrected: int = 0) -> dict[str, Any]:
    """Return a result of a trained cell with k of 120 right."""
    score = tally(["112"] * k + ["123"] * (120 - k), ["112"] * 120, {"123"})
    labels = {"plain": score, "tta": score, "flips": {"fixed": 2, "broken": 1}}
    split = {"raw": labels, "audited": labels | {"corrected": corrected}, "errors": []}
    return {
        "cell": cell,
        "data": {"n": {"train": 100, "val": 20, "test": 120}},
        "choices": {"device": "cpu", "threads": 2},
        "seconds": 90.0,
        "steps": 1500,
        "hardware": {"cpu": "a processor", "cores": 2, "gpu": None},
        "versions": {"python": "3.11", "torch": "2"},
        "git": {"commit": "0123456789", "dirty": False},
        "splits": {"val": split, "test": split},
    }


def test_tables_pool_the_folds_and_name_missing_cells() -> None:
    """The five folds hold out every image once, so their sum is a figure with an interval."""
    results = {name: made_up(name, 110 + fold) for fold, name in enumerate(FOLD_CELLS)}
    text = page.section(results, {})

    assert (
        "| `portal6-fast-fold0` | real, 6 digits; every fifth image held out | 110/120 = 91.7% (85.2% to 95.9%) |"
        in text
    )
    assert f"**{counted(560, 600)}**" in text
    assert "| `hard4000-article-seed1` | rendered, 6 digits, hard style | not run (needs a GPU) |" in text
    assert "`untrained-ddddocr-portal6` | all images of portal6 | not run (needs --data with portal6/, make" in text
    assert "* a processor, 2 cores, Python 3.11, torch 2, 0123456: `portal6-fast-fold0`" in text
    assert "same, audited" not in text
    del results["portal6-fast-fold3"]

    assert "not run: needs all 5 folds" in page.section(results, {})


def test_tables_show_audited_figures_where_labels_were_corrected() -> None:
    """There is a second row, so neither figure hides the other."""
    results = {"digits4-fast-seed0": made_up("digits4-fast-seed0", 118, corrected=3)}

    assert "| same, audited labels (6 corrected) | 118/120" in page.section(results, {})


def test_a_rendered_start_stands_beside_the_run_from_scratch() -> None:
    """McNemar counts the test images that only one of both reads right, by audited labels."""
    rendered, scratch = made_up("digits4-rendered-seed0", 117), made_up("digits4-fast-seed0", 115)
    rendered["splits"]["test"]["audited"]["wrong"] = ["a", "b", "c"]
    scratch["splits"]["test"]["audited"]["wrong"] = ["b", "c", "d", "e", "f"]
    results = {run["cell"]: run for run in (rendered, scratch)}
    figures = f"{counted(117, 120)}, 1,500 steps | {counted(115, 120)}, 1,500 steps | 3, 1 | 0.62 |"

    assert figures in page.section(results, {})
    assert "1,500 steps | not run |" in page.section({"digits4-rendered-seed0": rendered}, {})


def test_agreement_of_readers_shows_what_is_wrong_in_it() -> None:
    """It is the sum over val and test."""
    result = made_up("readers-digits4", 100)
    for split in result["splits"].values():
        split["audited"] |= {name: {"k": 110, "n": 120} for name in (*READERS, BUILTIN)}
        split["agreement"] = {
            rule: {"n": 120, "agreed": agreed, "right": 1, "right_audited": agreed - 2}
            for rule, agreed in (("general", 90), ("two", 100), ("all", 80))
        }
    text = page.section({"readers-digits4": result}, {})

    assert f"{counted(220, 240)} | 180 of 240, 4 wrong | 200 of 240, 4 wrong | 160 of 240, 4 wrong |" in text


def test_the_errors_of_all_readers_are_pooled_over_the_real_images() -> None:
    """A reader that has not read all of them is not run."""
    results = {name: made_up(name, 118) for name in ("digits4-fast-seed0", "henan4-fast-seed0", *FOLD_CELLS)}
    for name in ("digits4", "henan4", "portal6"):
        result = made_up("", 118)
        result["splits"]["test"]["audited"] |= {
            "exact": {"k": 100, "n": 120},
            "wrong": [f"{name}-{i}" for i in range(20)],
        }
        results[f"untrained-ddddocr-{name}"] = result
    for cell in ("digits4-fast-seed0", "henan4-fast-seed0", *FOLD_CELLS):
        results[cell]["splits"]["test"]["audited"]["wrong"] = [f"{cell.split('-')[0]}-0", f"{cell}-1"]
    table = pooled_table(results, {})

    assert f"| Slotlab, from scratch, TTA | 14 | {counted(7 * 118, 7 * 120)} |  | 57, 7, 7.6e-11 |" in table
    assert f"| ddddocr, untrained, exactly N | 60 | {counted(300, 360)} |  |  |" in table
    assert "| Slotlab, without a label, TTA | not run |  |  |  |" in table
    assert "| rapidocr, untrained, exactly N | not run |  |  |  |" in table


def test_each_claim_has_its_answer_or_the_missing_cell() -> None:
    """A claim is answered when all its cells have a result."""
    runs = {f"hard4000-fast-seed{seed}": made_up("", 118) for seed in accuracy.SEEDS}
    results = runs | {"hard4000-article-seed0": made_up("", 119)}
    table = claims_table(results, {}, {})

    assert f"| one view {counted(119, 120)}; TTA {counted(119, 120)} |" in table
    assert "`article`: fixed 2, broke 1, p = 1; `fast`, seed 0: fixed 2" in table
    assert "| It needs fewer labels than a CRNN. | not run: hard4000-200-scratch-seed0 |" in table


class FixedReader:
    """A network that sees a capital B between two ones, and a weak 7 after them."""

    symbols = ("", "1", "B", "7")

    def frames(self, image: Pixels) -> np.ndarray:
        return np.array([[0, 1, 0, 0], [0.1, 0.1, 0.8, 0], [0, 1, 0, 0], [0.6, 0, 0, 0.4]]) + 0 * image[:4, :4, 0]


def test_an_untrained_reader_reads_in_three_ways() -> None:
    """Told nothing, the charset, or also the length."""
    reads = untrained.read(FixedReader(), [np.zeros((4, 4, 3), np.uint8)], TextSpec(3, "17"), lambda: False)  # type: ignore[arg-type]

    assert reads == {"raw": ["1B1"], "charset": ["11"], "exact": ["117"]}


@pytest.mark.skipif(find_spec("captcha_whisperer") is None, reason="needs captcha-whisperer")
def test_the_network_of_captcha_whisperer_reads_a_zero() -> None:
    """Its own decoder never does."""
    image = Image.new("RGB", (160, 60), "white")
    ImageDraw.Draw(image).text((16, 4), "A20K", "black", ImageFont.load_default(48))
    reads = untrained.read(
        untrained.UNTRAINED["whisperer"](), [np.asarray(image)], TextSpec(4, "0123456789AK"), lambda: False
    )

    assert reads["exact"] == ["A20K"]


def test_the_readme_matches_the_results() -> None:
    """`python -m bench.tables` would change nothing."""
    text = page.PAGE.read_text(encoding="utf-8")

    assert page.replaced(text, page.current()) == text


def test_results_name_no_file_and_no_place() -> None:
    """Results contain no images, file names or folders."""
    for path in sorted((ROOT / "bench" / "results").rglob("*.json")):
        text = path.read_text(encoding="utf-8")

        assert not [word for word in ("captcha", ".jpg", ".png", '"/', str(Path.home())) if word in text], path.name


def test_a_result_is_written_whole_and_readable(tmp_path: Path) -> None:
    """Lists of plain values are on one line, and the content is unchanged."""
    result = {"errors": [["a[1]", "b, \n c", 1.5]], "n": {"train": 1}, "positions": [1, 2], "empty": []}
    save_result(tmp_path / "deep" / "x.json", result)
    text = (tmp_path / "deep" / "x.json").read_text()

    assert json.loads(text) == result
    assert '"positions": [1, 2]' in text
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x.json"]
